//! What is done to jobs in their stories, and what is asked about them.

use std::sync::Arc;
use std::time::Duration;

use coordinator_core::cluster::Cluster;
use coordinator_core::event::{Event, JobOrder, Reply, Report};
use coordinator_core::{invariant, step};
use model::job::{Completions, Job, Keep, RunCause, RunVerdict, Runs};
use model::schedule::{CatchUp, Overlap, Schedule, Zone};
use model::service::Service;
use model::spec::{Mode, ServiceSpec};
use model::task::{FailureKind, Task, TaskState};
use model::time::Timestamp;

use crate::story::{Story, specs};

pub(crate) const TWO: [(&str, &str); 2] = [("a", "z"), ("b", "z")];
pub(crate) const ALL: [&str; 2] = ["a", "b"];

pub(crate) const TERMS: Job = Job {
    completions: Completions::Count(3),
    parallelism: 2,
    retries: 1,
    backoff: Duration::from_secs(10),
    deadline: None,
    keep: Keep { succeeded: 2, failed: 2 },
};

pub(crate) fn spec(image: u32, job: Job) -> ServiceSpec {
    let mut spec = specs::spec_of(&"ops/import".parse().unwrap(), image, 1);
    (spec.mode, spec.task.constraints) = (Mode::Job(job), Vec::new());
    spec
}

pub(crate) fn scheduled(text: &str, overlap: Overlap, catch_up: CatchUp) -> ServiceSpec {
    let recurrence = text.parse().unwrap();
    let schedule = Schedule { recurrence, zone: Zone::utc(), overlap, catch_up };
    let job = Job { completions: Completions::Count(1), ..TERMS };
    ServiceSpec { schedule: Some(schedule), ..spec(0, job) }
}

pub(crate) const WITHIN: Duration = Duration::from_secs(24 * 3_600);

pub(crate) fn deploy(story: &mut Story, spec: &ServiceSpec) {
    story.hear(&[Event::Deploy {
        specs: vec![spec.clone()],
        remove: Vec::new(),
        expect: Vec::new(),
    }]);
}

pub(crate) fn service(story: &Story) -> Arc<Service> {
    Arc::clone(&story.cluster.services()[&"ops/import".parse().unwrap()])
}

pub(crate) fn runs(story: &Story) -> Runs {
    service(story).runs.clone()
}

/// The tasks that may still run, by slot and then by age.
pub(crate) fn live(story: &Story) -> Vec<Arc<Task>> {
    let id = service(story).id.clone();
    let tasks = story.cluster.tasks_of(&id);
    tasks.filter(|task| !task.state.is_final()).cloned().collect()
}

pub(crate) fn slots(story: &Story) -> Vec<String> {
    live(story).iter().map(|task| task.slot.to_string()).collect()
}

pub(crate) fn report(story: &mut Story, task: &Task, state: TaskState) {
    let (note, containers) = (String::new(), Vec::new());
    let task_id = task.id.clone();
    let said = Report { task: task_id, state, restarts: 0, note, containers, lease: None };
    let node = task.node.clone().unwrap();
    story.hear(&[Event::Reported { node, tasks: vec![said], is_complete: false }]);
}

pub(crate) fn failed() -> TaskState {
    TaskState::Failed { kind: FailureKind::Application, reason: "exit code 1".to_owned() }
}

/// The first live task ends like this.
pub(crate) fn end(story: &mut Story, state: TaskState) {
    let task = live(story).remove(0);
    report(story, &task, state);
}

/// Everything that runs completes, until nothing does.
pub(crate) fn complete_all(story: &mut Story) {
    for _ in 0..1_000 {
        let live = live(story);
        if live.is_empty() {
            return;
        }
        live.iter().for_each(|task| report(story, task, TaskState::Completed));
    }
    panic!("it does not end");
}

pub(crate) fn order(story: &mut Story, order: JobOrder) -> Reply {
    let event = Event::Job { service: service(story).id.clone(), order };
    let reply = step(&mut story.cluster, &[event], story.now).replies.remove(0);
    assert_eq!(invariant::check(&story.cluster), Vec::<String>::new());
    reply
}

pub(crate) fn verdicts(story: &Story) -> Vec<RunVerdict> {
    runs(story).past.into_iter().map(|run| run.verdict).collect()
}

/// The times for which there are runs, in seconds since the story began.
pub(crate) fn due(story: &Story, since: Timestamp) -> Vec<u64> {
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
pub(crate) fn absence(story: &mut Story, seconds: u64) {
    story.now = story.now + Duration::from_secs(seconds);
    story.cluster = Cluster::load(&story.cluster.stored(), story.now);
    story.hear(&[]);
}
