//! Pools, what their groups wait for, and what the cloud says of their machines.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::fleet::{Group, HOOK_PATIENCE, Hook, HookId, HookPhase, Instance, Pool, Transition};
use model::id::NodeId;
use model::node::{Availability, Node};
use model::time::Timestamp;

use super::{Change, Cluster};
use crate::command::Key;

/// A sign of life for a group that waits is given three times as often as it asks for: two may be lost.
const BEATS: u32 = 3;

/// What is known of pools. Only pools and hooks are stored.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fleet {
    pub(super) pools: BTreeMap<String, Arc<Pool>>,
    pub(super) hooks: BTreeMap<HookId, Arc<Hook>>,
    /// As they were when they were last looked at.
    pub(crate) groups: BTreeMap<String, Group>,
    /// The same of their machines.
    pub(crate) instances: BTreeMap<NodeId, Instance>,
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
}

/// What a pool lacks for tasks that find no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortage {
    /// How many machines it should have, and may.
    pub machines: u32,
    /// How many tasks more it would take if its group were allowed more machines.
    pub beyond: u32,
}

/// What did not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Try {
    /// How often.
    pub(crate) count: u32,
    /// It is not tried before.
    pub(crate) not_before: Timestamp,
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
            }
            Change::PutHook(hook) => {
                self.hooks.insert(hook.id.clone(), Arc::clone(hook));
            }
            Change::RemoveHook(id) => {
                self.hooks.remove(id);
                self.beats.remove(id);
            }
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
        let (pools, hooks) = (&self.fleet.pools, &self.fleet.hooks);
        let (pools, hooks) = (pools.clone(), hooks.clone());
        self.fleet = Fleet { pools, hooks, ..other.fleet.clone() };
        self.saw_bakes(other);
    }

    /// Says whether another copy of the cluster says the same of what pools lack.
    #[must_use]
    pub fn lacks_the_same(&self, other: &Self) -> bool {
        self.fleet.shortage == other.fleet.shortage
    }

    /// Who takes over does not know for how long a node has been dead.
    pub(super) fn find_the_dead(&mut self, now: Timestamp) {
        let nodes = self.nodes.values().filter(|node| node.availability == Availability::Dead);
        let pools = &self.fleet.pools;
        let is_of_pool =
            |node: &&Arc<Node>| node.pool.as_ref().is_some_and(|pool| pools.contains_key(pool));
        self.fleet.dead = nodes.filter(is_of_pool).map(|node| (node.id.clone(), now)).collect();
    }

    /// Hooks that groups wait for.
    pub fn waiting_hooks(&self) -> impl Iterator<Item = &Arc<Hook>> {
        self.fleet.hooks.values().filter(|hook| hook.phase == HookPhase::Waiting)
    }
}
