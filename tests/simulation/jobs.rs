//! What must hold of jobs, reckoned once more from what the documents say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::id::{ServiceId, Slot};
use model::job::{PastRun, RunCause, RunVerdict};
use model::service::{Service, ServicePhase};
use model::spec::Mode;
use model::task::{DesiredState, StopCause, Task, TaskState};
use model::time::Timestamp;

use crate::coordinator_core::Step;
use crate::coordinator_core::cluster::Change;

use super::World;

/// So many ended tasks are remembered of a run that is over, and none of a run that is forgotten itself.
const REMEMBERED: usize = 10;

/// What was committed of jobs in one store.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// The run that each time of a schedule has begun.
    due: BTreeMap<(ServiceId, Timestamp), (u64, Timestamp)>,
    /// Slots of each run of which a task has come to its end by itself.
    slots: BTreeMap<(ServiceId, u64), BTreeSet<Slot>>,
    /// Runs whose end is known.
    over: BTreeSet<(ServiceId, u64)>,
}

impl Done {
    /// Hears what is committed, and says what is wrong with it.
    pub(crate) fn committed(&mut self, change: &Change) -> Option<String> {
        match change {
            Change::PutTask(task) => {
                let run = task.slot.run().filter(|_| has_ended_by_itself(task))?;
                let slots = self.slots.entry((task.service.clone(), run)).or_default();
                slots.insert(task.slot.clone());
                None
            }
            Change::PutService(service) => self.begun(service).or_else(|| self.ended(service)),
            // Who is deployed anew counts its runs from 1.
            Change::RemoveService(id) => {
                self.slots.retain(|(of, _), _| of != id);
                self.over.retain(|(of, _)| of != id);
                None
            }
            Change::RemoveTask(_)
            | Change::PutNode(_)
            | Change::RemoveNode(_)
            | Change::PutPool(_)
            | Change::RemovePool(_)
            | Change::PutHook(_)
            | Change::RemoveHook(_)
            | Change::PutRefresh(_)
            | Change::RemoveRefresh(_)
            | Change::SetFreeze(_)
            | Change::PutBake(_)
            | Change::RemoveBake(_)
            | Change::PutAmi(_)
            | Change::PutRegistration(_)
            | Change::RemoveRegistration(_)
            | Change::RemoveAmi(_)
            | Change::PutUpkeep(_)
            | Change::RemoveUpkeep(_)
            | Change::PutSecret(_)
            | Change::RemoveSecret(_)
            | Change::PutNextTask(_) => None,
        }
    }

    /// No time of a schedule begins two runs, whoever leads and whatever was forgotten since.
    fn begun(&mut self, service: &Service) -> Option<String> {
        for run in &service.runs.active {
            let RunCause::Due(at) = run.cause else { continue };
            let (began, is) = ((service.id.clone(), at), (run.number, run.started_at));
            let is_news = !self.due.contains_key(&began);
            if *self.due.entry(began).or_insert(is) != is {
                return Some(format!("{} runs twice for {at:?}", service.id));
            }
            if is_news && service.runs.is_suspended {
                return Some(format!("{} runs for {at:?} and is suspended", service.id));
            }
        }
        None
    }

    /// What has succeeded has completed in every slot.
    fn ended(&mut self, service: &Service) -> Option<String> {
        for PastRun { number, completed, verdict, .. } in &service.runs.past {
            let run = (service.id.clone(), *number);
            if !self.over.insert(run.clone()) || *verdict != RunVerdict::Succeeded {
                continue;
            }
            let known = self.slots.get(&run).map_or(0, BTreeSet::len);
            if *completed == 0 || known < *completed as usize {
                return Some(format!(
                    "run {number} of {} has {completed} slots completed, and {known} have",
                    service.id
                ));
            }
        }
        None
    }
}

/// What was told to stop before it ended has proven nothing.
fn has_ended_by_itself(task: &Task) -> bool {
    let is_free = matches!(
        task.desired,
        DesiredState::Run | DesiredState::Stop { cause: StopCause::Ended, .. }
    );
    is_free && task.state == TaskState::Completed
}

impl World {
    /// No run goes on beyond its deadline, and none is remembered for ever.
    pub(crate) fn check_jobs(&mut self, done: &Step) {
        let now = self.now;
        // What did not fit follows at once.
        if done.wake_at.is_some_and(|at| at <= now) {
            return;
        }
        let cluster = &self.coordinator.cluster;
        let stays = |service: &&Arc<Service>| service.phase != ServicePhase::Removing;
        for service in cluster.services().values().filter(stays) {
            for run in &service.runs.active {
                let Mode::Job(job) = run.generation.spec.mode else { continue };
                let is_late = job.deadline.is_some_and(|most| now >= run.started_at + most);
                self.truth.expect(!is_late, || {
                    format!("run {} of {} goes on after its deadline", run.number, service.id)
                });
            }
            let mut over: BTreeMap<u64, usize> = BTreeMap::new();
            let ended = cluster.tasks_of(&service.id).filter(|task| task.state.is_final());
            let runs = ended.filter_map(|task| task.slot.run());
            runs.for_each(|run| *over.entry(run).or_default() += 1);
            for (run, count) in over {
                let is_active = service.runs.active(run).is_some();
                let most = if service.runs.remembers(run) { REMEMBERED } else { 0 };
                self.truth.expect(is_active || count <= most, || {
                    format!("{count} tasks of run {run} of {} are remembered", service.id)
                });
            }
        }
    }
}

/// Says that a job with a schedule has not had its runs lately.
pub(crate) fn idle(service: &Service, now: Timestamp) -> Option<String> {
    let schedule = service.target.spec.schedule.as_ref()?;
    let runs = &service.runs;
    let active = runs.active.iter().map(|run| run.started_at);
    let newest = active.chain(runs.past.iter().map(|run| run.started_at)).max();
    // A time that comes while a run is in progress is skipped, and no run takes as long as two of them.
    let least = schedule.newest(Timestamp::default(), now, 4).first().copied().unwrap_or_default();
    let is_idle = runs.is_suspended || newest.is_none_or(|newest| newest < least);
    is_idle.then(|| format!("{} has not run since {newest:?}, and it is {now:?}", service.id))
}
