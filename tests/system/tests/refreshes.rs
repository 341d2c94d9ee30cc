//! Pools that are moved to other machine images, in a region in a box.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that can not set up its world has failed, and says what it measured"
)]

use std::collections::BTreeSet;
use std::time::{Instant, SystemTime};

use serde_json::{Value, json};
use system_tests::fleet::World;
use system_tests::region::{Pool, Service, values};
use system_tests::{SOON, until};

/// What the pool is launched from, and how its group is.
fn group(world: &World) -> Value {
    world.pool()["group"].clone()
}

fn images(world: &World) -> BTreeSet<String> {
    world.region.members("web").into_iter().map(|one| one.image).collect()
}

#[test]
fn machines_are_replaced_by_those_of_another_image_and_each_task_moves_once() {
    let world = World::with_pool(3);
    world.deploy(3);
    let before = world.are_ready(3);
    world.serve_elsewhere(3, &BTreeSet::new());
    let ami = world.other_image(before.first().unwrap());
    let nosuch = world.cluster.wharf(&["refresh", "start", "web", "--ami", "ami-0nosuch", "-y"]);
    assert!(nosuch.err.contains("no machine image ami-0nosuch"), "{}", nosuch.err);
    let planned = world.cluster.wharf(&["refresh", "plan", "web", "--ami", &ami, "-o", "json"]);
    assert_eq!(planned.code, 2, "{}{}", planned.out, planned.err);
    let plan: Value = serde_json::from_str(&planned.out).unwrap();
    assert_eq!(plan["machines"].as_array().unwrap().len(), 3, "{plan:#}");
    assert_eq!((&plan["moved_again"], &plan["peak"]), (&json!(0), &json!(4)), "{plan:#}");
    assert_eq!(plan["moves"].as_array().unwrap().len(), 3, "{plan:#}");
    let expect = plan["fingerprint"].as_str().unwrap();
    let placed = world.placements();
    let began = Instant::now();
    let start =
        ["refresh", "start", "web", "--ami", &ami, "--hold", "1s", "-y", "--expect", expect];
    let told = world.cluster.wharf(&start);
    assert_eq!(told.code, 0, "{}{}{}", told.out, told.err, world.events());
    eprintln!("3 machines in {:.1?}\n{}", began.elapsed(), told.out);
    let after = world.are_ready(3);
    assert!(after.is_disjoint(&before), "{after:?} {before:?}");
    assert_eq!(images(&world), BTreeSet::from([ami.clone()]));
    world.serve_elsewhere(3, &before);
    assert_eq!(world.placements() - placed, 3, "{}", world.events());
    let restored = group(&world);
    assert_eq!((&restored["desired"], &restored["max"]), (&json!(3), &json!(200)));
    assert_eq!(restored["suspended"], json!([]), "{restored:#}");
    let again = world.cluster.wharf(&["refresh", "start", "web", "--template", "lt-0=1", "-y"]);
    assert_eq!(again.code, 1, "{}{}", again.out, again.err);
    let stale = world.cluster.wharf(&start);
    assert!(stale.err.contains("plan again"), "{}", stale.err);
}

#[test]
fn machines_that_never_join_are_given_back_and_the_others_stay() {
    let world = World::with_pool(2);
    world.deploy(2);
    let before = world.are_ready(2);
    world.serve_elsewhere(2, &BTreeSet::new());
    let shown = world.region.call(
        Service::Ec2,
        "DescribeLaunchTemplates",
        &[("LaunchTemplateName.1", "web")],
    );
    let template = values(&shown.unwrap(), "launchTemplateId").remove(0);
    // Its agent is told of no coordinator.
    let asked = [
        ("LaunchTemplateId", template.as_str()),
        ("SourceVersion", "1"),
        ("LaunchTemplateData.UserData", "V0hBUkZfQUREUj0xMjcuMC4wLjE6MQo="),
    ];
    world.region.call(Service::Ec2, "CreateLaunchTemplateVersion", &asked).unwrap();
    let _set = world.cluster.wharf(&["pool", "set", "web", "--join-within", "30s"]).good();
    let to = format!("{template}=2");
    let told = world.cluster.wharf(&["refresh", "start", "web", "--template", &to, "-y"]);
    assert_eq!(told.code, 3, "{}{}{}", told.out, told.err, world.events());
    assert!(told.out.contains("never became nodes"), "{}", told.out);
    assert_eq!(world.are_ready(2), before);
    let events = world.events();
    assert!(!events.contains("is being emptied"), "{events}");
    let restored = group(&world);
    assert_eq!((&restored["desired"], &restored["suspended"]), (&json!(2), &json!([])));
    let template = restored["template"].as_str().unwrap();
    assert!(template.ends_with("version 1"), "{template}");
}

#[test]
fn a_coordinator_that_is_killed_again_and_again_comes_to_the_same_end() {
    let mut world = World::start();
    // A machine that boots while nobody is there asks again.
    let authority = world.cluster.as_root(&["token", "authority"]).good();
    let user_data = format!(
        "WHARF_ADDR={}\nWHARF_JOIN=aws-sts\nWHARF_AUTHORITY={}\nREGION_AGENT_ARGUMENTS=--prefer-local-images\nREGION_FACTS=no\n",
        world.cluster.address,
        authority.trim()
    );
    world.region.create_pool(&Pool { size: 0, user_data: &user_data, ..Pool::default() });
    let _added = world.cluster.wharf(&["pool", "add", "web"]).good();
    world.has_hooks();
    world.region.set_desired("web", 3);
    world.are_ready(3);
    world.deploy(3);
    let before = world.are_ready(3);
    let ami = world.other_image(before.first().unwrap());
    let start = ["refresh", "start", "web", "--ami", &ami, "--hold", "1s", "-y", "--detach"];
    let _started = world.cluster.wharf(&start).good();
    let mut seen = Vec::new();
    let mut kills = 0;
    // Somewhere after each change that the region shows.
    while world.region.members("web").iter().any(|one| before.contains(&one.id)) {
        world.cluster.kill_coordinator();
        world.cluster.start_coordinator();
        kills += 1;
        assert!(kills < 60, "{}", world.events());
        until("something has changed", SOON * 2, || {
            let members = world.region.members("web").into_iter();
            let now: Vec<_> = members.map(|one| (one.id, one.lifecycle_state)).collect();
            if now == seen {
                return Err(format!("{now:?}"));
            }
            seen = now;
            Ok(())
        });
    }
    eprintln!("killed {kills} times");
    let told = world.cluster.wharf(&["refresh", "status", "web"]);
    assert_eq!(told.code, 0, "{}{}", told.out, told.err);
    world.are_ready(3);
    assert_eq!(images(&world), BTreeSet::from([ami]));
    let calls = world.region.calls();
    assert_eq!(calls["autoscaling.TerminateInstanceInAutoScalingGroup"], 3, "{calls:?}");
    let restored = group(&world);
    assert_eq!((&restored["desired"], &restored["suspended"]), (&json!(3), &json!([])));
    world.serve_elsewhere(3, &before);
}

/// A window of one minute that opens in twelve hours.
fn far_window() -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let minute = since.as_secs() / 60 + 720;
    let clock = |minute: u64| format!("{:02}:{:02}", minute % 1_440 / 60, minute % 60);
    format!("daily {}-{} UTC", clock(minute), clock(minute + 1))
}

#[test]
fn a_refresh_waits_for_a_window_until_it_is_urgent() {
    let world = World::with_pool(1);
    world.deploy(1);
    let before = world.are_ready(1);
    world.serve_elsewhere(1, &BTreeSet::new());
    let ami = world.other_image(before.first().unwrap());
    let window = far_window();
    let set = world.cluster.wharf(&["pool", "set", "web", "--window", &window]).good();
    assert!(set.contains("other maintenance windows"), "{set}");
    assert_eq!(world.pool()["windows"], json!([window]));
    let start = ["refresh", "start", "web", "--ami", &ami, "--hold", "1s", "-y", "--detach"];
    let _started = world.cluster.wharf(&start).good();
    until("it waits for the window", SOON, || {
        let told = world.cluster.wharf(&["refresh", "status", "web", "--detach"]).good();
        if told.contains("waits for the window of pool web") { Ok(()) } else { Err(told) }
    });
    assert_eq!(world.are_ready(1), before);
    let waiting = group(&world);
    let is_as_before = (&json!(1), &json!([]));
    assert_eq!((&waiting["desired"], &waiting["suspended"]), is_as_before, "{waiting:#}");
    let _hurried = world.cluster.wharf(&["refresh", "override", "web", "a hole"]).good();
    let told = world.cluster.wharf(&["refresh", "status", "web"]);
    assert_eq!(told.code, 0, "{}{}", told.out, told.err);
    assert!(world.are_ready(1).is_disjoint(&before));
    let events = world.events();
    assert!(events.contains("is urgent: a hole"), "{events}");
    let none = world.cluster.wharf(&["pool", "set", "web", "--window", "none"]);
    assert_eq!((none.code, &world.pool()["windows"]), (0, &json!([])), "{}", none.err);
    let wrong = world.cluster.wharf(&["pool", "set", "web", "--window", "2:00-3:00 Berlin"]);
    assert!(wrong.code == 64 && wrong.err.contains("Europe/Berlin"), "{}{}", wrong.code, wrong.err);
}

/// The rows of `wharf ami status` of a pool: image, machines, state.
fn generations(world: &World, pool: &str) -> Vec<(String, u64, String)> {
    let told = world.cluster.wharf(&["ami", "status", pool, "-o", "json"]).json();
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = told[0]["generations"].as_array().cloned().unwrap_or_default();
    let row = |one: &Value| {
        (word(&one["image"]), one["machines"].as_u64().unwrap_or(0), word(&one["state"]))
    };
    all.iter().map(row).collect()
}

#[test]
fn pools_are_refreshed_one_after_the_other_and_none_while_they_are_frozen() {
    let mut world = World::start();
    for name in ["canary", "web"] {
        world.create_group(&Pool { name, size: 1, ..Pool::default() });
        let _added = world.cluster.wharf(&["pool", "add", name]).good();
    }
    until("both machines are nodes", SOON * 2, || {
        let ready = world.nodes("ready");
        if ready.len() == 2 { Ok(()) } else { Err(format!("{ready:?}")) }
    });
    let web = world.region.members("web").remove(0);
    let ami = world.other_image(&web.id);
    let unknown =
        world.cluster.wharf(&["refresh", "start", "web", "--ami", &ami, "--after", "canary", "-y"]);
    assert!(unknown.err.contains("that was not refreshed"), "{}", unknown.err);
    let _frozen =
        world.cluster.wharf(&["refresh", "freeze", "the summer sale", "--for", "72h"]).good();
    let start = ["refresh", "start", "canary", "web", "--ami", &ami, "--hold", "1s", "-y", "-d"];
    let _started = world.cluster.wharf(&start).good();
    until("both wait, each for its reason", SOON, || {
        let told = world.cluster.wharf(&["refresh", "ls"]).good();
        let waits = ["freeze (the summer sale)", "waits for canary:1 to be through"];
        if waits.iter().all(|why| told.contains(why)) { Ok(()) } else { Err(told) }
    });
    let told = world.cluster.wharf(&["ami", "status"]).good();
    assert!(told.starts_with("frozen since ") && told.contains("the summer sale"), "{told}");
    assert_eq!(generations(&world, "web"), [(web.image.clone(), 1, "current".to_owned())]);
    let past =
        world.cluster.wharf(&["refresh", "freeze", "too late", "--until", "2020-01-01T00:00:00Z"]);
    assert!(past.code == 1 && past.err.contains("is over already"), "{} {}", past.code, past.err);
    let events = world.events();
    assert!(events.contains("all pools stay as they are until"), "{events}");
    // Whoever takes over knows it too.
    world.cluster.kill_coordinator();
    world.cluster.start_coordinator();
    let told = world.cluster.wharf(&["ami", "status"]).good();
    assert!(told.starts_with("frozen since "), "{told}");
    let _thawed = world.cluster.wharf(&["refresh", "unfreeze"]).good();
    let canary = world.cluster.wharf(&["refresh", "status", "canary"]);
    assert_eq!(canary.code, 0, "{}{}", canary.out, canary.err);
    let done = world.cluster.wharf(&["refresh", "status", "web"]);
    assert_eq!(done.code, 0, "{}{}", done.out, done.err);
    assert_eq!(generations(&world, "web"), [(ami, 1, "current".to_owned())]);
    let events = world.events();
    let at =
        |what: &str| events.find(what).unwrap_or_else(|| panic!("{what} is missing: {events}"));
    let order = [
        at("are refreshed again"),
        at("canary refresh 1 is over: every machine is new"),
        at("web refresh 1 watches"),
    ];
    assert!(order.is_sorted(), "{order:?}: {events}");
}

#[test]
fn machines_stay_and_boot_from_another_root_volume_and_back() {
    let world = World::with_pool(2);
    world.deploy(2);
    let before = world.are_ready(2);
    world.serve_elsewhere(2, &BTreeSet::new());
    let ami = world.other_image(before.first().unwrap());
    let first = world.region.members("web").remove(0).image;
    let how = ["web", "--ami", &ami, "--mode", "in-place", "--hold", "1s"];
    let planned = world.cluster.wharf(&[&["refresh", "plan"], &how[..], &["-o", "json"]].concat());
    assert_eq!(planned.code, 2, "{}{}", planned.out, planned.err);
    let plan: Value = serde_json::from_str(&planned.out).unwrap();
    assert_eq!((&plan["peak"], &plan["size"]), (&json!(2), &json!(2)), "{plan:#}");
    let told = world.cluster.wharf(&[&["refresh", "start", "-y"], &how[..]].concat());
    assert_eq!(told.code, 0, "{}{}{}", told.out, told.err, world.events());
    // The same instances, of another image, and what is known of each comes from an agent that has joined anew.
    assert_eq!(world.are_ready(2), before);
    assert_eq!(images(&world), BTreeSet::from([ami.clone()]));
    let shown = generations(&world, "web");
    assert_eq!(shown, [(ami.clone(), 2, "current".to_owned())]);
    let calls = world.region.calls();
    assert_eq!(calls.get("autoscaling.TerminateInstanceInAutoScalingGroup"), None, "{calls:?}");
    let events = world.events();
    assert_eq!(events.matches(&format!("has booted from {ami}")).count(), 2, "{events}");
    world.serve_elsewhere(2, &BTreeSet::new());
    let restored = group(&world);
    assert_eq!((&restored["desired"], &restored["suspended"]), (&json!(2), &json!([])));
    let back = world.cluster.wharf(&["refresh", "rollback", "web"]);
    assert_eq!(back.code, 0, "{}{}{}", back.out, back.err, world.events());
    assert_eq!(world.are_ready(2), before);
    assert_eq!(images(&world), BTreeSet::from([first]));
    let restored = group(&world);
    assert_eq!((&restored["desired"], &restored["suspended"]), (&json!(2), &json!([])));
}

#[test]
fn an_instance_refresh_that_is_not_ours_is_respected_or_taken_over() {
    let world = World::with_pool(2);
    world.deploy(2);
    let before = world.are_ready(2);
    let ami = world.other_image(before.first().unwrap());
    let of_group = [("AutoScalingGroupName", "web")];
    world.region.call(Service::AutoScaling, "StartInstanceRefresh", &of_group).unwrap();
    let start = ["refresh", "start", "web", "--ami", &ami, "--hold", "1s", "-y"];
    let refused = world.cluster.wharf(&start);
    assert_eq!(refused.code, 1, "{}{}", refused.out, refused.err);
    let says = ["instance refresh ", "InProgress", "% done", "not ours", "--take-over"];
    assert!(says.iter().all(|one| refused.err.contains(one)), "{}", refused.err);
    let told = world.cluster.wharf(&[&start[..], &["--take-over"]].concat());
    assert_eq!(told.code, 0, "{}{}{}", told.out, told.err, world.events());
    assert!(told.out.contains("waits for the end of instance refresh "), "{}", told.out);
    world.are_ready(2);
    assert_eq!(images(&world), BTreeSet::from([ami]));
    let shown = world.region.call(Service::AutoScaling, "DescribeInstanceRefreshes", &of_group);
    assert_eq!(values(&shown.unwrap(), "Status"), ["Cancelled"]);
    let calls = world.region.calls();
    assert_eq!(calls["autoscaling.CancelInstanceRefresh"], 1, "{calls:?}");
    let restored = group(&world);
    assert_eq!((&restored["desired"], &restored["suspended"]), (&json!(2), &json!([])));
}

#[test]
fn services_and_machines_go_back_to_what_ran_at_a_time() {
    let world = World::with_pool(2);
    world.deploy(2);
    let before = world.are_ready(2);
    world.serve_elsewhere(2, &BTreeSet::new());
    let first = images(&world);
    let releases = || world.cluster.wharf(&["release", "ls", "-o", "json"]).json();
    let since = releases()[0]["at"].as_str().unwrap().to_owned();
    let ami = world.other_image(before.first().unwrap());
    let start = ["refresh", "start", "web", "--ami", &ami, "--at-once", "--hold", "0s", "-y"];
    let _refreshed = world.cluster.wharf(&start).good();
    let environment =
        "{replicas: 2, update_config: {monitor: 1s}}\n    environment: {NEW: \"yes\"}";
    let _deployed = world.cluster.deploy_sleeper(environment).good();
    let (second, told) = (world.are_ready(2), releases());
    assert_eq!(told.as_array().unwrap().len(), 3, "{told:#}");
    let planned = world.cluster.wharf(&["rollback", "--at", &since, "--plan", "-o", "json"]);
    assert_eq!(planned.code, 2, "{}{}", planned.out, planned.err);
    let planned: Value = serde_json::from_str(&planned.out).unwrap();
    let [service, pool] = planned.as_array().unwrap().as_slice() else { panic!("{planned:#}") };
    assert_eq!(
        (&service["then"]["generation"], &service["now"]["generation"]),
        (&json!(1), &json!(2))
    );
    assert_eq!((&pool["pool"], &pool["state"]), (&json!("web"), &json!("differs")));
    let placed = world.placements();
    let back = world.cluster.wharf(&["--why", "incident 12", "rollback", "--at", &since, "-y"]);
    assert_eq!(back.code, 0, "{}{}{}", back.out, back.err, world.events());
    assert_eq!(world.have_left(&second, 2).len(), 2);
    assert_eq!(images(&world), first);
    world.serve_elsewhere(2, &second);
    assert!(world.placements() - placed <= 4, "{}", world.events());
    let audit = world.cluster.wharf(&["audit", "--what", "go-back", "-o", "json"]).json();
    let acts = audit.as_array().unwrap();
    assert_eq!(acts.len(), 1, "one entry for all of it: {audit:#}");
    assert_eq!(acts[0]["why"], "incident 12", "{audit:#}");
    let again = world.cluster.wharf(&["rollback", "--at", &since, "-y"]).good();
    assert!(again.contains("runs now"), "{again}");
}
