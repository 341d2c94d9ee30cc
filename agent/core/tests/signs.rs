//! Which events of the engine are news.
#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

#[path = "rules/world.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "made for the tests of the rules, which need more of it"
)]
mod world;

use agent_core::observed::{Sign, Status};
use model::task::StopCause;

use world::{A, B, Node, assigned, container, exited, now_is, run, stop};

const ID: &str = "id-of-lab.app.1.1-1";
const OTHER: &str = "id-of-lab.app.2.2-1";

#[test]
fn what_nobody_asked_for_is_news() {
    let node = Node::running(&[A]);
    for sign in [Sign::Started, Sign::Ended, Sign::Removed, Sign::Other] {
        assert!(!node.workload.expects(ID, sign), "{sign:?}");
    }
}

#[test]
fn what_is_being_done_is_none() {
    let mut node = Node::running(&[A, B]);
    node.hears(assigned(2, [stop(A, StopCause::Operator), run(B)]));
    assert!(node.workload.expects(ID, Sign::Ended));
    assert!(!node.workload.expects(OTHER, Sign::Ended), "that is another one");
    node.hears(now_is(container(A, 1, exited(143))));
    assert!(node.workload.expects(ID, Sign::Removed), "it is being removed");
    assert!(!node.workload.expects(OTHER, Sign::Removed), "this one was to run");
    assert!(node.workload.expects("long-gone", Sign::Removed), "nobody knows it any more");
}

#[test]
fn the_end_of_what_is_only_just_starting_is_news() {
    let mut node = Node::new();
    node.lists(&[]);
    node.hears(assigned(1, [run(A)]));
    assert!(node.workload.expects(ID, Sign::Started));
    assert!(!node.workload.expects(ID, Sign::Ended));
    node.hears(now_is(container(A, 1, Status::Running)));
    assert!(!node.workload.expects(ID, Sign::Started), "somebody started it again");
}
