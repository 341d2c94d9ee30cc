//! Constraints that look at more than labels, and what is said of tasks that wait.

#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

extern crate coordinator_core;

#[allow(dead_code, reason = "each test file needs a part of it")]
mod story;

use std::sync::Arc;

use std::collections::BTreeSet;

use coordinator_core::cluster::Cluster;
use coordinator_core::event::Event;
use coordinator_core::explain::{self, Account};
use coordinator_core::step;
use model::node::{Availability, Node};
use model::resources::Resources;
use model::spec::{Mode, PortSpec, Protocol, ServiceSpec};
use model::task::{Task, TaskState};

use story::{Story, id, node, specs};

const GIB: u64 = 1 << 30;

/// A service of one small task with these constraints.
fn asks(service: &str, constraints: &[&str]) -> ServiceSpec {
    let mut spec = specs::spec_of(&service.parse().unwrap(), 0, 1);
    spec.mode = Mode::Replicated { replicas: 1 };
    spec.after.clear();
    spec.task.containers.truncate(1);
    spec.task.containers[0].ports.clear();
    spec.task.constraints = constraints.iter().map(|text| text.parse().unwrap()).collect();
    spec
}

fn deploy(story: &mut Story, spec: ServiceSpec) {
    story.hear(&[Event::Deploy { specs: vec![spec], remove: Vec::new(), expect: Vec::new() }]);
}

fn join(story: &mut Story, node: Node) {
    story.hear(&[Event::Joined(Box::new(node))]);
}

/// Where the live tasks of a service are.
fn places(story: &Story, service: &str) -> Vec<String> {
    let service = service.parse().unwrap();
    let tasks = story.cluster.tasks_of(&service);
    let live = tasks.filter(|task| !task.state.is_final() && task.is_wanted());
    live.map(|task| task.node.as_ref().map_or("nowhere".to_owned(), ToString::to_string)).collect()
}

fn account(story: &Story, service: &str) -> Account {
    let service = service.parse().unwrap();
    let waits = |task: &&Arc<Task>| task.state == TaskState::Pending;
    let task = story.cluster.tasks_of(&service).find(waits).expect("a task waits");
    explain::account(&story.cluster, task, story.now)
}

fn remedies(account: &Account) -> Vec<String> {
    account.remedies.iter().map(ToString::to_string).collect()
}

fn growth(account: &Account) -> Vec<String> {
    let line = |one: &explain::Growth| format!("{}: {}", one.kind, one.refusals.join(", "));
    account.growth.iter().map(line).collect()
}

fn images(name: &str, images: &[u32]) -> Event {
    let digests = images.iter().map(|number| specs::image(*number).digest().clone());
    Event::Images { node: id(name), stock: digests.collect::<BTreeSet<_>>().into() }
}

fn present(image: u32) -> String {
    format!("image.present(\"{}\")", specs::image(image).digest())
}

#[test]
fn a_task_goes_where_pool_versions_and_kind_are_right() {
    let mut story = Story::new(&[("a", "y"), ("b", "y")]);
    let said = |text: &str| Some(text.to_owned());
    let kernel_version = said("6.1.0-18-amd64");
    let c = Node {
        pool: said("web"),
        kernel_version,
        engine_version: said("28.2.2"),
        ..node("c", "z")
    };
    join(&mut story, c);
    join(
        &mut story,
        Node { pool: said("batch"), instance_type: said("m7g.large"), ..node("d", "z") },
    );
    let cases = [
        ("node.pool in [web, other]", "c"),
        ("node.kernel.version >= 6.1 and node.engine.version < 29", "c"),
        ("node.instance_type =~ '^m7g'", "d"),
        ("node.pool not in [web, batch] and node.id != a", "b"),
    ];
    for (number, (text, expected)) in cases.into_iter().enumerate() {
        let service = format!("lab/job{number}");
        deploy(&mut story, asks(&service, &[text]));
        assert_eq!(places(&story, &service), [expected], "{text}");
    }
}

#[test]
fn a_task_waits_for_an_image_and_goes_where_it_comes() {
    let mut story = Story::new(&[("a", "z"), ("b", "z")]);
    deploy(&mut story, asks("lab/one", &[&present(7)]));
    assert_eq!(places(&story, "lab/one"), ["nowhere"]);
    story.hear(&[images("a", &[1]), images("b", &[1])]);
    assert_eq!(places(&story, "lab/one"), ["nowhere"]);
    story.hear(&[images("b", &[1, 7])]);
    assert_eq!(places(&story, "lab/one"), ["b"]);
    // What is gone counts for the next one only.
    story.hear(&[images("b", &[1]), images("a", &[7])]);
    deploy(&mut story, asks("lab/two", &[&present(7)]));
    assert_eq!(
        (places(&story, "lab/one"), places(&story, "lab/two")),
        (vec!["b".to_owned()], vec!["a".to_owned()])
    );
}

#[test]
fn an_image_that_goes_stops_nothing_and_neither_does_a_takeover() {
    let mut story = Story::new(&[("a", "z"), ("b", "z")]);
    story.hear(&[images("a", &[7]), images("b", &[1])]);
    let everywhere = ServiceSpec { mode: Mode::Global, ..asks("lab/all", &[&present(7)]) };
    deploy(&mut story, everywhere);
    assert_eq!(places(&story, "lab/all"), ["a"]);
    story.start_all();
    story.hear(&[images("a", &[1]), images("b", &[7])]);
    assert_eq!(places(&story, "lab/all"), ["a", "b"]);
    story.start_all();
    let mut again = Cluster::load(&story.cluster.stored(), story.now);
    let changes = step(&mut again, &[], story.now).changes;
    assert!(changes.is_empty(), "{changes:?}");
}

/// Three nodes, each with something against a task of 1 GiB on a fast disk.
fn crowded() -> Story {
    let mut story = Story::new(&[]);
    let small =
        |bytes| Resources { cpu_millis: 2_000, memory_bytes: bytes, ..Resources::default() };
    let labelled = |name: &str, disk: &str, bytes| Node {
        labels: [("disk".to_owned(), disk.to_owned())].into(),
        capacity: small(bytes),
        ..node(name, "z")
    };
    join(&mut story, labelled("n1", "hdd", 4 * GIB));
    join(&mut story, labelled("n2", "ssd", GIB * 3 / 4));
    let pool = Some("web".to_owned());
    join(
        &mut story,
        Node { pool, availability: Availability::Cordoned, ..labelled("n3", "ssd", 4 * GIB) },
    );
    let mut spec = asks("lab/big", &["node.labels.disk == ssd"]);
    spec.task.containers[0].reservation.memory_bytes = GIB;
    deploy(&mut story, spec);
    story
}

#[test]
fn what_is_least_is_told_first() {
    let story = crowded();
    let account = account(&story, "lab/big");
    assert_eq!((account.nodes, account.takers), (3, 0));
    assert_eq!(
        remedies(&account),
        [
            "1 node would take it if open: `wharf uncordon n3`",
            "with 256 MiB of memory less it would fit n2",
            "without `node.labels.disk == ssd` 1 node would take it, n1 among them",
        ]
    );
    let nearest = account.nearest.clone().unwrap();
    assert_eq!((nearest.node.as_str(), nearest.refusals.len()), ("n1", 1));
    assert_eq!(
        growth(&account),
        [
            "pool web: ",
            "2 CPUs and 768 MiB of memory: too small for 0.25 CPUs and 1 GiB of memory: it has 2 CPUs and 768 MiB of memory",
            "2 CPUs and 4 GiB of memory: not `node.labels.disk == ssd`",
        ]
    );
    let total: usize = account.refusals.iter().map(|(_, count)| count).sum();
    assert_eq!(total, 3);
}

#[test]
fn a_port_is_traced_to_the_task_that_holds_it() {
    let mut story = Story::new(&[("a", "z")]);
    let port = PortSpec { container: 80, host: Some(80), protocol: Protocol::Tcp, address: None };
    for service in ["lab/first", "lab/second"] {
        let mut spec = asks(service, &[]);
        spec.task.containers[0].ports.push(port);
        deploy(&mut story, spec);
    }
    let holder = story.cluster.tasks_of(&"lab/first".parse().unwrap()).next().unwrap().id.clone();
    let account = account(&story, "lab/second");
    let expected = format!("port 80 is held on a by {holder}; with it free 1 node would take it");
    assert_eq!(remedies(&account), [expected]);
    assert_eq!(growth(&account), ["64 CPUs and 64 GiB of memory: "]);
}

#[test]
fn a_new_node_first_takes_what_runs_on_every_node() {
    let mut story = Story::new(&[]);
    let capacity = Resources { cpu_millis: 1_000, memory_bytes: GIB, ..Resources::default() };
    join(&mut story, Node { capacity, ..node("a", "z") });
    deploy(&mut story, ServiceSpec { mode: Mode::Global, ..asks("lab/all", &[]) });
    let mut spec = asks("lab/big", &["node.id != a"]);
    spec.task.containers[0].reservation.memory_bytes = GIB;
    deploy(&mut story, spec);
    let account = account(&story, "lab/big");
    // Two things are against it: neither alone would help.
    assert_eq!((remedies(&account).len(), account.nearest.unwrap().refusals.len()), (0, 2));
    let grown = account.growth[0].refusals.join(", ");
    assert!(
        grown.contains("of which services of every node take 0.25 CPUs and 512 MiB"),
        "{grown}"
    );
}

#[test]
fn whoever_has_as_many_as_it_may_would_take_one_more() {
    let mut story = Story::new(&[("a", "z"), ("b", "z")]);
    let mut spec = asks("lab/app", &["node.id == a"]);
    spec.mode = Mode::Replicated { replicas: 2 };
    spec.task.max_per_node = Some(1);
    deploy(&mut story, spec);
    let account = account(&story, "lab/app");
    let expected = [
        "without `node.id == a` 1 node would take it, b among them",
        "with `max_replicas_per_node: 2` 1 node would take it",
    ];
    assert_eq!(remedies(&account), expected);
    // No other node can have that id.
    assert_eq!(growth(&account), ["64 CPUs and 64 GiB of memory: not `node.id == a`"]);
}

#[test]
fn the_room_for_more_is_what_a_scale_would_find() {
    let mut story = Story::new(&[("a", "y"), ("b", "z")]);
    let limited = |spec: &mut ServiceSpec| {
        spec.task.containers[0].reservation.cpu_millis = 10_000;
        spec.mode = Mode::Replicated { replicas: 2 };
    };
    let mut spec = asks("lab/app", &[]);
    limited(&mut spec);
    deploy(&mut story, spec);
    let room = |story: &Story| {
        let service = story.cluster.services()[&"lab/app".parse().unwrap()].clone();
        explain::headroom(&story.cluster, &service, story.now).unwrap()
    };
    // Each of the nodes has 64 cores: six tasks fit, and one is there.
    assert_eq!(room(&story), explain::Headroom { tasks: 10, nodes: 2 });
    let service = "lab/app".parse().unwrap();
    story.hear(&[Event::Scale { service, replicas: 12 }]);
    assert_eq!(room(&story), explain::Headroom { tasks: 0, nodes: 0 });
    assert!(!places(&story, "lab/app").contains(&"nowhere".to_owned()));
}

#[test]
fn gpus_are_counted_like_everything_else() {
    let mut story = Story::new(&[("a", "z")]);
    let capacity = Resources { gpus: 2, ..node("b", "z").capacity };
    join(&mut story, Node { capacity, ..node("b", "z") });
    let gpus = |service: &str, gpus| {
        let mut spec = asks(service, &[]);
        spec.task.containers[0].reservation.gpus = gpus;
        spec
    };
    deploy(&mut story, gpus("lab/first", 1));
    deploy(&mut story, gpus("lab/second", 2));
    assert_eq!(places(&story, "lab/first"), ["b"]);
    let account = account(&story, "lab/second");
    assert_eq!(account.refusals, [("without enough free GPUs".to_owned(), 2)]);
    assert_eq!(remedies(&account), ["with 1 GPU less it would fit b"]);
    assert_eq!(
        account.nearest.as_ref().unwrap().shortage,
        Resources { gpus: 1, ..Resources::default() }
    );
    assert_eq!(
        growth(&account),
        [
            "64 CPUs, 64 GiB of memory and 2 GPUs: ",
            "64 CPUs and 64 GiB of memory: too small for 0.25 CPUs, 512 MiB of memory and 2 GPUs: it has 64 CPUs and 64 GiB of memory",
        ]
    );
}
