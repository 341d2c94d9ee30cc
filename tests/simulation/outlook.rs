//! A machine that is taken back says so to its agent, whoever else hears of it.

use std::time::Duration;

use model::fleet::{Notice, Outlook};
use model::id::NodeId;
use model::time::Timestamp;

use crate::agent_core::event::Event;
use crate::coordinator_core::event::FleetEvent;

use super::World;
use super::agenda::{ForAgent, Happening, Up};
use super::machine::Machine;

/// The notice before a machine is taken back.
const NOTICE: Duration = Duration::from_secs(120);
/// The agent asks so often, in milliseconds.
const POLL: u64 = 5_000;
/// Everything has ended so long before the machine does, whoever decides.
const MARGIN: Duration = Duration::from_secs(15);
/// No task of these worlds has a longer grace, all of its containers taken together.
const GRACE: Duration = Duration::from_secs(31);
/// An agent that was there for so long, with an engine that was, has had the time to stop what it has to.
const UNHINDERED: Duration = Duration::from_secs(100);

impl World {
    /// The cloud takes a machine back.
    pub(crate) fn interrupt(&mut self, id: &NodeId) {
        if self.machines.len() <= 2 || self.cloud.staying() <= 2 {
            return;
        }
        let at = self.now + NOTICE;
        let Some(machine) = self.machines.get_mut(id) else { return };
        if machine.ends_at.is_some() {
            return;
        }
        machine.ends_at = Some(at);
        let (node, life) = (id.clone(), machine.life);
        let notice = Notice::Interrupted { at };
        self.send(Happening::Letter(FleetEvent::Noticed { node: id.clone(), notice }));
        let wait = self.end_chance.millis(0, POLL);
        self.after(wait, Happening::Agent { node, life, what: ForAgent::Foresee });
        self.after(NOTICE, Happening::TakenBack(id.clone()));
    }

    /// The cloud takes a machine back that has just lost its link, or is about to. Now and then it finds it again.
    pub(crate) fn interrupt_alone(&mut self, id: &NodeId) {
        self.interrupt(id);
        let alone_for = self.end_chance.millis(20_000, 200_000);
        if let Some(machine) = self.machines.get_mut(id).filter(|one| one.ends_at.is_some()) {
            machine.cut_until = machine.cut_until.max(self.now + alone_for);
        }
    }

    /// The metadata service has answered.
    pub(crate) fn foresee(&mut self, node: &NodeId) {
        let Some(outlook) = self.machines.get(node).and_then(Machine::outlook) else { return };
        self.agent_steps(node, &[Event::Foreseen(outlook)]);
        self.say_outlook(node);
    }

    /// What is expected is said at the beginning of each session.
    pub(crate) fn say_outlook(&mut self, node: &NodeId) {
        let agent = self.machines.get(node).and_then(|machine| machine.agent.as_ref());
        let outlook = agent.map(|agent| agent.workload.outlook()).unwrap_or_default();
        if outlook != Outlook::default() {
            self.say(node, Up::Foreseen(outlook));
        }
    }

    /// A machine is gone at its time. What ran there has been stopped, if anybody was there to do so.
    pub(crate) fn take_back(&mut self, node: &NodeId) {
        let is_tested = self.odds.engine_fault == 0 && self.odds.slow_engine == 0;
        if let Some(machine) = self.machines.get(node).filter(|_| is_tested) {
            let cut_off = machine.cut_off(self.now);
            self.truth.expect(cut_off.is_empty(), || {
                format!("{node} was taken back while {cut_off:?} ran there")
            });
        }
        self.lose(node);
    }
}

impl Machine {
    fn outlook(&self) -> Option<Outlook> {
        self.ends_at.map(|at| Outlook { interrupted_at: Some(at), ..Outlook::default() })
    }

    /// What runs though its agent has known for long enough that it must not.
    fn cut_off(&self, now: Timestamp) -> Vec<String> {
        let Some(agent) = self.agent.as_ref().filter(|_| self.engine.is_up) else {
            return Vec::new();
        };
        if now.since(self.hindered_at) < UNHINDERED {
            return Vec::new();
        }
        let is_known = |task: &model::id::TaskId| {
            agent.workload.assignments().any(|assignment| assignment.task == *task)
        };
        let held = self.engine.held.values().filter(|held| !held.is_foreign);
        let living = held.filter(|held| held.shown.is_alive() && is_known(&held.shown.task));
        living.map(|held| held.shown.name.clone()).collect()
    }

    /// Whether the end of the machine is reason enough to stop what runs there: with a coordinator only at the very last.
    pub(crate) fn is_about_to_end(&self, now: Timestamp) -> bool {
        let Some(ends_at) = self.ends_at else { return false };
        let is_connected = self.agent.as_ref().is_some_and(|agent| agent.session.is_some());
        let early = if is_connected { MARGIN } else { MARGIN + GRACE };
        now + early >= ends_at
    }
}
