//! Pools, what their groups wait for, and what the cloud says of their machines.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::fleet::{Group, HOOK_PATIENCE, Hook, HookId, HookPhase, Instance, Pool, Transition};
use model::id::NodeId;
use model::node::{Availability, DrainCause, Node};
use model::policy::Profile;
use model::refresh::{Freeze, Refresh, RefreshId, Version};
use model::time::Timestamp;

use super::{Age, Change, Cluster};
use crate::command::{Command, Key};

/// A sign of life for a group that waits is given three times as often as it asks for: two may be lost.
const BEATS: u32 = 3;

/// What is known of pools. Only pools, hooks, refreshes and what holds all of these up are stored.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fleet {
    pub(super) pools: BTreeMap<String, Arc<Pool>>,
    pub(super) hooks: BTreeMap<HookId, Arc<Hook>>,
    pub(super) refreshes: BTreeMap<RefreshId, Arc<Refresh>>,
    /// Those that are not over.
    pub(super) open: BTreeSet<RefreshId>,
    /// Why none of them goes on, if that is so.
    pub(super) freeze: Option<Arc<Freeze>>,
    /// As they were when they were last looked at.
    pub(crate) groups: BTreeMap<String, Group>,
    /// The same of their machines.
    pub(crate) instances: BTreeMap<NodeId, Instance>,
    /// The machine images that versions of launch templates name, of those that were asked for at the last look.
    pub(crate) images: BTreeMap<Version, Option<String>>,
    /// Machines of which the cloud knows nothing, and since when.
    pub(crate) unknown: BTreeMap<NodeId, Timestamp>,
    /// When each group that waits was last given a sign.
    pub(crate) beats: BTreeMap<HookId, Timestamp>,
    /// What did not work, and when to try it again.
    pub(crate) tries: BTreeMap<Key, Try>,
    /// Dead nodes of pools, and since when they are known to be.
    pub(crate) dead: BTreeMap<NodeId, Timestamp>,
    /// What pools lack for tasks that find no room.
    pub(crate) shortage: BTreeMap<String, Shortage>,
    /// When that is counted again, while tasks find no room.
    pub(crate) count_at: Option<Timestamp>,
    /// When that was counted last.
    pub(crate) counted_at: Option<Timestamp>,
    /// Machines of pools that are made smaller that nothing needs.
    pub(crate) spare: BTreeMap<NodeId, Spare>,
    /// When those are looked for again, while pools are made smaller.
    pub(crate) shrink_at: Option<Timestamp>,
    /// What is to be asked for refreshes, as of the last look at them.
    pub(crate) orders: Vec<Command>,
    /// Machines that new tasks should not go to while there are newer ones.
    pub(crate) fenced: BTreeSet<NodeId>,
    /// Machines of which their agents say that EC2 warns, and for which has been done what is done then.
    pub(crate) warned: BTreeSet<NodeId>,
    /// When refreshes are looked at again, while any is under way.
    pub(crate) refresh_at: Option<Timestamp>,
    /// Machines that were silent for long at every look since, and ran in their groups as far as the cloud has said: when that was
    /// seen first, and when last.
    pub(crate) running: BTreeMap<NodeId, (Timestamp, Timestamp)>,
    /// When so much of each zone was silent that it proves nothing, if it ever was.
    pub(crate) braked: BTreeMap<String, Timestamp>,
    /// When machines that are silent are looked for again, while any are ended for that.
    pub(crate) condemn_at: Option<Timestamp>,
}

/// What a pool lacks for tasks that find no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortage {
    /// How many machines it should have, and may.
    pub machines: u32,
    /// How many tasks more it would take if its group were allowed more machines.
    pub beyond: u32,
    /// How many tasks its machines could take find no room, whether or not any are asked for.
    pub waiting: u32,
    /// Whether the last launch of its group has failed, so that others are asked.
    pub is_stuck: bool,
}

/// A machine that nothing needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spare {
    /// Since when.
    pub since: Timestamp,
    /// How often it was to be emptied in vain: each time it has to be spare for longer.
    pub tries: u32,
}

/// What did not work, or is done and does not show yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Try {
    /// How often.
    pub(crate) count: u32,
    /// It is not tried before.
    pub(crate) not_before: Timestamp,
    /// Why it did not work; none when it did.
    pub(crate) why: Option<String>,
}

impl Fleet {
    /// Writes a change that is about pools.
    pub(super) fn apply(&mut self, change: &Change) {
        match change {
            Change::PutPool(pool) => {
                self.pools.insert(pool.name.clone(), Arc::clone(pool));
            }
            Change::RemovePool(name) => {
                self.pools.remove(name);
                self.groups.remove(name);
                self.shortage.remove(name);
                let of_pool = |id: &NodeId| {
                    self.instances.get(id).is_some_and(|one| one.pool.as_ref() == Some(name))
                };
                let gone: Vec<NodeId> =
                    self.spare.keys().filter(|id| of_pool(id)).cloned().collect();
                gone.iter().for_each(|id| {
                    self.spare.remove(id);
                });
            }
            Change::PutHook(hook) => {
                self.hooks.insert(hook.id.clone(), Arc::clone(hook));
            }
            Change::RemoveHook(id) => {
                self.hooks.remove(id);
                self.beats.remove(id);
            }
            Change::PutRefresh(refresh) => {
                if refresh.is_done() {
                    self.open.remove(&refresh.id);
                } else {
                    self.open.insert(refresh.id.clone());
                }
                self.refreshes.insert(refresh.id.clone(), Arc::clone(refresh));
            }
            Change::RemoveRefresh(id) => {
                self.refreshes.remove(id);
                self.open.remove(id);
            }
            Change::SetFreeze(freeze) => self.freeze.clone_from(freeze),
            // Of something else.
            Change::PutService(_)
            | Change::RemoveService(_)
            | Change::PutTask(_)
            | Change::RemoveTask(_)
            | Change::PutNode(_)
            | Change::RemoveNode(_)
            | Change::PutBake(_)
            | Change::RemoveBake(_)
            | Change::PutAmi(_)
            | Change::RemoveAmi(_)
            | Change::PutUpkeep(_)
            | Change::RemoveUpkeep(_)
            | Change::PutRegistration(_)
            | Change::RemoveRegistration(_)
            | Change::PutSecret(_)
            | Change::RemoveSecret(_)
            | Change::PutNextTask(_) => {}
        }
    }

    /// Keeps note of which nodes of pools are dead, and since when that is known.
    pub(super) fn see_node(&mut self, node: &Node) {
        if node.availability != Availability::Dead {
            self.dead.remove(&node.id);
        }
    }

    /// Nothing is remembered of a node that is forgotten.
    pub(super) fn forget_node(&mut self, id: &NodeId) {
        self.dead.remove(id);
        self.unknown.remove(id);
        self.instances.remove(id);
        self.spare.remove(id);
        self.running.remove(id);
    }

    /// Says whether the machine is of what its group does not launch any more, as far as the cloud has said.
    pub(super) fn age(&self, machine: &NodeId) -> Age {
        let is_old = self.instances.get(machine).is_some_and(|machine| {
            let group = machine.pool.as_ref().and_then(|pool| self.groups.get(pool));
            let blueprint = group.and_then(|group| group.blueprint.as_ref());
            blueprint.is_some_and(|blueprint| !blueprint.made(machine))
        });
        if is_old { Age::Old } else { Age::Current }
    }

    /// No refresh is under way: nothing is known of any.
    pub(crate) fn forget_refreshing(&mut self) {
        self.orders.clear();
        self.fenced.clear();
        self.refresh_at = None;
    }

    /// Whether so much was just tried in vain that it is not time yet.
    pub(crate) fn may_try(&self, key: &Key, now: Timestamp) -> bool {
        self.tries.get(key).is_none_or(|tried| tried.not_before <= now)
    }

    /// What the group waits for a sign: as it says, or as we have asked of it.
    fn patience(&self, hook: &Hook) -> Duration {
        let hooks = self.groups.get(&hook.pool).map(|group| &group.hooks);
        let own = hooks.into_iter().flatten().find(|one| {
            one.transition == hook.id.transition && one.name == name(hook.id.transition)
        });
        own.map_or(HOOK_PATIENCE, |own| own.patience)
    }

    /// When the group is to be given a sign again. At once when nobody knows when it was last given one.
    pub(crate) fn next_beat(&self, hook: &Hook) -> Timestamp {
        let last = self.beats.get(&hook.id);
        last.map_or(hook.since, |last| *last + self.patience(hook) / BEATS)
    }
}

impl Fleet {
    /// The least that the pool of a node takes.
    pub(super) fn profile(&self, node: &Node) -> Profile {
        let pool = node.pool.as_ref().and_then(|pool| self.pools.get(pool));
        pool.map(|pool| pool.policy.profile).unwrap_or_default()
    }
}

impl Cluster {
    /// A pool has changed: its nodes take something else, if it does.
    pub(super) fn see_profiles(&mut self) {
        let mut changed = Vec::new();
        for ledger in self.ledgers.values_mut() {
            let Some(node) = &ledger.node else { continue };
            let profile = self.fleet.profile(node);
            if ledger.profile != profile {
                ledger.profile = profile;
                changed.push(ledger.number);
            }
        }
        if !changed.is_empty() {
            self.suiting.forget();
            changed.into_iter().for_each(|number| self.classes.mark(number));
        }
    }
}

/// What our hook of a transition is called.
pub(crate) const fn name(transition: Transition) -> &'static str {
    match transition {
        Transition::Launching => model::fleet::LAUNCHING_HOOK,
        Transition::Terminating => model::fleet::TERMINATING_HOOK,
    }
}

impl Cluster {
    /// The pools by name.
    #[must_use]
    pub const fn pools(&self) -> &BTreeMap<String, Arc<Pool>> {
        &self.fleet.pools
    }

    /// What groups wait for, and what they waited for lately.
    #[must_use]
    pub const fn hooks(&self) -> &BTreeMap<HookId, Arc<Hook>> {
        &self.fleet.hooks
    }

    /// A group as the cloud described it last. Not stored.
    #[must_use]
    pub fn group(&self, pool: &str) -> Option<&Group> {
        self.fleet.groups.get(pool)
    }

    /// A machine as the cloud described it last. Not stored.
    #[must_use]
    pub fn instance(&self, id: &NodeId) -> Option<&Instance> {
        self.fleet.instances.get(id)
    }

    /// The machines that the cloud described last. Not stored.
    #[must_use]
    pub const fn instances(&self) -> &BTreeMap<NodeId, Instance> {
        &self.fleet.instances
    }

    /// What a pool lacks for tasks that find no room.
    #[must_use]
    pub fn shortage_of(&self, pool: &str) -> Option<Shortage> {
        self.fleet.shortage.get(pool).copied()
    }

    /// Writes down what another copy of the cluster knows of the cloud and does not store.
    pub fn saw_cloud(&mut self, other: &Self) {
        let own = std::mem::take(&mut self.fleet);
        let Fleet { pools, hooks, refreshes, open, freeze, .. } = own;
        self.fleet = Fleet { pools, hooks, refreshes, open, freeze, ..other.fleet.clone() };
        self.find_old();
        self.saw_bakes(other);
        self.saw_traffic(other);
    }

    /// Writes down anew which nodes are of what their groups do not launch any more.
    pub(crate) fn find_old(&mut self) {
        let changed: Vec<(usize, Age)> = self
            .ledgers()
            .filter_map(|(number, ledger)| {
                let age = self.fleet.age(ledger.id.as_ref()?);
                (age != ledger.age).then_some((number, age))
            })
            .collect();
        for (number, age) in changed {
            let Some(ledger) = self.ledgers.at_mut(number) else { continue };
            ledger.age = age;
            self.classes.mark(number);
        }
    }

    /// Says whether another copy of the cluster says the same of what pools lack.
    #[must_use]
    pub fn lacks_the_same(&self, other: &Self) -> bool {
        self.fleet.shortage == other.fleet.shortage && self.fleet.spare == other.fleet.spare
    }

    /// Who takes over does not know for how long a node has been dead.
    pub(super) fn find_the_dead(&mut self, now: Timestamp) {
        let nodes = self.nodes.values().filter(|node| node.availability == Availability::Dead);
        let pools = &self.fleet.pools;
        let is_of_pool =
            |node: &&Arc<Node>| node.pool.as_ref().is_some_and(|pool| pools.contains_key(pool));
        self.fleet.dead = nodes.filter(is_of_pool).map(|node| (node.id.clone(), now)).collect();
    }

    /// The refreshes of all pools that are under way or remembered.
    #[must_use]
    pub const fn refreshes(&self) -> &BTreeMap<RefreshId, Arc<Refresh>> {
        &self.fleet.refreshes
    }

    /// What an operator has all refreshes stand still for, also when its time is over.
    #[must_use]
    pub fn freeze(&self) -> Option<&Freeze> {
        self.fleet.freeze.as_deref()
    }

    /// Those that are under way.
    pub fn open_refreshes(&self) -> impl Iterator<Item = &Arc<Refresh>> {
        self.fleet.open.iter().filter_map(|id| self.fleet.refreshes.get(id))
    }

    /// Those of a pool, the oldest first.
    pub fn refreshes_of<'a>(&'a self, pool: &'a str) -> impl Iterator<Item = &'a Arc<Refresh>> {
        let first = RefreshId { pool: pool.to_owned(), number: 0 };
        let rest = self.fleet.refreshes.range(first..).map(|(_, refresh)| refresh);
        rest.take_while(move |refresh| refresh.id.pool == pool)
    }

    /// The nodes of a pool that are being emptied to be replaced, or are empty.
    pub fn leaving_for_refresh<'a>(
        &'a self,
        pool: &'a str,
    ) -> impl Iterator<Item = &'a NodeId> + use<'a> {
        let is_leaving = move |node: &&Arc<Node>| {
            node.pool.as_deref() == Some(pool)
                && node.drain.is_some_and(|drain| drain.cause == DrainCause::Refresh)
        };
        self.nodes.values().filter(is_leaving).map(|node| &node.id)
    }

    /// Says whether its group is asked to end the machine of the node, or the machine gets another root volume.
    #[must_use]
    pub fn is_ending(&self, node: &NodeId) -> bool {
        let is_of = |refresh: &Arc<Refresh>| {
            refresh.ending.contains(node) || refresh.roots.contains_key(node)
        };
        self.open_refreshes().any(is_of)
            || self.pools().values().any(|pool| pool.ending.contains(node))
            || self.is_condemned(node)
    }

    /// Says whether its group is asked to end the machine of the node because it was silent for too long.
    #[must_use]
    pub fn is_condemned(&self, node: &NodeId) -> bool {
        self.pools().values().any(|pool| pool.condemned.contains_key(node))
    }

    /// Says the same, and that nobody can be told to leave it either: its agent is silent, or has not said how its tasks are since it
    /// was, or its engine does not answer.
    pub(crate) fn is_out_of_reach(&self, node: &NodeId, now: Timestamp) -> bool {
        let can_do = self.nodes.get(node).is_some_and(|node| self.takes_work(node, now));
        self.is_condemned(node) && !(can_do && self.is_back(node, now))
    }

    /// Since when nothing has needed a machine. Not stored: who takes over waits anew.
    #[must_use]
    pub fn spare(&self, node: &NodeId) -> Option<Spare> {
        self.fleet.spare.get(node).copied()
    }

    /// Says whether new tasks should not go to the node while there are newer ones.
    #[must_use]
    pub fn is_fenced(&self, node: &NodeId) -> bool {
        self.fleet.fenced.contains(node)
    }

    /// Says whether there are such nodes.
    #[must_use]
    pub fn has_fence(&self) -> bool {
        !self.fleet.fenced.is_empty()
    }

    /// Hooks that groups wait for.
    pub fn waiting_hooks(&self) -> impl Iterator<Item = &Arc<Hook>> {
        self.fleet.hooks.values().filter(|hook| hook.phase == HookPhase::Waiting)
    }
}
