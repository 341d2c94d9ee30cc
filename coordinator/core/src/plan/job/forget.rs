//! Which tasks of runs are forgotten: memory does not grow with the number of runs, nor with the slots of one.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::id::TaskId;
use model::service::Service;
use model::task::Task;

use super::progress::is_done;
use super::terms;
use crate::cluster::Cluster;

/// So many tasks of a run are remembered when it is over, the newest: what failed last is among them, and each keeps a
/// container with its log on a node.
const REMEMBERED: usize = 10;

/// The ended tasks that nobody needs any more. Of what a job was before it became one nothing is needed.
pub(in crate::plan) fn forgotten(cluster: &Cluster, service: &Service) -> Vec<TaskId> {
    let is_job = terms(service.target.spec.mode).is_some();
    let mut over: BTreeMap<Option<u64>, Vec<&Arc<Task>>> = BTreeMap::new();
    // Of what is no job only runs from before are asked about: it may have very many slots.
    let of_runs = (!is_job).then(|| cluster.slots_of_runs(&service.id)).into_iter().flatten();
    let all = is_job.then(|| cluster.slots_of(&service.id)).into_iter().flatten();
    for (slot, tasks) in of_runs.chain(all) {
        let is_needed = match slot.run() {
            Some(number) => service.runs.active(number).is_some_and(|run| !is_done(slot, run)),
            None => !is_job,
        };
        if !is_needed {
            let ended = tasks.iter().filter(|task| task.state.is_final());
            over.entry(slot.run()).or_default().extend(ended);
        }
    }
    let is_known = |number| service.runs.active(number).is_some() || service.runs.remembers(number);
    let mut forgotten = Vec::new();
    for (number, mut tasks) in over {
        let is_known = number.is_some_and(is_known);
        let kept = if is_known { REMEMBERED } else { 0 };
        tasks.sort_by_key(|task| (task.created_at, &task.id));
        let excess = tasks.len().saturating_sub(kept);
        forgotten.extend(tasks.into_iter().take(excess).map(|task| task.id.clone()));
    }
    forgotten
}
