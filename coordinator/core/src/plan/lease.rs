//! Work in flight: a task that is taken away by our own doing may first end what it holds a lease for, up to the cap of its
//! spec, and to the deadline of a drain.
//!
//! The agent waits, and takes the stop for an order without conditions as soon as the lease is over. Nothing is asked of it
//! first, so no lease can be taken in between. Here is only said until when: that is stored with the stop, so a takeover
//! does not begin to count anew.

use std::sync::Arc;

use model::id::NodeId;
use model::node::DrainPhase;
use model::service::ServicePhase;
use model::task::{StopCause, Task};
use model::time::Timestamp;

use crate::cluster::Cluster;
use crate::draft::Draft;

/// Stops what has been waited for long enough.
pub(crate) fn pass(draft: &mut Draft<'_>) {
    let now = draft.now;
    let is_late = |task: &&Arc<Task>| task.desired.patience().is_some_and(|until| until <= now);
    let late: Vec<Arc<Task>> = draft.cluster.patient().filter(is_late).cloned().collect();
    late.iter().for_each(|task| force(draft, task));
}

/// Stops what is still waited for on a node.
pub(crate) fn force_all(draft: &mut Draft<'_>, node: &NodeId) {
    let is_there = |task: &&Arc<Task>| task.node.as_ref() == Some(node);
    let there: Vec<Arc<Task>> = draft.cluster.patient().filter(is_there).cloned().collect();
    there.iter().for_each(|task| force(draft, task));
}

fn force(draft: &mut Draft<'_>, task: &Task) {
    if draft.is_full() {
        // The next step finds it late as well.
        return draft.touch(&task.service);
    }
    let desired = task.desired.without_patience();
    draft.put_task(Task { desired, ..task.clone() });
}

/// When the first of them has been waited for long enough.
pub(crate) fn next(cluster: &Cluster) -> Option<Timestamp> {
    cluster.patient().filter_map(|task| task.desired.patience()).min()
}

/// Until when a stop for this reason waits for the lease of the task, should it hold one.
pub(crate) fn patience(
    cluster: &Cluster,
    task: &Task,
    (cause, now): (StopCause, Timestamp),
) -> Option<Timestamp> {
    let policy = task.generation.spec.task.lease?;
    let is_going = || {
        let service = cluster.services().get(&task.service);
        service.is_none_or(|service| service.phase == ServicePhase::Removing)
    };
    let is_ours_to_time = match cause {
        StopCause::Drain | StopCause::Update | StopCause::Balance => true,
        StopCause::Preemption | StopCause::Duplicate => true,
        // Who removes a service wants it gone; fewer replicas can wait.
        StopCause::Operator => !is_going(),
        StopCause::Ended | StopCause::NodeDead | StopCause::RunOver => false,
    };
    let drain = task.node.as_ref().and_then(|node| cluster.nodes().get(node)?.drain);
    let longest = now + policy.cap;
    let until = match drain.map(|drain| (drain.phase, drain.deadline)) {
        None => Some(longest),
        Some((DrainPhase::Moving, deadline)) => Some(longest.min(deadline)),
        Some((DrainPhase::Forced { .. } | DrainPhase::Drained { .. }, _)) => None,
    };
    until.filter(|until| is_ours_to_time && now < *until && !task.state.is_final())
}
