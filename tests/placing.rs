//! Where tasks are put, and why.

#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

extern crate coordinator_core;

#[allow(dead_code, reason = "each test file needs a part of it")]
mod story;

use std::collections::BTreeSet;

use coordinator_core::cluster::{Change, Cluster};
use coordinator_core::event::Event;
use coordinator_core::view::{self, Score};
use coordinator_core::{Step, step};
use model::image::Stock;
use model::node::Node;
use model::resources::Resources;
use model::spec::{Mode, ServiceSpec, Strategy};
use model::task::{Task, TaskState};

use story::{Story, id, specs};

/// The nodes on which tasks of a service were put, by slot.
fn nodes(story: &Story, service: &str) -> Vec<String> {
    let service = service.parse().unwrap();
    let tasks = story.cluster.tasks_of(&service);
    tasks.filter_map(|task| task.node.as_ref()).map(ToString::to_string).collect()
}

#[test]
fn tasks_are_spread_over_zones_and_then_over_nodes() {
    let mut story = Story::new(&[("a", "y"), ("b", "y"), ("c", "z"), ("d", "z")]);
    story.run("mail/front", 4);
    let placed: BTreeSet<String> = nodes(&story, "mail/front").into_iter().collect();
    assert_eq!(placed.len(), 4);
    let first_two: BTreeSet<String> = nodes(&story, "mail/front").into_iter().take(2).collect();
    assert!(first_two.contains("a") && first_two.contains("c"), "{first_two:?}");
}

#[test]
fn of_equal_nodes_the_one_that_has_the_image_is_chosen() {
    let mut story = Story::new(&[("a", "z"), ("b", "z"), ("c", "z")]);
    let digest = specs::image(0).digest().clone();
    let none = |name| Event::Images { node: id(name), stock: Stock::default() };
    let one = Event::Images { node: id("c"), stock: BTreeSet::from([digest]).into() };
    story.hear(&[none("a"), none("b"), one]);
    story.run("mail/front", 1);
    assert_eq!(nodes(&story, "mail/front"), ["c"]);
    // Spreading is worth more than a pull.
    story.run("mail/front", 3);
    let placed: BTreeSet<String> = nodes(&story, "mail/front").into_iter().collect();
    assert_eq!(placed.len(), 3);
}

#[test]
fn the_score_of_each_node_can_be_asked_for() {
    let mut story = Story::new(&[("a", "z"), ("b", "z")]);
    let digest = specs::image(0).digest().clone();
    let none = Event::Images { node: id("a"), stock: Stock::default() };
    story.hear(&[none, Event::Images { node: id("b"), stock: BTreeSet::from([digest]).into() }]);
    story.run("mail/front", 1);
    let service = "mail/front".parse().unwrap();
    let task = story.cluster.tasks_of(&service).next().unwrap();
    let asked = view::ask_nodes(&story.cluster, task, story.now);
    let score = |fetch_mib| Score { fetch_mib, ..Score::default() };
    let scores: Vec<_> =
        asked.iter().map(|verdict| (verdict.node.as_str(), verdict.score)).collect();
    assert_eq!(scores, [("a", score(256)), ("b", score(0))]);
}

const GIB: u64 = 1 << 30;

/// A service of tasks that hold so many thousandths of a core, GiB and GPUs.
fn asks(name: &str, replicas: u32, (cpu_millis, memory, gpus): (u64, u64, u64)) -> ServiceSpec {
    let mut spec = specs::spec_of(&name.parse().unwrap(), 0, replicas);
    spec.mode = Mode::Replicated { replicas };
    spec.strategy = Strategy::Binpack;
    spec.after.clear();
    spec.task.constraints.clear();
    spec.task.containers.truncate(1);
    spec.task.containers[0].ports.clear();
    spec.task.containers[0].reservation =
        Resources { cpu_millis, memory_bytes: memory * GIB, gpus, ..Resources::default() };
    spec
}

fn node(name: &str, zone: &str, (cores, memory, gpus): (u64, u64, u64)) -> Node {
    let capacity = Resources {
        cpu_millis: cores * 1_000,
        memory_bytes: memory * GIB,
        gpus,
        ..Resources::default()
    };
    Node { capacity, ..story::node(name, zone) }
}

fn joined(nodes: impl IntoIterator<Item = Node>) -> Story {
    let mut story = Story::new(&[]);
    let events: Vec<Event> = nodes.into_iter().map(|node| Event::Joined(Box::new(node))).collect();
    story.hear(&events);
    story
}

fn deploy(story: &mut Story, specs: Vec<ServiceSpec>) {
    story.hear(&[Event::Deploy { specs, remove: Vec::new(), expect: Vec::new() }]);
}

#[test]
fn packed_tasks_are_spread_over_zones_and_then_share_a_node() {
    let size = (4, 16, 0);
    let mut story = joined(
        ["a", "b", "c", "d"].map(|name| node(name, if name < "c" { "y" } else { "z" }, size)),
    );
    deploy(&mut story, vec![asks("lab/app", 4, (1_000, 4, 0))]);
    assert_eq!(nodes(&story, "lab/app"), ["a", "c", "a", "c"]);
    // Beyond a node's room the next one of the zone is begun.
    deploy(&mut story, vec![asks("lab/app", 10, (1_000, 4, 0))]);
    let placed = nodes(&story, "lab/app");
    let on = |name: &str| placed.iter().filter(|node| *node == name).count();
    assert_eq!(["a", "b", "c", "d"].map(on), [4, 1, 4, 1]);
}

#[test]
fn what_needs_no_gpu_leaves_those_nodes_to_what_does() {
    let mut story = joined([node("a", "z", (8, 32, 2)), node("b", "z", (8, 32, 0))]);
    let (plain, train) =
        (asks("lab/plain", 4, (1_000, 4, 0)), asks("lab/train", 2, (4_000, 16, 1)));
    deploy(&mut story, vec![plain, train]);
    assert_eq!(nodes(&story, "lab/plain"), ["b"; 4]);
    assert_eq!(nodes(&story, "lab/train"), ["a"; 2]);
}

#[test]
fn a_gpu_among_many_nodes_is_kept_all_the_same() {
    let plain = (0..40).map(|number| node(&format!("b{number:02}"), "z", (8, 32, 0)));
    let mut story = joined(plain.chain([node("a", "z", (8, 32, 1))]));
    let (app, train) = (asks("lab/app", 8, (1_000, 4, 0)), asks("lab/train", 1, (4_000, 16, 1)));
    deploy(&mut story, vec![app, train]);
    assert_eq!(nodes(&story, "lab/app"), ["b00"; 8]);
    assert_eq!(nodes(&story, "lab/train"), ["a"]);
}

#[test]
fn what_is_left_fits_what_is_asked_for() {
    // Both nodes have room. On one the memory would be left over without a processor, on the other both go together.
    let mut story = joined([node("a", "z", (2, 32, 0)), node("b", "z", (8, 16, 0))]);
    deploy(&mut story, vec![asks("lab/memory", 2, (500, 8, 0)), asks("lab/cpu", 1, (2_000, 1, 0))]);
    assert_eq!(nodes(&story, "lab/cpu"), ["b"]);
    assert_eq!(nodes(&story, "lab/memory"), ["a", "a"]);
}

#[test]
fn a_change_of_the_strategy_moves_nothing() {
    let mut story = joined(["a", "b", "c"].map(|name| node(name, "z", (8, 32, 0))));
    let spread = ServiceSpec { strategy: Strategy::Spread, ..asks("lab/app", 3, (500, 1, 0)) };
    deploy(&mut story, vec![spread]);
    let before = nodes(&story, "lab/app");
    assert_eq!(before, ["a", "b", "c"]);
    story.start_all();
    story.pass(60, &["a", "b", "c"]);
    deploy(&mut story, vec![asks("lab/app", 3, (500, 1, 0))]);
    story.pass(60, &["a", "b", "c"]);
    assert_eq!(nodes(&story, "lab/app"), before);
}

/// Follows what a step wrote, and asks all nodes before each placement.
fn each_is_first_of_all(before: &Cluster, changes: &[Change], story: &Story) -> usize {
    let (mut cluster, mut placed) = (before.clone(), 0);
    for change in changes {
        if let Change::PutTask(task) = change
            && cluster.tasks().get(&task.id).is_none_or(|known| known.node.is_none())
            && let Some(node) = &task.node
        {
            let waiting = Task { node: None, state: TaskState::Pending, ..(**task).clone() };
            let asked = view::ask_nodes(&cluster, &waiting, story.now).into_iter();
            let takers = asked.filter(|verdict| verdict.refusals.is_empty());
            let first = takers.min_by_key(|verdict| (verdict.score, verdict.node.clone()));
            assert_eq!(first.map(|verdict| verdict.node).as_ref(), Some(node), "{}", task.id);
            placed += 1;
        }
        cluster.apply(change);
    }
    placed
}

#[test]
fn few_tasks_and_many_find_the_node_that_is_first_of_all() {
    let shapes = [(8, 16, 0), (4, 32, 0), (16, 32, 4), (2, 16, 0), (8, 64, 1)];
    let fleet = (0..60).map(|number: usize| {
        let zone = ["x", "y", "z"][number % 3];
        node(&format!("i-{number:02}"), zone, shapes[number * 7 % shapes.len()])
    });
    let mut story = joined(fleet);
    let asked = [(250, 1, 0), (1_000, 1, 0), (500, 4, 0), (2_000, 4, 1), (1_500, 9, 0)];
    let mut placed = 0;
    for number in 0..60 {
        let replicas = [1, 3, 20, 2][number % 4];
        let mut spec = asks(&format!("lab/s{number}"), replicas, asked[number * 3 % asked.len()]);
        if number % 5 == 0 {
            spec.strategy = Strategy::Spread;
        }
        spec.task.max_per_node = (number % 7 == 0).then_some(2);
        let before = story.cluster.clone();
        let remove = (number > 20 && number % 6 == 0)
            .then(|| format!("lab/s{}", number - 20).parse().unwrap());
        let event = Event::Deploy {
            specs: vec![spec],
            remove: remove.into_iter().collect(),
            expect: Vec::new(),
        };
        let Step { changes, .. } = step(&mut story.cluster, &[event], story.now);
        placed += each_is_first_of_all(&before, &changes, &story);
    }
    assert!(placed > 200, "only {placed} were placed");
}
