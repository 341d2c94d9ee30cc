//! Forgets what is over.

use std::sync::Arc;

use model::id::ServiceId;
use model::service::ServicePhase;
use model::task::Task;

use crate::cluster::Change;
use crate::draft::Draft;
use crate::plan::{Scope, job, slot};

pub(crate) fn pass(draft: &mut Draft<'_>, id: &ServiceId, scope: &Scope) {
    let Some(service) = draft.cluster.services().get(id).cloned() else { return };
    let is_removing = service.phase == ServicePhase::Removing;
    let has_ended = |tasks: &&[Arc<Task>]| tasks.iter().any(|task| task.state.is_final());
    let slots = scope.slots(draft.cluster, id).filter(has_ended);
    let slots: Vec<Vec<Arc<Task>>> = slots.map(<[_]>::to_vec).collect();
    for tasks in slots {
        if draft.is_full() {
            return scope.put_off(draft, id);
        }
        let (forgotten, remembered) = slot::ended(&tasks);
        let going = forgotten.iter().chain(remembered.iter().filter(|_| is_removing));
        going.for_each(|task| draft.write(Change::RemoveTask(task.id.clone())));
    }
    for id in job::forgotten(draft.cluster, &service) {
        if draft.is_full() {
            return draft.touch(&service.id);
        }
        draft.write(Change::RemoveTask(id));
    }
    if service.phase == ServicePhase::Removing && draft.cluster.tasks_of(id).next().is_none() {
        draft.write(Change::RemoveService(id.clone()));
    }
}
