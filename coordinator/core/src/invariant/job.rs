//! What must hold of jobs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::id::ServiceId;
use model::job::{ACTIVE_LIMIT, OWED_LIMIT, RunCause};
use model::schedule::Overlap;
use model::service::Service;
use model::task::Task;

use crate::cluster::Cluster;
use crate::plan::job::{progress, terms};

pub(super) fn check(cluster: &Cluster, broken: &mut Vec<String>) {
    for service in cluster.services().values() {
        runs_are_recorded_once(service, broken);
        let mut live: BTreeMap<u64, Vec<&Arc<Task>>> = BTreeMap::new();
        for (slot, tasks) in cluster.slots_of(&service.id) {
            let Some(run) = slot.run() else { continue };
            live.entry(run).or_default().extend(tasks.iter().filter(|one| !one.state.is_final()));
            what_completed_stays_completed(tasks, broken);
        }
        live.retain(|_, tasks| !tasks.is_empty());
        for (run, tasks) in &live {
            no_more_run_than_may(&service.id, (*run, tasks), broken);
        }
        runs_follow_each_other(&service.id, &live, broken);
    }
}

/// A number and a time of the schedule stand for one run.
fn runs_are_recorded_once(service: &Service, broken: &mut Vec<String>) {
    let (id, runs) = (&service.id, &service.runs);
    let active = runs.active.iter().map(|run| (run.number, run.cause));
    let all = active.chain(runs.past.iter().map(|run| (run.number, run.cause)));
    let (mut numbers, mut times) = (BTreeSet::new(), BTreeSet::new());
    for (number, cause) in all {
        if number > runs.last || !numbers.insert(number) {
            broken.push(format!("run {number} of {id} is recorded twice, or above the last"));
        }
        let due = match cause {
            RunCause::Due(at) => Some(at),
            RunCause::Deployed | RunCause::Asked => None,
        };
        if due.is_some_and(|at| !times.insert(at)) {
            broken.push(format!("a time of {id} has two runs, and one is {number}"));
        }
    }
    if runs.active.len() > ACTIVE_LIMIT || runs.owed.len() > OWED_LIMIT {
        broken.push(format!("{id} has more runs in progress, or to catch up, than it may"));
    }
}

/// Those that are stopping are among them: they still hold what they held.
fn no_more_run_than_may(
    id: &ServiceId,
    (run, tasks): (u64, &[&Arc<Task>]),
    broken: &mut Vec<String>,
) {
    // A newer generation may allow fewer than were begun under the one before.
    let allowed = tasks.iter().filter_map(|task| terms(task.generation.spec.mode));
    let most = allowed.map(|job| job.parallelism).max().unwrap_or_default();
    if tasks.len() > most as usize {
        let count = tasks.len();
        broken.push(format!("run {run} of {id} has {count} tasks, and {most} are allowed"));
    }
}

fn what_completed_stays_completed(tasks: &[Arc<Task>], broken: &mut Vec<String>) {
    let Some(done) = tasks.iter().find(|task| progress::has_completed(task)) else { return };
    if let Some(again) = tasks.iter().find(|task| task.id != done.id && task.id > done.id) {
        broken.push(format!("{} has completed its slot, and {} is there", done.id, again.id));
    }
}

/// No two runs have tasks at the same time, unless they may.
fn runs_follow_each_other(
    id: &ServiceId,
    live: &BTreeMap<u64, Vec<&Arc<Task>>>,
    broken: &mut Vec<String>,
) {
    let overlaps = |task: &&Arc<Task>| {
        let schedule = task.generation.spec.schedule.as_ref();
        schedule.is_some_and(|schedule| schedule.overlap == Overlap::Allow)
    };
    let alone = live.iter().filter(|(_, tasks)| !tasks.iter().any(overlaps));
    let alone: Vec<String> = alone.map(|(run, _)| run.to_string()).collect();
    if alone.len() > 1 {
        broken.push(format!("runs {} of {id} have tasks at the same time", alone.join(" and ")));
    }
}
