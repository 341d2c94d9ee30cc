//! Jobs: runs of tasks that end, by deployment and by order.

#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

extern crate coordinator_core;

#[allow(dead_code, reason = "each test file needs a part of it")]
mod story;
#[allow(dead_code, reason = "each test file needs a part of it")]
#[path = "jobs/told.rs"]
mod told;

use std::sync::Arc;
use std::time::Duration;

use coordinator_core::event::{Event, JobOrder, Refusal, Reply};
use coordinator_core::{step, view};
use model::id::Slot;
use model::job::{Completions, Job, RunCause, RunVerdict};
use model::node::DrainCause;
use model::service::ServicePhase;
use model::spec::{Dependency, DependencyCondition, Mode};
use model::task::{DesiredState, FailureKind, StopCause, Task, TaskState};

use story::{Story, id, specs};
use told::*;

#[test]
fn a_job_runs_until_so_many_have_completed_and_never_more_at_once() {
    let mut story = Story::new(&TWO);
    deploy(&mut story, &spec(0, TERMS));
    assert_eq!(slots(&story), ["r1-1", "r1-2"]);
    assert!(matches!(service(&story).phase, ServicePhase::Rolling { .. }));
    end(&mut story, TaskState::Completed);
    assert_eq!(slots(&story), ["r1-2", "r1-3"]);
    end(&mut story, TaskState::Completed);
    assert_eq!(slots(&story), ["r1-3"], "none is left that has not begun");
    end(&mut story, TaskState::Completed);
    assert_eq!((service(&story).phase.clone(), slots(&story).len()), (ServicePhase::Steady, 0));
    assert_eq!(
        (verdicts(&story), runs(&story).past[0].completed),
        (vec![RunVerdict::Succeeded], 3)
    );
    // Steady is steady: nothing begins again, whatever time passes and whoever leads.
    absence(&mut story, 4_000);
    deploy(&mut story, &spec(0, TERMS));
    assert_eq!((slots(&story).len(), runs(&story).last), (0, 1));
    deploy(&mut story, &spec(1, TERMS));
    assert_eq!(slots(&story), ["r2-1", "r2-2"], "a new template runs");
}

#[test]
fn a_slot_is_tried_again_after_waits_that_double_and_then_the_run_has_failed() {
    let mut story = Story::new(&TWO);
    let one = Job { retries: 2, completions: Completions::Count(1), ..TERMS };
    deploy(&mut story, &spec(0, one));
    for (failures, wait) in [(1, 10), (2, 20)] {
        end(&mut story, failed());
        assert_eq!(slots(&story).len(), 0, "it waits");
        story.pass(wait - 10, &ALL);
        assert_eq!(slots(&story).len(), 0, "not long enough");
        story.pass(10, &ALL);
        assert_eq!((slots(&story), live(&story)[0].failures), (vec!["r1-1".to_owned()], failures));
    }
    end(&mut story, failed());
    let ServicePhase::Halted { reason, .. } = &service(&story).phase else { panic!("it goes on") };
    assert!(reason.contains("run 1 failed: slot 1 failed 3 times"), "{reason}");
    story.pass(1_000, &ALL);
    assert_eq!(slots(&story).len(), 0);
    // The operator deploys the same again: that is a new run.
    deploy(&mut story, &spec(0, one));
    assert_eq!(slots(&story), ["r2-1"]);
}

#[test]
fn what_fails_in_a_run_takes_the_others_along() {
    let mut story = Story::new(&TWO);
    deploy(&mut story, &spec(0, Job { retries: 0, ..TERMS }));
    end(&mut story, failed());
    let other = live(&story).remove(0);
    assert_eq!(other.desired, DesiredState::stop(StopCause::RunOver));
    assert!(matches!(service(&story).phase, ServicePhase::Halted { .. }));
    assert_eq!(slots(&story), ["r1-2"], "nothing new begins");
}

/// A retry is for what the application did.
#[test]
fn what_a_node_or_a_registry_could_not_do_costs_no_retry() {
    let mut story = Story::new(&TWO);
    deploy(&mut story, &spec(0, Job { retries: 0, completions: Completions::Count(1), ..TERMS }));
    for kind in [FailureKind::Host, FailureKind::Image] {
        end(&mut story, TaskState::Failed { kind, reason: String::new() });
        story.pass(20, &ALL);
        assert_eq!((slots(&story).len(), live(&story)[0].failures), (1, 0));
    }
    let node = live(&story)[0].node.clone().unwrap();
    story.hear(&[Event::Died(node.clone())]);
    let next = live(&story).remove(0);
    assert_eq!((next.failures, runs(&story).last), (0, 1));
    assert_ne!(next.node, Some(node));
    complete_all(&mut story);
    assert_eq!(verdicts(&story), [RunVerdict::Succeeded]);
}

#[test]
fn a_silent_node_is_waited_for_and_its_task_not_doubled() {
    let mut story = Story::new(&[("a", "z"), ("b", "z"), ("c", "z")]);
    deploy(&mut story, &spec(0, Job { completions: Completions::Count(1), ..TERMS }));
    let task = live(&story).remove(0);
    let silent = task.node.clone().unwrap().to_string();
    let others: Vec<&str> = ["a", "b", "c"].into_iter().filter(|name| *name != silent).collect();
    story.pass(3_000, &others);
    assert_eq!((live(&story).len(), runs(&story).active.len()), (1, 1));
    // It comes back, and the job was done there.
    report(&mut story, &task, TaskState::Completed);
    assert_eq!(verdicts(&story), [RunVerdict::Succeeded]);
}

#[test]
fn a_run_that_takes_longer_than_its_deadline_has_failed() {
    let mut story = Story::new(&TWO);
    deploy(&mut story, &spec(0, Job { deadline: Some(Duration::from_secs(60)), ..TERMS }));
    story.start_all();
    story.pass(50, &ALL);
    assert_eq!(runs(&story).active.len(), 1);
    let done = step(&mut story.cluster.clone(), &[], story.now);
    assert_eq!(done.wake_at, Some(runs(&story).active[0].started_at + Duration::from_secs(60)));
    story.pass(10, &ALL);
    let reason = "it was not done within its deadline of 60 s".to_owned();
    assert_eq!(verdicts(&story), [RunVerdict::Failed { reason }]);
    assert!(live(&story).iter().all(|task| task.desired != DesiredState::Run));
    story.stop_all();
    // What was told to stop has not completed its slot, whatever it says.
    assert_eq!((live(&story).len(), runs(&story).past[0].completed), (0, 0));
}

#[test]
fn a_deadline_passes_also_while_nobody_leads() {
    let mut story = Story::new(&TWO);
    deploy(&mut story, &spec(0, Job { deadline: Some(Duration::from_secs(60)), ..TERMS }));
    absence(&mut story, 3_600);
    assert!(matches!(verdicts(&story)[..], [RunVerdict::Failed { .. }]));
}

#[test]
fn a_job_on_every_node_runs_once_on_each() {
    let mut story = Story::new(&TWO);
    let mut job = spec(0, Job { completions: Completions::EveryNode, parallelism: 9, ..TERMS });
    job.task.constraints.push("node.id != c".parse().unwrap());
    deploy(&mut story, &job);
    assert_eq!(slots(&story), ["r1-a", "r1-b"]);
    end(&mut story, TaskState::Completed);
    // One that joins is part of it, one that it may not use is not, and one that is gone is no more.
    story.hear(&[Event::Joined(Box::new(story::node("d", "z")))]);
    story.hear(&[Event::Joined(Box::new(story::node("c", "z")))]);
    assert_eq!(slots(&story), ["r1-b", "r1-d"]);
    story.hear(&[Event::Died(id("b"))]);
    assert_eq!(slots(&story), ["r1-d"]);
    end(&mut story, TaskState::Completed);
    assert_eq!(
        (verdicts(&story), service(&story).phase.clone()),
        (vec![RunVerdict::Succeeded], ServicePhase::Steady)
    );
    story.hear(&[Event::Joined(Box::new(story::node("e", "z")))]);
    assert_eq!(slots(&story).len(), 0, "the run is over");
}

#[test]
fn without_a_node_nothing_has_succeeded() {
    let mut story = Story::new(&[]);
    deploy(&mut story, &spec(0, Job { completions: Completions::EveryNode, ..TERMS }));
    story.pass(100, &[]);
    assert_eq!((runs(&story).active.len(), verdicts(&story).len()), (1, 0));
}

#[test]
fn a_new_template_replaces_the_run_and_waits_until_nothing_of_it_runs() {
    let mut story = Story::new(&TWO);
    deploy(&mut story, &spec(0, TERMS));
    story.start_all();
    deploy(&mut story, &spec(1, TERMS));
    assert_eq!(verdicts(&story), [RunVerdict::Replaced]);
    assert_eq!(slots(&story), ["r1-1", "r1-2"], "of the new one nothing yet");
    let waits = view::job_progress(&story.cluster, &service(&story)).unwrap().waits_for.unwrap();
    assert!(waits.contains("ops.import.r1-1.") && waits.contains("before run 2"), "{waits}");
    story.stop_all();
    assert_eq!(slots(&story), ["r2-1", "r2-2"]);
}

/// Only its terms have changed.
#[test]
fn what_is_in_progress_goes_on_with_new_terms() {
    let mut story = Story::new(&TWO);
    deploy(&mut story, &spec(0, TERMS));
    deploy(&mut story, &spec(0, Job { parallelism: 3, ..TERMS }));
    assert_eq!((slots(&story).len(), runs(&story).last), (3, 1));
    deploy(&mut story, &spec(0, Job { parallelism: 1, ..TERMS }));
    end(&mut story, TaskState::Completed);
    assert_eq!(slots(&story).len(), 2, "none is stopped for it");
    complete_all(&mut story);
    assert_eq!(service(&story).phase, ServicePhase::Steady);
}

#[test]
fn a_drain_lets_a_job_finish_and_what_it_forces_is_done_again_without_costing_a_retry() {
    let mut story = Story::new(&TWO);
    let one = Job { completions: Completions::Count(1), retries: 0, ..TERMS };
    deploy(&mut story, &spec(0, one));
    story.start_all();
    let task = live(&story).remove(0);
    let node = task.node.clone().unwrap();
    let (within, cause) = (Duration::from_secs(60), DrainCause::Operator);
    story.hear(&[Event::Drain { nodes: vec![node.clone()], within, cause }]);
    story.pass(50, &ALL);
    assert_eq!(live(&story)[0].desired, DesiredState::Run);
    story.pass(10, &ALL);
    assert_eq!(live(&story)[0].desired, DesiredState::stop(StopCause::Drain));
    story.stop_all();
    let next = live(&story).remove(0);
    assert_eq!((next.failures, next.slot == task.slot), (0, true));
    assert_ne!(next.node, Some(node));
    complete_all(&mut story);
    assert_eq!(verdicts(&story), [RunVerdict::Succeeded]);
}

#[test]
fn what_depends_on_a_job_waits_for_the_run_of_its_present_template() {
    let mut story = Story::new(&TWO);
    let waiting = |image| {
        let mut spec = specs::spec_of(&"ops/front".parse().unwrap(), image, 1);
        let condition = DependencyCondition::Completed;
        spec.after = vec![Dependency { on: "import".parse().unwrap(), condition }];
        spec.task.constraints.clear();
        spec
    };
    let front = |story: &Story, image: u32| {
        let id = "ops/front".parse().unwrap();
        let tasks = story.cluster.tasks_of(&id);
        let of = |task: &&Arc<Task>| {
            specs::number_of(&task.generation.spec.task.containers[0].image) == image
        };
        tasks.filter(of).count()
    };
    let both = |image| vec![spec(image, TERMS), waiting(image)];
    story.hear(&[Event::Deploy { specs: both(0), remove: Vec::new(), expect: Vec::new() }]);
    assert_eq!(front(&story, 0), 0);
    complete_all(&mut story);
    assert_eq!(front(&story, 0), 1);
    story.start_all();
    story.pass(10, &ALL);
    story.hear(&[Event::Deploy { specs: both(1), remove: Vec::new(), expect: Vec::new() }]);
    assert_eq!(front(&story, 1), 0, "what the last one did is not enough");
    complete_all(&mut story);
    assert_eq!(front(&story, 1), 1);
}

#[test]
fn operators_run_and_stop_jobs_and_are_told_what_can_not_be() {
    let mut story = Story::new(&TWO);
    deploy(&mut story, &spec(0, TERMS));
    let name = service(&story).id.clone();
    assert_eq!(
        order(&mut story, JobOrder::Run),
        Reply::Refused(Refusal::RunInProgress(name.clone(), 1))
    );
    assert_eq!(order(&mut story, JobOrder::Stop), Reply::Run { number: 1 });
    assert!(matches!(service(&story).phase, ServicePhase::Halted { .. }));
    assert_eq!(order(&mut story, JobOrder::Stop), Reply::Refused(Refusal::NoRun(name.clone())));
    assert_eq!(order(&mut story, JobOrder::Suspend), Reply::Refused(Refusal::NoSchedule(name)));
    assert_eq!(order(&mut story, JobOrder::Run), Reply::Run { number: 2 });
    assert!(matches!(service(&story).phase, ServicePhase::Rolling { .. }));
    complete_all(&mut story);
    assert_eq!(verdicts(&story), [RunVerdict::Stopped, RunVerdict::Succeeded]);
    assert_eq!(service(&story).phase, ServicePhase::Steady);
    story.hear(&[Event::Restart(service(&story).id.clone())]);
    assert_eq!(
        (slots(&story), runs(&story).active[0].cause),
        (vec!["r3-1".to_owned(), "r3-2".to_owned()], RunCause::Asked)
    );
    story.run("shop/db", 1);
    let event = Event::Job { service: "shop/db".parse().unwrap(), order: JobOrder::Run };
    let reply = step(&mut story.cluster, &[event], story.now).replies.remove(0);
    assert_eq!(reply, Reply::Refused(Refusal::NotJob("shop/db".parse().unwrap())));
}

#[test]
fn a_job_that_is_removed_takes_its_runs_along() {
    let mut story = Story::new(&TWO);
    deploy(&mut story, &spec(0, TERMS));
    end(&mut story, TaskState::Completed);
    let name = service(&story).id.clone();
    story.hear(&[Event::Remove(name.clone())]);
    story.stop_all();
    assert!(!story.cluster.services().contains_key(&name));
    assert_eq!(story.cluster.tasks_of(&name).count(), 0);
}

#[test]
fn a_service_becomes_a_job_and_a_job_a_service() {
    let mut story = Story::new(&TWO);
    let mut web = spec(0, TERMS);
    web.mode = Mode::Replicated { replicas: 2 };
    deploy(&mut story, &web);
    story.start_all();
    deploy(&mut story, &spec(0, TERMS));
    assert_eq!(slots(&story), ["1", "2"], "what served has to end first");
    story.stop_all();
    assert_eq!(slots(&story), ["r1-1", "r1-2"]);
    assert_eq!(story.cluster.tasks().len(), 2, "what it was before is forgotten");
    deploy(&mut story, &web);
    story.start_all();
    story.stop_all();
    assert_eq!(slots(&story), ["1", "2"]);
    story.pass(20, &ALL);
    let ended = story.cluster.tasks().values().filter(|task| task.slot.run().is_some());
    assert_eq!(
        (ended.count(), runs(&story).last, service(&story).phase.clone()),
        (0, 1, ServicePhase::Steady)
    );
}

/// A hundred at a time are written down, and their tasks forgotten.
#[test]
fn a_large_job_is_not_remembered_slot_by_slot() {
    let mut story = Story::new(&TWO);
    deploy(
        &mut story,
        &spec(0, Job { completions: Completions::Count(450), parallelism: 20, ..TERMS }),
    );
    let (mut most, mut seen) = (0, std::collections::BTreeSet::new());
    while !live(&story).is_empty() {
        for task in live(&story) {
            let Slot::RunReplica { number, .. } = task.slot else { panic!("{}", task.slot) };
            assert!(seen.insert(number), "slot {number} runs twice");
            report(&mut story, &task, TaskState::Completed);
        }
        most = most.max(story.cluster.tasks().len());
    }
    assert_eq!((seen.len(), verdicts(&story)), (450, vec![RunVerdict::Succeeded]));
    assert!(most < 180, "{most} tasks were remembered");
    assert_eq!(story.cluster.tasks().len(), 10);
}
