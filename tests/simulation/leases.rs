//! Programs that take leases for what they have in flight, and what is owed to them.

use model::id::{NodeId, TaskId};
use model::node::DrainPhase;
use model::service::ServicePhase;
use model::task::{DesiredState, StopCause, Task};

use crate::agent_core::event::Event as AgentEvent;
use crate::agent_core::lease::Ask;
use crate::coordinator_core::Step;
use crate::coordinator_core::cluster::Cluster;

use super::World;

impl World {
    /// Now and then a program begins something, goes on with it, or is done.
    pub(crate) fn lease(&mut self, node: &NodeId) {
        let tasks: Vec<TaskId> = self.takers(node);
        for task in tasks {
            if !self.lease_chance.percent(self.odds.leases) {
                continue;
            }
            let gives_back = self.lease_chance.percent(20);
            let until = self.now + self.lease_chance.millis(5_000, 55_000);
            let ask = if gives_back { Ask::Release } else { Ask::Take { until } };
            let Some(machine) = self.machines.get_mut(node) else { return };
            let life = machine.life;
            if ask == Ask::Release {
                // From now on nothing is owed to it, whatever the agent makes of that.
                machine.ledger.leases.remove(&task);
            } else if let Some(owed) = machine.ledger.leases.get_mut(&task) {
                // Nor more than it asks for now: an agent that dies before it answers may have written that down.
                *owed = until.min(*owed);
            }
            self.agent_steps(node, &[AgentEvent::Lease { task: task.clone(), ask }]);
            let Some(machine) = self.machines.get_mut(node) else { return };
            // What an agent that is gone has not answered is not counted on.
            let Some(agent) = machine.agent.as_ref().filter(|_| machine.life == life) else {
                return;
            };
            let held = agent.workload.lease(&task).and_then(|lease| lease.until);
            if held == Some(until) {
                machine.ledger.leases.insert(task, until);
            }
        }
    }

    /// The tasks on a node whose programs run and may take leases.
    fn takers(&self, node: &NodeId) -> Vec<TaskId> {
        let Some(machine) = self.machines.get(node) else { return Vec::new() };
        let Some(agent) = machine.agent.as_ref() else { return Vec::new() };
        let running = machine.engine.living().map(|held| held.shown.task.clone());
        let mut tasks: Vec<TaskId> =
            running.filter(|task| agent.workload.lease(task).is_some()).collect();
        tasks.dedup();
        tasks
    }

    /// Whoever takes a task away waits for its lease, and for as long as its spec says.
    pub(crate) fn check_leases(&mut self, before: &Cluster, done: &Step) {
        let (cluster, now) = (&self.coordinator.cluster, self.now);
        let mut wrong: Vec<String> = Vec::new();
        for task in cluster.tasks().values() {
            let was = before.tasks().get(&task.id).map_or(DesiredState::Run, |was| was.desired);
            wrong.extend(impatient(cluster, (task, was), now));
        }
        let late = |task: &&std::sync::Arc<Task>| {
            task.desired.patience().is_some_and(|until| until <= now)
        };
        // Where a step has room for few changes the rest follows in the next.
        if done.changes.len() < cluster.max_changes()
            && let Some(task) = cluster.patient().find(late)
        {
            wrong.push(format!("{} is waited for longer than its spec says", task.id));
        }
        wrong.into_iter().for_each(|wrong| self.truth.accuse(wrong));
    }
}

/// A task that was told to stop by our own doing and has no time for what it has in flight.
fn impatient(
    cluster: &Cluster,
    (task, was): (&Task, DesiredState),
    now: model::time::Timestamp,
) -> Option<String> {
    let policy = task.generation.spec.task.lease?;
    let DesiredState::Stop { cause, patience } = task.desired else { return None };
    let is_ours = matches!(
        cause,
        StopCause::Drain | StopCause::Update | StopCause::Balance | StopCause::Preemption
    );
    let service = cluster.services().get(&task.service);
    let is_going = service.is_none_or(|service| service.phase == ServicePhase::Removing);
    let drain = task.node.as_ref().and_then(|node| cluster.nodes().get(node)?.drain);
    let is_forced = drain.is_some_and(|drain| drain.phase != DrainPhase::Moving);
    if was == task.desired || !is_ours || is_going || is_forced || task.state.is_final() {
        return None;
    }
    let (id, earliest) = (&task.id, drain.map(|drain| drain.deadline));
    match (was, patience) {
        (DesiredState::Run, None) if earliest.is_none_or(|deadline| deadline > now) => {
            Some(format!("{id} is to stop ({cause:?}), whatever it holds a lease for"))
        }
        (DesiredState::Run, Some(until)) => {
            let most = earliest.map_or(now + policy.cap, |at| at.min(now + policy.cap));
            (until != most).then(|| format!("{id} is waited for until {until}, and not {most}"))
        }
        (DesiredState::Stop { patience: Some(until), .. }, None) if until > now => {
            Some(format!("{id} is not waited for until {until} any more"))
        }
        (DesiredState::Run | DesiredState::Stop { .. }, _) => None,
    }
}

/// How often a program has something to say about its lease: in a hundred heartbeats.
pub(crate) const OFTEN: u32 = 30;
