//! An Auto Scaling group in half of the worlds: it launches machines and ends them, waits for whoever has a hook, tells of it
//! in letters that get lost, and shows now and then how it was a while ago.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::fleet::{
    Answer, Group, GroupHook, Headroom, HookCall, HookId, HookPhase, Instance, Lifecycle,
    PoolPolicy, Power, Precaution, Survey, Transition, Unreachable,
};
use model::id::NodeId;
use model::node::{Availability, DrainPhase, Node};
use model::policy::Profile;
use model::task::Task;
use model::time::Timestamp;

use crate::coordinator_core::command::{Command, Key, Outcome};
use crate::coordinator_core::event::{Event, FleetEvent};

use super::World;
use super::agenda::Happening;
use super::refresh::{Images, image};
use super::silence::ENDED_AFTER;

pub(crate) const POOL: &str = "web";
pub(crate) const TEMPLATE: &str = "lt-1";
const LOOK: Duration = Duration::from_secs(30);
/// What was stopped by force is given so long at least.
const LAST_WAIT: Duration = Duration::from_secs(30);
/// EC2 forgets a machine that has ended, here sooner than in the world.
const FORGET: Duration = Duration::from_secs(400);

#[derive(Debug, Default)]
pub(crate) struct Cloud {
    pub(crate) is_there: bool,
    hooks: Vec<GroupHook>,
    machines: BTreeMap<NodeId, Instance>,
    /// As they were when they were looked at the time before.
    before: Vec<Instance>,
    ended: BTreeMap<NodeId, Timestamp>,
    /// Until when the group waits.
    waits_until: BTreeMap<NodeId, Timestamp>,
    /// What the coordinator is asking.
    pub(crate) asking: BTreeSet<Key>,
    /// Since when nothing goes wrong any more.
    calm_since: Option<Timestamp>,
    /// Whether machines that are silent for long are ended.
    pub(crate) ends_silent: bool,
    pub(crate) images: Images,
}

/// No pool is made smaller than this by us.
pub(crate) const LEAST: usize = 2;

fn policy((scales, ends_silent): (bool, bool), profile: Profile) -> PoolPolicy {
    PoolPolicy {
        unreachable: if ends_silent { Unreachable::End } else { Unreachable::Keep },
        unreachable_after: ENDED_AFTER,
        drain_within: Duration::from_secs(240),
        join_within: Duration::from_secs(180),
        grows: scales,
        shrinks: scales,
        least: u32::try_from(LEAST).unwrap_or(u32::MAX),
        most: u32::try_from(super::MACHINES + 1).ok(),
        shrink_after: Duration::from_secs(60),
        headroom: Headroom::default(),
        profile,
        precaution: Precaution::default(),
    }
}

impl Cloud {
    fn set(&mut self, id: &NodeId, lifecycle: Lifecycle) {
        if let Some(machine) = self.machines.get_mut(id) {
            machine.lifecycle = lifecycle;
        }
    }

    fn lifecycle(&self, id: &NodeId) -> Option<Lifecycle> {
        self.machines.get(id).map(|machine| machine.lifecycle)
    }

    fn waits(&self, hook: &HookId) -> bool {
        let waits = match hook.transition {
            Transition::Launching => Lifecycle::LaunchingWaits,
            Transition::Terminating => Lifecycle::TerminatingWaits,
        };
        self.lifecycle(&hook.instance) == Some(waits)
    }

    fn hook(&self, transition: Transition) -> Option<&GroupHook> {
        self.hooks.iter().find(|hook| hook.transition == transition)
    }

    pub(crate) fn staying(&self) -> usize {
        self.machines.values().filter(|one| !one.lifecycle.is_leaving()).count()
    }

    /// Says whether things may still go wrong in the cloud.
    pub(crate) fn is_restless(&self) -> bool {
        self.calm_since.is_none()
    }

    pub(crate) fn machines(&self) -> impl Iterator<Item = &Instance> {
        self.machines.values()
    }

    /// The machine has booted from this image.
    pub(crate) fn show_image(&mut self, id: &NodeId, ami: &str) {
        if let Some(machine) = self.machines.get_mut(id) {
            machine.ami = Some(ami.to_owned());
        }
    }

    fn end(&mut self, id: &NodeId, now: Timestamp) {
        if let Some(machine) = self.machines.get_mut(id) {
            (machine.lifecycle, machine.power) = (Lifecycle::Terminated, Power::Terminated);
            self.ended.insert(id.clone(), now);
            self.waits_until.remove(id);
        }
    }
}

fn instance(node: &Node, lifecycle: Lifecycle, version: u64) -> Instance {
    Instance {
        id: node.id.clone(),
        pool: Some(POOL.to_owned()),
        lifecycle,
        power: Power::Running,
        zone: node.zone.clone(),
        instance_type: None,
        ami: Some(image(version)),
        template_id: Some(TEMPLATE.to_owned()),
        template_version: Some(version.to_string()),
        is_spot: true,
        is_protected: false,
    }
}

impl World {
    /// The machines that are there belong to a group now.
    pub(crate) fn begin_cloud(&mut self) {
        // In half of those that have a group it is as large as the coordinator says.
        let drawn = self.chance.below(100);
        (self.cloud.is_there, self.cloud.images.scales) = (drawn < 50, drawn < 25);
        self.cloud.ends_silent = self.silence_chance.percent(50);
        if self.cloud.is_there {
            let members = self.machines.values().map(|machine| &machine.node);
            let members = members.map(|node| instance(node, Lifecycle::InService, 1));
            self.cloud.machines = members.map(|one| (one.id.clone(), one)).collect();
            self.adopt();
            self.after(LOOK, Happening::Look);
        }
    }

    pub(crate) fn adopt(&mut self) {
        if self.cloud.is_there {
            let how = (self.cloud.images.scales, self.cloud.ends_silent);
            let (name, policy) = (POOL.to_owned(), policy(how, self.profile()));
            self.coordinator.inbox.push(Event::Fleet(FleetEvent::PutPool { name, policy }));
        }
    }

    /// For a minute and a half of every four the pool takes only what is strict, until nothing is meddled with any more.
    fn profile(&self) -> Profile {
        let is_early = self.now.as_millis() / 1_000 % 240 < 90;
        match self.cloud.calm_since {
            None if is_early => Profile::Strict,
            Some(_) | None => Profile::Default,
        }
    }

    /// An operator has said something else of the pool.
    fn set_profile(&mut self) {
        let pool = self.coordinator.cluster.pools().get(POOL);
        if pool.is_some_and(|pool| pool.policy.profile != self.profile()) {
            self.adopt();
        }
    }

    /// Nothing goes wrong in the cloud from now on.
    pub(crate) fn calm_cloud(&mut self) {
        self.cloud.calm_since = Some(self.now);
        self.silence.calm();
        self.adopt();
        self.resume_refresh();
    }

    /// A machine has been launched.
    pub(crate) fn launched(&mut self, node: &Node) {
        if !self.cloud.is_there {
            return;
        }
        let waits = self.cloud.hook(Transition::Launching).map(|hook| hook.patience);
        let lifecycle =
            if waits.is_some() { Lifecycle::LaunchingWaits } else { Lifecycle::InService };
        let version = self.cloud.images.version;
        self.cloud.machines.insert(node.id.clone(), instance(node, lifecycle, version));
        if let Some(patience) = waits {
            self.cloud.waits_until.insert(node.id.clone(), self.now + patience);
            self.call(&node.id, Transition::Launching);
        }
    }

    fn call(&mut self, id: &NodeId, transition: Transition) {
        let id = HookId { instance: id.clone(), transition };
        let token = Some(id.to_string());
        let call = HookCall { id, pool: POOL.to_owned(), token };
        self.send(Happening::Letter(FleetEvent::Hooked(call)));
    }

    /// The group ends a machine, if there are enough.
    pub(crate) fn terminate(&mut self, id: &NodeId) {
        if self.cloud.staying() > 2 && self.cloud.lifecycle(id) == Some(Lifecycle::InService) {
            self.terminate_now(id);
        }
    }

    /// The group ends a machine.
    pub(crate) fn terminate_now(&mut self, id: &NodeId) {
        match self.cloud.hook(Transition::Terminating).map(|hook| hook.patience) {
            Some(patience) => {
                self.cloud.set(id, Lifecycle::TerminatingWaits);
                self.cloud.waits_until.insert(id.clone(), self.now + patience);
                self.call(id, Transition::Terminating);
            }
            None => self.lose(id),
        }
    }

    /// A machine dies. Its group ends it all the same, and waits for whoever has a hook.
    pub(crate) fn die(&mut self, id: &NodeId) {
        self.machines.remove(id);
        self.forget_targets(id);
        self.foreign.retain(|_, at| at != id);
        let waits = self.cloud.hook(Transition::Terminating).map(|hook| hook.patience);
        let Some(machine) = self.cloud.machines.get_mut(id) else { return };
        match waits {
            Some(patience) => {
                machine.power = Power::Terminated;
                machine.lifecycle = Lifecycle::TerminatingWaits;
                self.cloud.waits_until.insert(id.clone(), self.now + patience);
                self.call(id, Transition::Terminating);
            }
            None => self.cloud.end(id, self.now),
        }
    }

    /// A machine is not there any more, nor is what ran on it.
    pub(crate) fn lose(&mut self, id: &NodeId) {
        self.machines.remove(id);
        self.forget_targets(id);
        self.foreign.retain(|_, at| at != id);
        self.cloud.end(id, self.now);
    }

    /// A letter reaches the coordinator.
    pub(crate) fn read(&mut self, letter: FleetEvent) {
        if self.coordinator.is_up {
            self.coordinator.inbox.push(Event::Fleet(letter));
            self.turn_within(Duration::from_millis(50));
        }
    }

    /// The coordinator looks at the cloud, and the group looks after itself.
    pub(crate) fn look(&mut self) {
        self.after(LOOK, Happening::Look);
        self.time_out();
        let now = self.now;
        let is_old =
            |id: &NodeId| self.cloud.ended.get(id).is_some_and(|at| now.since(*at) >= FORGET);
        let old: Vec<NodeId> =
            self.cloud.machines.keys().filter(|id| is_old(id)).cloned().collect();
        old.iter().for_each(|id| {
            self.cloud.machines.remove(id);
        });
        while self.cloud.staying() < self.cloud.images.desired && self.has_place_for_one_more() {
            self.add_machine();
        }
        let shown: Vec<Instance> = self.cloud.machines.values().cloned().collect();
        let before = std::mem::replace(&mut self.cloud.before, shown.clone());
        if !self.coordinator.is_up || self.chance.percent(self.odds.loss) {
            return;
        }
        let lags = self.chance.percent(self.odds.late);
        let survey = self.survey(if lags { before } else { shown });
        self.coordinator.inbox.push(Event::Fleet(FleetEvent::Surveyed(Box::new(survey))));
        if !self.coordinator.cluster.pools().contains_key(POOL) && self.chance.percent(20) {
            self.adopt();
        }
        self.set_profile();
        self.turn_within(Duration::from_millis(50));
    }

    fn survey(&self, machines: Vec<Instance>) -> Survey {
        let cluster = &self.coordinator.cluster;
        if !cluster.pools().contains_key(POOL) {
            return Survey::default();
        }
        let living = cluster.nodes().values();
        let living = living.filter(|node| node.availability != Availability::Dead);
        let asked = living.map(|node| &node.id);
        let asked: BTreeSet<&NodeId> =
            asked.chain(cluster.hooks().keys().map(|hook| &hook.instance)).collect();
        let is_shown = |id: &NodeId| machines.iter().any(|one| one.id == *id);
        let hooks = self.cloud.hooks.clone();
        let group = Group { name: POOL.to_owned(), hooks, ..self.cloud.images.group() };
        let unknown = asked.iter().filter(|id| !is_shown(id)).map(|id| (**id).clone()).collect();
        let is_asked = |one: &Instance| one.power != Power::Terminated || asked.contains(&one.id);
        let instances = machines.iter().filter(|one| is_asked(one)).cloned().collect();
        Survey {
            groups: vec![group],
            missing: BTreeSet::new(),
            instances,
            unknown,
            images: self.cloud.images.named(),
        }
    }

    /// A group that was given no sign goes on by itself.
    fn time_out(&mut self) {
        let late = self.cloud.waits_until.iter().filter(|(_, until)| **until <= self.now);
        let late: Vec<NodeId> = late.map(|(id, _)| id.clone()).collect();
        for id in late {
            let calm = self.cloud.calm_since.map(|since| self.now.since(since));
            // A coordinator that is there gives a sign in time.
            let patience = super::cloud_patience();
            self.truth.expect(calm.is_none_or(|calm| calm < patience * 2), || {
                format!("the group of {id} has waited in vain for a sign")
            });
            self.lose(&id);
        }
    }

    /// Makes the requests that are not being made.
    pub(crate) fn request(&mut self, commands: Vec<Command>) {
        for command in commands {
            if self.cloud.asking.insert(command.key()) {
                let after = self.chance.millis(20, 2_000);
                self.after(after, Happening::Ask(command));
            }
        }
    }

    /// A request reaches the cloud. Its answer may be lost, and then nobody knows what came of it.
    pub(crate) fn ask(&mut self, command: Command) {
        if let Command::Balance { .. } = command {
            return self.balance(command);
        }
        let (key, is_lost) = (command.key(), self.chance.percent(self.odds.loss));
        // Of those, in half it never arrived.
        let arrives = !is_lost || self.chance.percent(50);
        if self.refuses(&command) {
            let outcome = Outcome::Failed { why: "not authorized".to_owned() };
            return self.answered(key, outcome);
        }
        let outcome = if arrives { self.grant(command) } else { Outcome::Done };
        let failed = || Outcome::Failed { why: "no answer".to_owned() };
        let outcome = if is_lost { failed() } else { outcome };
        self.answered(key, outcome);
    }

    fn answered(&mut self, key: Key, outcome: Outcome) {
        if self.coordinator.is_up && self.cloud.asking.remove(&key) {
            self.coordinator.inbox.push(Event::Fleet(FleetEvent::Performed { key, outcome }));
            self.turn_within(Duration::from_millis(50));
        }
    }

    fn grant(&mut self, command: Command) -> Outcome {
        match command {
            Command::SetHook { hook, .. } => {
                self.cloud.hooks.retain(|known| known.name != hook.name);
                self.cloud.hooks.push(hook);
            }
            Command::SetDesired { .. }
            | Command::MakeTemplate { .. }
            | Command::SetTemplate { .. }
            | Command::SetMax { .. }
            | Command::SetProcess { .. }
            | Command::ReplaceRoot { .. }
            | Command::Terminate { .. } => return self.grant_refresh(command),
            // Asked elsewhere.
            Command::Balance { .. } => {}
            Command::Bake { .. }
            | Command::Look { .. }
            | Command::Remove { .. }
            | Command::CancelRefresh { .. } => {
                self.truth.accuse("something is done that nobody asked for".to_owned());
            }
            Command::Beat { hook, .. } | Command::AnswerHook { hook, .. }
                if !self.cloud.waits(&hook) =>
            {
                return Outcome::NothingWaits;
            }
            Command::Beat { hook, .. } => {
                let until = self.now + super::cloud_patience();
                self.cloud.waits_until.insert(hook.instance, until);
            }
            Command::AnswerHook { hook, answer, .. } => {
                self.judge(&hook, answer);
                self.cloud.waits_until.remove(&hook.instance);
                match (hook.transition, answer) {
                    (Transition::Launching, Answer::Continue) => {
                        self.cloud.set(&hook.instance, Lifecycle::InService);
                    }
                    (Transition::Launching, Answer::Abandon) | (Transition::Terminating, _) => {
                        self.lose(&hook.instance);
                    }
                }
            }
        }
        Outcome::Done
    }

    /// A machine goes when nothing of ours runs there or its time is up, and counts when its agent is there.
    fn judge(&mut self, id: &HookId, answer: Answer) {
        let cluster = &self.coordinator.cluster;
        // A coordinator whose store was lost since knows nothing of what its predecessor has answered.
        let Some(hook) = cluster.hooks().get(id) else { return };
        let Some(machine) = self.machines.get(&id.instance) else { return };
        let drain = cluster.nodes().get(&id.instance).and_then(|node| node.drain);
        let is_forced = drain.is_some_and(|drain| matches!(drain.phase, DrainPhase::Forced { .. }));
        let is_late = hook.deadline <= self.now || is_forced && hook.since + LAST_WAIT <= self.now;
        // Nobody could be told to leave it when that was answered.
        let is_late = is_late || self.silence.answered.contains(&id.instance);
        match id.transition {
            Transition::Terminating => {
                // What is lost was given up long ago, because its node is silent; of what has failed the last container may stop still.
                let is_there = |task: &Arc<Task>| {
                    task.node.as_ref() == Some(&id.instance) && !task.state.is_final()
                };
                let ours = machine
                    .engine
                    .living()
                    .find(|held| cluster.tasks().get(&held.shown.task).is_some_and(is_there));
                let ours = ours.and_then(|held| cluster.tasks().get(&held.shown.task)).cloned();
                let why = hook.phase.clone();
                self.truth.expect(ours.is_none() || is_late, || {
                    let ours =
                        ours.map(|task| format!("{} {:?} {:?}", task.id, task.desired, task.state));
                    format!("{id} is told {why:?} and goes with {ours:?}")
                });
            }
            Transition::Launching => {
                let is_known = cluster.nodes().contains_key(&id.instance);
                let is_right = match answer {
                    Answer::Continue => is_known,
                    Answer::Abandon => is_late,
                };
                self.truth.expect(is_right, || format!("{id} is told {answer:?} too soon"));
            }
        }
    }

    /// What the cloud waits for, if it waits.
    pub(crate) fn unrest_in_cloud(&self) -> Option<String> {
        if !self.cloud.is_there {
            return None;
        }
        let cluster = &self.coordinator.cluster;
        if !cluster.pools().contains_key(POOL) {
            return Some("nobody manages the group".to_owned());
        }
        let is_settled = |one: &&Instance| match one.lifecycle {
            Lifecycle::InService | Lifecycle::Terminated | Lifecycle::Aside => true,
            Lifecycle::Launching
            | Lifecycle::LaunchingWaits
            | Lifecycle::Terminating
            | Lifecycle::TerminatingWaits => false,
        };
        let moving = self.cloud.machines.values().find(|one| !is_settled(one));
        let moving = moving.map(|one| format!("{} is {:?}", one.id, one.lifecycle));
        let open =
            cluster.hooks().values().find(|hook| !matches!(hook.phase, HookPhase::Done { .. }));
        let open = open.map(|hook| format!("{} is {:?}", hook.id, hook.phase));
        let images = &self.cloud.images;
        let size = if images.scales { images.desired } else { super::MACHINES };
        let few = (self.cloud.staying() < size).then(|| "machines are missing".to_owned());
        let few = few.or_else(|| self.unrest_of_refresh());
        let hookless = (self.cloud.hooks.len() < 2).then(|| "the group has no hooks".to_owned());
        moving.or(open).or(few).or(hookless)
    }
}
