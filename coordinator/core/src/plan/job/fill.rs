//! Sees to it that the slots of runs in progress have their tasks, as many at once as the job allows, and nothing else has.

use std::sync::Arc;

use model::id::{Slot, TaskId};
use model::job::{Completions, Job, Run, wait_after};
use model::schedule::Overlap;
use model::service::{Generation, Service};
use model::task::{DesiredState, StopCause, Task, TaskState};
use model::time::Timestamp;

use super::advance::deadline_of;
use super::due;
use super::progress::{self, has_completed, has_ended_badly, has_failed};
use super::terms_of;
use crate::cluster::Cluster;
use crate::draft::Draft;
use crate::plan::{reconcile, returning, slot};

pub(super) fn pass(draft: &mut Draft<'_>, service: &Service) {
    clear(draft, service);
    for run in turns(service) {
        let Some(job) = terms_of(run) else { continue };
        if held_by(draft.cluster, service, run).is_none() {
            fill(draft, (service, run), job);
        }
    }
    let schedule = service.target.spec.schedule.as_ref().filter(|_| !service.runs.is_suspended);
    let next = schedule.and_then(|schedule| schedule.next(service.runs.dealt_until));
    let deadlines = service.runs.active.iter().filter_map(deadline_of);
    let forgets = due::forgets_at(service);
    let soonest = deadlines.chain(next).chain(forgets).filter(|at| *at > draft.now).min();
    soonest.into_iter().for_each(|at| draft.wake(&service.id, at));
}

/// Stops what belongs to no run in progress. What has ended gets its tombstone, so that no agent runs it again, also one
/// that has lost its memory.
fn clear(draft: &mut Draft<'_>, service: &Service) {
    let is_over = |task: &Task| {
        let run = task.slot.run().and_then(|run| service.runs.active(run));
        run.is_none() || is_surplus(draft.cluster, (service, run), task)
    };
    let is_due = |task: &&Arc<Task>| {
        task.desired == DesiredState::Run && (task.state.is_final() || is_over(task))
    };
    let due: Vec<Arc<Task>> = draft.cluster.tasks_of(&service.id).filter(is_due).cloned().collect();
    for task in due {
        if draft.is_full() {
            return draft.touch(&service.id);
        }
        match (task.state.is_final(), task.slot.run()) {
            (true, _) => draft.stop(&task, StopCause::Ended),
            (false, Some(_)) => returning::dismiss(draft, &task, StopCause::RunOver),
            (false, None) => returning::dismiss(draft, &task, StopCause::Operator),
        }
    }
}

/// A task that waits for a node which turned out to be none for it, or for one that is gone.
fn is_surplus(cluster: &Cluster, (service, run): (&Service, Option<&Run>), task: &Task) -> bool {
    let (Some(run), Some(node)) = (run, task.slot.node()) else { return false };
    task.state == TaskState::Pending && !progress::wants_node(cluster, (&service.id, run), node)
}

/// The runs whose turn it is: the oldest, and those that may overlap.
fn turns(service: &Service) -> impl Iterator<Item = &Run> {
    let active = service.runs.active.iter().enumerate();
    active.filter(|(at, run)| *at == 0 || overlaps(&run.generation)).map(|(_, run)| run)
}

pub(super) fn overlaps(generation: &Generation) -> bool {
    let schedule = generation.spec.schedule.as_ref();
    schedule.is_some_and(|schedule| schedule.overlap == Overlap::Allow)
}

/// The task that keeps a run from having its own: of another run, of which something may still run.
pub(crate) fn held_by(cluster: &Cluster, service: &Service, run: &Run) -> Option<TaskId> {
    let is_others =
        |task: &&Arc<Task>| !task.state.is_final() && task.slot.run() != Some(run.number);
    let other = cluster.tasks_of(&service.id).find(is_others)?;
    (!overlaps(&run.generation)).then(|| other.id.clone())
}

fn fill(draft: &mut Draft<'_>, (service, run): (&Service, &Run), job: Job) {
    let live = progress::tally(draft.cluster, &service.id, run).live;
    let mut room = job.parallelism.saturating_sub(live) as usize;
    let mut empty = Vec::new();
    for slot in slots(draft.cluster, (service, run), job) {
        if room == 0 {
            break;
        }
        // One more is written with the first task that is made.
        if draft.room() <= empty.len() + 1 {
            draft.touch(&service.id);
            break;
        }
        match look(draft.cluster.tasks_in(&service.id, &slot), job, draft.now) {
            Look::Filled => {}
            Look::Waits(until) => draft.wake(&service.id, until),
            Look::Empty { failures } => {
                room -= 1;
                empty.push((slot, Arc::clone(&run.generation), failures));
            }
        }
    }
    reconcile::make(draft, empty);
}

/// The slots of the run that may need a task, in order.
fn slots(
    cluster: &Cluster,
    (service, run): (&Service, &Run),
    job: Job,
) -> Box<dyn Iterator<Item = Slot>> {
    let number = run.number;
    match job.completions {
        Completions::Count(count) => Box::new(
            (run.done.saturating_add(1)..=count)
                .map(move |at| Slot::RunReplica { run: number, number: at }),
        ),
        Completions::EveryNode => {
            let nodes = progress::nodes_wanted(cluster, &service.id, run);
            let slots = nodes.map(|node| Slot::RunNode { run: number, node: node.clone() });
            Box::new(slots.collect::<Vec<_>>().into_iter())
        }
    }
}

/// How a slot looks.
enum Look {
    /// It has completed, or something of it may run.
    Filled,
    /// It is to have another task, and not before then.
    Waits(Timestamp),
    /// It is to have a task now.
    Empty {
        /// How often the application has failed in it.
        failures: u32,
    },
}

fn look(tasks: &[Arc<Task>], job: Job, now: Timestamp) -> Look {
    if tasks.iter().any(|task| !task.state.is_final() || has_completed(task)) {
        return Look::Filled;
    }
    let (_, remembered) = slot::ended(tasks);
    let bad = remembered.iter().filter(|task| has_ended_badly(task));
    let ended = bad.map(|task| task.ended_at.unwrap_or(task.created_at));
    let (count, last) =
        ended.fold((0, Timestamp::default()), |(count, last), at| (count + 1, last.max(at)));
    let not_before = last + wait_after(job.backoff, count);
    if now < not_before {
        return Look::Waits(not_before);
    }
    let failures = remembered.iter().map(|task| task.failures + u32::from(has_failed(task)));
    Look::Empty { failures: failures.max().unwrap_or_default() }
}
