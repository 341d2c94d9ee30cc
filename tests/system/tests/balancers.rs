//! Services behind load balancers, in a region in a box: real requests go through a port in front of a target group, whose targets
//! are checked, and none of them fails whatever is done with the tasks.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that can not set up its world has failed, and says what it measured"
)]

use std::collections::BTreeSet;
use std::time::Instant;

use serde_json::Value;
use system_tests::docker::IMAGE;
use system_tests::fleet::World;
use system_tests::region::Load;
use system_tests::site::{Site, target_of, unharmed};
use system_tests::{SOON, until};

#[test]
fn no_request_fails_while_tasks_are_exchanged_machines_leave_and_the_coordinator_dies() {
    let mut site = Site::open(World::with_pool(3), 3);
    let (load, began) = (Load::begin(site.port), Instant::now());
    let before: BTreeSet<String> = site.world.region.targets(&site.arn).into_iter().collect();
    let _restarted = site.world.cluster.wharf(&["restart", "site/web"]).good();
    site.serves(3);
    let after: BTreeSet<String> = site.world.region.targets(&site.arn).into_iter().collect();
    assert!(before.is_disjoint(&after), "{before:?} {after:?}");
    let members = site.world.are_ready(3);
    site.world.region.set_desired("web", 2);
    let gone = site.world.have_left(&members, 1);
    site.serves(3);
    site.world.serve_elsewhere(3, &gone);
    // In the midst of another exchange.
    let _told = site.world.cluster.wharf(&["restart", "site/web", "--detach"]).good();
    until("a task leaves its target group", SOON, || {
        let events = site.world.events();
        let leaves = events.matches("it leaves its target groups first").count();
        if leaves >= 5 { Ok(()) } else { Err(events) }
    });
    site.world.cluster.kill_coordinator();
    site.world.cluster.start_coordinator();
    until("the rollout is over", SOON * 2, || {
        let shown = site.world.cluster.wharf(&["service", "ls", "-o", "json"]).json();
        let is_steady = shown[0]["phase"] == "steady";
        if is_steady { Ok(()) } else { Err(format!("{shown:#}")) }
    });
    site.serves(3);
    unharmed(load, "a rollout, a scale-in and a takeover", began);
    let _scaled = site.world.cluster.wharf(&["scale", "site/web=1"]).good();
    site.serves(1);
    let _removed = site.world.cluster.wharf(&["rm", "-y", "--project", "site"]).good();
    site.serves(0);
}

#[test]
fn a_pool_is_refreshed_under_load_and_each_task_moves_once() {
    let site = Site::open(World::with_pool(3), 3);
    let before = site.world.are_ready(3);
    let ami = site.world.other_image(before.first().unwrap());
    let placed = site.world.placements();
    let (load, began) = (Load::begin(site.port), Instant::now());
    let start = ["refresh", "start", "web", "--ami", &ami, "--hold", "1s", "-y"];
    let told = site.world.cluster.wharf(&start);
    assert_eq!(told.code, 0, "{}{}{}", told.out, told.err, site.world.events());
    let after = site.world.are_ready(3);
    assert!(after.is_disjoint(&before), "{after:?} {before:?}");
    site.serves(3);
    unharmed(load, "3 machines refreshed", began);
    assert_eq!(site.world.placements() - placed, 3, "{}", site.world.events());
}

#[test]
fn what_its_target_group_finds_sick_is_rolled_back_and_what_there_is_not_is_refused() {
    let site = Site::open(World::with_pool(3), 3);
    let (load, began) = (Load::begin(site.port), Instant::now());
    let told = site.deploy(2, "/nowhere", ", progress_deadline: 10s");
    assert_eq!(told.code, 3, "{}{}{}", told.out, told.err, site.world.events());
    site.serves(3);
    unharmed(load, "a rollout that fails its target group's checks", began);
    let missing = site.world.cluster.deploy(&format!(
        "name: site\nservices:\n  web:\n    image: {IMAGE}\n    ports: [\"8080\"]\n    \
         x-wharf: {{target_groups: [{{group: nosuch, port: 8080}}]}}\n"
    ));
    assert_eq!(missing.code, 1, "{}{}", missing.out, missing.err);
    assert!(missing.err.contains("the target group nosuch can not be used"), "{}", missing.err);
    assert!(missing.err.contains("hint: "), "{}", missing.err);
}

#[test]
fn a_generation_is_switched_to_as_a_whole_and_what_was_before_it_is_kept() {
    let site = Site::open(World::with_pool(3), 3);
    let targets =
        || -> BTreeSet<String> { site.world.region.targets(&site.arn).into_iter().collect() };
    let (load, began, blue) = (Load::begin(site.port), Instant::now(), targets());
    let both =
        |version, terms: &str| site.deploy(version, "/www", &format!(", blue_green: {{{terms}}}"));
    // It waits for somebody to promote it: all are up, and nobody asks the new ones.
    assert_eq!(both(2, "promote: manual, keep: 10m").code, 0, "{}", site.world.events());
    assert_eq!(site.world.cluster.live().len(), 6, "{:#?}", site.world.cluster.live());
    assert_eq!(targets(), blue);
    let shown = site.world.cluster.wharf(&["ps", "site/web"]).good();
    let dark = shown.matches("gets no requests before its service is switched to it").count();
    assert_eq!(dark, 3, "{shown}");
    let _promoted = site.world.cluster.wharf(&["rollout", "promote", "site/web"]).good();
    let switched = || {
        until("the new tasks have all requests", SOON, || {
            let now = targets();
            let is_switched = now.len() == 3 && now.is_disjoint(&blue);
            let is_healthy = now.iter().all(|target| target.ends_with(" healthy"));
            if is_switched && is_healthy { Ok(()) } else { Err(format!("{now:?}")) }
        });
    };
    switched();
    assert_eq!(site.world.cluster.live().len(), 6, "{:#?}", site.world.cluster.live());
    unharmed(load, "a switch", began);
    // The first one that ends, and takes the requests along that it has, takes everything back to what was kept.
    let live = site.world.cluster.live();
    let is_green = |task: &&Value| target_of(task).is_some_and(|target| !blue.contains(&target));
    let green = live.iter().find(is_green).and_then(|task| task["id"].as_str()).unwrap();
    let told = site.world.cluster.wharf(&["exec", green, "sh", "-c", "kill 1"]);
    assert!(told.err.is_empty(), "{}", told.err);
    let is_back = || {
        until("the old tasks have all requests", SOON * 2, || {
            let is_back = targets() == blue && site.world.cluster.live().len() == 3;
            if is_back { Ok(()) } else { Err(format!("{:?} {}", targets(), site.world.events())) }
        });
    };
    is_back();
    // So does an operator, and that costs nobody anything.
    let (load, began) = (Load::begin(site.port), Instant::now());
    assert_eq!(both(3, "keep: 10m").code, 0, "{}", site.world.events());
    switched();
    let _aborted = site.world.cluster.wharf(&["rollout", "abort", "site/web"]);
    is_back();
    unharmed(load, "a switch and the way back", began);
    // What is run once is behind no load balancer, and there is nothing to switch to.
    let once = site.world.cluster.wharf(&["run", "site/web", "echo", "once"]);
    assert_eq!((once.code, once.out.trim()), (0, "once"), "{}", once.err);
    assert_eq!(targets(), blue);
    // By itself, and to the end.
    let (load, began) = (Load::begin(site.port), Instant::now());
    let told = both(4, "keep: 2s");
    assert_eq!(told.code, 0, "{}{}{}", told.out, told.err, site.world.events());
    site.serves(3);
    switched();
    unharmed(load, "a switch for good", began);
}
