//! Forgets what is over.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::id::{ServiceId, Slot};
use model::service::ServicePhase;
use model::task::Task;

use crate::cluster::Change;
use crate::draft::Draft;

/// How many ended tasks of a slot are remembered: enough for the longest backoff, and to see a pattern.
const HISTORY: usize = 6;

pub(crate) fn pass(draft: &mut Draft<'_>, id: &ServiceId) {
    let Some(service) = draft.cluster.services().get(id).cloned() else { return };
    let keep = if service.phase == ServicePhase::Removing { 0 } else { HISTORY };
    let mut ended: BTreeMap<Slot, Vec<Arc<Task>>> = BTreeMap::new();
    for task in draft.cluster.tasks_of(id).filter(|task| task.state.is_final()) {
        ended.entry(task.slot.clone()).or_default().push(Arc::clone(task));
    }
    for (_, mut tasks) in ended {
        tasks.sort_by_key(|task| task.created_at);
        let excess = tasks.len().saturating_sub(keep);
        tasks.iter().take(excess).for_each(|task| draft.write(Change::RemoveTask(task.id.clone())));
    }
    if service.phase == ServicePhase::Removing && draft.cluster.tasks_of(id).next().is_none() {
        draft.write(Change::RemoveService(id.clone()));
    }
}
