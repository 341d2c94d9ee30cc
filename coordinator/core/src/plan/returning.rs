//! A node is back after long silence, and with it tasks in whose place others were made: which of the two stays.
//!
//! The original stays if it serves: its connections, caches and data are there, and the copy has done its part. Otherwise
//! the copy stays as soon as it serves. While neither does, both go on. (Nomad leaves this choice to each job, and keeps
//! the better one by default; with one rule nobody has to look it up.)

use std::sync::Arc;

use model::service::Service;
use model::task::{DesiredState, StopCause, Task, TaskState};

use crate::draft::Draft;
use crate::plan::{balance, slot};

/// Compares the missed tasks of a slot with the others, if their node is back, and gives all that are left for the slot:
/// those that fill it, and those that ended.
pub(crate) fn reunite(
    draft: &mut Draft<'_>,
    service: &Service,
    tasks: &[Arc<Task>],
) -> Vec<Arc<Task>> {
    let (missed, mut here): (Vec<_>, Vec<_>) =
        tasks.iter().cloned().partition(|task| task.is_missed());
    for original in missed {
        if original.generation.template != service.target.template {
            dismiss(draft, &original, StopCause::Update);
            continue;
        }
        let is_back =
            original.node.as_ref().is_some_and(|node| draft.cluster.is_back(node, draft.now));
        if !is_back {
            continue;
        }
        // One that is to leave its node may be there beside the one that takes its place.
        let copies = || here.iter().filter(|task| slot::is_current(task, service));
        let stays = copies().find(|task| !draft.cluster.is_leaving(task));
        let copy = stays.or_else(|| copies().next()).cloned();
        let serves = |task: &Task| slot::ready_since(task, service).is_some();
        let choice = match choose(serves, (&original, copy.as_deref())) {
            // It is to leave its node anyway: the copy has only to serve.
            Choice::Original if copy.is_some() && draft.cluster.is_leaving(&original) => {
                choose_next(copy.as_deref().is_some_and(serves))
            }
            choice @ (Choice::Original | Choice::Copy | Choice::Open) => choice,
        };
        match choice {
            Choice::Open => continue,
            Choice::Copy if draft.cluster.is_leaving(&original) => {
                let cause = balance::cause(draft.cluster, &original);
                draft.stop(&original, cause);
            }
            Choice::Copy => draft.stop(&original, StopCause::Duplicate),
            Choice::Original => {
                if let Some(copy) = copy {
                    draft.stop(&copy, StopCause::Duplicate);
                    here.retain(|task| task.id != copy.id);
                }
                let kept = Arc::new(Task { missed_at: None, ..(*original).clone() });
                draft.put_task((*kept).clone());
                here.push(kept);
            }
        }
        draft.touch_withheld(&service.id);
        // The node may take new tasks again once all of its own are settled.
        draft.touch_waiting();
    }
    here
}

/// Which of two tasks of a slot stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    Original,
    Copy,
    /// Neither serves yet.
    Open,
}

const fn choose_next(copy_serves: bool) -> Choice {
    if copy_serves { Choice::Copy } else { Choice::Open }
}

fn choose(serves: impl Fn(&Task) -> bool, (original, copy): (&Task, Option<&Task>)) -> Choice {
    match copy {
        None => Choice::Original,
        Some(_) if serves(original) => Choice::Original,
        Some(copy) if serves(copy) => Choice::Copy,
        Some(_) => Choice::Open,
    }
}

/// Asks a task to stop. One whose node is silent is not waited for: if it comes back after all, it is told.
pub(crate) fn dismiss(draft: &mut Draft<'_>, task: &Task, cause: StopCause) {
    let is_heard = task
        .node
        .as_ref()
        .and_then(|node| draft.cluster.nodes().get(node))
        .is_some_and(|node| draft.cluster.is_heard(node, draft.now));
    if task.is_missed() && !is_heard {
        let desired = DesiredState::stop(cause);
        draft.put_task(Task { desired, state: TaskState::Lost, ..task.clone() });
    } else {
        draft.stop(task, cause);
    }
    // A node takes new tasks once none is missed there (simulation, seed 3534).
    if task.is_missed() {
        draft.touch_waiting();
    }
}
