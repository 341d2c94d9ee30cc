//! What a coordinator makes of what an agent says that its machine has to expect.

#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

extern crate coordinator_core;

#[allow(dead_code, reason = "each test file needs a part of it")]
mod story;

use std::collections::BTreeSet;
use std::time::Duration;

use coordinator_core::event::{Event, FleetEvent};
use model::fleet::{Outlook, PoolPolicy, Precaution};
use model::node::{Availability, DrainCause, Node};
use model::time::Timestamp;

use story::{Story, id, node};

/// Two nodes of a pool and one of none, each with two tasks.
fn fleet(precaution: Precaution) -> Story {
    let mut story = Story::new(&[]);
    let policy = PoolPolicy { precaution, ..PoolPolicy::default() };
    story.hear(&[Event::Fleet(FleetEvent::PutPool { name: "web".to_owned(), policy })]);
    for (name, pool) in [("a", Some("web")), ("b", Some("web")), ("alone", None)] {
        let pool = pool.map(str::to_owned);
        story.hear(&[Event::Joined(Box::new(Node { pool, ..node(name, "z") }))]);
        let digests = (0..6).map(|number| story::specs::image(number).digest().clone());
        let stock = digests.collect::<BTreeSet<_>>().into();
        story.hear(&[Event::Images { node: id(name), stock }]);
    }
    story.run("mail/front", 6);
    story
}

fn says(story: &mut Story, name: &str, outlook: Outlook) {
    story.hear(&[Event::Fleet(FleetEvent::Foreseen { node: id(name), outlook })]);
}

fn at_risk() -> Outlook {
    Outlook { is_at_risk: true, ..Outlook::default() }
}

fn interrupted(story: &Story) -> Outlook {
    let interrupted_at = Some(story.now + Duration::from_secs(120));
    Outlook { interrupted_at, ..Outlook::default() }
}

fn drain(story: &Story, name: &str) -> Option<(DrainCause, Timestamp)> {
    let drain = story.cluster.nodes()[&id(name)].drain?;
    Some((drain.cause, drain.deadline))
}

fn open(story: &mut Story, name: &str) {
    let availability = Availability::Active;
    story.hear(&[Event::SetAvailability { node: id(name), availability }]);
}

#[test]
fn an_agent_is_believed_of_its_own_machine_in_a_pool_or_not() {
    for name in ["a", "alone"] {
        let mut story = fleet(Precaution::Drain);
        assert_eq!(story.wanted_on(name), 2);
        let outlook = interrupted(&story);
        says(&mut story, name, outlook);
        let until = story.now + Duration::from_secs(90);
        assert_eq!(drain(&story, name), Some((DrainCause::Interrupted, until)));
        story.start_all();
        story.pass(20, &["a", "b", "alone"]);
        story.stop_all();
        assert_eq!(story.wanted_on(name), 0, "its tasks run elsewhere");
        // Said again in another session nothing is put off.
        story.now = story.now + Duration::from_secs(10);
        let later = interrupted(&story);
        says(&mut story, name, later);
        assert_eq!(drain(&story, name), Some((DrainCause::Interrupted, until)));
    }
}

#[test]
fn a_machine_at_risk_is_dealt_with_as_its_pool_wants_it() {
    let expected = [
        (Precaution::Drain, true, Availability::Cordoned),
        (Precaution::Close, false, Availability::Cordoned),
        (Precaution::Ignore, false, Availability::Active),
    ];
    for (precaution, is_drained, availability) in expected {
        let mut story = fleet(precaution);
        says(&mut story, "a", at_risk());
        let node = &story.cluster.nodes()[&id("a")];
        assert_eq!((node.is_draining(), node.availability), (is_drained, availability));
        let other = &story.cluster.nodes()[&id("b")];
        assert_eq!(other.availability, Availability::Active, "{precaution:?}");
    }
    let mut story = fleet(Precaution::Drain);
    says(&mut story, "alone", at_risk());
    assert_eq!(drain(&story, "alone"), None, "nobody would launch another");
}

#[test]
fn who_opens_a_machine_at_risk_again_is_not_asked_a_second_time() {
    for precaution in [Precaution::Drain, Precaution::Close] {
        let mut story = fleet(precaution);
        says(&mut story, "a", at_risk());
        open(&mut story, "a");
        // Another session, and the same.
        says(&mut story, "a", at_risk());
        let node = &story.cluster.nodes()[&id("a")];
        assert_eq!((node.is_draining(), node.availability), (false, Availability::Active));
        // What is said after it was over is another warning.
        says(&mut story, "a", Outlook::default());
        says(&mut story, "a", at_risk());
        let node = &story.cluster.nodes()[&id("a")];
        assert_eq!(node.availability, Availability::Cordoned);
    }
}

#[test]
fn maintenance_is_left_alone_until_its_time_comes_near() {
    let mut story = fleet(Precaution::Drain);
    let begins = story.now + Duration::from_secs(14 * 86_400);
    let outlook = Outlook { maintained_at: Some(begins), ..Outlook::default() };
    let near = PoolPolicy::default().drain_within + Duration::from_secs(600);
    says(&mut story, "a", outlook);
    story.now = begins - near - Duration::from_secs(1);
    says(&mut story, "a", outlook);
    assert_eq!(drain(&story, "a"), None);
    story.now = begins - near;
    says(&mut story, "a", outlook);
    let until = story.now + PoolPolicy::default().drain_within;
    assert_eq!(drain(&story, "a"), Some((DrainCause::AtRisk, until)));
}

#[test]
fn a_machine_that_its_group_ends_is_emptied_before_a_letter_comes() {
    let mut story = fleet(Precaution::Ignore);
    says(&mut story, "a", Outlook { is_leaving: true, ..Outlook::default() });
    let until = story.now + PoolPolicy::default().drain_within;
    assert_eq!(drain(&story, "a"), Some((DrainCause::Terminating, until)));
    // And then it is taken back besides.
    let outlook = Outlook { is_leaving: true, ..interrupted(&story) };
    says(&mut story, "a", outlook);
    let until = story.now + Duration::from_secs(90);
    assert_eq!(drain(&story, "a"), Some((DrainCause::Interrupted, until)));
}
