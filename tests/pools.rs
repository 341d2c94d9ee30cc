//! What a coordinator makes of what the cloud says of groups and their machines.

#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

extern crate coordinator_core;

#[allow(dead_code, reason = "each test file needs a part of it")]
mod story;

use std::collections::BTreeSet;
use std::time::Duration;

use coordinator_core::cluster::Cluster;
use coordinator_core::command::{self, Command, Key, Outcome};
use coordinator_core::event::{Event, FleetEvent, PoolRefusal, Refusal, Reply};
use coordinator_core::{Step, invariant, step};
use model::fleet::{
    Answer, Group, HookCall, HookId, HookPhase, Instance, Lifecycle, PoolPolicy, Power, Survey,
    Transition,
};
use model::node::{Availability, DrainCause, Node};
use model::spec::Mode;

use story::{Story, id, node, specs};

const POOL: &str = "web";

fn group() -> Group {
    let name = POOL.to_owned();
    Group { name, max: 10, desired: 2, hooks: command::hooks().to_vec(), ..Group::default() }
}

fn machine(name: &str, lifecycle: Lifecycle) -> Instance {
    Instance {
        id: id(name),
        pool: Some(POOL.to_owned()),
        lifecycle,
        power: Power::Running,
        zone: "z".to_owned(),
        instance_type: Some("m7g.large".to_owned()),
        ami: Some("ami-1".to_owned()),
        template_id: None,
        template_version: None,
        is_spot: true,
        is_protected: false,
    }
}

fn survey(instances: Vec<Instance>) -> Event {
    let groups = vec![group()];
    Event::Fleet(FleetEvent::Surveyed(Box::new(Survey { groups, instances, ..Survey::default() })))
}

fn unknown(names: &[&str]) -> Event {
    let unknown: BTreeSet<_> = names.iter().map(|name| id(name)).collect();
    Event::Fleet(FleetEvent::Surveyed(Box::new(Survey {
        groups: vec![group()],
        unknown,
        ..Survey::default()
    })))
}

fn put(policy: PoolPolicy) -> Event {
    Event::Fleet(FleetEvent::PutPool { name: POOL.to_owned(), policy })
}

fn hook(name: &str, transition: Transition) -> HookId {
    HookId { instance: id(name), transition }
}

fn called(name: &str, transition: Transition) -> Event {
    let token = Some("token".to_owned());
    Event::Fleet(FleetEvent::Hooked(HookCall {
        id: hook(name, transition),
        pool: POOL.to_owned(),
        token,
    }))
}

fn performed(key: Key, outcome: Outcome) -> Event {
    Event::Fleet(FleetEvent::Performed { key, outcome })
}

/// Two nodes of a pool, with two tasks that run.
fn fleet() -> Story {
    let mut story = Story::new(&[("a", "z"), ("b", "z")]);
    story.hear(&[put(PoolPolicy::default())]);
    let both = ["a", "b"].map(|name| machine(name, Lifecycle::InService));
    story.hear(&[survey(both.to_vec())]);
    story.run("mail/front", 2);
    story.pass(20, &["a", "b"]);
    story
}

fn hear(story: &mut Story, events: &[Event]) -> Step {
    let done = step(&mut story.cluster, events, story.now);
    assert_eq!(invariant::check(&story.cluster), Vec::<String>::new());
    done
}

fn commands(story: &Story) -> Vec<Command> {
    command::commands(&story.cluster, story.now)
}

fn answers(story: &Story) -> Vec<(String, Answer)> {
    let answer = |command| match command {
        Command::AnswerHook { hook, answer, .. } => Some((hook.instance.to_string(), answer)),
        _ => None,
    };
    commands(story).into_iter().filter_map(answer).collect()
}

/// What is to move has moved: new tasks run, old ones end.
fn settle(story: &mut Story, heard: &[&str]) {
    for _ in 0..3 {
        story.start_all();
        story.pass(20, heard);
        story.stop_all();
    }
}

fn phase(story: &Story, name: &str, transition: Transition) -> HookPhase {
    story.cluster.hooks()[&hook(name, transition)].phase.clone()
}

#[test]
fn what_the_cloud_says_of_a_machine_counts_more_than_what_it_says_itself() {
    let mut story = fleet();
    let known = story.cluster.nodes()[&id("a")].clone();
    assert_eq!((known.pool.as_deref(), known.ami.as_deref()), (Some(POOL), Some("ami-1")));
    assert_eq!(known.labels["lifecycle"], "spot");
    let liar = Node { pool: Some("admin".to_owned()), zone: "y".to_owned(), ..node("a", "y") };
    story.hear(&[Event::Joined(Box::new(liar))]);
    let known = &story.cluster.nodes()[&id("a")];
    assert_eq!((known.pool.as_deref(), known.zone.as_str()), (Some(POOL), "z"));
}

#[test]
fn a_machine_that_its_group_does_not_name_yet_keeps_its_pool() {
    let mut story = fleet();
    let (pool, zone, lifecycle) = (None, String::new(), Lifecycle::Aside);
    let lone = Instance { pool, zone, ..machine("a", lifecycle) };
    story.hear(&[survey(vec![lone, machine("b", Lifecycle::InService)])]);
    let known = &story.cluster.nodes()[&id("a")];
    assert_eq!((known.pool.as_deref(), known.zone.as_str()), (Some(POOL), "z"));
}

#[test]
fn a_message_that_comes_twice_leads_to_one_answer() {
    let mut story = fleet();
    let leaves = called("a", Transition::Terminating);
    story.hear(&[leaves.clone(), leaves.clone()]);
    assert!(answers(&story).is_empty(), "a task runs there");
    settle(&mut story, &["a", "b"]);
    assert_eq!(answers(&story), [("a".to_owned(), Answer::Continue)]);
    story.hear(&[performed(Key::Answer(hook("a", Transition::Terminating)), Outcome::Done)]);
    story.hear(&[leaves]);
    assert!(answers(&story).is_empty());
    assert!(matches!(phase(&story, "a", Transition::Terminating), HookPhase::Done { .. }));
}

#[test]
fn an_answer_that_did_not_arrive_is_given_again() {
    let mut story = fleet();
    story.hear(&[called("a", Transition::Terminating)]);
    settle(&mut story, &["a", "b"]);
    story.hear(&[performed(Key::Answer(hook("a", Transition::Terminating)), Outcome::Done)]);
    let waits = || {
        survey(vec![machine("a", Lifecycle::TerminatingWaits), machine("b", Lifecycle::InService)])
    };
    story.hear(&[waits()]);
    assert!(answers(&story).is_empty(), "what it shows may be older than the answer");
    story.pass(60, &["a", "b"]);
    story.hear(&[waits()]);
    assert_eq!(answers(&story).len(), 1);
}

#[test]
fn a_request_that_failed_is_made_again_later_and_later() {
    let mut story = fleet();
    story.hear(&[called("a", Transition::Terminating)]);
    settle(&mut story, &["a", "b"]);
    let key = Key::Answer(hook("a", Transition::Terminating));
    for wait in [1, 2, 4, 8, 16, 32, 60, 60] {
        let failed = Outcome::Failed { why: "no answer".to_owned() };
        let done = hear(&mut story, &[performed(key.clone(), failed)]);
        assert!(answers(&story).is_empty(), "not before {wait} s");
        assert!(done.wake_at.is_some_and(|at| at <= story.now + Duration::from_secs(wait)));
        story.now = story.now + Duration::from_secs(wait);
        assert_eq!(answers(&story).len(), 1, "after {wait} s");
    }
}

#[test]
fn a_group_is_given_a_sign_three_times_as_often_as_it_asks_for() {
    let mut story = fleet();
    let beats = |story: &Story| {
        commands(story).iter().filter(|one| matches!(one, Command::Beat { .. })).count()
    };
    let waits = HookPhase::Waiting;
    story.hear(&[called("new", Transition::Launching)]);
    assert_eq!(phase(&story, "new", Transition::Launching), waits);
    assert_eq!(beats(&story), 0, "it has just been called");
    story.pass(290, &["a", "b"]);
    assert_eq!(beats(&story), 0);
    story.pass(10, &["a", "b"]);
    assert_eq!(beats(&story), 1);
    story.hear(&[performed(Key::Beat(hook("new", Transition::Launching)), Outcome::Done)]);
    assert_eq!(beats(&story), 0);
    story.cluster = Cluster::load(&story.cluster.stored(), story.now);
    assert_eq!(beats(&story), 1, "who takes over does not know when the last one was");
}

#[test]
fn a_machine_that_never_was_a_node_may_go_at_once() {
    let mut story = fleet();
    story.hear(&[called("stranger", Transition::Terminating)]);
    assert_eq!(answers(&story), [("stranger".to_owned(), Answer::Continue)]);
}

#[test]
fn an_agent_that_comes_from_a_machine_on_its_way_out_is_given_nothing() {
    let mut story = fleet();
    story.hear(&[called("late", Transition::Terminating)]);
    story.hear(&[Event::Joined(Box::new(node("late", "z")))]);
    let late = &story.cluster.nodes()[&id("late")];
    assert_eq!(late.availability, Availability::Cordoned);
    assert_eq!(late.drain.map(|drain| drain.cause), Some(DrainCause::Terminating));
}

#[test]
fn what_leaves_a_group_can_not_be_kept() {
    let mut story = fleet();
    story.hear(&[called("a", Transition::Terminating)]);
    let open = Event::SetAvailability { node: id("a"), availability: Availability::Active };
    let refused = hear(&mut story, &[open]).replies;
    assert_eq!(refused, [Reply::Refused(Refusal::Pool(PoolRefusal::Leaving(id("a"))))]);
}

#[test]
fn a_machine_that_the_cloud_does_not_know_is_gone_only_when_its_agent_is_silent_too() {
    let mut story = fleet();
    let is_dead =
        |story: &Story| story.cluster.nodes()[&id("a")].availability == Availability::Dead;
    for _ in 0..5 {
        story.hear(&[unknown(&["a", "b"])]);
        story.pass(60, &["a", "b"]);
    }
    assert!(!is_dead(&story), "its agent says that it lives");
    story.hear(&[unknown(&["a"])]);
    story.pass(50, &["b"]);
    story.hear(&[unknown(&["a"])]);
    assert!(!is_dead(&story), "silent for less than a minute");
    story.pass(20, &["b"]);
    story.hear(&[unknown(&["a"])]);
    assert!(is_dead(&story));
    assert_eq!(story.wanted_on("b"), 2);
}

#[test]
fn a_machine_that_was_never_described_is_waited_for_longer() {
    let mut story = fleet();
    let odd = Node { pool: Some(POOL.to_owned()), ..node("odd", "z") };
    story.hear(&[Event::Joined(Box::new(odd))]);
    let is_dead =
        |story: &Story| story.cluster.nodes()[&id("odd")].availability == Availability::Dead;
    for _ in 0..8 {
        story.hear(&[unknown(&["odd"])]);
        story.pass(100, &["a", "b"]);
    }
    assert!(!is_dead(&story));
    story.pass(100, &["a", "b"]);
    story.hear(&[unknown(&["odd"])]);
    assert!(is_dead(&story));
}

#[test]
fn silence_is_no_proof_and_power_is() {
    let mut story = fleet();
    story.pass(120, &["b"]);
    let cases = [
        (Power::Running, false),
        (Power::Stopping, false),
        (Power::Unknown, false),
        (Power::Stopped, true),
    ];
    for (power, is_dead) in cases {
        let machine = Instance { power, ..machine("a", Lifecycle::InService) };
        story.hear(&[survey(vec![machine])]);
        let dead = story.cluster.nodes()[&id("a")].availability == Availability::Dead;
        assert_eq!(dead, is_dead, "{power:?}");
    }
}

#[test]
fn a_group_waits_for_an_answer_about_a_machine_that_ended_by_itself() {
    let mut story = fleet();
    let power = Power::Terminated;
    let ended = Instance { power, ..machine("a", Lifecycle::TerminatingWaits) };
    story.hear(&[survey(vec![ended, machine("b", Lifecycle::InService)])]);
    assert_eq!(story.wanted_on("b"), 2, "it is proven dead");
    assert_eq!(answers(&story), [("a".to_owned(), Answer::Continue)]);
}

#[test]
fn a_machine_that_was_stopped_and_is_started_again_is_a_node_again() {
    let mut story = fleet();
    let powered = |power| Instance { power, ..machine("a", Lifecycle::InService) };
    story.hear(&[survey(vec![powered(Power::Stopped)])]);
    assert_eq!(story.cluster.nodes()[&id("a")].availability, Availability::Dead);
    story.hear(&[Event::Joined(Box::new(node("a", "z")))]);
    assert_eq!(story.cluster.nodes()[&id("a")].availability, Availability::Dead, "who says so");
    story.hear(&[survey(vec![powered(Power::Running)])]);
    story.hear(&[Event::Joined(Box::new(node("a", "z")))]);
    assert_eq!(story.cluster.nodes()[&id("a")].availability, Availability::Active);
}

/// How many machines the group is asked to have, if any.
fn asked_for(story: &Story) -> Option<u32> {
    let to = |command| match command {
        Command::SetDesired { to, .. } => Some(to),
        _ => None,
    };
    commands(story).into_iter().find_map(to)
}

fn growing() -> Story {
    let mut story = fleet();
    story.hear(&[put(PoolPolicy { grows: true, ..PoolPolicy::default() })]);
    story
}

fn deploy(story: &mut Story, mode: Mode, cpu_millis: u64) {
    let mut spec = specs::spec_of(&"ops/plain".parse().unwrap(), 1, 1);
    spec.mode = mode;
    spec.task.containers[0].reservation.cpu_millis = cpu_millis;
    story.hear(&[Event::Deploy { specs: vec![spec], remove: Vec::new(), expect: Vec::new() }]);
}

#[test]
fn what_finds_no_room_on_its_own_node_has_no_machines_launched() {
    let mut story = growing();
    let each = node("a", "z").capacity.cpu_millis;
    deploy(&mut story, Mode::Global, each);
    story.pass(20, &["a", "b"]);
    assert_eq!(asked_for(&story), None, "one more node would not help the others");
    deploy(&mut story, Mode::Replicated { replicas: 2 }, each);
    story.pass(20, &["a", "b"]);
    assert_eq!(asked_for(&story), Some(4), "and these it would");
}

#[test]
fn a_group_that_claims_to_want_billions_of_machines_is_no_burden() {
    let mut story = growing();
    let (desired, max) = (u32::MAX, u32::MAX);
    let groups = vec![Group { desired, max, ..group() }];
    let instances = ["a", "b"].map(|name| machine(name, Lifecycle::InService)).to_vec();
    let survey = Survey { groups, instances, ..Survey::default() };
    story.hear(&[Event::Fleet(FleetEvent::Surveyed(Box::new(survey)))]);
    deploy(&mut story, Mode::Replicated { replicas: 3 }, node("a", "z").capacity.cpu_millis);
    story.pass(20, &["a", "b"]);
    assert_eq!(asked_for(&story), None, "enough are on their way");
}

#[test]
fn hooks_of_others_are_not_answered_and_the_node_is_emptied_all_the_same() {
    let mut story = fleet();
    let foreign = Group { hooks: Vec::new(), ..group() };
    let instances =
        vec![machine("a", Lifecycle::TerminatingWaits), machine("b", Lifecycle::InService)];
    let survey = Survey { groups: vec![foreign], instances, ..Survey::default() };
    story.hear(&[Event::Fleet(FleetEvent::Surveyed(Box::new(survey)))]);
    assert!(story.cluster.hooks().is_empty());
    assert_eq!(story.cluster.draining().count(), 1);
    let asked = commands(&story);
    assert_eq!(asked.len(), 2, "its hooks are set again: {asked:?}");
}

#[test]
fn a_group_of_which_nobody_has_spoken_is_left_alone() {
    let mut story = Story::new(&[("a", "z")]);
    story.hear(&[called("a", Transition::Terminating)]);
    assert!(story.cluster.hooks().is_empty() && commands(&story).is_empty());
    assert_eq!(story.cluster.draining().count(), 0, "anybody can write to a queue");
}

#[test]
fn a_message_that_lies_is_forgotten_once_the_cloud_shows_otherwise() {
    let mut story = fleet();
    let both = || survey(["a", "b"].map(|name| machine(name, Lifecycle::InService)).to_vec());
    story.hear(&[called("a", Transition::Terminating), both()]);
    assert_eq!(story.cluster.draining().count(), 1, "what it shows may be older");
    story.pass(60, &["a", "b"]);
    story.hear(&[both()]);
    assert_eq!(story.cluster.draining().count(), 0);
    assert_eq!(story.cluster.nodes()[&id("a")].availability, Availability::Active);
    assert!(matches!(phase(&story, "a", Transition::Terminating), HookPhase::Done { .. }));
}

#[test]
fn a_message_about_a_node_of_another_pool_or_of_none_is_nothing() {
    let mut story = fleet();
    story.hear(&[Event::Joined(Box::new(node("alone", "z")))]);
    let at = story.now + Duration::from_secs(120);
    let notice = model::fleet::Notice::Interrupted { at };
    story.hear(&[Event::Fleet(FleetEvent::Noticed { node: id("alone"), notice })]);
    let demand = Instance { is_spot: false, ..machine("a", Lifecycle::InService) };
    story.hear(&[survey(vec![demand, machine("b", Lifecycle::InService)])]);
    story.hear(&[Event::Fleet(FleetEvent::Noticed { node: id("a"), notice })]);
    let pool = "other".to_owned();
    story.hear(&[Event::Fleet(FleetEvent::PutPool {
        name: pool.clone(),
        policy: PoolPolicy::default(),
    })]);
    let call = HookCall { id: hook("b", Transition::Terminating), pool, token: None };
    story.hear(&[Event::Fleet(FleetEvent::Hooked(call))]);
    assert_eq!(story.cluster.draining().count(), 0);
}

#[test]
fn a_look_at_one_group_says_nothing_of_another() {
    let mut story = fleet();
    story.hear(&[survey(vec![machine("new", Lifecycle::LaunchingWaits)])]);
    story.pass(120, &["a", "b"]);
    let name = "other".to_owned();
    let other = Group { name, hooks: command::hooks().to_vec(), ..Group::default() };
    let only = Survey { groups: vec![other], ..Survey::default() };
    story.hear(&[Event::Fleet(FleetEvent::Surveyed(Box::new(only)))]);
    assert_eq!(phase(&story, "new", Transition::Launching), HookPhase::Waiting);
    assert!(story.cluster.instance(&id("new")).is_some());
}

#[test]
fn a_pool_that_waits_for_an_answer_is_not_left_to_itself() {
    let mut story = fleet();
    story.hear(&[called("new", Transition::Launching)]);
    let refused =
        hear(&mut story, &[Event::Fleet(FleetEvent::RemovePool(POOL.to_owned()))]).replies;
    assert!(
        matches!(refused.as_slice(), [Reply::Refused(Refusal::Pool(PoolRefusal::Waits(..)))]),
        "{refused:?}"
    );
    let none =
        hear(&mut story, &[Event::Fleet(FleetEvent::RemovePool("other".to_owned()))]).replies;
    assert_eq!(none, [Reply::Refused(Refusal::Pool(PoolRefusal::None("other".to_owned())))]);
}

#[test]
fn nobody_is_waited_for_too_long_or_too_shortly() {
    let mut story = Story::new(&[]);
    for seconds in [0, 29, 48 * 3_600, u64::MAX / 2] {
        let drain_within = Duration::from_secs(seconds);
        let policy = PoolPolicy { drain_within, ..PoolPolicy::default() };
        let refused = hear(&mut story, &[put(policy)]).replies;
        assert_eq!(refused, [Reply::Refused(Refusal::Pool(PoolRefusal::Wait(drain_within)))]);
    }
    assert!(story.cluster.pools().is_empty());
}

#[test]
fn who_takes_over_knows_the_same_and_asks_for_the_same() {
    let mut story = fleet();
    story.hear(&[called("a", Transition::Terminating), called("new", Transition::Launching)]);
    settle(&mut story, &["a", "b"]);
    let before = answers(&story);
    assert_eq!(before.len(), 1);
    story.cluster = Cluster::load(&story.cluster.stored(), story.now);
    story.hear(&[]);
    assert_eq!(answers(&story), before);
}

#[test]
fn dead_nodes_are_forgotten_and_what_they_had_is_given_to_the_next() {
    let mut story = fleet();
    for round in 0..5 {
        let name = format!("m{round}");
        story.hear(&[Event::Joined(Box::new(node(&name, "z")))]);
        let lives = machine(&name, Lifecycle::InService);
        story.hear(&[survey(vec![lives.clone()])]);
        story.hear(&[survey(vec![Instance { power: Power::Terminated, ..lives }])]);
        story.pass(3_600, &["a", "b"]);
        assert!(!story.cluster.nodes().contains_key(&id(&name)));
    }
    assert_eq!(story.cluster.nodes().len(), 2);
    let scale = Event::Scale { service: "mail/front".parse().unwrap(), replicas: 6 };
    story.hear(&[scale]);
    assert_eq!((story.wanted_on("a"), story.wanted_on("b")), (3, 3));
    let again = Cluster::load(&story.cluster.stored(), story.now);
    assert_eq!(again.stored(), story.cluster.stored());
}

#[test]
fn a_machine_at_risk_is_emptied_in_good_order_and_may_be_kept() {
    let mut story = fleet();
    let notice = model::fleet::Notice::AtRisk;
    story.hear(&[Event::Fleet(FleetEvent::Noticed { node: id("a"), notice })]);
    assert_eq!(story.cluster.draining().count(), 1);
    let open = Event::SetAvailability { node: id("a"), availability: Availability::Active };
    story.hear(&[open]);
    assert_eq!(story.cluster.draining().count(), 0);
}

/// F25 of the fault plan: a drain that its budget never allows, whose replacement never serves, on a machine whose agent is dead.
#[test]
fn f25_a_drain_that_can_not_be_done_is_forced_at_its_deadline_and_its_hook_answered_once() {
    let mut story = fleet();
    let within = PoolPolicy::default().drain_within.as_secs();
    story.hear(&[called("a", Transition::Terminating)]);
    // Nothing is ever started again.
    story.pass(within - 10, &["a", "b"]);
    assert_eq!(story.wanted_on("a"), 1, "what serves is not stopped for the sake of a drain");
    assert!(answers(&story).is_empty());
    // And nothing more is heard of the machine.
    story.pass(20, &["b"]);
    assert_eq!(story.wanted_on("a"), 0, "the deadline has passed");
    assert!(answers(&story).is_empty(), "what was stopped by force has its grace");
    story.pass(60, &["b"]);
    assert_eq!(answers(&story), [("a".to_owned(), Answer::Continue)]);
    let key = Key::Answer(hook("a", Transition::Terminating));
    story.hear(&[performed(key, Outcome::Done)]);
    story.hear(&[called("a", Transition::Terminating)]);
    story.pass(600, &["b"]);
    assert!(answers(&story).is_empty(), "it was answered");
}

/// F26 of the fault plan: fifty times, in another order, hours late, before the node joins, of a stranger, and of what is gone.
#[test]
fn f26_however_often_and_when_a_hook_is_told_it_is_one_drain_and_one_answer() {
    let mut story = fleet();
    let leaves = called("a", Transition::Terminating);
    let mut since = None;
    for round in 0..50 {
        // That it was launched is told after that it ends.
        story.hear(&[leaves.clone(), called("a", Transition::Launching), leaves.clone()]);
        let drain = story.cluster.nodes()[&id("a")].drain.expect("it is being emptied");
        let began = (drain.since, drain.deadline);
        assert_eq!(*since.get_or_insert(began), began, "one drain, in round {round}");
        story.now = story.now + Duration::from_secs(1);
    }
    settle(&mut story, &["a", "b"]);
    let of_drain = |story: &Story| {
        let told = answers(story).into_iter();
        told.filter(|(_, answer)| *answer == Answer::Continue).count()
    };
    assert!(of_drain(&story) >= 1);
    for transition in [Transition::Terminating, Transition::Launching] {
        story.hear(&[performed(Key::Answer(hook("a", transition)), Outcome::Done)]);
    }
    assert_eq!(of_drain(&story), 0);
    // Two hours less a minute late: it is remembered for so long.
    story.hear(&[survey(vec![machine("b", Lifecycle::InService)])]);
    for _ in 0..3 {
        story.pass(2_300, &["b"]);
        story.hear(std::slice::from_ref(&leaves));
        assert_eq!(of_drain(&story), 0, "it was answered");
    }
    // Of a machine that was never a node, and of one that is gone.
    story.hear(&[called("stranger", Transition::Terminating)]);
    assert_eq!(answers(&story), [("stranger".to_owned(), Answer::Continue)]);
    story.hear(&[Event::Died(id("b")), called("b", Transition::Terminating)]);
    let told: Vec<String> = answers(&story).into_iter().map(|(instance, _)| instance).collect();
    assert!(told.contains(&"b".to_owned()), "{told:?}: nothing runs there any more");
    // One that is told of before it joins is given nothing.
    story.hear(&[called("early", Transition::Terminating)]);
    story.hear(&[Event::Joined(Box::new(node("early", "z")))]);
    assert_eq!(story.cluster.nodes()[&id("early")].availability, Availability::Cordoned);
}
