//! What goes wrong, and what operators do meanwhile. Each seed has its own mix.

use std::time::Duration;

use model::id::{NodeId, ServiceId};
use model::node::{Availability, DrainCause, DrainPhase};
use model::release::{GoBack, PoolBack, ServiceBack};
use model::rollout::Steering;
use model::task::Exit;
use model::time::Timestamp;

use crate::agent_core::observed::Status;
use crate::coordinator_core::event::{Event, JobOrder};
use crate::coordinator_core::view;

use super::World;
use super::agenda::{ForEngine, Happening};
use super::chance::Chance;
use super::docker::exit;
use super::secrets::with_secret;
use super::specs::{HOST_VOLUME, SERVICES, balanced_spec_of};

/// How often things go wrong.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Odds {
    /// In a hundred messages.
    pub(crate) loss: u32,
    pub(crate) twice: u32,
    pub(crate) late: u32,
    /// In a hundred requests.
    pub(crate) engine_fault: u32,
    pub(crate) slow_engine: u32,
    pub(crate) lost_events: u32,
    /// In a thousand steps.
    pub(crate) agent_crash: u32,
    pub(crate) coordinator_crash: u32,
    /// In a thousand strokes of fate.
    pub(crate) wipe: u32,
    pub(crate) lost_journal: u32,
    pub(crate) blackout: u32,
    /// In a hundred strokes of fate: an operator's command, a container's end, somebody else's hand, a node or its link.
    pub(crate) operator: u32,
    pub(crate) death: u32,
    pub(crate) hand: u32,
    pub(crate) machine: u32,
    /// In a hundred heartbeats.
    pub(crate) leases: u32,
}

impl Odds {
    /// Each fault is off, rare or frequent.
    pub(crate) fn draw(chance: &mut Chance) -> Self {
        let mut pick = |rare, frequent| match chance.below(3) {
            0 => 0,
            1 => rare,
            _ => frequent,
        };
        Self {
            loss: pick(2, 15),
            twice: pick(2, 15),
            late: pick(5, 30),
            engine_fault: pick(2, 10),
            slow_engine: pick(5, 30),
            lost_events: pick(10, 80),
            agent_crash: pick(3, 20),
            coordinator_crash: pick(10, 60),
            wipe: pick(0, 20),
            lost_journal: pick(10, 60),
            blackout: pick(0, 6),
            operator: 30 + pick(0, 20),
            death: pick(10, 30),
            hand: pick(5, 20),
            machine: pick(5, 15),
            leases: 0,
        }
    }
}

impl World {
    pub(crate) fn fate(&mut self) {
        let after = self.chance.millis(1_000, 8_000);
        self.after(after, Happening::Fate);
        if self.chance.permille(self.odds.wipe) && self.coordinator.is_up {
            self.wipe();
        }
        if self.chance.permille(self.odds.blackout) {
            self.black_out();
        }
        if self.machines.is_empty() {
            return;
        }
        let node = self.some_node();
        if self.cloud.is_there && self.end_chance.percent(2) {
            self.interrupt_alone(&node);
        }
        if self.cloud.is_there && self.cloud.ends_silent && self.silence_chance.percent(5) {
            self.cut_off(&node);
        }
        if self.chance.permille(self.odds.lost_journal) {
            self.crash(&node);
            // The hardest case: what runs is known to nobody on the node, and nobody can be asked for longer than any grace.
            let is_alone = self.chance.percent(25);
            let alone_for = self.chance.millis(600_000, 900_000);
            if let Some(machine) = self.machines.get_mut(&node) {
                machine.lose_journal(self.now);
                if is_alone {
                    machine.cut_until = machine.cut_until.max(self.now + alone_for);
                }
            }
        }
        if self.chance.percent(self.odds.operator) {
            self.operate();
        }
        if self.chance.percent(self.odds.death) {
            let code = [0, 1, 137, 139][self.chance.below(4) as usize];
            let exit = Exit { is_oom: code == 137, ..exit(code, self.now) };
            if let Some(id) = self.some_container(&node) {
                self.ends(&node, &id, exit);
            }
        }
        if self.chance.percent(self.odds.hand) {
            self.meddle(&node);
        }
        if self.chance.percent(self.odds.machine) {
            self.shake(&node);
        }
    }

    /// Nobody is heard any more, for longer than a task is waited for: it is the coordinator that is cut off.
    fn black_out(&mut self) {
        let until = self.now + self.chance.millis(310_000, 420_000);
        for machine in self.machines.values_mut() {
            machine.cut_until = machine.cut_until.max(until);
        }
    }

    fn operate(&mut self) {
        if !self.coordinator.is_up {
            return;
        }
        let service = self.some_service();
        if self.cloud.is_there && self.chance.percent(6) {
            return self.refresh_or_not();
        }
        let event = match self.chance.below(17) {
            0..=3 => {
                self.images += 1;
                let replicas = self.some_replicas();
                let spec = balanced_spec_of(&service, self.images, replicas);
                let spec = with_secret(spec, self.images);
                self.have_secret();
                Event::Deploy { specs: vec![spec], remove: Vec::new(), expect: Vec::new() }
            }
            4 | 5 => Event::Scale { service, replicas: self.some_replicas() },
            6 => self.way_back().unwrap_or(Event::Rollback { service, to: None }),
            7 => Event::Remove(service),
            8 => Event::Restart(service),
            9 | 10 => Event::Job { service: self.some_job(), order: self.some_order() },
            13..=15 => Event::Steer { service, steering: self.some_steering() },
            11 | 12 => {
                let seconds = [0, 20, 120, 900][self.chance.below(4) as usize];
                let (one, other) = (self.some_node(), self.some_node());
                let both = self.chance.percent(30) && one != other;
                let nodes = if both { vec![one, other] } else { vec![one] };
                let (within, cause) = (Duration::from_secs(seconds), DrainCause::Operator);
                Event::Drain { nodes, within, cause }
            }
            _ => {
                let closes = self.chance.percent(50);
                let availability =
                    if closes { Availability::Cordoned } else { Availability::Active };
                Event::SetAvailability { node: self.some_node(), availability }
            }
        };
        self.coordinator.inbox.push(event);
        self.turn_within(Duration::from_millis(50));
    }

    /// To all that ran two minutes ago, if something else is to run now.
    fn way_back(&self) -> Option<Event> {
        let then = Timestamp::from_millis(self.now.as_millis() - 120_000);
        let (services, pools) = view::ran_at(&self.coordinator.cluster, then);
        let services = services.into_iter().filter_map(|one| {
            let to = one.way_back()?.number;
            Some(ServiceBack { from: one.now.number, to, service: one.id })
        });
        let pools = pools.into_iter().filter_map(|one| {
            let (from, to) = (one.now.clone()?, one.way_back()?.clone());
            Some(PoolBack { pool: one.pool, from, to })
        });
        let back = GoBack { then, services: services.collect(), pools: pools.collect() };
        let is_some = !back.services.is_empty() || !back.pools.is_empty();
        is_some.then(|| Event::GoBack(Box::new(back)))
    }

    fn some_steering(&mut self) -> Steering {
        let all = [Steering::Pause, Steering::Resume, Steering::Promote, Steering::Abort];
        all[self.chance.below(4) as usize]
    }

    /// Somebody with a shell on the machine.
    fn meddle(&mut self, node: &NodeId) {
        if self.volume_chance.percent(10) {
            return self.make_or_remove_volume(node);
        }
        let Some(id) = self.some_container(node) else { return };
        let (choice, now) = (self.chance.below(6), self.now);
        self.containers += 1;
        let foreign = format!("f{}", self.containers);
        let Some(machine) = self.machines.get_mut(node) else { return };
        let Some(held) = machine.engine.held.get_mut(&id) else { return };
        let shown = held.shown.clone();
        match choice {
            0 => {
                machine.engine.held.remove(&id);
                machine.trouble(&shown.task, &shown.container);
            }
            1 => self.ends(node, &id, exit(143, now)),
            2 if held.shown.status == Status::Running => {
                held.shown.status = Status::Paused;
                held.was_frozen = true;
            }
            3 => machine.engine.sicken(&id),
            4 => {
                machine.engine.add_foreign(foreign.clone(), shown);
                self.foreign.insert(foreign, node.clone());
            }
            _ => {}
        }
        self.notice(node, &id);
    }

    /// Somebody makes the volume of the machine, or removes it with all that is in it: who runs already goes on to have it.
    fn make_or_remove_volume(&mut self, node: &NodeId) {
        let Some(machine) = self.machines.get_mut(node) else { return };
        let volumes = &mut machine.engine.volumes;
        if !volumes.remove(HOST_VOLUME) {
            volumes.insert(HOST_VOLUME.to_owned());
        }
        self.say_stock(node);
    }

    /// After new tasks have taken the place of all that had suffered, a last blow: these have to recover by themselves.
    pub(crate) fn aftershock(&mut self) {
        for node in self.machines.keys().cloned().collect::<Vec<_>>() {
            for _ in 0..2 {
                let Some(id) = self.some_container(&node) else { continue };
                let Some(machine) = self.machines.get_mut(&node) else { continue };
                let now = self.now;
                match self.chance.below(3) {
                    0 => self.ends(&node, &id, exit(1, now)),
                    1 => machine.engine.sicken(&id),
                    _ => {
                        let held = machine.engine.held.remove(&id);
                        held.iter().for_each(|held| {
                            machine.trouble(&held.shown.task, &held.shown.container);
                        });
                    }
                }
            }
        }
    }

    /// One machine is cut off for so long that others take over, sometimes with trouble of its own, and comes back. Now and then
    /// its agent knows nothing of what runs there any more, for longer than it keeps such without being told.
    pub(crate) fn absence(&mut self) {
        let is_forgetful = self.chance.percent(30);
        let (least, most) = if is_forgetful { (680_000, 760_000) } else { (320_000, 420_000) };
        let (node, away) = (self.some_node(), self.chance.millis(least, most));
        if is_forgetful {
            self.crash(&node);
            if let Some(machine) = self.machines.get_mut(&node) {
                machine.lose_journal(self.now);
            }
        }
        if let Some(machine) = self.machines.get_mut(&node) {
            machine.cut_until = self.now + away;
        }
        self.live_until(self.now + away);
        let is_troubled = self.chance.percent(50);
        if let Some(id) = self.some_container(&node).filter(|_| is_troubled) {
            let ended = exit(1, self.now);
            self.ends(&node, &id, ended);
        }
    }

    /// A node is emptied while nothing else goes wrong: there is room, and nobody has to be forced.
    pub(crate) fn evacuation(&mut self) {
        let (node, within) = (self.some_node(), Duration::from_secs(900));
        let cause = DrainCause::Operator;
        let nodes = vec![node.clone()];
        self.coordinator.inbox.push(Event::Drain { nodes, within, cause });
        self.turn_within(Duration::from_millis(50));
        let end = self.now + within;
        let mut drain = None;
        while self.truth.broken.is_none() && self.now < end {
            self.live_until(self.now + Duration::from_secs(20));
            drain = self.coordinator.cluster.nodes().get(&node).and_then(|node| node.drain);
            if drain.is_some_and(|drain| matches!(drain.phase, DrainPhase::Drained { .. })) {
                break;
            }
        }
        let is_free = drain.is_some_and(|drain| match drain.phase {
            DrainPhase::Drained { since } => since < drain.deadline,
            DrainPhase::Moving | DrainPhase::Forced { .. } => false,
        });
        self.truth.expect(is_free, || format!("{node} is not drained by itself: {drain:?}"));
        let machine = self.machines.get(&node);
        let ours = machine.and_then(|machine| machine.engine.living().next());
        let ours = ours.map(|held| held.shown.name.clone());
        self.truth.expect(ours.is_none(), || format!("{node} is drained and runs {ours:?}"));
    }

    /// How long something is away: mostly for a minute, and now and then for longer than any grace.
    pub(crate) fn outage(&mut self) -> Duration {
        let longest = if self.chance.percent(10) { 900_000 } else { 90_000 };
        self.chance.millis(1_000, longest)
    }

    /// Something happens to a machine, its engine, its link or its agent.
    fn shake(&mut self, node: &NodeId) {
        let wait = self.outage();
        match self.chance.below(8) {
            0 if self.machines.len() > 2 => {
                self.die(node);
                if !self.cloud.is_there {
                    self.after(wait, Happening::Buried(node.clone()));
                }
            }
            1 => self.add_machine(),
            7 if self.cloud.is_there && self.chance.percent(30) => self.interrupt(node),
            7 if self.cloud.is_there => self.terminate(node),
            2 | 3 => {
                if let Some(machine) = self.machines.get_mut(node) {
                    machine.cut_until = machine.cut_until.max(self.now + wait);
                }
            }
            4 => self.crash(node),
            5 | 6 => self.stop_engine(node, wait),
            _ => {}
        }
    }

    /// The engine goes away and takes its containers along, or with `live-restore` does not.
    fn stop_engine(&mut self, node: &NodeId, wait: Duration) {
        let (restores, now) = (self.chance.percent(50), self.now);
        let Some(machine) = self.machines.get_mut(node) else { return };
        machine.engine.is_up = false;
        let living: Vec<_> = machine.engine.living().map(|held| held.shown.clone()).collect();
        for container in living.iter().filter(|_| !restores) {
            machine.trouble(&container.task, &container.container);
            machine.engine.end(&container.id, exit(137, now));
        }
        self.after(wait, Happening::Engine { node: node.clone(), what: ForEngine::Up });
    }

    pub(crate) fn some_node(&mut self) -> NodeId {
        let index = self.chance.below(u32::try_from(self.machines.len()).unwrap_or(1));
        let node = self.machines.keys().nth(index as usize);
        node.cloned().expect("whoever asks has seen that there is one")
    }

    fn some_container(&mut self, node: &NodeId) -> Option<String> {
        let machine = self.machines.get(node)?;
        let living: Vec<&String> = machine.engine.living().map(|held| &held.shown.id).collect();
        let count = u32::try_from(living.len()).unwrap_or(u32::MAX);
        let index = if count == 0 { return None } else { self.chance.below(count) };
        living.get(index as usize).map(|id| (*id).clone())
    }

    /// Mostly a few, and now and then more than are placed one by one, and than there is room for.
    fn some_replicas(&mut self) -> u32 {
        if self.chance.percent(8) { 9 + self.chance.below(12) } else { self.chance.below(6) }
    }

    fn some_service(&mut self) -> ServiceId {
        let name = SERVICES[self.chance.below(6) as usize];
        name.parse().expect("each is PROJECT/SERVICE")
    }

    fn some_job(&mut self) -> ServiceId {
        let name = SERVICES[4 + self.chance.below(2) as usize];
        name.parse().expect("each is PROJECT/SERVICE")
    }

    fn some_order(&mut self) -> JobOrder {
        let orders = [JobOrder::Run, JobOrder::Stop, JobOrder::Suspend, JobOrder::Resume];
        orders[self.chance.below(4) as usize]
    }
}
