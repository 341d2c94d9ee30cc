//! What decides between nodes that all take a task: preferences, data that was left there, layers of images, the age of
//! machines.

#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

extern crate coordinator_core;

#[allow(dead_code, reason = "each test file needs a part of it")]
mod story;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use coordinator_core::cluster::Age;
use coordinator_core::command;
use coordinator_core::event::{Event, FleetEvent, Report};
use coordinator_core::explain;
use coordinator_core::view;
use model::constraint::Attribute;
use model::fleet::{Group, PoolPolicy, Survey};
use model::image::{Digest, Layer, Stock};
use model::node::Node;
use model::preference::{Preference, Preferred, Spread};
use model::refresh::Blueprint;
use model::resources::Resources;
use model::spec::{Mode, Mount, MountSource, ServiceSpec};
use model::task::{FailureKind, Task, TaskState};

use story::{Story, id, machine, node, specs};

const GIB: u64 = 1 << 30;

/// Nodes with a rack each, in one zone unless it is said otherwise: NAME, ZONE, RACK.
fn racks(nodes: &[(&str, &str, &str)]) -> Story {
    let mut story = Story::new(&[]);
    for (name, zone, rack) in nodes {
        let labels = BTreeMap::from([("rack".to_owned(), (*rack).to_owned())]);
        story.hear(&[Event::Joined(Box::new(Node { labels, ..node(name, zone) }))]);
    }
    story
}

fn nodes(text: &str, weight: u32) -> Preference {
    Preference { of: Preferred::Nodes(text.parse().unwrap()), weight }
}

fn spread(shares: &[(&str, u32)], weight: u32) -> Preference {
    let shares = shares.iter().map(|(rack, share)| ((*rack).to_owned(), *share)).collect();
    let over = Attribute::Label("rack".to_owned());
    Preference { of: Preferred::Spread(Spread { over, shares }), weight }
}

fn spec(replicas: u32, preferences: Vec<Preference>) -> ServiceSpec {
    let mut spec = specs::spec_of(&"lab/app".parse().unwrap(), 0, replicas);
    spec.mode = Mode::Replicated { replicas };
    spec.after.clear();
    spec.task.constraints.clear();
    spec.task.max_per_node = None;
    spec.task.containers.truncate(1);
    spec.task.containers[0].ports.clear();
    spec.task.containers[0].reservation = Resources { cpu_millis: 1_000, ..Resources::default() };
    ServiceSpec { preferences, ..spec }
}

fn deploy(story: &mut Story, spec: ServiceSpec) {
    story.hear(&[Event::Deploy { specs: vec![spec], remove: Vec::new(), expect: Vec::new() }]);
}

fn tasks(story: &Story) -> Vec<Arc<Task>> {
    let service = "lab/app".parse().unwrap();
    story.cluster.tasks_of(&service).filter(|task| task.is_wanted()).cloned().collect()
}

/// How many tasks each node has.
fn counts(story: &Story) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for task in tasks(story) {
        let node = task.node.as_ref().map_or("nowhere".to_owned(), ToString::to_string);
        *counts.entry(node).or_default() += 1;
    }
    counts
}

fn expect(story: &Story, expected: &[(&str, usize)]) {
    let expected = expected.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
    assert_eq!(counts(story), expected);
}

#[test]
fn a_wish_is_worth_more_than_zones_and_less_than_no_room() {
    let racks = [("a", "y", "ssd"), ("b", "z", "hdd"), ("c", "y", "ssd")];
    let mut story = self::racks(&racks);
    deploy(&mut story, spec(4, vec![nodes("node.labels.rack == ssd", 1)]));
    expect(&story, &[("a", 2), ("c", 2)]);
    // 64 cores each.
    deploy(&mut story, spec(130, vec![nodes("node.labels.rack == ssd", 1)]));
    expect(&story, &[("a", 64), ("b", 2), ("c", 64)]);
}

#[test]
fn tasks_are_spread_over_any_attribute_in_proportion_also_one_by_one() {
    let racks = [("a", "z", "r1"), ("b", "z", "r1"), ("c", "z", "r2"), ("d", "z", "r3")];
    let mut story = self::racks(&racks);
    deploy(&mut story, spec(9, vec![spread(&[], 50)]));
    expect(&story, &[("a", 2), ("b", 1), ("c", 3), ("d", 3)]);
    // What has no share of its own is one, whatever it is.
    let mut story = self::racks(&racks);
    for replicas in 1..=10 {
        deploy(&mut story, spec(replicas, vec![spread(&[("r1", 60), ("r2", 20)], 50)]));
    }
    expect(&story, &[("a", 3), ("b", 3), ("c", 2), ("d", 2)]);
    let mut at_once = self::racks(&racks);
    deploy(&mut at_once, spec(10, vec![spread(&[("r1", 60), ("r2", 20)], 50)]));
    assert_eq!(counts(&at_once), counts(&story));
}

#[test]
fn weights_say_what_a_wish_is_worth_in_tasks() {
    // A task more in the rack costs 10, not to have the zone 35: three more are put up with, and a fourth is not.
    let racks = [("a", "y", "r1"), ("b", "z", "r2")];
    let mut story = self::racks(&racks);
    deploy(&mut story, spec(4, vec![spread(&[], 10), nodes("node.zone == y", 35)]));
    expect(&story, &[("a", 4)]);
    deploy(&mut story, spec(6, vec![spread(&[], 10), nodes("node.zone == y", 35)]));
    expect(&story, &[("a", 5), ("b", 1)]);
    let all = tasks(&story);
    let asked = view::ask_nodes(&story.cluster, all.last().unwrap(), story.now);
    let costs: Vec<_> = asked.iter().map(|verdict| verdict.score.preference).collect();
    // The last one went to b at a price of 35 and 10, or stayed on a for 50.
    let last = all.last().unwrap().node.clone().unwrap();
    let expected = if last == id("b") { [6_000, 4_500] } else { [5_000, 5_500] };
    assert_eq!(costs, expected);
}

#[test]
fn nodes_that_come_are_used_as_the_service_would_rather_have_it() {
    let mut story = racks(&[("a", "z", "hdd")]);
    let mut wanted = spec(2, vec![nodes("node.labels.rack == ssd", 50)]);
    wanted.update.monitor = std::time::Duration::ZERO;
    deploy(&mut story, wanted);
    story.start_all();
    expect(&story, &[("a", 2)]);
    let labels = BTreeMap::from([("rack".to_owned(), "ssd".to_owned())]);
    story.hear(&[Event::Joined(Box::new(Node { labels, ..node("b", "z") }))]);
    for _ in 0..20 {
        story.pass(60, &["a", "b"]);
        story.start_all();
        story.stop_all();
    }
    expect(&story, &[("b", 2)]);
}

fn digest(number: u32) -> Digest {
    specs::image(number).digest().clone()
}

fn layer(id: u64, mib: u64) -> Layer {
    Layer { id, bytes: mib << 20 }
}

fn has(name: &str, images: &[(u32, &[Layer])], volumes: &[&str]) -> Event {
    let layers = images.iter().map(|(number, layers)| (digest(*number), Arc::from(*layers)));
    let stock = Stock {
        digests: images.iter().map(|(number, _)| digest(*number)).collect(),
        layers: layers.collect(),
        volumes: volumes.iter().map(|name| (*name).to_owned()).collect(),
    };
    Event::Images { node: id(name), stock }
}

#[test]
fn layers_that_other_images_have_brought_need_not_be_fetched() {
    let mut story = racks(&[("a", "z", "r"), ("b", "z", "r"), ("c", "z", "r"), ("d", "z", "r")]);
    let base = layer(1, 500);
    story.hear(&[
        has("a", &[(7, &[layer(9, 700)])], &[]),
        has("b", &[(7, &[base, layer(3, 10)])], &[]),
        has("c", &[(0, &[base, layer(2, 20)])], &[]),
    ]);
    // The one that has the image is closed.
    let closed = model::node::Availability::Cordoned;
    story.hear(&[Event::SetAvailability { node: id("c"), availability: closed }]);
    deploy(&mut story, spec(1, Vec::new()));
    expect(&story, &[("b", 1)]);
    let task = tasks(&story).remove(0);
    let asked = view::ask_nodes(&story.cluster, &task, story.now);
    let fetched: Vec<_> = asked.iter().map(|verdict| verdict.score.fetch_mib).collect();
    assert_eq!(fetched, [520, 20, 0, 520]);
    // Nobody knows what it is made of any more once nobody has it.
    story.hear(&[has("c", &[], &[])]);
    let asked = view::ask_nodes(&story.cluster, &task, story.now);
    assert!(asked.iter().all(|verdict| verdict.score.fetch_mib == 256));
}

fn mounts(replicas: u32, source: MountSource) -> ServiceSpec {
    let mut spec = spec(replicas, Vec::new());
    let mount = Mount { source, target: "/data".to_owned(), is_read_only: false };
    spec.task.containers[0].mounts.push(mount);
    spec
}

#[test]
fn a_task_goes_back_to_its_data() {
    let mut story = racks(&[("a", "y", "r"), ("b", "z", "r"), ("c", "z", "r")]);
    let data = MountSource::Volume { name: "data".parse().unwrap() };
    story.hear(&[has("c", &[], &["lab/data", "other/data"])]);
    deploy(&mut story, mounts(1, data.clone()));
    expect(&story, &[("c", 1)]);
    // The data are in use: the next one begins with its own, wherever that is best otherwise.
    deploy(&mut story, mounts(2, data));
    expect(&story, &[("a", 1), ("c", 1)]);
    // It ends, by the fault of its application: the next is there again, although the node is not the emptiest.
    let task = tasks(&story).into_iter().find(|task| task.node == Some(id("c"))).unwrap();
    let kind = FailureKind::Application;
    let state = TaskState::Failed { kind, reason: "exit 1".to_owned() };
    let (restarts, note, containers) = (0, String::new(), Vec::new());
    let report = Report { task: task.id.clone(), state, restarts, note, containers, lease: None };
    story.hear(&[Event::Reported { node: id("c"), tasks: vec![report], is_complete: false }]);
    story.pass(60, &["a", "b", "c"]);
    expect(&story, &[("a", 1), ("c", 1)]);
    assert!(tasks(&story).iter().all(|now| now.id != task.id));
}

#[test]
fn a_volume_that_somebody_has_made_is_looked_for_and_missed_by_name() {
    let mut story = racks(&[("a", "z", "r"), ("b", "z", "r")]);
    let data = || MountSource::HostVolume { name: "models".to_owned() };
    deploy(&mut story, mounts(1, data()));
    expect(&story, &[("nowhere", 1)]);
    let account = explain::account(&story.cluster, &tasks(&story)[0], story.now);
    assert_eq!(account.refusals, [("without the volume models".to_owned(), 2)]);
    let remedies: Vec<String> = account.remedies.iter().map(ToString::to_string).collect();
    let made = "with the volume models 2 nodes would take it: `docker volume create models` on a";
    assert_eq!(remedies, [made]);
    assert_eq!(account.growth[0].refusals, ["without the volume models"]);
    // A volume of the project is another one, whatever its name.
    story.hear(&[has("a", &[], &["lab/models"])]);
    expect(&story, &[("nowhere", 1)]);
    story.hear(&[has("b", &[], &["models"])]);
    expect(&story, &[("b", 1)]);
    // It is looked for whenever a task is placed, and takes none away that runs.
    story.hear(&[has("b", &[], &[])]);
    expect(&story, &[("b", 1)]);
    deploy(&mut story, mounts(2, data()));
    expect(&story, &[("b", 1), ("nowhere", 1)]);
}

#[test]
fn disk_and_processes_are_booked_like_memory() {
    let mut story = Story::new(&[]);
    for (name, disk, pids) in [("a", 10, 1_000), ("b", 100, 100)] {
        let capacity = Resources { disk_bytes: disk * GIB, pids, ..node(name, "z").capacity };
        story.hear(&[Event::Joined(Box::new(Node { capacity, ..node(name, "z") }))]);
    }
    let mut wanted = spec(3, Vec::new());
    let held = Resources { disk_bytes: 5 * GIB, pids: 60, ..Resources::default() };
    wanted.task.containers[0].reservation = held;
    deploy(&mut story, wanted);
    expect(&story, &[("a", 2), ("b", 1)]);
    let mut wanted = spec(4, Vec::new());
    wanted.task.containers[0].reservation = held;
    deploy(&mut story, wanted);
    let waits = tasks(&story).into_iter().find(|task| task.node.is_none()).unwrap();
    let account = explain::account(&story.cluster, &waits, story.now);
    let refusals = ["without enough free disk", "without enough free processes"];
    assert_eq!(account.refusals, refusals.map(|why| (why.to_owned(), 1)));
    let remedies: Vec<String> = account.remedies.iter().map(ToString::to_string).collect();
    assert_eq!(
        remedies,
        ["with 20 processes less it would fit b", "with 5 GiB of disk less it would fit a"]
    );
}

#[test]
fn of_equal_nodes_one_is_taken_that_its_group_would_still_launch() {
    let names = ["a", "b", "c"];
    let mut story = Story::new(&names.map(|name| (name, "z")));
    let (name, policy) = ("web".to_owned(), PoolPolicy::default());
    story.hear(&[Event::Fleet(FleetEvent::PutPool { name, policy })]);
    let group = Group {
        name: "web".to_owned(),
        max: 10,
        desired: 3,
        hooks: command::hooks().to_vec(),
        blueprint: Some(Blueprint(BTreeMap::from([("lt-1".to_owned(), 2)]))),
        ..Group::default()
    };
    let instances = vec![machine("web", "a", 1), machine("web", "b", 2), machine("web", "c", 1)];
    let survey = Survey { groups: vec![group], instances, ..Survey::default() };
    story.hear(&[Event::Fleet(FleetEvent::Surveyed(Box::new(survey)))]);
    for name in names {
        story.report_all(name, true);
    }
    deploy(&mut story, spec(1, Vec::new()));
    expect(&story, &[("b", 1)]);
    // To be spread is worth more.
    deploy(&mut story, spec(3, Vec::new()));
    expect(&story, &[("a", 1), ("b", 1), ("c", 1)]);
    let task = tasks(&story).remove(0);
    let asked = view::ask_nodes(&story.cluster, &task, story.now);
    let old: BTreeSet<_> =
        asked.iter().filter(|one| one.score.age == Age::Old).map(|one| one.node.as_str()).collect();
    assert_eq!(old, BTreeSet::from(["a", "c"]));
}
