//! What a group launches, how many machines it wants, and operators who want others.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use model::budget::Amount;
use model::fleet::{Group, Lifecycle};
use model::id::NodeId;
use model::node::{Drain, DrainCause};
use model::refresh::{
    AtDeadline, Blueprint, Mode, Refresh, RefreshPhase, RefreshPolicy, Stage, Version,
};
use model::rollout::Steering;
use model::schedule::Window;
use model::task::Task;

use crate::coordinator_core::Step;
use crate::coordinator_core::cluster::{Change, Cluster};
use crate::coordinator_core::command::{Command, Outcome};
use crate::coordinator_core::event::{Event, FleetEvent, RefreshEvent, Target};

use super::World;
use super::agenda::Happening;
use super::cloud::{LEAST, POOL, TEMPLATE};

/// The greatest size that the group has, unless it is told otherwise: there is no room for a surge.
const MAX: u32 = 4;

#[derive(Debug)]
pub(crate) struct Images {
    /// The version of the template that machines are launched from.
    pub(crate) version: u64,
    /// How many versions there are.
    versions: u64,
    /// What was made by which token.
    made: BTreeMap<String, u64>,
    /// How many machines the group wants.
    pub(crate) desired: usize,
    max: u32,
    suspended: BTreeSet<String>,
    /// Root volumes that were to be replaced, by token, and whether that has failed.
    replaced: BTreeMap<String, bool>,
    /// Whether the coordinator says how many machines are wanted.
    pub(crate) scales: bool,
    /// The store was lost since: nobody knows how the group was before.
    pub(crate) is_forgotten: bool,
}

impl Default for Images {
    fn default() -> Self {
        Self {
            version: 1,
            versions: 1,
            made: BTreeMap::new(),
            desired: super::MACHINES,
            max: MAX,
            suspended: BTreeSet::new(),
            replaced: BTreeMap::new(),
            scales: false,
            is_forgotten: false,
        }
    }
}

impl Images {
    /// The machine image of each version.
    pub(crate) fn named(&self) -> BTreeMap<Version, Option<String>> {
        let named = |version| ((TEMPLATE.to_owned(), version), Some(image(version)));
        (1..=self.versions).map(named).collect()
    }

    /// The group as far as its machines' number and origin are concerned.
    pub(crate) fn group(&self) -> Group {
        Group {
            max: self.max,
            desired: u32::try_from(self.desired).unwrap_or(u32::MAX),
            suspended: self.suspended.clone(),
            blueprint: Some(blueprint(self.version)),
            ..Group::default()
        }
    }
}

/// The machine image of a version.
pub(crate) fn image(version: u64) -> String {
    format!("ami-{version}")
}

fn blueprint(version: u64) -> Blueprint {
    Blueprint(BTreeMap::from([(TEMPLATE.to_owned(), version)]))
}

impl World {
    fn ask_of_refresh(&mut self, event: RefreshEvent) {
        self.coordinator.inbox.push(Event::Fleet(FleetEvent::Refresh(event)));
        self.turn_within(Duration::from_millis(50));
    }

    /// An operator wants other machines, or something of those that come.
    pub(crate) fn refresh_or_not(&mut self) {
        let pool = POOL.to_owned();
        let steering = match self.chance.below(16) {
            0 => Steering::Pause,
            1 | 2 => Steering::Resume,
            3 => Steering::Promote,
            4 => Steering::Abort,
            5 => return self.ask_of_refresh(RefreshEvent::RollBack { pool }),
            6 => return self.set_windows(),
            7 => {
                let reason = "it is urgent".to_owned();
                return self.ask_of_refresh(RefreshEvent::Override { pool, reason });
            }
            8 => return self.freeze_or_not(),
            _ => return self.start_refresh(),
        };
        self.ask_of_refresh(RefreshEvent::Steer { pool, steering });
    }

    /// An operator says when machines may be replaced: for some minutes from now on, or until then, or at all times.
    fn set_windows(&mut self) {
        let minute = self.now.as_millis() / 60_000 % 1_440;
        let clock = |minute: u64| format!("{:02}:{:02}", minute % 1_440 / 60, minute % 60);
        let from = minute + u64::from(self.chance.below(4));
        let to = from + 1 + u64::from(self.chance.below(4));
        let window = match self.chance.below(3) {
            0 => None,
            1 => Some(format!("{}-{} UTC", clock(from), clock(to))),
            _ => Some(format!("{}-{} UTC", clock(to), clock(from))),
        };
        let windows = window
            .iter()
            .map(|window| window.parse().expect("it is written as windows are"))
            .collect();
        self.put_windows(windows);
    }

    /// An operator has no machine replaced, for some minutes or until somebody says otherwise.
    fn freeze_or_not(&mut self) {
        let minutes = u64::from(self.chance.below(6));
        let event = match self.chance.below(3) {
            0 => RefreshEvent::Unfreeze,
            1 => RefreshEvent::Freeze { why: "a sale".to_owned(), until: None },
            _ => {
                let until = Some(self.now + Duration::from_secs(minutes * 60 + 1));
                RefreshEvent::Freeze { why: "a sale".to_owned(), until }
            }
        };
        self.ask_of_refresh(event);
    }

    fn put_windows(&mut self, windows: Vec<Window>) {
        let name = POOL.to_owned();
        self.coordinator.inbox.push(Event::Fleet(FleetEvent::SetWindows { name, windows }));
        self.turn_within(Duration::from_millis(50));
    }

    fn start_refresh(&mut self) {
        let is_forced = self.chance.percent(30);
        let policy = RefreshPolicy {
            surge: Amount::Count(self.chance.below(2)),
            stages: self.stages(),
            hold: Duration::from_secs(u64::from(self.chance.below(60))),
            drain_within: Duration::from_secs(30 + u64::from(self.chance.below(200))),
            at_deadline: if is_forced { AtDeadline::Force } else { AtDeadline::Skip },
            urgent: self.chance.percent(20).then(|| "it is urgent".to_owned()),
            mode: if self.chance.percent(40) { Mode::InPlace } else { Mode::Replace },
            takes_over: false,
        };
        let target = Target::Ami(format!("ami-{}", self.cloud.images.versions + 1));
        let pool = POOL.to_owned();
        let (expect, after) = (None, Vec::new());
        self.ask_of_refresh(RefreshEvent::Start { pool, target, policy, expect, after });
    }

    fn stages(&mut self) -> Vec<Stage> {
        let one = Stage::Machines(Amount::Count(1));
        match self.chance.below(4) {
            0 => vec![one],
            1 => vec![one, Stage::Zone],
            2 => vec![Stage::Zone],
            _ => Vec::new(),
        }
    }

    /// Nobody has it stand still any more.
    pub(crate) fn resume_refresh(&mut self) {
        if self.cloud.is_there {
            self.put_windows(Vec::new());
            self.ask_of_refresh(RefreshEvent::Unfreeze);
            let (pool, steering) = (POOL.to_owned(), Steering::Resume);
            self.ask_of_refresh(RefreshEvent::Steer { pool, steering });
        }
    }

    /// Says whether the node is being emptied because its machine is to be replaced.
    pub(crate) fn leaves_for_refresh(&self, node: &NodeId) -> bool {
        let known = self.coordinator.cluster.nodes().get(node);
        let drain = known.and_then(|node| node.drain);
        drain.is_some_and(|drain| drain.cause == DrainCause::Refresh)
    }

    /// Does what is asked of the group.
    pub(crate) fn grant_refresh(&mut self, command: Command) -> Outcome {
        let images = &mut self.cloud.images;
        match command {
            Command::MakeTemplate { token, .. } => {
                let versions = &mut images.versions;
                let made = *images.made.entry(token).or_insert_with(|| {
                    *versions += 1;
                    *versions
                });
                return Outcome::Made(blueprint(made));
            }
            Command::SetTemplate { to, .. } => images.version = to.0[TEMPLATE],
            Command::SetMax { to, .. } => images.max = to,
            Command::SetProcess { process, suspended: true, .. } => {
                images.suspended.insert(process.to_owned());
            }
            Command::SetProcess { process, suspended: false, .. } => {
                images.suspended.remove(process);
            }
            Command::SetDesired { from, to, .. } => {
                let (from, to) = (from as usize, to as usize);
                let is_allowed = to <= images.max as usize;
                if images.desired == from && is_allowed {
                    images.desired = to;
                }
                let (desired, limit) = (images.desired, super::MACHINES + 1);
                let is_sound = desired <= limit || images.is_forgotten;
                self.truth.expect(is_sound, || format!("{desired} machines are wanted"));
            }
            Command::Terminate { instance, keep, .. } => self.grant_end(&instance, keep as usize),
            Command::ReplaceRoot { instance, token, ami } => {
                return self.grant_root(&instance, token, ami);
            }
            Command::AnswerHook { .. }
            | Command::Beat { .. }
            | Command::SetHook { .. }
            | Command::CancelRefresh { .. }
            | Command::Bake { .. }
            | Command::Look { .. }
            | Command::Remove { .. }
            | Command::Balance { .. } => {}
        }
        Outcome::Done
    }

    /// A machine gets another root volume: nothing of ours may run there, and all that was on its disk is gone. It boots when whoever
    /// asks is told that it is done, or before.
    fn grant_root(&mut self, id: &NodeId, token: String, ami: String) -> Outcome {
        let is_known = self.cloud.images.replaced.contains_key(&token);
        if !is_known {
            let is_member = self
                .cloud
                .machines()
                .any(|one| one.id == *id && !one.lifecycle.is_leaving() && !one.power.is_off());
            if !is_member {
                return Outcome::Failed { why: "there is no such machine".to_owned() };
            }
            let is_calm = self.cloud.images.suspended.contains("ReplaceUnhealthy");
            self.truth.expect(is_calm || self.cloud.images.is_forgotten, || {
                format!("{id} boots anew, and its group takes it for a sick one")
            });
            self.nothing_of_ours(id, "boots from another root volume");
            let is_in_vain = self.chance.percent(10);
            self.cloud.images.replaced.insert(token.clone(), is_in_vain);
            if !is_in_vain {
                self.boot_from(id, ami);
            }
            if self.chance.percent(50) {
                return Outcome::UnderWay;
            }
        }
        match self.cloud.images.replaced.get(&token) {
            Some(true) => Outcome::InVain { why: "the task is failed".to_owned() },
            Some(false) | None => Outcome::Done,
        }
    }

    fn boot_from(&mut self, id: &NodeId, ami: String) {
        self.cloud.show_image(id, &ami);
        self.forget_targets(id);
        self.foreign.retain(|_, at| at != id);
        let now = self.now;
        let Some(machine) = self.machines.get_mut(id) else { return };
        machine.lose_disk(now);
        machine.node.ami = Some(ami);
        let after = self.chance.millis(500, 60_000);
        self.after(after, Happening::Boot(id.clone()));
    }

    fn nothing_of_ours(&mut self, id: &NodeId, what: &str) {
        let cluster = &self.coordinator.cluster;
        let is_there = |task: &Arc<Task>| task.node.as_ref() == Some(id) && !task.state.is_final();
        let machine = self.machines.get(id);
        let ours = machine.and_then(|machine| {
            let mut living = machine.engine.living();
            living.find(|held| cluster.tasks().get(&held.shown.task).is_some_and(is_there))
        });
        let ours = ours.map(|held| held.shown.name.clone());
        self.truth.expect(ours.is_none(), || format!("{id} {what}, and {ours:?} runs there"));
    }

    /// A machine is ended by us: nothing of ours may run there, and the group never wants fewer than it did.
    fn grant_end(&mut self, id: &NodeId, keep: usize) {
        let is_member = |lifecycle: Lifecycle| !lifecycle.is_leaving();
        let member = self.cloud.machines().find(|one| one.id == *id).map(|one| one.lifecycle);
        if !member.is_some_and(is_member) {
            return;
        }
        let desired = self.cloud.images.desired;
        self.cloud.images.desired -= usize::from(desired > keep);
        let size = self.cloud.images.desired;
        let least = if self.cloud.images.scales { LEAST } else { super::MACHINES };
        self.truth.expect(size >= least, || {
            format!("{id} is ended, and only {size} machines are wanted from then on")
        });
        let cluster = &self.coordinator.cluster;
        let is_spare = cluster.pools().values().any(|pool| pool.ending.contains(id));
        let is_sound = !is_spare || desired > LEAST || self.cloud.images.is_forgotten;
        self.truth.expect(is_sound, || {
            format!("nothing needs {id}, and its group has {desired} machines, the least")
        });
        if !self.is_ended_for_silence(id) {
            self.nothing_of_ours(id, "is ended");
        }
        self.terminate_now(id);
    }

    /// Outside of the windows of the pool, and while no machine is to be replaced, nothing is begun: no machine is emptied but in the place of one that is there already, and
    /// the group is neither told to launch the new kind nor to have more machines.
    pub(crate) fn check_windows(&mut self, before: &Cluster, done: &Step) {
        let cluster = &self.coordinator.cluster;
        let (Some(pool), Some(group)) = (cluster.pools().get(POOL), cluster.group(POOL)) else {
            return;
        };
        let is_open = |window: &Window| window.open_until(self.now).is_some();
        let is_open = pool.windows.is_empty() || pool.windows.iter().any(is_open);
        if is_open && cluster.freeze().is_none_or(|freeze| !freeze.holds(self.now)) {
            return;
        }
        let is_held = |refresh: &&Arc<Refresh>| {
            let forward = matches!(refresh.phase, RefreshPhase::Rolling { .. });
            forward && refresh.policy.urgent.is_none()
        };
        let Some(refresh) = cluster.open_refreshes().find(is_held) else { return };
        let is_ours = |drain: Drain| drain.cause == DrainCause::Refresh;
        let leaves = |cluster: &Cluster, id: &NodeId| {
            cluster.nodes().get(id).and_then(|node| node.drain).is_some_and(is_ours)
        };
        let begins = |change: &Change| match change {
            Change::PutNode(node) => {
                leaves(cluster, &node.id)
                    && !leaves(before, &node.id)
                    && !refresh.ending.contains(&node.id)
            }
            _ => false,
        };
        let is_covered = group.desired > refresh.size;
        let begun = done.changes.iter().find(|change| begins(change) && !is_covered);
        self.truth.expect(begun.is_none(), || format!("nothing was to be begun: {begun:?}"));
        let leaving = cluster.nodes().keys().filter(|id| leaves(cluster, id)).count();
        let scales = self.cloud.images.scales;
        let asks = |command: &&Command| match command {
            Command::SetTemplate { to, .. } => *to == refresh.to,
            Command::SetDesired { to, .. } => {
                !scales && *to as usize > refresh.size as usize + leaving
            }
            _ => false,
        };
        let asked = done.commands.iter().find(asks);
        self.truth.expect(asked.is_none(), || format!("nothing was to be begun: {asked:?}"));
    }

    /// What a refresh waits for that should be over by now.
    pub(crate) fn unrest_of_refresh(&self) -> Option<String> {
        let cluster = &self.coordinator.cluster;
        let open = cluster.open_refreshes().next();
        let open =
            open.map(|refresh: &Arc<Refresh>| format!("{} is {:?}", refresh.id, refresh.phase));
        let images = &self.cloud.images;
        if images.is_forgotten {
            return open;
        }
        let sizes = if images.scales {
            LEAST..=super::MACHINES + 1
        } else {
            super::MACHINES..=super::MACHINES
        };
        let size = (!sizes.contains(&images.desired))
            .then(|| format!("the group wants {} machines", images.desired));
        let leaving = cluster
            .nodes()
            .values()
            .find(|node| node.drain.is_some_and(|drain| drain.cause == DrainCause::ScaleIn));
        let leaving = leaving.map(|node| format!("{} is to go, and is there", node.id));
        let size = size.or(leaving);
        let max =
            (images.max != MAX).then(|| format!("the group may have {} machines", images.max));
        let process = images.suspended.iter().next();
        let process = process.map(|process| format!("the group leaves {process} undone"));
        open.or(size).or(max).or(process)
    }
}
