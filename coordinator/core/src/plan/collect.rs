//! Forgets what is over.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::id::{ServiceId, Slot};
use model::service::ServicePhase;
use model::task::Task;

use crate::cluster::Change;
use crate::draft::Draft;
use crate::plan::slot;

pub(crate) fn pass(draft: &mut Draft<'_>, id: &ServiceId) {
    let Some(service) = draft.cluster.services().get(id).cloned() else { return };
    let is_removing = service.phase == ServicePhase::Removing;
    let mut slots: BTreeMap<Slot, Vec<Arc<Task>>> = BTreeMap::new();
    for task in draft.cluster.tasks_of(id) {
        slots.entry(task.slot.clone()).or_default().push(Arc::clone(task));
    }
    for tasks in slots.into_values() {
        if draft.is_full() {
            return draft.touch(id);
        }
        let (forgotten, remembered) = slot::ended(&tasks);
        let going = forgotten.iter().chain(remembered.iter().filter(|_| is_removing));
        going.for_each(|task| draft.write(Change::RemoveTask(task.id.clone())));
    }
    if service.phase == ServicePhase::Removing && draft.cluster.tasks_of(id).next().is_none() {
        draft.write(Change::RemoveService(id.clone()));
    }
}
