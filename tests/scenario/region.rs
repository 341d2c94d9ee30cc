//! A cloud that does as it is told: groups and their machines, and whoever waits for whom.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use coordinator_core::command::{Command, Outcome};
use model::fleet::{
    Answer, Group, HookCall, HookId, Instance, LAUNCHING_HOOK, Lifecycle, Power, Survey,
    TERMINATING_HOOK, Transition,
};
use model::id::NodeId;
use model::refresh::Blueprint;
use model::time::Timestamp;

#[derive(Debug, Default)]
pub(crate) struct Region {
    groups: BTreeMap<String, Group>,
    machines: BTreeMap<NodeId, Instance>,
    /// It does not do what it is asked.
    pub(crate) is_down: bool,
    /// How many machines were launched, by whoever.
    launched: usize,
    /// Groups that launch machines by themselves, and how long those take to boot.
    boots: BTreeMap<String, Duration>,
    /// Machines that boot, and when they have.
    booting: BTreeMap<NodeId, Timestamp>,
    /// How many cores the machines of a group have, where that was said.
    cpus: BTreeMap<String, String>,
    /// Groups that can launch nothing, and what kind of machines there is none of.
    lacking: BTreeMap<String, String>,
    /// The image of each version of the template, from 1.
    amis: Vec<String>,
}

impl Region {
    /// A group without machines that may have so many.
    pub(crate) fn add(&mut self, name: &str, max: u32) {
        let zones = vec!["z".to_owned()];
        let group = Group { name: name.to_owned(), max, zones, ..Group::default() };
        self.groups.insert(name.to_owned(), group);
    }

    /// From now on the group sees to it that it has as many machines as it wants.
    pub(crate) fn launch_by_itself(
        &mut self,
        name: &str,
        zones: &[&str],
        (size, boot): (u32, Duration),
    ) {
        let group = self.groups.get_mut(name).unwrap();
        group.desired = size;
        group.zones = zones.iter().map(|zone| (*zone).to_owned()).collect();
        group.blueprint = Some(version(1));
        self.amis = vec!["ami-1".to_owned()];
        self.boots.insert(name.to_owned(), boot);
    }

    /// From now on there are no machines of the kind that the group launches.
    pub(crate) fn lack(&mut self, pool: &str, kind: &str) {
        self.lacking.insert(pool.to_owned(), kind.to_owned());
    }

    pub(crate) fn give(&mut self, pool: &str, cpus: &str) {
        self.cpus.insert(pool.to_owned(), cpus.to_owned());
    }

    pub(crate) fn cpus(&self, pool: &str) -> Option<String> {
        self.cpus.get(pool).cloned()
    }

    pub(crate) fn protect(&mut self, id: &NodeId) {
        self.machines.get_mut(id).unwrap().is_protected = true;
    }

    /// Launches what is missing, and gives the machines that have booted.
    pub(crate) fn tick(&mut self, now: Timestamp) -> (Vec<HookCall>, Vec<Instance>) {
        let mut calls = Vec::new();
        for (name, boot) in self.boots.clone() {
            if let Some(kind) = self.lacking.get(&name) {
                let is_missing = self.staying(&name).count() < self.groups[&name].desired as usize;
                let why = is_missing.then(|| format!("We do not have sufficient {kind} capacity."));
                self.groups.get_mut(&name).unwrap().failure = why;
                continue;
            }
            while self.staying(&name).count() < self.groups[&name].desired as usize {
                let group = &self.groups[&name];
                let of =
                    |zone: &String| self.staying(&name).filter(|one| one.zone == *zone).count();
                let zone = group.zones.iter().min_by_key(|zone| of(zone)).unwrap().clone();
                let id: NodeId = format!("{name}-{}", self.launched + 1).parse().unwrap();
                let desired = group.desired;
                calls.extend(self.launch(&name, &id, &zone));
                self.groups.get_mut(&name).unwrap().desired = desired;
                self.booting.insert(id, now + boot);
            }
        }
        let has_booted = |(id, at): (&NodeId, &Timestamp)| (*at <= now).then(|| id.clone());
        let booted: Vec<NodeId> = self.booting.iter().filter_map(has_booted).collect();
        booted.iter().for_each(|id| {
            self.booting.remove(id);
        });
        let there = |id: &NodeId| self.machines.get(id).filter(|one| !one.power.is_off());
        (calls, booted.iter().filter_map(there).cloned().collect())
    }

    fn staying(&self, pool: &str) -> impl Iterator<Item = &Instance> {
        let of_pool = self.machines.values().filter(move |one| one.pool.as_deref() == Some(pool));
        of_pool.filter(|one| !one.lifecycle.is_leaving())
    }

    pub(crate) fn ami(&self, id: &NodeId) -> Option<&str> {
        self.machines.get(id)?.ami.as_deref()
    }

    pub(crate) fn has_groups(&self) -> bool {
        !self.groups.is_empty()
    }

    /// A machine of a group starts, and the group waits for whoever has a hook.
    pub(crate) fn launch(&mut self, pool: &str, id: &NodeId, zone: &str) -> Option<HookCall> {
        let group = self.groups.get_mut(pool).unwrap();
        let waits = group.hooks.iter().any(|hook| hook.name == LAUNCHING_HOOK);
        let lifecycle = if waits { Lifecycle::LaunchingWaits } else { Lifecycle::InService };
        let number = group.blueprint.as_ref().map_or(1, |blueprint| blueprint.0["lt-1"]);
        let at = usize::try_from(number).unwrap() - 1;
        let ami = self.amis.get(at).cloned().unwrap_or_else(|| "ami-1".to_owned());
        self.launched += 1;
        self.machines.insert(
            id.clone(),
            Instance {
                id: id.clone(),
                pool: Some(pool.to_owned()),
                lifecycle,
                power: Power::Running,
                zone: zone.to_owned(),
                instance_type: Some("m7g.large".to_owned()),
                ami: Some(ami),
                template_id: Some("lt-1".to_owned()),
                template_version: Some(number.to_string()),
                is_spot: pool == "spot",
                is_protected: false,
            },
        );
        let members = self.machines.values().filter(|one| one.pool.as_deref() == Some(pool));
        let members = members.filter(|one| !one.lifecycle.is_leaving()).count();
        group.desired = group.desired.max(u32::try_from(members).unwrap());
        waits.then(|| call(id, pool, Transition::Launching))
    }

    /// A machine is to leave its group, which waits for whoever has a hook. Says whether it is gone at once.
    pub(crate) fn terminate(&mut self, id: &NodeId) -> Option<HookCall> {
        let machine = self.machines.get_mut(id).unwrap();
        let pool = machine.pool.clone().unwrap();
        let group = &self.groups[&pool];
        if group.hooks.iter().any(|hook| hook.name == TERMINATING_HOOK) {
            machine.lifecycle = Lifecycle::TerminatingWaits;
            return Some(call(id, &pool, Transition::Terminating));
        }
        self.end(id);
        None
    }

    /// A machine is not there any more.
    pub(crate) fn end(&mut self, id: &NodeId) {
        if let Some(machine) = self.machines.get_mut(id) {
            (machine.lifecycle, machine.power) = (Lifecycle::Terminated, Power::Terminated);
        }
    }

    pub(crate) fn is_gone(&self, id: &NodeId) -> bool {
        self.machines.get(id).is_some_and(|machine| machine.power == Power::Terminated)
    }

    pub(crate) fn survey(&self, pools: &BTreeSet<String>, others: &BTreeSet<NodeId>) -> Survey {
        let asked = |one: &&Instance| {
            let is_member = one.pool.as_ref().is_some_and(|pool| pools.contains(pool));
            others.contains(&one.id) || is_member && one.power != Power::Terminated
        };
        Survey {
            groups: pools.iter().filter_map(|name| self.groups.get(name)).cloned().collect(),
            missing: pools
                .iter()
                .filter(|name| !self.groups.contains_key(*name))
                .cloned()
                .collect(),
            instances: self.machines.values().filter(asked).cloned().collect(),
            unknown: others.iter().filter(|id| !self.machines.contains_key(*id)).cloned().collect(),
            images: BTreeMap::new(),
        }
    }

    /// Does what it is asked, and tells a bystander of it.
    pub(crate) fn perform(&mut self, command: &Command) -> (Outcome, Option<String>) {
        if self.is_down {
            return (Outcome::Failed { why: "the cloud is down".to_owned() }, None);
        }
        match command {
            Command::AnswerHook { hook, pool, answer, .. } => self.answer(hook, pool, *answer),
            Command::Beat { hook, .. } => {
                let outcome = if self.waits(hook) { Outcome::Done } else { Outcome::NothingWaits };
                (outcome, None)
            }
            Command::SetHook { pool, hook } => {
                let Some(group) = self.groups.get_mut(pool) else {
                    return (Outcome::Failed { why: "there is no such group".to_owned() }, None);
                };
                group.hooks.retain(|known| known.name != hook.name);
                group.hooks.push(hook.clone());
                (Outcome::Done, Some(format!("{pool} has the hook {}", hook.name)))
            }
            // Told to load balancers.
            Command::Balance { .. } => (Outcome::NothingWaits, None),
            Command::Bake { .. } | Command::Look { .. } | Command::Remove { .. } => {
                (Outcome::Failed { why: "nobody bakes in a scenario".to_owned() }, None)
            }
            Command::SetDesired { pool, from, to } => {
                let group = self.groups.get_mut(pool).unwrap();
                if group.desired != *from {
                    return (Outcome::Done, None);
                }
                group.desired = *to;
                (Outcome::Done, Some(format!("{pool} is to have {to} machines")))
            }
            Command::MakeTemplate { .. }
            | Command::SetTemplate { .. }
            | Command::SetMax { .. }
            | Command::SetProcess { .. }
            | Command::ReplaceRoot { .. }
            | Command::CancelRefresh { .. }
            | Command::Terminate { .. } => self.refresh(command),
        }
    }

    fn refresh(&mut self, command: &Command) -> (Outcome, Option<String>) {
        let told = match command {
            Command::MakeTemplate { ami, .. } => {
                let at = self.amis.iter().position(|known| known == ami);
                let at = at.unwrap_or_else(|| {
                    self.amis.push(ami.clone());
                    self.amis.len() - 1
                });
                let made = version(u64::try_from(at).unwrap() + 1);
                let told = format!("{made} is of {ami}");
                return (Outcome::Made(made), Some(told));
            }
            Command::SetTemplate { pool, to, .. } => {
                self.groups.get_mut(pool).unwrap().blueprint = Some(to.clone());
                format!("{pool} launches from {to}")
            }
            Command::SetMax { pool, to } => {
                self.groups.get_mut(pool).unwrap().max = *to;
                format!("{pool} may have {to} machines")
            }
            Command::SetProcess { pool, process, suspended: true } => {
                self.groups.get_mut(pool).unwrap().suspended.insert((*process).to_owned());
                format!("{pool} leaves {process} undone")
            }
            Command::SetProcess { pool, process, suspended: false } => {
                self.groups.get_mut(pool).unwrap().suspended.remove(*process);
                format!("{pool} does {process} again")
            }
            Command::Terminate { pool, instance, keep } => {
                let group = self.groups.get_mut(pool).unwrap();
                let shrinks = group.desired > *keep;
                group.desired -= u32::from(shrinks);
                let desired = group.desired;
                self.terminate(instance);
                format!("{pool} is to end {instance} and to have {desired} machines")
            }
            Command::ReplaceRoot { instance, ami, .. } => {
                self.machines.get_mut(instance).unwrap().ami = Some(ami.clone());
                format!("{instance} is to boot from {ami}")
            }
            Command::CancelRefresh { pool } => {
                self.groups.get_mut(pool).unwrap().foreign = None;
                format!("{pool} has its instance refresh cancelled")
            }
            Command::AnswerHook { .. }
            | Command::Beat { .. }
            | Command::SetHook { .. }
            | Command::SetDesired { .. }
            | Command::Bake { .. }
            | Command::Look { .. }
            | Command::Remove { .. }
            | Command::Balance { .. } => unreachable!("{command:?}"),
        };
        (Outcome::Done, Some(told))
    }

    fn waits(&self, hook: &HookId) -> bool {
        let lifecycle = self.machines.get(&hook.instance).map(|machine| machine.lifecycle);
        match hook.transition {
            Transition::Launching => lifecycle == Some(Lifecycle::LaunchingWaits),
            Transition::Terminating => lifecycle == Some(Lifecycle::TerminatingWaits),
        }
    }

    fn answer(&mut self, hook: &HookId, pool: &str, answer: Answer) -> (Outcome, Option<String>) {
        if !self.waits(hook) {
            return (Outcome::NothingWaits, None);
        }
        let id = &hook.instance;
        match (hook.transition, answer) {
            (Transition::Launching, Answer::Continue) => {
                let machine = self.machines.get_mut(id).unwrap();
                machine.lifecycle = Lifecycle::InService;
                (Outcome::Done, Some(format!("{pool} has {id} in service")))
            }
            (Transition::Launching, Answer::Abandon) | (Transition::Terminating, _) => {
                self.end(id);
                (Outcome::Done, Some(format!("{pool} ends {id}")))
            }
        }
    }
}

fn version(number: u64) -> Blueprint {
    Blueprint(BTreeMap::from([("lt-1".to_owned(), number)]))
}

fn call(id: &NodeId, pool: &str, transition: Transition) -> HookCall {
    let id = HookId { instance: id.clone(), transition };
    let token = Some(format!("{id}"));
    HookCall { id, pool: pool.to_owned(), token }
}
