//! What a coordinator makes of a node that says something else about itself than before.

#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

extern crate coordinator_core;

#[allow(dead_code, reason = "each test file needs a part of it")]
mod story;

use coordinator_core::event::Event;
use model::node::Node;
use model::resources::Resources;

use story::{Story, id, node};

fn known(story: &Story) -> Node {
    (*story.cluster.nodes()[&id("a")]).clone()
}

#[test]
fn a_node_whose_engine_does_not_answer_is_not_smaller_for_that() {
    let mut story = Story::new(&[("a", "z")]);
    story.run("mail/front", 2);
    let before = known(&story);
    let silent = Node {
        arch: String::new(),
        hostname: "another".to_owned(),
        engine: "another".to_owned(),
        capacity: Resources::default(),
        zone: "y".to_owned(),
        ..before.clone()
    };
    story.hear(&[Event::Joined(Box::new(silent))]);
    assert_eq!(
        known(&story),
        Node { zone: "y".to_owned(), ..before },
        "what its agent knows is news"
    );
    assert_eq!(story.wanted_on("a"), 2);
}

#[test]
fn a_machine_that_was_made_smaller_keeps_its_tasks_and_takes_no_more_until_they_fit() {
    let mut story = Story::new(&[("a", "z")]);
    story.run("mail/front", 4);
    let each = story.cluster.held_on(&id("a")).memory_bytes / 4;
    let capacity = Resources { memory_bytes: each * 5 / 2, ..node("a", "z").capacity };
    story.hear(&[Event::Joined(Box::new(Node { capacity, ..node("a", "z") }))]);
    assert_eq!(story.wanted_on("a"), 4, "nothing is stopped for that");
    let scale = |replicas| Event::Scale { service: "mail/front".parse().unwrap(), replicas };
    story.hear(&[scale(5)]);
    assert_eq!(story.wanted_on("a"), 4, "there is no room");
    story.hear(&[scale(1)]);
    story.stop_all();
    story.hear(&[scale(3)]);
    assert_eq!(story.wanted_on("a"), 2, "there is room for one more, and not for two");
}
