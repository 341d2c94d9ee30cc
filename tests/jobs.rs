//! Jobs: runs of tasks that end, by deployment, by schedule and by order.

#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

extern crate coordinator_core;

#[allow(dead_code, reason = "each test file needs a part of it")]
mod story;

use std::sync::Arc;
use std::time::Duration;

use coordinator_core::cluster::Cluster;
use coordinator_core::event::{Event, JobOrder, Refusal, Reply, Report};
use coordinator_core::view;
use coordinator_core::{invariant, step};
use model::id::Slot;
use model::job::{Completions, Job, Keep, RunCause, RunVerdict, Runs};
use model::node::DrainCause;
use model::schedule::{CatchUp, Overlap, Schedule, Zone};
use model::service::{Service, ServicePhase};
use model::spec::{Dependency, DependencyCondition, Mode, ServiceSpec};
use model::task::{DesiredState, FailureKind, StopCause, Task, TaskState};
use model::time::Timestamp;

use story::{Story, id, specs};

const TWO: [(&str, &str); 2] = [("a", "z"), ("b", "z")];
const ALL: [&str; 2] = ["a", "b"];

const TERMS: Job = Job {
    completions: Completions::Count(3),
    parallelism: 2,
    retries: 1,
    backoff: Duration::from_secs(10),
    deadline: None,
    keep: Keep { succeeded: 2, failed: 2 },
};

fn spec(image: u32, job: Job) -> ServiceSpec {
    let mut spec = specs::spec_of(&"ops/import".parse().unwrap(), image, 1);
    (spec.mode, spec.task.constraints) = (Mode::Job(job), Vec::new());
    spec
}

fn scheduled(text: &str, overlap: Overlap, catch_up: CatchUp) -> ServiceSpec {
    let recurrence = text.parse().unwrap();
    let schedule = Schedule { recurrence, zone: Zone::utc(), overlap, catch_up };
    let job = Job { completions: Completions::Count(1), ..TERMS };
    ServiceSpec { schedule: Some(schedule), ..spec(0, job) }
}

const WITHIN: Duration = Duration::from_secs(24 * 3_600);

fn deploy(story: &mut Story, spec: &ServiceSpec) {
    story.hear(&[Event::Deploy { specs: vec![spec.clone()], remove: Vec::new() }]);
}

fn service(story: &Story) -> Arc<Service> {
    Arc::clone(&story.cluster.services()[&"ops/import".parse().unwrap()])
}

fn runs(story: &Story) -> Runs {
    service(story).runs.clone()
}

/// The tasks that may still run, by slot and then by age.
fn live(story: &Story) -> Vec<Arc<Task>> {
    let id = service(story).id.clone();
    let tasks = story.cluster.tasks_of(&id);
    tasks.filter(|task| !task.state.is_final()).cloned().collect()
}

fn slots(story: &Story) -> Vec<String> {
    live(story).iter().map(|task| task.slot.to_string()).collect()
}

fn report(story: &mut Story, task: &Task, state: TaskState) {
    let (note, containers) = (String::new(), Vec::new());
    let said = Report { task: task.id.clone(), state, restarts: 0, note, containers };
    let node = task.node.clone().unwrap();
    story.hear(&[Event::Reported { node, tasks: vec![said], is_complete: false }]);
}

fn failed() -> TaskState {
    TaskState::Failed { kind: FailureKind::Application, reason: "exit code 1".to_owned() }
}

/// The first live task ends like this.
fn end(story: &mut Story, state: TaskState) {
    let task = live(story).remove(0);
    report(story, &task, state);
}

/// Everything that runs completes, until nothing does.
fn complete_all(story: &mut Story) {
    for _ in 0..1_000 {
        let live = live(story);
        if live.is_empty() {
            return;
        }
        live.iter().for_each(|task| report(story, task, TaskState::Completed));
    }
    panic!("it does not end");
}

fn order(story: &mut Story, order: JobOrder) -> Reply {
    let event = Event::Job { service: service(story).id.clone(), order };
    let reply = step(&mut story.cluster, &[event], story.now).replies.remove(0);
    assert_eq!(invariant::check(&story.cluster), Vec::<String>::new());
    reply
}

fn verdicts(story: &Story) -> Vec<RunVerdict> {
    runs(story).past.into_iter().map(|run| run.verdict).collect()
}

/// The times for which there are runs, in seconds since the story began.
fn due(story: &Story, since: Timestamp) -> Vec<u64> {
    let runs = runs(story);
    let causes = runs.past.iter().map(|run| run.cause);
    let causes = causes.chain(runs.active.iter().map(|run| run.cause));
    let at = |cause| match cause {
        RunCause::Due(at) => Some(at.since(since).as_secs()),
        RunCause::Deployed | RunCause::Asked => None,
    };
    causes.filter_map(at).collect()
}

/// Nobody looks for so long: the coordinator is away, and another one takes over.
fn absence(story: &mut Story, seconds: u64) {
    story.now = story.now + Duration::from_secs(seconds);
    story.cluster = Cluster::load(&story.cluster.stored(), story.now);
    story.hear(&[]);
}

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
    let ServicePhase::Halted { reason } = &service(&story).phase else { panic!("it goes on") };
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
    assert_eq!(other.desired, DesiredState::Stop { cause: StopCause::RunOver });
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
    story.hear(&[Event::Drain { node: node.clone(), within, cause }]);
    story.pass(50, &ALL);
    assert_eq!(live(&story)[0].desired, DesiredState::Run);
    story.pass(10, &ALL);
    assert_eq!(live(&story)[0].desired, DesiredState::Stop { cause: StopCause::Drain });
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
    story.hear(&[Event::Deploy { specs: both(0), remove: Vec::new() }]);
    assert_eq!(front(&story, 0), 0);
    complete_all(&mut story);
    assert_eq!(front(&story, 0), 1);
    story.start_all();
    story.pass(10, &ALL);
    story.hear(&[Event::Deploy { specs: both(1), remove: Vec::new() }]);
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

#[test]
fn a_schedule_begins_a_run_at_each_of_its_times_and_remembers_few() {
    let mut story = Story::new(&TWO);
    let begin = story.now;
    deploy(
        &mut story,
        &scheduled("*/5 * * * *", Overlap::Forbid, CatchUp::Last { within: WITHIN }),
    );
    assert_eq!((service(&story).phase.clone(), slots(&story).len()), (ServicePhase::Steady, 0));
    let done = step(&mut story.cluster.clone(), &[], story.now);
    assert!(done.wake_at.is_some_and(|at| at <= begin + Duration::from_secs(300)));
    for hour in 1..=3 {
        for _ in 0..12 {
            story.pass(300, &ALL);
            assert_eq!(slots(&story).len(), 1);
            complete_all(&mut story);
        }
        assert_eq!(runs(&story).last, hour * 12);
        assert_eq!(due(&story, begin), [hour * 3_600 - 300, hour * 3_600]);
    }
    assert_eq!(story.cluster.tasks().len(), 2, "those of two runs are remembered");
}

#[test]
fn a_time_that_comes_during_a_run_is_skipped_or_runs_beside_it_or_instead() {
    for (overlap, active, past) in [
        (Overlap::Forbid, vec![1], vec![]),
        (Overlap::Allow, vec![1, 2, 3], vec![]),
        (Overlap::Replace, vec![3], vec![RunVerdict::Replaced, RunVerdict::Replaced]),
    ] {
        let mut story = Story::new(&TWO);
        deploy(&mut story, &scheduled("@every 1m", overlap, CatchUp::None));
        for _ in 0..3 {
            story.pass(60, &ALL);
            story.start_all();
            story.stop_all();
        }
        let numbers: Vec<u64> = runs(&story).active.iter().map(|run| run.number).collect();
        assert_eq!((numbers, verdicts(&story)), (active, past), "{overlap}");
        assert_eq!(runs(&story).skipped, if overlap == Overlap::Forbid { 2 } else { 0 });
    }
}

/// Not even for a moment.
#[test]
fn a_run_that_takes_the_place_of_another_waits_for_its_end() {
    let mut story = Story::new(&TWO);
    deploy(&mut story, &scheduled("@every 1m", Overlap::Replace, CatchUp::None));
    story.pass(60, &ALL);
    story.start_all();
    story.pass(60, &ALL);
    assert_eq!(slots(&story), ["r1-1"]);
    story.pass(50, &ALL);
    assert_eq!(slots(&story), ["r1-1"], "it is still stopping");
    story.stop_all();
    assert_eq!(slots(&story), ["r2-1"]);
}

#[test]
fn runs_side_by_side_are_bounded() {
    let mut story = Story::new(&TWO);
    deploy(&mut story, &scheduled("@every 1m", Overlap::Allow, CatchUp::None));
    story.pass(60 * 15, &ALL);
    assert_eq!((runs(&story).active.len(), slots(&story).len(), runs(&story).skipped), (10, 10, 5));
}

#[test]
fn what_was_missed_is_skipped_or_caught_up_as_the_schedule_says() {
    for (catch_up, expected) in [
        (CatchUp::None, vec![]),
        (CatchUp::Last { within: WITHIN }, vec![3_600]),
        (CatchUp::All { within: WITHIN }, vec![600, 1_200, 1_800, 2_400, 3_000, 3_600]),
        (CatchUp::All { within: Duration::from_secs(1_300) }, vec![3_000, 3_600]),
        (CatchUp::Last { within: Duration::from_secs(60) }, vec![]),
    ] {
        let mut story = Story::new(&TWO);
        let begin = story.now;
        let mut spec = scheduled("*/10 * * * *", Overlap::Forbid, catch_up);
        let Mode::Job(job) = &mut spec.mode else { panic!("it is a job") };
        job.keep = Keep { succeeded: 50, failed: 50 };
        deploy(&mut story, &spec);
        absence(&mut story, 3_900);
        story.hear(&ALL.map(|node| Event::Heard {
            node: id(node),
            engine: coordinator_core::event::EngineState::Ready,
        }));
        assert!(runs(&story).active.len() <= 1, "one after the other");
        complete_all(&mut story);
        assert_eq!(due(&story, begin), expected, "{catch_up}");
        // From there on everything is as usual.
        story.pass(300, &ALL);
        assert_eq!(due(&story, begin).last(), Some(&4_200));
    }
}

#[test]
fn what_is_due_as_a_coordinator_takes_over_is_on_time() {
    let mut story = Story::new(&TWO);
    let begin = story.now;
    deploy(&mut story, &scheduled("@every 10m", Overlap::Forbid, CatchUp::None));
    absence(&mut story, 630);
    assert_eq!(due(&story, begin), [600]);
}

#[test]
fn a_run_that_goes_on_without_a_coordinator_is_not_begun_again() {
    let mut story = Story::new(&TWO);
    let begin = story.now;
    deploy(&mut story, &scheduled("@every 10m", Overlap::Forbid, CatchUp::Last { within: WITHIN }));
    story.pass(600, &ALL);
    story.start_all();
    let task = live(&story).remove(0);
    absence(&mut story, 30);
    assert_eq!((live(&story)[0].id.clone(), due(&story, begin)), (task.id.clone(), vec![600]));
    report(&mut story, &task, TaskState::Completed);
    assert_eq!((slots(&story).len(), verdicts(&story)), (0, vec![RunVerdict::Succeeded]));
}

#[test]
fn a_clock_that_is_set_back_begins_no_run_again() {
    let mut story = Story::new(&TWO);
    let begin = story.now;
    deploy(&mut story, &scheduled("@every 10m", Overlap::Forbid, CatchUp::All { within: WITHIN }));
    story.pass(1_200, &ALL);
    complete_all(&mut story);
    assert_eq!(runs(&story).last, 1, "the second came during the first");
    story.now = begin + Duration::from_secs(300);
    story.pass(900, &ALL);
    assert_eq!(runs(&story).last, 1, "600 and 1,200 were dealt with");
    story.pass(600, &ALL);
    assert_eq!((runs(&story).last, due(&story, begin)), (2, vec![600, 1_800]));
}

#[test]
fn a_clock_that_was_far_ahead_is_forgotten_by_suspending_and_resuming() {
    let mut story = Story::new(&TWO);
    let begin = story.now;
    deploy(&mut story, &scheduled("@every 10m", Overlap::Forbid, CatchUp::None));
    story.now = begin + Duration::from_secs(365 * 24 * 3_600);
    story.pass(10, &ALL);
    complete_all(&mut story);
    let last = runs(&story).last;
    story.now = begin + Duration::from_secs(60);
    story.pass(1_200, &ALL);
    assert_eq!(runs(&story).last, last);
    order(&mut story, JobOrder::Suspend);
    order(&mut story, JobOrder::Resume);
    story.pass(600, &ALL);
    assert_eq!(runs(&story).last, last + 1);
}

#[test]
fn what_is_suspended_begins_nothing_and_catches_nothing_up() {
    let mut story = Story::new(&TWO);
    let begin = story.now;
    let spec = scheduled("@every 10m", Overlap::Forbid, CatchUp::All { within: WITHIN });
    deploy(&mut story, &spec);
    order(&mut story, JobOrder::Suspend);
    story.pass(1_800, &ALL);
    deploy(&mut story, &ServiceSpec { task: self::spec(1, TERMS).task, ..spec });
    story.pass(1_800, &ALL);
    assert_eq!((runs(&story).last, runs(&story).is_suspended), (0, true));
    assert_eq!(order(&mut story, JobOrder::Run), Reply::Run { number: 1 }, "by hand it runs");
    complete_all(&mut story);
    order(&mut story, JobOrder::Resume);
    assert_eq!(runs(&story).last, 1);
    story.pass(600, &ALL);
    assert_eq!(due(&story, begin), [4_200]);
}

/// A run goes on as what it began; the next one is of the new template.
#[test]
fn a_scheduled_job_that_is_deployed_anew_runs_at_its_next_time() {
    let mut story = Story::new(&TWO);
    let spec = scheduled("@every 10m", Overlap::Forbid, CatchUp::None);
    deploy(&mut story, &spec);
    story.pass(600, &ALL);
    let newer = ServiceSpec { task: self::spec(1, TERMS).task, ..spec };
    deploy(&mut story, &newer);
    assert_eq!(
        (slots(&story), service(&story).phase.clone()),
        (vec!["r1-1".to_owned()], ServicePhase::Steady)
    );
    end(&mut story, failed());
    story.pass(10, &ALL);
    assert_eq!((slots(&story), live(&story)[0].generation.number), (vec!["r1-1".to_owned()], 1));
    complete_all(&mut story);
    story.pass(590, &ALL);
    assert_eq!((slots(&story), live(&story)[0].generation.number), (vec!["r2-1".to_owned()], 2));
    // A restart does not wait.
    story.hear(&[Event::Restart(service(&story).id.clone())]);
    assert_eq!(
        (verdicts(&story).pop(), runs(&story).active[0].cause),
        (Some(RunVerdict::Replaced), RunCause::Asked)
    );
}

#[test]
fn a_run_that_failed_does_not_halt_a_schedule() {
    let mut story = Story::new(&TWO);
    deploy(&mut story, &scheduled("@every 10m", Overlap::Forbid, CatchUp::None));
    for _ in 0..5 {
        story.pass(600, &ALL);
        end(&mut story, failed());
        story.pass(10, &ALL);
        end(&mut story, failed());
        assert_eq!(service(&story).phase, ServicePhase::Steady);
        story.pass(590, &ALL);
        complete_all(&mut story);
    }
    let kept = verdicts(&story);
    assert_eq!((kept.len(), runs(&story).last), (4, 10));
    assert_eq!(kept.iter().filter(|verdict| **verdict == RunVerdict::Succeeded).count(), 2);
}

/// A run that was told to stop on a node that is cut off does not hold the next one up for ever.
#[test]
fn what_stops_on_a_silent_node_is_given_up() {
    let mut story = Story::new(&[("a", "z"), ("b", "z"), ("c", "z")]);
    let spec = scheduled("@every 10m", Overlap::Replace, CatchUp::None);
    deploy(&mut story, &spec);
    story.pass(600, &["a", "b", "c"]);
    let silent = live(&story)[0].node.clone().unwrap().to_string();
    let others: Vec<&str> = ["a", "b", "c"].into_iter().filter(|name| *name != silent).collect();
    story.pass(600, &others);
    assert_eq!(runs(&story).active[0].number, 2);
    story.pass(320, &others);
    assert_eq!(slots(&story), ["r2-1"]);
}
