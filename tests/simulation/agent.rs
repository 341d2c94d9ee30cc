//! The rim of the simulated agents: what `run.rs` of the agent does, with a disk that crashes interrupt, an engine that
//! is late, and a network that loses, repeats and overtakes.

use std::collections::BTreeSet;
use std::time::Duration;

use model::id::NodeId;
use model::time::Timestamp;

use crate::agent_core::action::{Action, FaultKind, Outcome};
use crate::agent_core::event::{Event, OrderKind, Report};
use crate::agent_core::workload::Engine;
use crate::agent_core::{Order, Step, step};

use super::World;
use super::agenda::{Down, Extent, ForAgent, ForEngine, Happening, Up};
use super::docker::failed;
use super::flaw::Flaw;

const RELIST: Duration = Duration::from_secs(15);
const HEARTBEAT: Duration = Duration::from_secs(10);
const REDIAL: Duration = Duration::from_secs(4);

/// How far an agent comes with what it decided before it crashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    Nothing,
    Journal,
    Orders,
    Everything,
}

impl World {
    pub(crate) fn boot(&mut self, node: &NodeId) {
        let Some(machine) = self.machines.get_mut(node) else { return };
        machine.boot(self.now);
        let life = machine.life;
        self.find_secrets(node);
        let what = [
            (0, ForAgent::Relist),
            (100, ForAgent::Dial),
            (200, ForAgent::Foresee),
            (3_000, ForAgent::Beat),
        ];
        for (after, what) in what {
            self.for_agent(node, life, Duration::from_millis(after), what);
        }
    }

    /// Ends the agent. Its disk and its containers stay; it is started again after a while.
    pub(crate) fn crash(&mut self, node: &NodeId) {
        let Some(machine) = self.machines.get_mut(node) else { return };
        if machine.agent.take().is_some() {
            let after = self.chance.millis(500, 20_000);
            self.after(after, Happening::Boot(node.clone()));
        }
    }

    fn for_agent(&mut self, node: &NodeId, life: u64, after: Duration, what: ForAgent) {
        self.after(after, Happening::Agent { node: node.clone(), life, what });
    }

    pub(crate) fn agent_hears(&mut self, node: &NodeId, life: u64, what: ForAgent) {
        let Some(machine) = self.machines.get_mut(node).filter(|one| one.life == life) else {
            return;
        };
        let Some(agent) = machine.agent.as_mut() else { return };
        match what {
            ForAgent::Wake if agent.wake_at.is_some_and(|at| at <= self.now) => {
                self.agent_steps(node, &[]);
            }
            ForAgent::Wake => {}
            ForAgent::Relist => {
                self.list(node);
                self.for_agent(node, life, RELIST, ForAgent::Relist);
            }
            ForAgent::Beat => {
                let engine_ready = *agent.workload.engine() == Engine::Ready;
                self.say(node, Up::Beat { engine_ready });
                self.for_agent(node, life, HEARTBEAT, ForAgent::Beat);
                self.lease(node);
                self.tend_secrets(node);
            }
            ForAgent::Dial => self.dial(node, life),
            ForAgent::Foresee => self.foresee(node),
            ForAgent::Heard(event) => self.agent_steps(node, &[*event]),
            ForAgent::Listed(event) => {
                agent.is_listing = false;
                if std::mem::take(&mut agent.list_again) {
                    self.list(node);
                }
                self.agent_steps(node, &[*event]);
            }
            ForAgent::Down { session, message } if agent.session == Some(session) => {
                self.agent_is_told(node, message);
            }
            ForAgent::Down { .. } => {}
        }
    }

    fn agent_is_told(&mut self, node: &NodeId, message: Down) {
        if let Some(machine) = self.machines.get_mut(node) {
            machine.note_told(&message);
        }
        match message {
            Down::Welcome => {
                self.say_everything(node);
                self.say_stock(node);
                self.say_outlook(node);
            }
            Down::Fetch(images) => self.fetch(node, images),
            Down::Assignments(assigned) => {
                self.agent_steps(node, &[Event::Assigned(assigned)]);
                self.tend_secrets(node);
            }
            Down::RemoveOrphans(containers) => {
                self.agent_steps(node, &[Event::OrphansConfirmed { containers }]);
            }
        }
    }

    pub(crate) fn say_stock(&mut self, node: &NodeId) {
        let machine = self.machines.get(node).filter(|machine| machine.engine.is_up);
        let Some(engine) = machine.map(|machine| &machine.engine) else { return };
        let (images, volumes) = (engine.images.clone(), engine.volumes.clone());
        self.say(node, Up::Stock { images, volumes });
    }

    fn fetch(&mut self, node: &NodeId, images: BTreeSet<u32>) {
        let Some(life) = self.machines.get(node).map(|machine| machine.life) else { return };
        let after = self.engine_delay();
        let what = ForEngine::Fetch { life, images };
        self.after(after, Happening::Engine { node: node.clone(), what });
    }

    /// The engine has what it could get, and the agent says so.
    pub(crate) fn fetched(&mut self, node: &NodeId, life: u64, images: BTreeSet<u32>) {
        let fails = self.chance.percent(self.odds.engine_fault);
        let Some(machine) = self.machines.get_mut(node) else { return };
        if fails || !machine.engine.is_up {
            return;
        }
        machine.engine.images.extend(images);
        if machine.life == life {
            self.say_stock(node);
        }
    }

    fn say_everything(&mut self, node: &NodeId) {
        let agent = self.machines.get(node).and_then(|machine| machine.agent.as_ref());
        let Some(tasks) = agent.map(|agent| agent.workload.reports()) else { return };
        self.say_tasks(node, tasks, Extent::Everything);
    }

    /// Tries for a session; when it fails, and for as long as there is one, it is looked at again.
    fn dial(&mut self, node: &NodeId, life: u64) {
        self.for_agent(node, life, REDIAL, ForAgent::Dial);
        let (now, is_open) = (self.now, self.coordinator.is_up);
        let Some(machine) = self.machines.get_mut(node) else { return };
        let Some(agent) = machine.agent.as_mut() else { return };
        let held = agent.session.filter(|_| machine.cut_until <= now);
        if held.is_some_and(|session| self.coordinator.holds(node, session)) {
            return;
        }
        agent.session = None;
        if is_open && machine.cut_until <= now {
            self.sessions += 1;
            agent.session = Some(self.sessions);
            let hello = Up::Hello(Box::new(machine.node.clone()));
            // A session that was opened has its Hello: both are one request.
            self.coordinator_hears(node, self.sessions, hello);
        }
        self.agent_steps(node, &[]);
    }

    pub(crate) fn say(&mut self, node: &NodeId, message: Up) {
        let Some(machine) = self.machines.get(node) else { return };
        let session = machine.agent.as_ref().and_then(|agent| agent.session);
        if let Some(session) = session.filter(|_| machine.cut_until <= self.now) {
            self.send(Happening::Up { node: node.clone(), session, message });
        }
    }

    fn list(&mut self, node: &NodeId) {
        let now = self.now;
        let Some(machine) = self.machines.get_mut(node) else { return };
        let life = machine.life;
        let Some(agent) = machine.agent.as_mut() else { return };
        if std::mem::replace(&mut agent.is_listing, true) {
            agent.list_again = true;
            return;
        }
        let what = ForEngine::List { life, asked_at: now };
        let after = self.engine_delay();
        self.after(after, Happening::Engine { node: node.clone(), what });
    }

    pub(crate) fn agent_steps(&mut self, node: &NodeId, events: &[Event]) {
        let (now, comes) = (self.now, self.reach());
        let Some(machine) = self.machines.get_mut(node) else { return };
        let Some(agent) = machine.agent.as_mut() else { return };
        let reach = agent.reach();
        let events = [reach.map(Event::Reach).as_slice(), events].concat();
        let done = step(&mut agent.workload, &events, now);
        agent.wake_at = done.wake_at;
        if self.chance.percent(10) {
            let again = step(&mut agent.workload.clone(), &[], now).orders;
            self.truth.expect(again.is_empty(), || {
                format!("{node}: with nothing heard there is more to do: {again:?}")
            });
        }
        let fence = agent.workload.fence();
        if comes == Reach::Nothing {
            return self.crash(node);
        }
        if done.must_persist && self.flaw != Some(Flaw::JournalNotWritten) {
            machine.save();
        }
        self.truth.judge_fence(machine, fence);
        if comes == Reach::Journal {
            return self.crash(node);
        }
        machine.ledger.is_ending |= machine.is_about_to_end(now);
        for order in &done.orders {
            self.truth.judge_order(machine, order, now);
        }
        self.truth.judge_reports(machine, &done.reports);
        self.agent_acts(node, done, comes);
    }

    fn agent_acts(&mut self, node: &NodeId, done: Step, reach: Reach) {
        let Some(machine) = self.machines.get(node) else { return };
        let life = machine.life;
        done.orders.into_iter().for_each(|order| self.order(node, life, order));
        if reach == Reach::Orders {
            return self.crash(node);
        }
        if !done.reports.is_empty() {
            self.say_tasks(node, done.reports, Extent::News);
        }
        if let Some(at) = done.wake_at {
            self.for_agent(node, life, at.since(self.now), ForAgent::Wake);
        }
    }

    fn say_tasks(&mut self, node: &NodeId, tasks: Vec<Report>, extent: Extent) {
        let agent = self.machines.get(node).and_then(|machine| machine.agent.as_ref());
        let Some(agent) = agent else { return };
        let orphans = agent.workload.orphans();
        let engine_ready = *agent.workload.engine() == Engine::Ready;
        self.say(node, Up::Report { tasks, extent, orphans, engine_ready });
    }

    fn reach(&mut self) -> Reach {
        if !self.chance.permille(self.odds.agent_crash) {
            return Reach::Everything;
        }
        match self.chance.below(3) {
            0 => Reach::Nothing,
            1 => Reach::Journal,
            _ => Reach::Orders,
        }
    }

    fn order(&mut self, node: &NodeId, life: u64, order: Order) {
        let mut after = self.engine_delay();
        if let Action::Stop { grace, .. } = &order.action {
            let longest = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
            after += self.chance.millis(0, longest + 1);
        }
        let what = ForEngine::Perform { life, order };
        self.after(after, Happening::Engine { node: node.clone(), what });
    }

    pub(crate) fn engine_delay(&mut self) -> Duration {
        let longest = if self.chance.percent(self.odds.slow_engine) { 8_000 } else { 400 };
        self.chance.millis(5, longest)
    }

    pub(crate) fn answer(&mut self, node: &NodeId, life: u64, order: Order, outcome: Outcome) {
        let kind = match order.action {
            Action::Probe { number, .. } => OrderKind::Probe { number },
            Action::Pull { .. }
            | Action::Launch(_)
            | Action::Stop { .. }
            | Action::Kill { .. }
            | Action::Signal { .. }
            | Action::Unpause { .. }
            | Action::Remove { .. } => OrderKind::Change,
        };
        let Order { task, container, .. } = order;
        let done = Event::Done { task, container, kind, outcome };
        let after = self.engine_delay();
        self.for_agent(node, life, after, ForAgent::Heard(Box::new(done)));
    }

    /// The agent is told that its engine does not answer, or gets to hear what is there.
    pub(crate) fn listed(&mut self, node: &NodeId, life: u64, asked_at: Timestamp) {
        let (now, flaw) = (self.now, self.flaw);
        self.check_starts(node);
        let Some(machine) = self.machines.get(node) else { return };
        let mut containers = machine.engine.list(now);
        if flaw == Some(Flaw::ListShowsForeign) {
            containers = machine.engine.held.values().map(|held| held.look(now)).collect();
        }
        let fails = !machine.engine.is_up || self.chance.percent(self.odds.engine_fault);
        let event = match (fails, flaw) {
            (false, _) => Event::Listed { asked_at, containers },
            (true, Some(Flaw::FailedListIsEmpty)) => {
                Event::Listed { asked_at, containers: Vec::new() }
            }
            (true, Some(Flaw::ListIsPartial)) => {
                containers.pop();
                Event::Listed { asked_at, containers }
            }
            (true, _) => Event::EngineDown { why: "the engine does not answer".to_owned() },
        };
        let after = self.engine_delay();
        self.for_agent(node, life, after, ForAgent::Listed(Box::new(event)));
    }

    pub(crate) fn glanced(&mut self, node: &NodeId, life: u64, id: &str) {
        let Some(machine) = self.machines.get(node).filter(|one| one.engine.is_up) else { return };
        match machine.engine.look(id, self.now) {
            Some(seen) => {
                let after = self.engine_delay();
                let event = Box::new(Event::Seen(Box::new(seen)));
                self.for_agent(node, life, after, ForAgent::Heard(event));
            }
            None if machine.life == life => self.list(node),
            None => {}
        }
    }
}

/// What an order comes to that the engine never saw.
pub(crate) fn unknown() -> Outcome {
    failed(FaultKind::Unknown, "the engine does not answer")
}
