//! Where tasks are put, and why.

#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

extern crate coordinator_core;

#[allow(dead_code, reason = "each test file needs a part of it")]
mod story;

use std::collections::BTreeSet;

use coordinator_core::event::Event;
use coordinator_core::view::{self, Score};

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
    let none = |name| Event::Images { node: id(name), digests: BTreeSet::new() };
    let one = Event::Images { node: id("c"), digests: [digest].into() };
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
    let none = Event::Images { node: id("a"), digests: BTreeSet::new() };
    story.hear(&[none, Event::Images { node: id("b"), digests: [digest].into() }]);
    story.run("mail/front", 1);
    let service = "mail/front".parse().unwrap();
    let task = story.cluster.tasks_of(&service).next().unwrap();
    let asked = view::ask_nodes(&story.cluster, task, story.now);
    let score = |images_missing| Score {
        in_zone: 0,
        on_node: 0,
        images_missing,
        memory_bytes: 0,
        cpu_millis: 0,
    };
    let scores: Vec<_> =
        asked.iter().map(|verdict| (verdict.node.as_str(), verdict.score)).collect();
    assert_eq!(scores, [("a", score(1)), ("b", score(0))]);
}
