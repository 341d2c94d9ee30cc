//! Nodes are emptied, and what their services are left with meanwhile.

#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

extern crate coordinator_core;

#[allow(dead_code, reason = "each test file needs a part of it")]
mod story;

use std::sync::Arc;
use std::time::Duration;

use coordinator_core::cluster::Cluster;
use coordinator_core::event::{Event, Refusal, Reply, Report};
use coordinator_core::view::{self, NodeState, Wait};
use coordinator_core::{foresee, step};
use model::budget::{Amount, Budget};
use model::node::{Availability, DRAIN_LIMIT, DrainCause, DrainPhase};
use model::spec::{Mode, ServiceSpec, UpdateOrder};
use model::task::{DesiredState, Health, StopCause, Task, TaskState};

use story::{Story, id, specs};

const TWO: [(&str, &str); 2] = [("a", "z"), ("b", "z")];
const ALL: [&str; 3] = ["a", "b", "c"];

fn drain_within(node: &str, seconds: u64) -> Event {
    let within = Duration::from_secs(seconds);
    Event::Drain { nodes: vec![id(node)], within, cause: DrainCause::Operator }
}

fn drain(node: &str) -> Event {
    drain_within(node, 900)
}

fn open(node: &str) -> Event {
    Event::SetAvailability { node: id(node), availability: Availability::Active }
}

/// Deploys a spec that is changed first, and has its tasks run and settle.
fn deploy(story: &mut Story, name: &str, replicas: u32, change: impl FnOnce(&mut ServiceSpec)) {
    let mut spec = specs::spec_of(&name.parse().unwrap(), 0, replicas);
    spec.budget = Budget::Usual;
    change(&mut spec);
    story.hear(&[Event::Deploy { specs: vec![spec], remove: Vec::new(), expect: Vec::new() }]);
    for _ in 0..replicas + 2 {
        story.start_all();
        story.pass(10, &ALL);
    }
}

/// What was told to stop has stopped.
fn report(story: &mut Story, task: &Task, state: TaskState) {
    let (note, containers) = (String::new(), Vec::new());
    let task_id = task.id.clone();
    let said = Report { task: task_id, state, restarts: 0, note, containers, lease: None };
    let node = task.node.clone().unwrap();
    story.hear(&[Event::Reported { node, tasks: vec![said], is_complete: false }]);
}

/// So many turns in which everything succeeds; the least number of tasks that served after any step is given.
fn live(story: &mut Story, turns: usize) -> usize {
    let mut least = serving(&story.cluster);
    for _ in 0..turns {
        story.start_all();
        least = least.min(serving(&story.cluster));
        story.pass(10, &ALL);
        least = least.min(serving(&story.cluster));
        story.stop_all();
        least = least.min(serving(&story.cluster));
    }
    least
}

fn serving(cluster: &Cluster) -> usize {
    let serves = |task: &&Arc<Task>| task.is_wanted() && task.serving_since().is_some();
    cluster.tasks().values().filter(serves).count()
}

fn on<'a>(story: &'a Story, node: &str) -> Vec<&'a Arc<Task>> {
    let tasks = story.cluster.tasks().values();
    tasks.filter(|task| task.node == Some(id(node)) && !task.state.is_final()).collect()
}

fn state(story: &Story, node: &str) -> NodeState {
    view::node_state(&story.cluster, &story.cluster.nodes()[&id(node)], story.now)
}

fn phase(story: &Story, node: &str) -> DrainPhase {
    story.cluster.nodes()[&id(node)].drain.unwrap().phase
}

fn waits(story: &Story, node: &str) -> Vec<Wait> {
    let left = view::leaving(&story.cluster, &id(node), story.now);
    left.into_iter().map(|(_, wait)| wait).collect()
}

/// Runs on this node and no other.
fn pin(spec: &mut ServiceSpec, node: &str) {
    spec.task.constraints.push(format!("node.id == {node}").parse().unwrap());
}

fn refusal(story: &mut Story, event: &Event) -> Reply {
    step(&mut story.cluster, std::slice::from_ref(event), story.now).replies.remove(0)
}

#[test]
fn what_can_run_twice_is_replaced_before_it_stops() {
    let mut story = Story::new(&TWO);
    deploy(&mut story, "mail/front", 4, |_| {});
    assert_eq!(story.wanted_on("a"), 2);
    story.hear(&[drain("a")]);
    assert_eq!(state(&story, "a"), NodeState::Draining);
    assert_eq!((story.wanted_on("a"), story.wanted_on("b")), (2, 4));
    story.start_all();
    assert_eq!(story.wanted_on("a"), 2, "the new ones have not settled");
    assert_eq!(live(&mut story, 3), 4);
    assert_eq!((on(&story, "a").len(), story.wanted_on("b")), (0, 4));
    assert_eq!(state(&story, "a"), NodeState::Drained);
    assert_eq!(story.cluster.nodes()[&id("a")].availability, Availability::Cordoned);
}

#[test]
fn what_can_not_run_twice_leaves_as_its_service_can_spare_it() {
    let mut story = Story::new(&[("a", "z"), ("b", "z"), ("c", "z")]);
    let budget = Budget::MinAvailable(Amount::Count(2));
    deploy(&mut story, "shop/db", 2, |spec| spec.budget = budget);
    story.hear(&[drain("a")]);
    assert_eq!(live(&mut story, 4), 2, "both have to serve");
    assert!(matches!(waits(&story, "a")[..], [Wait::Budget(_)]));
    let left = view::leaving(&story.cluster, &id("a"), story.now);
    assert!(view::is_blocked(&left));
    // The operator has another thought: that is what the task has waited for.
    let mut spec = specs::spec_of(&"shop/db".parse().unwrap(), 0, 2);
    spec.budget = Budget::MinAvailable(Amount::Percent(50));
    story.hear(&[Event::Deploy { specs: vec![spec], remove: Vec::new(), expect: Vec::new() }]);
    assert_eq!(live(&mut story, 4), 1);
    assert_eq!(state(&story, "a"), NodeState::Drained);
    assert_eq!(story.wanted_on("c"), 1);
}

#[test]
fn a_drain_never_stops_the_last_that_serves_of_two() {
    let mut story = Story::new(&[("a", "z"), ("b", "z"), ("c", "z")]);
    deploy(&mut story, "shop/db", 2, |_| {});
    let other = (**on(&story, "b")[0]).clone();
    let since = story.now;
    report(&mut story, &other, TaskState::Running { since, health: Health::Unhealthy });
    story.hear(&[drain("a")]);
    assert_eq!(story.wanted_on("a"), 1);
    let since = story.now;
    report(&mut story, &other, TaskState::Running { since, health: Health::Healthy });
    assert_eq!(story.wanted_on("a"), 0, "now it can be spared");
    assert!(on(&story, "a")[0].desired == DesiredState::stop(StopCause::Drain));
}

#[test]
fn of_several_only_as_many_leave_at_once_as_can_be_spared() {
    let mut story = Story::new(&TWO);
    let many = |spec: &mut ServiceSpec| {
        spec.task.containers[0].ports.clear();
        spec.update.order = UpdateOrder::StopFirst;
        spec.budget = Budget::MaxUnavailable(Amount::Count(1));
    };
    deploy(&mut story, "shop/db", 6, many);
    let there = story.wanted_on("a");
    story.hear(&[drain("a")]);
    assert_eq!(story.wanted_on("a"), there - 1);
    assert_eq!(live(&mut story, 8), 5);
    assert_eq!(state(&story, "a"), NodeState::Drained);
}

#[test]
fn what_does_not_serve_costs_nothing() {
    let mut story = Story::new(&[("a", "z"), ("b", "z"), ("c", "z")]);
    let budget = Budget::MinAvailable(Amount::Count(2));
    deploy(&mut story, "shop/db", 2, |spec| spec.budget = budget);
    let sick = (**on(&story, "a")[0]).clone();
    let since = story.now;
    report(&mut story, &sick, TaskState::Running { since, health: Health::Unhealthy });
    story.hear(&[drain("a")]);
    assert_eq!(story.wanted_on("a"), 0);
}

#[test]
fn a_task_without_another_place_waits_and_says_so_until_the_deadline() {
    let mut story = Story::new(&TWO);
    deploy(&mut story, "mail/front", 1, |spec| pin(spec, "a"));
    story.hear(&[drain_within("a", 60)]);
    assert_eq!(live(&mut story, 5), 1);
    let [Wait::Place(why)] = &waits(&story, "a")[..] else { panic!("{:?}", waits(&story, "a")) };
    assert!(why.contains("1 closed to new tasks") && why.contains("node.id == a"), "{why}");
    assert_eq!(story.cluster.tasks().len(), 1, "nothing is made that could not be placed");
    story.pass(20, &ALL);
    assert!(matches!(phase(&story, "a"), DrainPhase::Forced { .. }));
    story.stop_all();
    assert_eq!(state(&story, "a"), NodeState::Drained);
}

#[test]
fn room_that_comes_free_is_used() {
    let mut story = Story::new(&[("a", "z")]);
    deploy(&mut story, "mail/front", 2, |_| {});
    story.hear(&[drain("a")]);
    live(&mut story, 2);
    assert_eq!(story.wanted_on("a"), 2, "the last node waits");
    assert!(matches!(waits(&story, "a")[..], [Wait::Place(_), Wait::Place(_)]));
    story.hear(&[Event::Joined(Box::new(story::node("b", "z")))]);
    live(&mut story, 3);
    assert_eq!(state(&story, "a"), NodeState::Drained);
}

#[test]
fn the_deadline_does_not_ask_what_can_be_spared() {
    let mut story = Story::new(&[("a", "z"), ("b", "z"), ("c", "z")]);
    let budget = Budget::MinAvailable(Amount::Count(2));
    deploy(&mut story, "shop/db", 2, |spec| spec.budget = budget);
    story.hear(&[drain_within("a", 0)]);
    assert_eq!(story.wanted_on("a"), 0);
    live(&mut story, 2);
    assert_eq!((state(&story, "a"), story.wanted_on("c")), (NodeState::Drained, 1));
}

#[test]
fn what_runs_on_every_node_leaves_last() {
    let mut story = Story::new(&TWO);
    deploy(&mut story, "ops/probe", 0, |_| {});
    deploy(&mut story, "mail/front", 2, |_| {});
    story.hear(&[drain("a")]);
    story.start_all();
    story.pass(10, &ALL);
    let probe = |story: &Story| {
        let tasks = on(story, "a");
        let probe = tasks.into_iter().find(|task| task.service.name.as_str() == "probe").cloned();
        probe.map(|probe| probe.desired)
    };
    assert_eq!(probe(&story), Some(DesiredState::Run), "the other has not ended yet");
    story.stop_all();
    assert_eq!(probe(&story), Some(DesiredState::stop(StopCause::Drain)));
    story.stop_all();
    assert_eq!(state(&story, "a"), NodeState::Drained);
    story.hear(&[open("a")]);
    assert_eq!(story.wanted_on("a"), 1, "it is back on the node that is open");
}

#[test]
fn a_node_that_is_closed_keeps_what_runs_on_every_node() {
    let mut story = Story::new(&TWO);
    deploy(&mut story, "ops/probe", 0, |_| {});
    let availability = Availability::Cordoned;
    story.hear(&[Event::SetAvailability { node: id("a"), availability }]);
    assert_eq!(story.wanted_on("a"), 1);
}

#[test]
fn what_runs_once_is_let_finish() {
    let mut story = Story::new(&TWO);
    deploy(&mut story, "mail/front", 1, |spec| spec.mode = Mode::Once);
    let node = on(&story, "a").first().map_or("b", |_| "a");
    story.hear(&[drain_within(node, 120)]);
    live(&mut story, 5);
    assert_eq!(waits(&story, node), [Wait::End]);
    let task = (**on(&story, node)[0]).clone();
    report(&mut story, &task, TaskState::Completed);
    assert_eq!(state(&story, node), NodeState::Drained);
}

#[test]
fn a_task_moves_once_though_nodes_are_emptied_one_after_the_other() {
    let mut story = Story::new(&[("a", "z"), ("b", "z"), ("c", "z")]);
    deploy(&mut story, "mail/front", 3, |_| {});
    story.hear(&[drain("a"), drain("b")]);
    live(&mut story, 4);
    assert_eq!((state(&story, "a"), state(&story, "b")), (NodeState::Drained, NodeState::Drained));
    let c = story.cluster.tasks().values().filter(|task| task.node == Some(id("c")));
    assert_eq!((c.count(), story.cluster.tasks().len()), (3, 5), "each of two moved once");
}

#[test]
fn to_open_a_node_calls_back_what_has_not_left() {
    let mut story = Story::new(&TWO);
    deploy(&mut story, "mail/front", 4, |_| {});
    let before: Vec<_> = on(&story, "a").into_iter().map(|task| task.id.clone()).collect();
    story.hear(&[drain("a")]);
    story.start_all();
    story.hear(&[open("a")]);
    assert_eq!((state(&story, "a"), story.wanted_on("b")), (NodeState::Ready, 2));
    let after: Vec<_> = on(&story, "a").into_iter().map(|task| task.id.clone()).collect();
    assert_eq!(before, after);
    live(&mut story, 2);
    assert_eq!((story.wanted_on("a"), story.wanted_on("b")), (2, 2));
}

#[test]
fn called_back_is_what_serves() {
    let mut story = Story::new(&TWO);
    deploy(&mut story, "mail/front", 2, |_| {});
    story.hear(&[drain("a")]);
    let sick = (**on(&story, "a")[0]).clone();
    let since = story.now;
    report(&mut story, &sick, TaskState::Running { since, health: Health::Unhealthy });
    story.start_all();
    story.hear(&[open("a")]);
    assert_eq!((story.wanted_on("a"), story.wanted_on("b")), (0, 2));
}

#[test]
fn of_two_deadlines_the_earlier_holds() {
    let mut story = Story::new(&[("a", "z")]);
    deploy(&mut story, "mail/front", 1, |_| {});
    story.hear(&[drain_within("a", 600)]);
    let deadline = |story: &Story| story.cluster.nodes()[&id("a")].drain.unwrap().deadline;
    let first = deadline(&story);
    story.pass(10, &ALL);
    story.hear(&[drain_within("a", 900)]);
    assert_eq!(deadline(&story), first);
    story.hear(&[drain_within("a", 60)]);
    assert_eq!(deadline(&story), story.now + Duration::from_secs(60));
}

#[test]
fn who_takes_over_goes_on_with_a_drain() {
    let mut story = Story::new(&TWO);
    deploy(&mut story, "mail/front", 4, |_| {});
    story.hear(&[drain("a")]);
    story.cluster = Cluster::load(&story.cluster.stored(), story.now);
    assert_eq!(live(&mut story, 4), 4);
    assert_eq!(state(&story, "a"), NodeState::Drained);
}

#[test]
fn a_node_that_dies_while_it_is_emptied_is_dead_and_nothing_else() {
    let mut story = Story::new(&TWO);
    deploy(&mut story, "mail/front", 4, |_| {});
    story.hear(&[drain("a")]);
    story.hear(&[Event::Died(id("a"))]);
    assert_eq!(story.cluster.nodes()[&id("a")].drain, None);
    live(&mut story, 3);
    assert_eq!((state(&story, "a"), story.wanted_on("b")), (NodeState::Dead, 4));
}

#[test]
fn a_silent_node_is_not_taken_for_empty() {
    let mut story = Story::new(&TWO);
    deploy(&mut story, "mail/front", 4, |_| {});
    story.hear(&[drain("a")]);
    story.pass(600, &["b"]);
    assert_eq!(state(&story, "a"), NodeState::Unreachable);
    assert!(waits(&story, "a").iter().all(|wait| *wait == Wait::Silence));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut story = Story::new(&TWO);
    story.hear(&[Event::Died(id("b"))]);
    let refused = |why| Reply::Refused(why);
    assert_eq!(refusal(&mut story, &drain("x")), refused(Refusal::NoNode(id("x"))));
    assert_eq!(refusal(&mut story, &drain("b")), refused(Refusal::DeadNode(id("b"))));
    let long = DRAIN_LIMIT.as_secs() + 1;
    let within = Duration::from_secs(long);
    assert_eq!(refusal(&mut story, &drain_within("a", long)), refused(Refusal::LongDrain(within)));
    story.hear(&[drain("a")]);
    assert_eq!(state(&story, "a"), NodeState::Drained, "an empty node is drained at once");
}

#[test]
fn a_rollout_that_stops_first_asks_what_can_be_spared() {
    let mut story = Story::new(&[("a", "z"), ("b", "z"), ("c", "z")]);
    let all = |spec: &mut ServiceSpec| {
        spec.update.parallelism = 3;
        spec.budget = Budget::MinAvailable(Amount::Count(2));
    };
    deploy(&mut story, "shop/db", 3, all);
    let mut spec = specs::spec_of(&"shop/db".parse().unwrap(), 1, 3);
    all(&mut spec);
    story.hear(&[Event::Deploy { specs: vec![spec], remove: Vec::new(), expect: Vec::new() }]);
    assert_eq!(serving(&story.cluster), 2, "parallelism allows three and the budget one");
    let service = story.cluster.services()[&"shop/db".parse().unwrap()].clone();
    let short = view::withheld(&story.cluster, &service, story.now);
    assert_eq!(short, Some(view::Short { serving: 2, least: 2 }));
    assert_eq!(live(&mut story, 8), 2);
    let service = &story.cluster.services()[&"shop/db".parse().unwrap()];
    assert_eq!(service.phase, model::service::ServicePhase::Steady);
}

#[test]
fn rollout_and_drain_do_not_take_at_the_same_time_what_only_one_may() {
    let mut story = Story::new(&[("a", "z"), ("b", "z"), ("c", "z"), ("d", "z")]);
    let most = |spec: &mut ServiceSpec| spec.budget = Budget::MaxUnavailable(Amount::Count(1));
    deploy(&mut story, "shop/db", 3, most);
    let mut spec = specs::spec_of(&"shop/db".parse().unwrap(), 1, 3);
    most(&mut spec);
    story.hear(&[
        Event::Deploy { specs: vec![spec], remove: Vec::new(), expect: Vec::new() },
        drain("a"),
    ]);
    assert_eq!(serving(&story.cluster), 2);
    let mut least = 3;
    for _ in 0..10 {
        story.start_all();
        story.pass(10, &["a", "b", "c", "d"]);
        least = least.min(serving(&story.cluster));
        story.stop_all();
    }
    assert_eq!((least, state(&story, "a")), (2, NodeState::Drained));
}

#[test]
fn what_would_happen_is_what_happens() {
    let mut story = Story::new(&[("a", "z"), ("b", "z"), ("c", "z")]);
    deploy(&mut story, "mail/front", 5, |_| {});
    deploy(&mut story, "shop/db", 2, |_| {});
    deploy(&mut story, "ops/probe", 0, |_| {});
    deploy(&mut story, "mail/pinned", 1, |spec| {
        spec.mode = Mode::Replicated { replicas: 1 };
        pin(spec, "a");
    });
    let within = Duration::from_secs(900);
    let before = story.cluster.stored();
    let plan = foresee::drain(&story.cluster, &[id("a")], within, story.now).unwrap();
    assert_eq!(story.cluster.stored(), before, "nothing is changed");
    let forced: Vec<_> = plan.iter().filter(|leave| leave.forced.is_some()).collect();
    assert_eq!(forced.len(), 1, "{plan:?}");
    assert!(matches!(forced[0].forced, Some(Wait::Place(_))));
    assert_eq!(plan.len(), on(&story, "a").len());
    story.hear(&[drain("a")]);
    live(&mut story, 95);
    assert_eq!(state(&story, "a"), NodeState::Drained);
    for leave in plan.iter().filter(|leave| leave.to.is_some()) {
        let there = on(&story, leave.to.as_ref().unwrap().as_str());
        let gone = &before;
        assert!(!gone.is_empty());
        let slot = leave.task.as_str().rsplit_once('.').unwrap().0;
        assert!(there.iter().any(|task| task.id.as_str().starts_with(slot)), "{leave:?}");
    }
    let nobody = foresee::drain(&story.cluster, &[id("x")], within, story.now);
    assert_eq!(nobody, Err(Refusal::NoNode(id("x"))));
}

/// Ten seconds until a task of the service ran, then its time to settle and a second to stop: as before, and as foretold.
#[test]
fn how_long_it_would_take_is_known_from_how_long_it_took() {
    let mut story = Story::new(&[("a", "z"), ("b", "z"), ("c", "z")]);
    let mut spec = specs::spec_of(&"mail/front".parse().unwrap(), 0, 4);
    (spec.budget, spec.update.monitor) = (Budget::Usual, Duration::from_secs(20));
    spec.update.order = UpdateOrder::StartFirst;
    story.hear(&[Event::Deploy { specs: vec![spec], remove: Vec::new(), expect: Vec::new() }]);
    story.pass(10, &ALL);
    story.start_all();
    story.pass(60, &ALL);
    let nodes = [id("a"), id("b")];
    let plan = foresee::drain(&story.cluster, &nodes, Duration::from_secs(900), story.now).unwrap();
    assert_eq!(plan.len(), on(&story, "a").len() + on(&story, "b").len());
    for leave in &plan {
        assert_eq!(leave.after, Some(Duration::from_secs(31)), "{leave:?}");
        assert_eq!(leave.to, Some(id("c")), "nothing goes to what is emptied too: {leave:?}");
    }
}

#[test]
fn what_would_move_after_a_node_has_come_can_be_asked_for() {
    let mut story = Story::new(&[("a", "z")]);
    deploy(&mut story, "mail/front", 4, |_| {});
    assert!(foresee::rebalance(&story.cluster, story.now).is_empty());
    story.hear(&[Event::Joined(Box::new(story::node("b", "z")))]);
    let moves = foresee::rebalance(&story.cluster, story.now);
    let named: Vec<_> = moves.iter().map(|one| (one.from.clone(), one.to.clone())).collect();
    assert_eq!(named, vec![(Some(id("a")), Some(id("b"))); 2]);
    assert_eq!(story.wanted_on("b"), 0, "nothing has changed");
}
