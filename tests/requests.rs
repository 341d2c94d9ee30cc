//! Requests are taken as a whole or not at all.
#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

extern crate coordinator_core;

#[allow(dead_code, reason = "each test file needs a part of it")]
mod story;

use coordinator_core::event::{Event, Refusal, Reply};
use coordinator_core::step;
use model::id::ServiceId;
use model::spec::{Dependency, DependencyCondition, ServiceSpec};

use story::{Story, specs};

/// A service that waits for these.
fn spec(name: &str, after: &[&str]) -> ServiceSpec {
    let wait = |on: &&str| {
        let condition = DependencyCondition::Started;
        Dependency { on: on.parse().unwrap(), condition }
    };
    let id: ServiceId = format!("chain/{name}").parse().unwrap();
    ServiceSpec { after: after.iter().map(wait).collect(), ..specs::spec_of(&id, 0, 1) }
}

fn deploy(story: &mut Story, specs: Vec<ServiceSpec>) -> Reply {
    let event = Event::Deploy { specs, remove: Vec::new(), expect: Vec::new() };
    step(&mut story.cluster, &[event], story.now).replies.remove(0)
}

#[test]
fn services_that_wait_for_each_other_are_refused_with_their_circle() {
    let mut story = Story::new(&[]);
    let circle = vec![spec("x", &["a"]), spec("a", &["b"]), spec("b", &["c"]), spec("c", &["a"])];
    let refused = deploy(&mut story, circle);
    let Reply::Refused(Refusal::DependencyCycle(cycle)) = refused else { panic!("{refused:?}") };
    let names: Vec<String> = cycle.iter().map(|id| id.name.to_string()).collect();
    assert_eq!(names, ["a", "b", "c", "a"]);
    assert!(story.cluster.services().is_empty(), "nothing was changed");
    let diamond =
        vec![spec("a", &["b", "c"]), spec("b", &["d"]), spec("c", &["d"]), spec("d", &[])];
    assert!(matches!(deploy(&mut story, diamond), Reply::Deployed(_)));
}

#[test]
fn a_row_of_services_may_be_longer_than_a_stack_is_deep() {
    let mut story = Story::new(&[]);
    let names: Vec<String> = (0..20_000).map(|number| format!("s{number}")).collect();
    let mut specs = vec![spec(&names[0], &[])];
    specs.extend(names.windows(2).map(|pair| spec(&pair[1], &[&pair[0]])));
    specs.reverse();
    assert!(matches!(deploy(&mut story, specs), Reply::Deployed(_)));
}

#[test]
fn what_waits_for_something_that_is_not_there_is_refused() {
    let mut story = Story::new(&[]);
    let refused = deploy(&mut story, vec![spec("a", &["b"])]);
    assert!(matches!(refused, Reply::Refused(Refusal::NoDependency { .. })), "{refused:?}");
    let twice = deploy(&mut story, vec![spec("a", &[]), spec("a", &[])]);
    assert!(matches!(twice, Reply::Refused(Refusal::NamedTwice(_))), "{twice:?}");
}

#[test]
fn what_somebody_has_planned_is_refused_when_somebody_else_was_faster() {
    let mut story = Story::new(&[]);
    let with = |image: u32| ServiceSpec {
        task: specs::spec_of(&"chain/a".parse().unwrap(), image, 1).task,
        ..spec("a", &[])
    };
    let id: ServiceId = "chain/a".parse().unwrap();
    let mut deploy = |image: u32, expected: u64| {
        let (specs, expect) = (vec![with(image), spec("b", &[])], vec![(id.clone(), expected)]);
        let event = Event::Deploy { specs, remove: Vec::new(), expect };
        step(&mut story.cluster, &[event], story.now).replies.remove(0)
    };
    let numbers = |reply: Reply| match reply {
        Reply::Deployed(numbers) => numbers.into_iter().map(|(_, number)| number).collect(),
        _ => Vec::new(),
    };
    let overtaken = |expected, would_be| {
        let service: ServiceId = "chain/a".parse().unwrap();
        Reply::Refused(Refusal::Overtaken { service, expected, would_be: Some(would_be) })
    };
    assert_eq!(deploy(1, 2), overtaken(2, 1), "it is not there yet");
    assert_eq!(numbers(deploy(1, 1)), [1, 1]);
    assert_eq!(numbers(deploy(1, 1)), [1, 1], "it is as it was planned to be");
    assert_eq!(numbers(deploy(2, 2)), [2, 1]);
    assert_eq!(deploy(3, 2), overtaken(2, 3), "planned beside the one before, which was faster");
    assert_eq!(deploy(1, 1), overtaken(1, 3), "what was there is not there any more");
    let unnamed = Event::Deploy {
        specs: vec![spec("b", &[])],
        remove: Vec::new(),
        expect: vec![("chain/a".parse().unwrap(), 2)],
    };
    let refused = step(&mut story.cluster, &[unnamed], story.now).replies.remove(0);
    assert!(matches!(refused, Reply::Refused(Refusal::Overtaken { would_be: None, .. })));
}
