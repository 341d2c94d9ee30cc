//! What follows when a node is silent for long, and nothing proves it gone.
//!
//! Silence proves nothing: its containers may run on behind a broken link. So only services that can bear two copies for a
//! while get others elsewhere: replicated ones with two or more replicas, without a port or data of their node. Which of
//! two copies stays when the node returns is said by [`super::returning`]. And silence of many is taken for our own fault
//! until it is proven otherwise.

use std::sync::Arc;
use std::time::Duration;

use model::id::NodeId;
use model::node::Node;
use model::spec::Mode;
use model::task::{DesiredState, Task, TaskState};
use model::time::Timestamp;

use crate::cluster::{Cluster, Sighting, Zones};
use crate::draft::Draft;

/// A node that was silent for so long is taken for gone by services that can bear it.
pub(crate) const REPLACE_AFTER: Duration = Duration::from_secs(300);
/// One node at a time, so that registries and engines get through: ten minutes for sixty nodes.
const REPLACE_EVERY: Duration = Duration::from_secs(10);

pub(crate) fn pass(draft: &mut Draft<'_>) {
    let now = draft.now;
    if now < draft.cluster.silence.look_at {
        return;
    }
    let zones = Zones::of(draft.cluster, now);
    let silent = draft.cluster.nodes().values().filter(|node| {
        draft.cluster.silence_of(node, now).is_some_and(|silence| silence >= REPLACE_AFTER)
    });
    let silent: Vec<Arc<Node>> =
        silent.filter(|node| lost_on(draft.cluster, &node.id).next().is_some()).cloned().collect();
    let may = now >= draft.cluster.silence.replaced_at + REPLACE_EVERY;
    if let Some(node) = silent.iter().find(|node| may && !zones.is_frozen(node)) {
        let lost: Vec<Arc<Task>> = lost_on(draft.cluster, &node.id).cloned().collect();
        lost.iter().for_each(|task| give_up(draft, task));
        if let Some(seen) = draft.cluster.sighting(&node.id) {
            draft.cluster.saw(&node.id, Sighting { has_told_all: false, ..seen });
        }
        draft.cluster.silence.replaced_at = now;
    }
    let soon = (!silent.is_empty()).then(|| now + REPLACE_EVERY);
    draft.cluster.silence.look_at = soon.unwrap_or_else(|| first_silence(draft.cluster, now));
}

/// When a node that is heard now can have been silent for long enough. Heartbeats in between only make it later.
fn first_silence(cluster: &Cluster, now: Timestamp) -> Timestamp {
    let heard = cluster.nodes().values().filter_map(|node| cluster.sighting(&node.id));
    let due = heard.map(|seen| seen.at + REPLACE_AFTER).filter(|at| *at > now);
    due.min().unwrap_or(now + REPLACE_AFTER)
}

/// The tasks of a node that need not be waited for.
fn lost_on<'a>(cluster: &'a Cluster, node: &'a NodeId) -> impl Iterator<Item = &'a Arc<Task>> {
    let is_lost = |task: &Task| !task.state.is_final() && !task.is_missed();
    cluster.tasks_on(node).filter(move |task| is_lost(task) && bears_two(cluster, task))
}

/// Says whether it does no harm when a second copy of the task runs for a while.
fn bears_two(cluster: &Cluster, task: &Task) -> bool {
    let service = cluster.services().get(&task.service);
    let has_others = service.is_some_and(|service| match service.target.spec.mode {
        Mode::Replicated { replicas } => replicas >= 2,
        Mode::Global | Mode::Once => false,
        // What is to run on is waited for: it is not done twice for silence alone.
        Mode::Job(_) => task.desired != DesiredState::Run,
    });
    has_others && !task.generation.spec.task.is_exclusive()
}

fn give_up(draft: &mut Draft<'_>, task: &Task) {
    draft.put_task(match task.desired {
        DesiredState::Run => Task { missed_at: Some(draft.now), ..task.clone() },
        DesiredState::Stop { .. } => Task { state: TaskState::Lost, ..task.clone() },
    });
    draft.touch(&task.service);
    draft.touch_waiting();
}
