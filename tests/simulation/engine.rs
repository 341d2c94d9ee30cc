//! What happens in the engines: orders arrive, are carried out or not, and containers end by themselves.

use model::id::{NodeId, TaskId};
use model::task::Exit;

use crate::agent_core::Order;
use crate::agent_core::action::{Action, FaultKind, Outcome};
use crate::agent_core::observed::{Container, Status};

use super::World;
use super::agenda::{ForEngine, Happening};
use super::agent::unknown;
use super::docker::{exit, failed};
use super::flaw::Flaw;
use super::machine::Machine;
use super::specs;

impl World {
    pub(crate) fn engine_hears(&mut self, node: &NodeId, what: ForEngine) {
        if !self.machines.contains_key(node) {
            return;
        }
        match what {
            ForEngine::Perform { life, order } => self.perform(node, life, order),
            ForEngine::List { life, asked_at } => self.listed(node, life, asked_at),
            ForEngine::Fetch { life, images } => self.fetched(node, life, images),
            ForEngine::Glance { life, id } => self.glanced(node, life, &id),
            ForEngine::End { id, exit } => self.ends(node, &id, exit),
            ForEngine::Up => {
                if let Some(machine) = self.machines.get_mut(node) {
                    machine.engine.is_up = true;
                    machine.hindered_at = self.now;
                    let what = ForEngine::List { life: machine.life, asked_at: self.now };
                    self.engine_hears(node, what);
                    self.say_stock(node);
                }
            }
        }
    }

    fn perform(&mut self, node: &NodeId, life: u64, order: Order) {
        let Some(machine) = self.machines.get(node) else { return };
        let (is_up, lives) =
            (machine.engine.is_up, machine.life == life && machine.agent.is_some());
        // The request of an agent that has crashed meanwhile was sent, or was not.
        if !lives && self.chance.percent(50) {
            return;
        }
        let is_lost = self.chance.percent(self.odds.engine_fault);
        if !is_up || is_lost && self.chance.percent(40) {
            return self.answer(node, life, order, unknown());
        }
        if is_lost && self.chance.percent(40) {
            return self.refuse(node, life, order);
        }
        let volumes = machine.engine.volumes.len();
        let outcome = self.carry_out(node, &order, is_lost);
        let has_more = |machine: &Machine| machine.engine.volumes.len() != volumes;
        let is_news = self.machines.get(node).is_some_and(has_more);
        if let Outcome::Failed(fault) = &outcome
            && fault.kind != FaultKind::Unknown
            && let Some(machine) = self.machines.get_mut(node)
        {
            machine.trouble(&order.task, &order.container);
        }
        let is_pull = matches!(order.action, Action::Pull { .. });
        self.answer(node, life, order, if is_lost { unknown() } else { outcome });
        if is_pull || is_news {
            self.say_stock(node);
        }
    }

    /// The engine says no, for reasons of its own.
    fn refuse(&mut self, node: &NodeId, life: u64, order: Order) {
        let kind = match (&order.action, self.chance.below(4)) {
            (Action::Pull { .. }, 0 | 1) => FaultKind::RegistryUnavailable,
            (_, 0) => FaultKind::DiskFull,
            (_, _) => FaultKind::Engine,
        };
        if let Some(machine) = self.machines.get_mut(node) {
            machine.trouble(&order.task, &order.container);
        }
        self.answer(node, life, order, failed(kind, "the engine is in trouble"));
    }

    fn carry_out(&mut self, node: &NodeId, order: &Order, is_lost: bool) -> Outcome {
        self.containers += 1;
        let (now, made) = (self.now, format!("c{}", self.containers));
        let stops_half = is_lost && self.chance.percent(50);
        let Some(machine) = self.machines.get_mut(node) else { return Outcome::Gone };
        if let Action::Launch(launch) = &order.action {
            let name = format!("{}.{}.{}", launch.task, launch.container, launch.attempt);
            let is_taken = machine.engine.held.values().any(|held| held.shown.name == name);
            if stops_half && !is_taken {
                machine.engine.create(launch, &name, made);
                return unknown();
            }
            if is_taken && self.flaw == Some(Flaw::ConflictMakesAnother) {
                let named = format!("{name}-{made}");
                machine.engine.create(launch, &named, made.clone());
                if let Some(held) = machine.engine.held.get_mut(&made) {
                    held.shown.status = Status::Running;
                    held.shown.started_at = Some(now);
                }
            }
        }
        if matches!(order.action, Action::Stop { .. }) {
            machine.trouble(&order.task, &order.container);
        }
        let outcome = machine.engine.perform(&order.action, made, now);
        self.follow(node, &order.action, &outcome);
        outcome
    }

    /// What comes of a container that was started or stopped.
    fn follow(&mut self, node: &NodeId, action: &Action, outcome: &Outcome) {
        let (Action::Launch(launch), Outcome::Now(container)) = (action, outcome) else { return };
        self.check_doubles(node, container);
        self.notice(node, &container.id);
        let Some(machine) = self.machines.get_mut(node) else { return };
        if let Some(at) = container.started_at {
            machine.ledger.starts.insert((container.id.clone(), at));
        }
        let held = machine.engine.held.get(&container.id);
        let is_bad = held.is_some_and(|held| specs::is_bad(held.image));
        let name = launch.container.as_str();
        let (after, code) = if is_bad && name != "log" {
            (self.chance.millis(200, 4_000), 1)
        } else if specs::ends(name) {
            let fails = self.chance.percent(self.odds.death);
            (self.chance.millis(500, 25_000), i64::from(fails))
        } else {
            return;
        };
        let what = ForEngine::End { id: container.id.clone(), exit: exit(code, self.now + after) };
        self.after(after, Happening::Engine { node: node.clone(), what });
    }

    /// A container ends by itself, or by somebody's hand.
    pub(crate) fn ends(&mut self, node: &NodeId, id: &str, exit: Exit) {
        let Some(machine) = self.machines.get_mut(node) else { return };
        let Some(shown) = machine.engine.held.get(id).map(|held| held.shown.clone()) else {
            return;
        };
        machine.trouble(&shown.task, &shown.container);
        machine.engine.end(id, exit);
        if self.flaw == Some(Flaw::EngineRestarts)
            && let Some(held) = machine.engine.held.get_mut(id)
        {
            held.shown.status = Status::Running;
            held.shown.started_at = Some(self.now);
        }
        self.notice(node, id);
    }

    /// The engine's events wake the agent, most of the time.
    pub(crate) fn notice(&mut self, node: &NodeId, id: &str) {
        let Some(machine) = self.machines.get(node) else { return };
        let life = machine.life;
        if !self.chance.percent(self.odds.lost_events) {
            for after in [self.engine_delay(), std::time::Duration::from_millis(3_100)] {
                let what = ForEngine::Glance { life, id: id.to_owned() };
                self.after(after, Happening::Engine { node: node.clone(), what });
            }
        }
    }

    /// Every container of ours that lives was started by an agent, and not by the engine for reasons of its own.
    pub(crate) fn check_starts(&mut self, node: &NodeId) {
        let Some(machine) = self.machines.get(node) else { return };
        let starts = &machine.ledger.starts;
        let is_ordered = |container: &Container| {
            container.started_at.is_some_and(|at| starts.contains(&(container.id.clone(), at)))
        };
        let mut living = machine.engine.living().map(|held| &held.shown);
        if let Some(wild) = living.find(|container| !is_ordered(container)) {
            self.truth.accuse(format!("{} on {node} was started by nobody", wild.name));
        }
    }

    /// At most one living container of each name of a task, on all machines together; and of each slot, when its service
    /// has a port or data of its node, for as long as nobody has lost the store.
    fn check_doubles(&mut self, node: &NodeId, new: &Container) {
        let is_first_store = self.coordinator.fence.incarnation == 1;
        let is_exclusive = is_first_store && new.task.as_str().starts_with("shop.db.");
        let slot = |task: &TaskId| {
            task.as_str().rsplit_once('.').map(|(slot, _)| slot.to_owned()).unwrap_or_default()
        };
        for machine in self.machines.values() {
            let double = machine.engine.living().find(|held| {
                let other = &held.shown;
                let is_same =
                    other.task == new.task || is_exclusive && slot(&other.task) == slot(&new.task);
                other.id != new.id && is_same && other.container == new.container
            });
            if let Some(double) = double.filter(|_| new.is_alive()) {
                let (here, there) = (&new.name, &double.shown.name);
                let at = &machine.node.id;
                self.truth.accuse(format!("{here} on {node} lives beside {there} on {at}"));
            }
        }
    }
}
