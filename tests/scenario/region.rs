//! A cloud that does as it is told: groups and their machines, and whoever waits for whom.

use std::collections::{BTreeMap, BTreeSet};

use coordinator_core::command::{Command, Outcome};
use model::fleet::{
    Answer, Group, HookCall, HookId, Instance, LAUNCHING_HOOK, Lifecycle, Power, Survey,
    TERMINATING_HOOK, Transition,
};
use model::id::NodeId;

#[derive(Debug, Default)]
pub(crate) struct Region {
    groups: BTreeMap<String, Group>,
    machines: BTreeMap<NodeId, Instance>,
    /// It does not do what it is asked.
    pub(crate) is_down: bool,
    /// How many machines were launched, by whoever.
    launched: usize,
}

impl Region {
    /// A group without machines that may have so many.
    pub(crate) fn add(&mut self, name: &str, max: u32) {
        let zones = vec!["z".to_owned()];
        let group = Group { name: name.to_owned(), max, zones, ..Group::default() };
        self.groups.insert(name.to_owned(), group);
    }

    pub(crate) fn has_groups(&self) -> bool {
        !self.groups.is_empty()
    }

    /// A machine of a group starts, and the group waits for whoever has a hook.
    pub(crate) fn launch(&mut self, pool: &str, id: &NodeId, zone: &str) -> Option<HookCall> {
        let group = self.groups.get_mut(pool).unwrap();
        let waits = group.hooks.iter().any(|hook| hook.name == LAUNCHING_HOOK);
        let lifecycle = if waits { Lifecycle::LaunchingWaits } else { Lifecycle::InService };
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
                ami: Some("ami-1".to_owned()),
                template_version: Some("1".to_owned()),
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
            Command::Bake { .. } | Command::Remove { .. } => {
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
        }
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

fn call(id: &NodeId, pool: &str, transition: Transition) -> HookCall {
    let id = HookId { instance: id.clone(), transition };
    let token = Some(format!("{id}"));
    HookCall { id, pool: pool.to_owned(), token }
}
