//! How many machines a pool is asked to have, and which of them can be done without.

#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

extern crate coordinator_core;

#[allow(dead_code, reason = "each test file needs a part of it")]
mod story;
#[allow(dead_code, reason = "each test file needs a part of it")]
#[path = "jobs/told.rs"]
mod told;

use std::collections::BTreeSet;
use std::time::Duration;

use coordinator_core::command::{self, Command};
use coordinator_core::event::{Event, FleetEvent, PoolRefusal, Refusal, Reply};
use coordinator_core::{step, view};
use model::fleet::{Group, Headroom, Instance, Lifecycle, PoolPolicy, Power, Survey};
use model::job::{Completions, Job};
use model::node::{DrainCause, Node};
use model::resources::Resources;
use model::spec::Mode;
use model::task::TaskState;

use story::{Story, id, node, specs};

const CORES: u64 = 8;

fn group(pool: &str, desired: u32) -> Group {
    let (name, hooks) = (pool.to_owned(), command::hooks().to_vec());
    Group { name, max: 20, desired, hooks, ..Group::default() }
}

fn machine(pool: &str, name: &str, zone: &str) -> Instance {
    Instance {
        id: id(name),
        pool: Some(pool.to_owned()),
        lifecycle: Lifecycle::InService,
        power: Power::Running,
        zone: zone.to_owned(),
        instance_type: None,
        ami: None,
        template_id: None,
        template_version: None,
        is_spot: false,
        is_protected: false,
    }
}

fn survey(groups: Vec<Group>, instances: Vec<Instance>) -> Event {
    Event::Fleet(FleetEvent::Surveyed(Box::new(Survey { groups, instances, ..Survey::default() })))
}

fn put(pool: &str, policy: PoolPolicy) -> Event {
    Event::Fleet(FleetEvent::PutPool { name: pool.to_owned(), policy })
}

fn both() -> PoolPolicy {
    let shrink_after = Duration::from_secs(60);
    PoolPolicy { grows: true, shrinks: true, shrink_after, ..PoolPolicy::default() }
}

/// Nodes of eight cores, each of a pool.
fn fleet(pools: &[(&str, &[&str])], policy: PoolPolicy) -> Story {
    let mut story = Story::new(&[]);
    for (pool, names) in pools {
        story.hear(&[put(pool, policy)]);
        for name in *names {
            let capacity = Resources { cpu_millis: CORES * 1_000, ..node(name, "z").capacity };
            story.hear(&[Event::Joined(Box::new(Node { capacity, ..node(name, "z") }))]);
            story.report_all(name, true);
        }
    }
    story.hear(&[shown(pools)]);
    story
}

fn shown(pools: &[(&str, &[&str])]) -> Event {
    let groups = pools.iter().map(|(pool, names)| group(pool, names.len().try_into().unwrap()));
    let instances =
        pools.iter().flat_map(|(pool, names)| names.iter().map(|name| machine(pool, name, "z")));
    survey(groups.collect(), instances.collect())
}

fn deploy(story: &mut Story, name: &str, (replicas, cores): (u32, u64)) {
    let mut spec = specs::spec_of(&name.parse().unwrap(), 1, 1);
    spec.mode = Mode::Replicated { replicas };
    spec.task.containers[0].reservation.cpu_millis = cores * 1_000;
    story.hear(&[Event::Deploy { specs: vec![spec], remove: Vec::new(), expect: Vec::new() }]);
}

fn asked(story: &Story, pool: &str) -> Option<u32> {
    let wanted = |command| match command {
        Command::SetDesired { pool: of, to, .. } if of == pool => Some(to),
        _ => None,
    };
    command::commands(&story.cluster, story.now).into_iter().find_map(wanted)
}

fn ended(story: &Story) -> Vec<String> {
    let ended = |command| match command {
        Command::Terminate { instance, .. } => Some(instance.to_string()),
        _ => None,
    };
    command::commands(&story.cluster, story.now).into_iter().filter_map(ended).collect()
}

fn leaving(story: &Story) -> Vec<String> {
    let nodes = story.cluster.nodes().values();
    let nodes =
        nodes.filter(|node| node.drain.is_some_and(|drain| drain.cause == DrainCause::ScaleIn));
    nodes.map(|node| node.id.to_string()).collect()
}

fn why(story: &Story, name: &str) -> String {
    let node = &story.cluster.nodes()[&id(name)];
    view::why_here(&story.cluster, node, story.now).join("; ")
}

/// The fewest machines that hold tasks of these sizes, found by trying everything.
fn fewest(sizes: &[u64], machines: &mut Vec<u64>) -> usize {
    let Some((first, rest)) = sizes.split_first() else { return machines.len() };
    let mut best = usize::MAX;
    for at in 0..machines.len() {
        if machines[at] + first <= CORES {
            machines[at] += first;
            best = best.min(fewest(rest, machines));
            machines[at] -= first;
        }
    }
    machines.push(*first);
    best = best.min(fewest(rest, machines));
    machines.pop();
    best
}

#[test]
fn no_more_machines_are_asked_for_than_putting_the_largest_first_needs() {
    // A linear congruence is chance enough, and the same each time.
    let mut seed = 1_u64;
    let mut draw = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let mut exact = 0;
    for _ in 0..200 {
        let sizes: Vec<u64> = (0..=draw(6)).map(|_| 1 + draw(CORES)).collect();
        let mut story = fleet(&[("web", &["a"])], both());
        deploy(&mut story, "ops/full", (1, CORES));
        for (at, size) in sizes.iter().enumerate() {
            deploy(&mut story, &format!("shop/t{at}"), (1, *size));
        }
        story.pass(10, &["a"]);
        let best = fewest(&sizes, &mut Vec::new());
        let new = asked(&story, "web").unwrap() as usize - 1;
        assert!(new >= best, "{sizes:?} do not fit on {new} machines");
        // The bound of Dosa, 2007.
        assert!(9 * new <= 11 * best + 6, "{new} machines for {sizes:?}, and {best} would do");
        exact += usize::from(new == best);
    }
    assert!(exact >= 195, "only {exact} of 200 were the fewest");
}

#[test]
fn a_machine_that_has_joined_and_takes_nothing_yet_is_not_asked_for_again() {
    let mut story = fleet(&[("web", &["a"])], both());
    let mut spec = specs::spec_of(&"ops/log".parse().unwrap(), 1, 1);
    spec.mode = Mode::Global;
    story.hear(&[Event::Deploy { specs: vec![spec], remove: Vec::new(), expect: Vec::new() }]);
    story.start_all();
    deploy(&mut story, "shop/full", (1, 7));
    deploy(&mut story, "shop/more", (1, 4));
    story.pass(10, &["a"]);
    assert_eq!(asked(&story, "web"), Some(2));
    let capacity = Resources { cpu_millis: CORES * 1_000, ..node("b", "z").capacity };
    story.hear(&[shown(&[("web", &["a", "b"])])]);
    assert_eq!(asked(&story, "web"), None, "it is on its way");
    story.hear(&[Event::Joined(Box::new(Node { capacity, ..node("b", "z") }))]);
    story.hear(&[Event::Reported { node: id("b"), tasks: Vec::new(), is_complete: true }]);
    story.hear(&[shown(&[("web", &["a", "b"])])]);
    story.pass(20, &["a", "b"]);
    assert!(story.cluster.nodes()[&id("b")].preparing_until.is_some());
    assert_eq!(asked(&story, "web"), None, "it takes it as soon as what runs everywhere serves");
}

#[test]
fn a_group_that_can_launch_nothing_is_passed_over_and_said_to_be() {
    let mut story = fleet(&[("one", &["a"]), ("two", &["b"])], both());
    deploy(&mut story, "shop/app", (3, CORES));
    story.pass(10, &["a", "b"]);
    assert_eq!((asked(&story, "one"), asked(&story, "two")), (Some(2), None));
    let why = "We do not have sufficient capacity.".to_owned();
    let stuck = Group { failure: Some(why), ..group("one", 2) };
    let machines = vec![machine("one", "a", "z"), machine("two", "b", "z")];
    story.hear(&[survey(vec![stuck, group("two", 1)], machines)]);
    story.pass(10, &["a", "b"]);
    assert_eq!((asked(&story, "one"), asked(&story, "two")), (None, Some(2)));
    let outlook = view::outlook(&story.cluster, story.now);
    assert!(outlook[0].contains("We do not have sufficient capacity"), "{outlook:?}");
    assert!(outlook[1].contains("pool two was asked for 2 machines instead of 1"), "{outlook:?}");
}

#[test]
fn a_pool_is_asked_for_no_more_than_it_may_have_and_no_fewer_than_it_should() {
    let mut story = fleet(&[("web", &["a"])], PoolPolicy { most: Some(3), ..both() });
    deploy(&mut story, "shop/app", (9, CORES));
    story.pass(10, &["a"]);
    assert_eq!(asked(&story, "web"), Some(3));
    let mut story = fleet(&[("web", &["a"])], PoolPolicy { least: 4, ..both() });
    story.pass(10, &["a"]);
    assert_eq!(asked(&story, "web"), Some(4));
    story.hear(&[put("web", PoolPolicy::default())]);
    assert_eq!(asked(&story, "web"), None, "its size is left to others");
}

#[test]
fn a_machine_goes_only_when_it_was_spare_for_long_enough_and_nobody_needs_it() {
    let names = ["a", "b"];
    let mut story = fleet(&[("web", &names)], both());
    deploy(&mut story, "shop/app", (2, 2));
    story.start_all();
    story.pass(50, &names);
    assert_eq!(leaving(&story), Vec::<String>::new());
    assert!(why(&story, "a").contains("nothing needs it"), "{}", why(&story, "a"));
    story.pass(30, &names);
    assert_eq!(leaving(&story), ["a"]);
    assert_eq!(ended(&story), Vec::<String>::new(), "a task is there");
    for _ in 0..6 {
        story.start_all();
        story.pass(10, &names);
        story.stop_all();
    }
    assert_eq!(ended(&story), ["a"]);
    assert!(why(&story, "a").contains("its group is asked to end it"), "{}", why(&story, "a"));
    let open =
        Event::SetAvailability { node: id("a"), availability: model::node::Availability::Active };
    let refused = step(&mut story.cluster, &[open], story.now).replies;
    assert!(
        matches!(refused.as_slice(), [Reply::Refused(Refusal::Pool(PoolRefusal::Leaving(_)))]),
        "{refused:?}"
    );
}

#[test]
fn what_keeps_a_machine_is_said() {
    let names = ["a", "b"];
    let kept = |policy, change: &dyn Fn(&mut Story)| {
        let mut story = fleet(&[("web", &names)], policy);
        change(&mut story);
        story.pass(200, &names);
        assert_eq!(leaving(&story), Vec::<String>::new());
        why(&story, "a")
    };
    let least = kept(PoolPolicy { least: 2, ..both() }, &|_| {});
    assert!(least.contains("web has 2 machines, and 2 is the least"), "{least}");
    let each = Resources { cpu_millis: 5_000, ..Resources::default() };
    let headroom = Headroom { count: 2, each };
    let room = kept(PoolPolicy { headroom, ..both() }, &|_| {});
    assert!(room.contains("room for 2 tasks of 5 CPUs is to stay free, and 1 would fit"), "{room}");
    let full = kept(both(), &|story| {
        deploy(story, "shop/app", (2, 5));
        story.start_all();
    });
    assert!(full.contains("would find no other place for 5 CPUs"), "{full}");
    let protected = kept(both(), &|story| {
        let machines =
            names.map(|name| Instance { is_protected: true, ..machine("web", name, "z") });
        story.hear(&[survey(vec![group("web", 2)], machines.to_vec())]);
    });
    assert!(protected.contains("protected"), "{protected}");
    let off = kept(PoolPolicy { shrinks: false, ..both() }, &|_| {});
    assert!(off.contains("is not made smaller"), "{off}");
}

#[test]
fn a_plan_takes_one_machine_after_the_other_as_far_as_they_can_be_done_without() {
    let names = ["a", "b", "c", "d"];
    let mut story = fleet(&[("web", &names)], both());
    deploy(&mut story, "shop/app", (4, 3));
    story.start_all();
    story.pass(20, &names);
    let pool = story.cluster.pools()["web"].clone();
    let (machines, freed) = view::consolidation(&story.cluster, &pool, story.now);
    let going = machines.iter().filter(|one| one.stays.is_none()).count();
    assert_eq!((going, freed.cpu_millis), (2, 2 * CORES * 1_000), "{machines:#?}");
    assert_eq!(machines.len(), 4, "the others are told of too");
}

#[test]
fn sizes_that_make_no_sense_are_refused() {
    let mut story = Story::new(&[]);
    let shortly = PoolPolicy { shrink_after: Duration::from_secs(1), ..both() };
    let backwards = PoolPolicy { least: 5, most: Some(4), ..both() };
    for policy in [shortly, backwards] {
        let refused = step(&mut story.cluster, &[put("web", policy)], story.now).replies;
        assert!(
            matches!(refused.as_slice(), [Reply::Refused(Refusal::Pool(PoolRefusal::Policy(_)))]),
            "{refused:?}"
        );
    }
}

#[test]
fn jobs_that_come_by_do_not_make_a_machine_needed() {
    let names = ["a", "b"];
    let mut story = fleet(&[("web", &names)], both());
    deploy(&mut story, "shop/app", (2, 2));
    story.start_all();
    let mut visited = BTreeSet::new();
    // Every 20 s one comes for 10 s, and a machine has to be spare for 60 s.
    for image in 0..4 {
        let once = Job { completions: Completions::Count(1), ..told::TERMS };
        told::deploy(&mut story, &told::spec(image, once));
        let task = told::live(&story).remove(0);
        visited.extend(task.node.as_ref().map(ToString::to_string));
        story.start_all();
        story.pass(10, &names);
        told::report(&mut story, &task, TaskState::Completed);
        assert!(image > 1 || leaving(&story).is_empty(), "too early: {:?}", leaving(&story));
        story.pass(10, &names);
    }
    let leaving = leaving(&story);
    assert!(leaving.len() == 1 && visited.contains(&leaving[0]), "{leaving:?} of {visited:?}");
}
