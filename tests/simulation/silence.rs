//! Machines that are cut off for so long that they are ended for it, and what must hold of whom that is done to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::fleet::{HookId, HookPhase, Transition, UNREACHABLE_EVERY};
use model::id::NodeId;
use model::node::{Availability, DrainCause, Node};
use model::spec::Mode;
use model::task::{StopCause, Task};
use model::time::Timestamp;

use crate::coordinator_core::cluster::{Change, Cluster};
use crate::coordinator_core::command::Command;

use super::World;
use super::agenda::Happening;

/// For so long a machine is silent when its pool ends it for that.
pub(crate) const ENDED_AFTER: Duration = Duration::from_secs(360);
/// A node that is silent for so long counts as silent for its zone.
const SUSPECT: Duration = Duration::from_secs(30);

/// What was committed of machines that were silent in one store.
#[derive(Debug, Default)]
pub(crate) struct Silence {
    /// Since when the coordinator leads.
    pub(crate) leads_since: Timestamp,
    /// When one was last ended in each zone.
    last: BTreeMap<String, Timestamp>,
    /// All that ever were to be ended for that.
    ended: BTreeSet<NodeId>,
    /// Until when the cloud does not do it.
    refused_until: BTreeMap<NodeId, Timestamp>,
    /// Those of them of which their groups were told that nobody can empty them.
    pub(crate) answered: BTreeSet<NodeId>,
}

impl Silence {
    /// The cloud does from now on what it is asked.
    pub(crate) fn calm(&mut self) {
        self.refused_until.clear();
    }
}

impl World {
    /// Nothing gets through to a machine for longer than it is waited for.
    pub(crate) fn cut_off(&mut self, node: &NodeId) {
        let away = self.silence_chance.millis(330_000, 700_000);
        if let Some(machine) = self.machines.get_mut(node) {
            machine.cut_until = machine.cut_until.max(self.now + away);
        }
    }

    /// Says whether the machine is ended because it was silent, whatever runs there. Nobody knows that of a store that is lost.
    pub(crate) fn is_ended_for_silence(&self, id: &NodeId) -> bool {
        self.silence.ended.contains(id) || self.cloud.images.is_forgotten
    }

    /// Judges what is committed: who is ended for his silence has been silent for as long as his pool says, for a coordinator that
    /// has led for as long, and nobody else of his zone was ended lately.
    pub(crate) fn condemned(&mut self, before: &Cluster, change: &Change) {
        let Change::PutPool(pool) = change else { return };
        let known = before.pools().get(&pool.name).map(|pool| &pool.condemned);
        let is_news = |id: &&NodeId| known.is_none_or(|known| !known.contains_key(*id));
        let news: Vec<NodeId> = pool.condemned.keys().filter(is_news).cloned().collect();
        for id in news {
            let wrong = self.why_wrong(before, &id);
            self.truth.expect(wrong.is_none(), || {
                format!("{id} is ended for its silence, and {}", wrong.unwrap_or_default())
            });
            let zone = before.nodes().get(&id).map(|node| node.zone.clone()).unwrap_or_default();
            self.silence.last.insert(zone, self.now);
            self.silence.ended.insert(id.clone());
            if self.cloud.is_restless() && self.silence_chance.percent(50) {
                self.linger(&id);
            }
        }
    }

    /// The cloud does not end the machine for a while, and meanwhile it is heard, and silent once more.
    fn linger(&mut self, id: &NodeId) {
        let heard = self.now + self.silence_chance.millis(1_000, 60_000);
        let again = self.silence_chance.millis(65_000, 120_000);
        let until = self.now + self.silence_chance.millis(10_000, 900_000);
        if let Some(machine) = self.machines.get_mut(id) {
            machine.cut_until = heard;
            self.silence.refused_until.insert(id.clone(), until);
            self.after(again, Happening::CutOff(id.clone()));
        }
    }

    /// Says whether the cloud does not do it yet.
    pub(crate) fn refuses(&self, command: &Command) -> bool {
        let Command::Terminate { instance, .. } = command else { return false };
        let until = self.silence.refused_until.get(instance);
        until.is_some_and(|until| self.now < *until)
    }

    fn why_wrong(&self, cluster: &Cluster, id: &NodeId) -> Option<String> {
        let (now, least) = (self.now, ENDED_AFTER);
        let Some(node) = cluster.nodes().get(id) else { return Some("is no node".to_owned()) };
        // What was heard in this very step is not in what there was before it.
        let heard = self.coordinator.cluster.sighting(id).map(|seen| seen.at);
        let silence = heard.map(|at| now.since(at)).unwrap_or_default();
        if !self.cloud.ends_silent {
            return Some("nobody wants that".to_owned());
        }
        if silence < least || now.since(self.silence.leads_since) < least {
            return Some(format!("it was heard {silence:?} ago"));
        }
        let last = self.silence.last.get(&node.zone).map(|at| now.since(*at));
        if last.is_some_and(|since| since < UNREACHABLE_EVERY) {
            return Some(format!("another of its zone was ended {last:?} ago"));
        }
        if self.coordinator.cluster.freeze().is_some_and(|freeze| freeze.holds(now)) {
            return Some("an operator has said that nothing is to be replaced".to_owned());
        }
        let is_closed = node.availability == Availability::Cordoned
            && node.drain.is_none_or(|drain| drain.cause == DrainCause::Operator);
        if is_closed {
            return Some("an operator has closed it".to_owned());
        }
        self.is_silent_zone(node).then(|| "its zone is silent".to_owned())
    }

    /// Three nodes of a zone and more than half of it, or all nodes there are.
    fn is_silent_zone(&self, node: &Node) -> bool {
        let cluster = &self.coordinator.cluster;
        let living = cluster.nodes().values().filter(|one| one.availability != Availability::Dead);
        let count = |all: &dyn Fn(&Node) -> bool| {
            let here: Vec<&Arc<Node>> = living.clone().filter(|one| all(one)).collect();
            let is_silent = |one: &&&Arc<Node>| {
                let seen = cluster.sighting(&one.id);
                seen.is_some_and(|seen| self.now.since(seen.at) >= SUSPECT)
            };
            (here.len(), here.iter().filter(is_silent).count())
        };
        let (here, silent) = count(&|one| one.zone == node.zone);
        let (all, all_silent) = count(&|_| true);
        silent >= 3 && silent * 100 >= here * 55 || all == all_silent
    }

    /// Of a machine that is ended for its silence: what waits for a proof waits for it, its group is not kept waiting, and when it is
    /// heard again it is closed.
    pub(crate) fn check_silence(&mut self, before: &Cluster) {
        let mut wrong = Vec::new();
        let (cluster, now) = (&self.coordinator.cluster, self.now);
        let condemned = cluster.pools().values().flat_map(|pool| pool.condemned.keys());
        for id in condemned {
            let Some(node) = cluster.nodes().get(id) else { continue };
            if node.availability == Availability::Active {
                wrong.push(format!("{id} is to end, and is open"));
            }
            let is_leaving = node.drain.is_some_and(|drain| drain.cause.is_final());
            if cluster.is_back(id, now) && !is_leaving {
                wrong.push(format!("{id} is to end, was heard again, and is not emptied"));
            }
            if cluster.is_heard(node, now) {
                continue;
            }
            let hook = HookId { instance: id.clone(), transition: Transition::Terminating };
            match cluster.hooks().get(&hook).map(|hook| &hook.phase) {
                Some(HookPhase::Waiting) => {
                    wrong.push(format!("the group of {id} waits, and nobody can empty it"));
                }
                Some(HookPhase::Answered { .. } | HookPhase::Done { .. }) | None => {}
            }
        }
        wrong.extend(self.doubled(before));
        wrong.into_iter().for_each(|wrong| self.truth.accuse(wrong));
        self.note_answered();
    }

    fn note_answered(&mut self) {
        let (cluster, now) = (&self.coordinator.cluster, self.now);
        let is_in_vain = |id: &&NodeId| {
            let node = cluster.nodes().get(*id);
            node.is_some_and(|node| !cluster.is_heard(node, now))
        };
        let condemned = cluster.pools().values().flat_map(|pool| pool.condemned.keys());
        let answered: Vec<NodeId> = condemned.filter(is_in_vain).cloned().collect();
        self.silence.answered.extend(answered);
    }

    /// A task that must not run twice and is begun beside one on a machine that is silent, or given up there, though the machine is
    /// there still.
    fn doubled(&self, before: &Cluster) -> Option<String> {
        let (cluster, now) = (&self.coordinator.cluster, self.now);
        let on_condemned = |task: &&Arc<Task>| {
            let node = task.node.as_ref().and_then(|id| cluster.nodes().get(id));
            node.is_some_and(|node| {
                cluster.is_condemned(&node.id) && !cluster.is_back(&node.id, now)
            })
        };
        let tasks = before.tasks().values();
        let live = tasks.filter(|task| task.is_wanted() && !task.state.is_final());
        for was in live.filter(on_condemned).filter(|task| is_single(task)) {
            let is_there = was.node.as_ref().is_some_and(|id| self.machines.contains_key(id));
            let task = cluster.tasks().get(&was.id);
            if is_there && task.is_none_or(|task| task.state.is_final()) {
                return Some(format!("{} is given up, and its machine is not gone", was.id));
            }
            if task.is_some_and(|task| task.desired.stop_cause() == Some(StopCause::Drain)) {
                return Some(format!("{} is told to stop, and nobody hears that", was.id));
            }
            let is_next = |next: &&Arc<Task>| {
                let is_new = before.tasks().get(&next.id).is_none();
                is_new && next.is_wanted() && next.generation.template == was.generation.template
            };
            let mut beside = cluster.tasks_of(&was.service).filter(|next| next.slot == was.slot);
            if let Some(next) = beside.find(is_next)
                && task.is_some_and(|task| !task.state.is_final())
            {
                return Some(format!("{} is begun, and {} may run still", next.id, was.id));
            }
        }
        None
    }
}

/// Says whether two of it at once do harm.
fn is_single(task: &Task) -> bool {
    let spec = &task.generation.spec;
    let is_alone = match spec.mode {
        Mode::Replicated { replicas } => replicas < 2,
        Mode::Global | Mode::Once | Mode::Job(_) => true,
    };
    is_alone || spec.task.is_exclusive()
}
