//! Which tasks of runs are forgotten: memory does not grow with the number of runs, nor with the slots of one.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::id::TaskId;
use model::service::Service;
use model::task::Task;

use super::progress::is_done;
use crate::cluster::Cluster;

/// So many tasks of a run are remembered when it is over, the newest: what failed last is among them, and each keeps a
/// container with its log on a node.
const REMEMBERED: usize = 10;

/// The ended tasks that nobody needs any more.
pub(in crate::plan) fn forgotten(cluster: &Cluster, service: &Service) -> Vec<TaskId> {
    let mut over: BTreeMap<u64, Vec<&Arc<Task>>> = BTreeMap::new();
    for (slot, tasks) in cluster.slots_of(&service.id) {
        let Some(number) = slot.run() else { continue };
        let is_needed = service.runs.active(number).is_some_and(|run| !is_done(slot, run));
        if !is_needed {
            let ended = tasks.iter().filter(|task| task.state.is_final());
            over.entry(number).or_default().extend(ended);
        }
    }
    let mut forgotten = Vec::new();
    for (number, mut tasks) in over {
        let is_known = service.runs.active(number).is_some() || service.runs.remembers(number);
        let kept = if is_known { REMEMBERED } else { 0 };
        tasks.sort_by_key(|task| (task.created_at, &task.id));
        let excess = tasks.len().saturating_sub(kept);
        forgotten.extend(tasks.into_iter().take(excess).map(|task| task.id.clone()));
    }
    forgotten
}
