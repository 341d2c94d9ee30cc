//! What has been decided, and whether what is done follows from it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::id::{NodeId, TaskId};
use model::task::{DesiredState, TaskState};
use model::time::Timestamp;

use crate::agent_core::Order;
use crate::agent_core::action::Action;
use crate::agent_core::assignment::Fence;
use crate::agent_core::event::Report;
use crate::coordinator_core::cluster::{Change, Cluster};

use super::docker::Held;
use super::jobs::Done;
use super::machine::Machine;

/// How long an agent keeps what nobody knows.
const ORPHAN_GRACE: Duration = Duration::from_secs(600);

/// Everything that coordinators have ever committed, and the first thing that went wrong.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    pub(crate) broken: Option<String>,
    /// Tasks that were told to stop.
    tombstones: BTreeSet<TaskId>,
    /// Where each task was placed.
    placed: BTreeMap<TaskId, NodeId>,
    /// Every task that ever was.
    known: BTreeSet<TaskId>,
    /// What jobs have done in this store.
    pub(crate) jobs: Done,
    /// Tasks of which a coordinator told a node that nobody knows them.
    pub(crate) disowned: BTreeSet<(NodeId, TaskId)>,
}

impl Truth {
    pub(crate) fn accuse(&mut self, what: String) {
        self.broken.get_or_insert(what);
    }

    pub(crate) fn expect(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.accuse(otherwise());
        }
    }

    /// Writes down what was committed on top of `before`.
    pub(crate) fn committed(&mut self, before: &Cluster, change: &Change) {
        let wrong = self.jobs.committed(change);
        wrong.into_iter().for_each(|wrong| self.accuse(wrong));
        let Change::PutTask(task) = change else { return };
        let id = &task.id;
        match before.tasks().get(id) {
            None => {
                let is_new = self.known.insert(id.clone());
                self.expect(is_new, || format!("the id of task {id} is used twice"));
            }
            Some(was) => {
                let comes_back = was.state.is_final() && was.state != task.state;
                self.expect(!comes_back, || {
                    format!("{id} was {} and became {}", was.state, task.state)
                });
                let is_revived =
                    was.desired != DesiredState::Run && task.desired == DesiredState::Run;
                self.expect(!is_revived, || format!("{id} was told to stop, and then to run"));
            }
        }
        if task.desired != DesiredState::Run {
            self.tombstones.insert(id.clone());
        }
        if let Some(node) = &task.node {
            let placed = self.placed.entry(id.clone()).or_insert_with(|| node.clone()).clone();
            self.expect(placed == *node, || format!("{id} moved from {placed} to {node}"));
        }
    }

    /// Judges an order before it is carried out.
    pub(crate) fn judge_order(&mut self, machine: &Machine, order: &Order, now: Timestamp) {
        let (node, task) = (&machine.node.id, &order.task);
        match &order.action {
            Action::Pull { .. } => {}
            Action::Launch(launch) => {
                let ended = machine.ledger.final_said.get(task).cloned();
                let attempt = launch.attempt;
                self.expect(ended.is_none(), || {
                    format!("{task} is over on {node}, and is launched again ({attempt})")
                });
                let spec = launch.spec.containers.iter().find(|one| one.name == launch.container);
                let named = spec.map(|spec| spec.secrets.names()).unwrap_or_default();
                let there = machine.memory.get(task);
                let has_all =
                    named.iter().all(|name| there.is_some_and(|there| there.contains_key(*name)));
                self.expect(has_all, || format!("{task} starts on {node} without its secret"));
                let placed = self.placed.get(task) == Some(node);
                self.expect(placed, || format!("{task} was not placed on {node}, where it starts"));
            }
            Action::Stop { id, .. }
            | Action::Kill { id }
            | Action::Remove { id }
            | Action::Signal { id, .. }
            | Action::Unpause { id }
            | Action::Probe { id, .. } => {
                let Some(held) = machine.engine.held.get(id) else { return };
                let name = &held.shown.name;
                self.expect(!held.is_foreign, || format!("{name} on {node} is not ours"));
                let ends = matches!(order.action, Action::Stop { .. } | Action::Kill { .. });
                if ends && held.shown.is_alive() {
                    let is_justified = self.may_stop(machine, held, now);
                    self.expect(is_justified, || format!("{name} on {node}: unjustified stop"));
                }
            }
        }
    }

    /// Only the end of the machine, a tombstone, and not before a lease is over that it has patience with, its own checks, a sibling that ended, or a coordinator that disowned it stop a container. What
    /// the coordinator decided counts from when the agent has heard it.
    fn may_stop(&self, machine: &Machine, held: &Held, now: Timestamp) -> bool {
        let task = &held.shown.task;
        let troubled = &machine.ledger.troubled;
        let mut siblings = troubled.iter().filter(|(of, _)| of == task);
        let ledger = &machine.ledger;
        let is_disowned = self.disowned.contains(&(machine.node.id.clone(), task.clone()))
            && ledger.told_unknown.contains(task)
            && now >= ledger.lost_at + ORPHAN_GRACE;
        let holds_lease = ledger.leases.get(task).is_some_and(|until| now < *until);
        let may_now = !holds_lease || ledger.told_at_once.contains(task);
        self.tombstones.contains(task) && ledger.told_to_stop.contains(task) && may_now
            || ledger.is_ending
            || held.is_sick
            || held.was_frozen
            || siblings.any(|(_, name)| *name != held.shown.container)
            || is_disowned
    }

    /// A node never obeys a lower fence than before.
    pub(crate) fn judge_fence(&mut self, machine: &mut Machine, fence: Fence) {
        let obeyed = machine.ledger.obeyed;
        let node = &machine.node.id;
        self.expect(fence >= obeyed, || format!("{node} obeys {fence:?} after {obeyed:?}"));
        machine.ledger.obeyed = fence;
    }

    /// What is over stays over.
    pub(crate) fn judge_reports(&mut self, machine: &mut Machine, reports: &[Report]) {
        for report in reports {
            let said = machine.ledger.final_said.get(&report.task);
            let same = said.is_none_or(|said| *said == report.state);
            self.expect(same, || {
                format!(
                    "{}: {} was said to be {said:?}, and is {:?}",
                    machine.node.id, report.task, report.state
                )
            });
            // Who may be started again without end has not done its work before it is told to stop.
            let may_end = ["mail.front.", "ops.import.", "ops.report."];
            let id = report.task.as_str();
            let is_endless = !may_end.iter().any(|service| id.starts_with(service));
            let is_done = report.state == TaskState::Completed;
            let was_told = !is_endless || self.tombstones.contains(&report.task);
            self.expect(!is_done || was_told, || format!("{} completed by itself", report.task));
            let is_over = report.state.is_final() && report.state != TaskState::Lost;
            if is_over {
                machine.ledger.final_said.insert(report.task.clone(), report.state.clone());
            }
        }
    }
}
