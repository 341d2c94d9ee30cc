//! Empties nodes: what belongs to a node leaves after everything else has left, at the deadline what is left is stopped
//! whatever it costs, and a node is empty when the last of its tasks was seen to have ended.
//!
//! How the tasks of a slot leave before the deadline is said by [`super::leaving`].

use std::sync::Arc;

use model::id::NodeId;
use model::node::{DrainPhase, Node};
use model::spec::Mode;
use model::task::{DesiredState, StopCause, Task};

use crate::cluster::{Change, Cluster};
use crate::draft::Draft;
use crate::plan::lease;

pub(crate) fn pass(draft: &mut Draft<'_>) {
    let draining: Vec<NodeId> = draft.cluster.draining().cloned().collect();
    for id in draining {
        let Some(node) = draft.cluster.nodes().get(&id).cloned() else { continue };
        escalate(draft, &node);
        // What is told to stop and does not hear it would be given up after a while, though nothing proves that it has ended.
        if !draft.cluster.is_out_of_reach(&id, draft.now) {
            stop_what_is_due(draft, &id);
        }
    }
}

/// Moves the drain forward. One write for a node is made also when the step is full.
fn escalate(draft: &mut Draft<'_>, node: &Node) {
    let Some(drain) = node.drain else { return };
    let is_empty = live(draft.cluster, &node.id).next().is_none();
    let since = draft.now;
    let phase = match drain.phase {
        DrainPhase::Moving | DrainPhase::Forced { .. } if is_empty => DrainPhase::Drained { since },
        DrainPhase::Moving if drain.deadline <= draft.now => DrainPhase::Forced { since },
        phase @ (DrainPhase::Moving | DrainPhase::Forced { .. } | DrainPhase::Drained { .. }) => {
            phase
        }
    };
    if phase != drain.phase {
        let drain = Some(model::node::Drain { phase, ..drain });
        draft.write(Change::PutNode(Arc::new(Node { drain, ..node.clone() })));
    }
}

fn stop_what_is_due(draft: &mut Draft<'_>, id: &NodeId) {
    let phase = draft.cluster.nodes().get(id).and_then(|node| node.drain).map(|drain| drain.phase);
    let is_forced = match phase {
        Some(DrainPhase::Forced { .. }) => true,
        Some(DrainPhase::Moving | DrainPhase::Drained { .. }) | None => false,
    };
    if is_forced {
        lease::force_all(draft, id);
    }
    let belongs = |task: &Arc<Task>| task.generation.spec.mode == Mode::Global;
    let is_last = live(draft.cluster, id).all(belongs);
    let is_due = |task: &&Arc<Task>| {
        task.desired == DesiredState::Run && if belongs(task) { is_last } else { is_forced }
    };
    let due: Vec<Arc<Task>> = live(draft.cluster, id).filter(is_due).cloned().collect();
    for task in due {
        // What does not fit into this step is touched all the same, and so brings about the next one.
        draft.touch(&task.service);
        if !draft.is_full() {
            draft.stop(&task, StopCause::Drain);
        }
    }
}

fn live<'a>(cluster: &'a Cluster, id: &'a NodeId) -> impl Iterator<Item = &'a Arc<Task>> {
    cluster.tasks_on(id).filter(|task| !task.state.is_final())
}
