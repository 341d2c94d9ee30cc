//! Answers about the cluster that others need: what a node is to run, how far a service is, and why something waits.

pub mod bake;
mod drift;
mod release;
pub mod secret;
mod stopping;
mod traffic;
pub mod upkeep;

use std::sync::Arc;

use model::id::{NodeId, ServiceId, Slot, TaskId};
use model::image::Image;
use model::job::Completions;
use model::node::{Availability, DrainPhase, Node};
use model::service::{Service, ServicePhase};
use model::task::Task;
use model::time::Timestamp;

use crate::cluster::{Change, Cluster, SUSPECT_AFTER, UNREACHABLE_AFTER};
use crate::event::EngineState;
use crate::plan::budget::Purpose;
use crate::plan::place::{self, filter};
use crate::plan::slot::{self, Progress};
use crate::plan::{budget, depend, fetch, job, leaving, rollout};

pub use self::drift::{Drift, MachineGeneration, drift};
pub use self::release::{Began, RanPool, RanService, Then, ran_at, releases};
pub use self::stopping::slow_stops;
pub use self::traffic::traffic_wait;
pub use crate::cluster::{Load, Packing};
pub use crate::plan::budget::Short;
pub use crate::plan::capacity::outlook;
pub use crate::plan::condemn::silent_machines;
pub use crate::plan::leaving::Wait;
pub use crate::plan::place::Score;
pub use crate::plan::refresh::{
    Progress as RefreshProgress, fingerprint, progress as refresh_progress,
};
pub use crate::plan::shrink::{Verdict as MachineVerdict, consolidation, why_here};

/// What is thought of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeState {
    /// Known from the store, not heard yet, or new, and what runs on every node does not serve yet.
    Joining,
    /// Heard lately, and its engine answers.
    Ready,
    /// Silent for [`SUSPECT_AFTER`]: gets no new tasks.
    Suspect,
    /// Silent for [`UNREACHABLE_AFTER`]. What runs there goes on, as far as anybody knows.
    Unreachable,
    /// Heard again after long silence: what it runs is compared with what was made in its place. Gets no new tasks.
    Returning,
    /// Heard, but its engine does not answer.
    Wedged,
    /// Its tasks leave.
    Draining,
    /// Nothing of ours runs there any more, and nothing new will until it is opened.
    Drained,
    /// Proven gone.
    Dead,
}

/// Says what is thought of a node now.
#[must_use]
pub fn node_state(cluster: &Cluster, node: &Node, now: Timestamp) -> NodeState {
    if node.availability == Availability::Dead {
        return NodeState::Dead;
    }
    let Some(sighting) = cluster.sighting(&node.id) else { return NodeState::Joining };
    let silence = now.since(sighting.at);
    match sighting.engine {
        _ if silence >= UNREACHABLE_AFTER => NodeState::Unreachable,
        _ if silence >= SUSPECT_AFTER => NodeState::Suspect,
        EngineState::Silent => NodeState::Wedged,
        EngineState::Ready if cluster.missed_on(&node.id).next().is_some() => NodeState::Returning,
        EngineState::Ready => match node.drain.map(|drain| drain.phase) {
            Some(DrainPhase::Moving | DrainPhase::Forced { .. }) => NodeState::Draining,
            Some(DrainPhase::Drained { .. }) => NodeState::Drained,
            None if node.preparing_until.is_some() => NodeState::Joining,
            None => NodeState::Ready,
        },
    }
}

/// The tasks that are still on a node that is being emptied, and what each waits for.
#[must_use]
pub fn leaving(cluster: &Cluster, node: &NodeId, now: Timestamp) -> Vec<(TaskId, Wait)> {
    let live = cluster.tasks_on(node).filter(|task| !task.state.is_final());
    live.map(|task| (task.id.clone(), leaving::wait(cluster, task, now))).collect()
}

/// What a task waits for that is to leave its node, if it is.
#[must_use]
pub fn leaving_wait(cluster: &Cluster, task: &Task, now: Timestamp) -> Option<Wait> {
    let is_leaving = cluster.is_leaving(task) && !task.state.is_final();
    is_leaving.then(|| leaving::wait(cluster, task, now))
}

/// What the stop of a task waits for, if it was told to stop and holds a lease, or still gets traffic.
#[must_use]
pub fn stop_wait(cluster: &Cluster, task: &Task) -> Option<Wait> {
    let wait = (!task.state.is_final()).then(|| leaving::stopping(cluster, task))?;
    matches!(wait, Wait::Lease { .. } | Wait::Traffic { .. }).then_some(wait)
}

/// What keeps a rollout from taking the next task away, if its budget does.
#[must_use]
pub fn withheld(cluster: &Cluster, service: &Service, now: Timestamp) -> Option<Short> {
    match service.phase {
        ServicePhase::Rolling(_) if !slot::starts_first(service) => {}
        ServicePhase::Rolling(_)
        | ServicePhase::Steady
        | ServicePhase::Halted { .. }
        | ServicePhase::Removing => return None,
    }
    // One is enough to ask about: what the service can spare is the same for all that serve.
    let wanted = slot::wanted(cluster, service).into_iter();
    let tasks = wanted.map(|slot| cluster.tasks_in(&service.id, &slot));
    let old = tasks.filter(|tasks| slot::progress(tasks, service, now) == Progress::Old);
    let mut serving = old.flatten().filter(|task| task.serving_since().is_some());
    budget::ask(cluster, service, serving.next()?, Purpose::Rollout).err()
}

/// A node that has to fetch an image before the rollout of the service stops what runs there, and which.
#[must_use]
pub fn fetching(cluster: &Cluster, service: &Service) -> Option<(NodeId, Image)> {
    match service.phase {
        ServicePhase::Rolling(_) if !slot::starts_first(service) => {}
        ServicePhase::Rolling(_)
        | ServicePhase::Steady
        | ServicePhase::Halted { .. }
        | ServicePhase::Removing => return None,
    }
    let is_old = |task: &&Arc<Task>| {
        task.is_wanted() && task.serving_since().is_some() && !slot::is_current(task, service)
    };
    let old = cluster.tasks_of(&service.id).filter(is_old);
    old.filter_map(|task| task.node.clone()).find_map(|node| {
        let image = fetch::lacking(cluster, service, &node)?.into_iter().next()?;
        Some((node, image))
    })
}

/// Says whether nothing of this will change before the deadline unless somebody does something.
#[must_use]
pub fn is_blocked(left: &[(TaskId, Wait)]) -> bool {
    let is_last = |wait: &Wait| *wait == Wait::Others;
    let mut movable = left.iter().filter(|(_, wait)| !is_last(wait)).peekable();
    movable.peek().is_some() && movable.all(|(_, wait)| wait.is_blocked())
}

/// How far a service is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceProgress {
    /// Slots that it should have.
    pub desired: usize,
    /// Tasks of any generation that serve.
    pub serving: usize,
    /// Slots that run the target and have settled.
    pub updated: usize,
    /// What it waits for, if it waits for another service.
    pub waits_for: Option<String>,
}

/// Says how far a service is.
#[must_use]
pub fn service_progress(cluster: &Cluster, service: &Service, now: Timestamp) -> ServiceProgress {
    let progress = slots_progress(cluster, service, now);
    match job_progress(cluster, service) {
        None => progress,
        Some(job) => ServiceProgress {
            desired: job.wanted as usize,
            updated: job.completed as usize,
            waits_for: progress.waits_for.or(job.waits_for),
            ..progress
        },
    }
}

/// How far the newest run of a job is, or was, and when the next one is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobProgress {
    /// Slots that completed.
    pub completed: u32,
    /// Slots that have to.
    pub wanted: u32,
    /// When its schedule begins the next run, if it has one that is not suspended.
    pub next_at: Option<Timestamp>,
    /// What the run waits for, if it waits for another.
    pub waits_for: Option<String>,
}

/// Says how far a job is, if the service is one.
#[must_use]
pub fn job_progress(cluster: &Cluster, service: &Service) -> Option<JobProgress> {
    let job = job::terms(service.target.spec.mode)?;
    let usual = match job.completions {
        Completions::Count(count) => count,
        Completions::EveryNode => 0,
    };
    let newest = service.runs.past.last().map(|run| (run.completed, run.completed.max(usual)));
    let active = service.runs.active.last().map(|run| {
        let tally = job::progress::tally(cluster, &service.id, run);
        (tally.completed, tally.wanted)
    });
    let (completed, wanted) = active.or(newest).unwrap_or((0, usual));
    let schedule = service.target.spec.schedule.as_ref().filter(|_| !service.runs.is_suspended);
    let next_at = schedule.and_then(|schedule| schedule.next(service.runs.dealt_until));
    let waits_for = service.runs.active.first().and_then(|run| {
        let held_by = job::held_by(cluster, service, run)?;
        Some(format!("{held_by} to end, before run {} begins", run.number))
    });
    Some(JobProgress { completed, wanted, next_at, waits_for })
}

/// The tasks of a run of which nobody knows whether they still run.
pub fn silent_tasks_of_run<'a>(
    cluster: &'a Cluster,
    (service, run): (&'a Service, u64),
    now: Timestamp,
) -> impl Iterator<Item = &'a Arc<Task>> {
    let slots = cluster.slots_of_run(&service.id, run);
    let live = slots.flat_map(|(_, tasks)| tasks).filter(|task| !task.state.is_final());
    live.filter(move |task| {
        let node = task.node.as_ref().and_then(|node| cluster.nodes().get(node));
        node.is_some_and(|node| !cluster.is_heard(node, now))
    })
}

fn slots_progress(cluster: &Cluster, service: &Service, now: Timestamp) -> ServiceProgress {
    let wanted = slot::wanted(cluster, service);
    let is_done = |wanted: &&Slot| {
        slot::progress(cluster.tasks_in(&service.id, wanted), service, now) == Progress::Done
    };
    let serves = |task: &&Arc<Task>| task.is_wanted() && task.serving_since().is_some();
    ServiceProgress {
        desired: wanted.len(),
        serving: cluster.tasks_of(&service.id).filter(serves).count(),
        updated: wanted.iter().filter(is_done).count(),
        waits_for: depend::missing(cluster, service)
            .map(|after| format!("{} ({:?})", after.on, after.condition).to_lowercase()),
    }
}

/// How far a rollout may go, and how far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RolloutProgress {
    /// Slots that may be moved.
    pub admitted: usize,
    /// How many of them have settled.
    pub settled: usize,
    /// Whether it goes on only when an operator says so.
    pub is_held: bool,
}

/// Says how the rollout of a service goes, if there is one.
#[must_use]
pub fn rollout_progress(
    cluster: &Cluster,
    service: &Service,
    now: Timestamp,
) -> Option<RolloutProgress> {
    let ServicePhase::Rolling(rollout) = &service.phase else { return None };
    let open = rollout::open(service, rollout.stage, slot::wanted(cluster, service));
    let tasks = |slot: &Slot| cluster.tasks_in(&service.id, slot);
    let is_done = |slot: &&Slot| slot::progress(tasks(slot), service, now) == Progress::Done;
    let settled = open.iter().filter(is_done).count();
    Some(RolloutProgress { admitted: open.len(), settled, is_held: rollout::is_held(service) })
}

/// What one node says to one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeVerdict {
    /// Which node.
    pub node: NodeId,
    /// Everything for which it does not take the task; nothing when it would.
    pub refusals: Vec<String>,
    /// The terms of its score.
    pub score: Score,
}

/// Asks every node about a task, as if the task had no node.
#[must_use]
pub fn ask_nodes(cluster: &Cluster, task: &Task, now: Timestamp) -> Vec<NodeVerdict> {
    let counts = place::Counts::beside(cluster, task);
    let leaning = place::Leaning::beside(cluster, task, counts);
    let asked = (task, counts);
    let verdict = |(node, ledger): (&Arc<Node>, _)| NodeVerdict {
        node: node.id.clone(),
        refusals: filter::refusals(cluster, asked, (node, ledger), now)
            .map(|why| why.to_string())
            .collect(),
        score: place::score(cluster, (task, counts, leaning.as_ref()), (node, ledger)),
    };
    cluster.nodes_with_ledgers().map(verdict).collect()
}

/// Everything that a node should run or stop: the tasks that were placed on it, until they are forgotten.
pub fn assignments<'a>(
    cluster: &'a Cluster,
    node: &'a NodeId,
) -> impl Iterator<Item = &'a Arc<Task>> {
    cluster.tasks_on(node)
}

/// Says whether a container that its agent can not account for may go: its task is not one of that node's, though its
/// service is known here. Of a service that nobody has spoken of since the store was made anew, nothing is disowned:
/// an empty store is no reason to stop anything.
#[must_use]
pub fn disowns(cluster: &Cluster, node: &NodeId, task: &TaskId) -> bool {
    let is_ours = cluster.tasks().get(task).is_some_and(|task| task.node.as_ref() == Some(node));
    // Names have no dots: the id of a task begins with its service and nothing else's.
    let begins = |service: &ServiceId| format!("{}.{}.", service.project, service.name);
    !is_ours && cluster.services().keys().any(|service| task.as_str().starts_with(&begins(service)))
}

/// The node that a change concerns: whose assignments it changes. Only a task's being there, its tombstone, its secrets and its
/// end matter to a node; what the node said itself does not.
#[must_use]
pub fn concerns(before: &Cluster, change: &Change) -> Option<NodeId> {
    match change {
        Change::PutTask(task) => {
            let known = before.tasks().get(&task.id);
            let is_news = known.is_none_or(|known| {
                known.node != task.node
                    || known.told() != task.told()
                    || known.secrets != task.secrets
            });
            task.node.clone().filter(|_| is_news)
        }
        Change::RemoveTask(id) => node_of(before, id),
        Change::PutBake(bake) => bake.phase.worker().map(|(machine, _)| machine.clone()),
        Change::RemoveBake(_)
        | Change::PutAmi(_)
        | Change::RemoveAmi(_)
        | Change::PutUpkeep(_)
        | Change::RemoveUpkeep(_)
        | Change::PutRegistration(_)
        | Change::RemoveRegistration(_)
        | Change::PutService(_)
        | Change::RemoveService(_)
        | Change::PutNode(_)
        | Change::RemoveNode(_)
        | Change::PutPool(_)
        | Change::RemovePool(_)
        | Change::PutHook(_)
        | Change::RemoveHook(_)
        | Change::PutRefresh(_)
        | Change::RemoveRefresh(_)
        | Change::SetFreeze(_)
        | Change::PutSecret(_)
        | Change::RemoveSecret(_)
        | Change::PutNextTask(_) => None,
    }
}

fn node_of(cluster: &Cluster, task: &TaskId) -> Option<NodeId> {
    cluster.tasks().get(task).and_then(|task| task.node.clone())
}
