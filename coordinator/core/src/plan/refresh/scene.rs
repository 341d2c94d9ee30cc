//! How a pool looks to its refresh: which machines are new, which can go, and what is to be asked of the cloud.

mod begun;
mod root;
mod zone;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::fleet::{Group, Instance, Lifecycle};
use model::id::NodeId;
use model::node::{Availability, DrainCause, Node};
use model::refresh::{Refresh, RefreshEnd, RefreshPhase, Skip, TRIES_LIMIT};
use model::time::Timestamp;

use super::REBALANCING;
use super::hold::{self, Held};
use crate::cluster::Cluster;
use crate::command::{Command, SETTLES};

/// A machine that belongs to the pool and does not leave it.
#[derive(Debug)]
pub(crate) struct Member<'a> {
    pub(crate) instance: &'a Instance,
    /// Its node, if it has become one.
    pub(crate) node: Option<&'a Arc<Node>>,
    /// Whether it was launched from what is aimed at.
    pub(crate) is_new: bool,
    /// Whether its node takes tasks.
    pub(crate) is_ready: bool,
    /// Whether it is being emptied so that it can be replaced, or because it is on its way out, or was.
    pub(crate) is_leaving: bool,
}

impl Member<'_> {
    /// Says whether an operator lets no tasks there.
    fn is_closed(&self) -> bool {
        let node = self.node.filter(|_| !self.is_leaving);
        node.is_some_and(|node| node.availability == Availability::Cordoned)
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Scene<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) refresh: &'a Refresh,
    group: &'a Group,
    pub(crate) members: Vec<Member<'a>>,
    /// What keeps another machine from being replaced.
    held: Option<Held>,
    now: Timestamp,
}

/// How far a refresh is, in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Machines that are launched from what is aimed at.
    pub new: usize,
    /// Those of them whose nodes take tasks.
    pub new_ready: usize,
    /// The others.
    pub old: usize,
    /// Those of them that are being emptied or are empty.
    pub leaving: BTreeSet<NodeId>,
    /// How many machines are new once the stage is over.
    pub quota: usize,
    /// Old machines that are not replaced, and why.
    pub left: BTreeMap<NodeId, String>,
    /// What it waits for, in the operator's words.
    pub note: String,
}

/// Says how far a refresh is, once its group was looked at.
#[must_use]
pub fn progress(cluster: &Cluster, refresh: &Refresh, now: Timestamp) -> Option<Progress> {
    let scene = Scene::of(cluster, refresh, now)?;
    let new = || scene.members.iter().filter(|member| member.is_new);
    let old = || scene.members.iter().filter(|member| !member.is_new);
    let leaving = old().filter(|member| member.is_leaving);
    Some(Progress {
        new: new().count(),
        new_ready: new().filter(|member| member.is_ready).count(),
        old: old().count(),
        leaving: leaving.map(|member| member.instance.id.clone()).collect(),
        quota: scene.quota(),
        left: old()
            .filter_map(|one| Some((one.instance.id.clone(), scene.why_left(one)?)))
            .collect(),
        note: scene.note(),
    })
}

impl<'a> Scene<'a> {
    /// The pool as it is. None until its group was looked at.
    pub(crate) fn of(cluster: &'a Cluster, refresh: &'a Refresh, now: Timestamp) -> Option<Self> {
        let group = cluster.group(&refresh.id.pool)?;
        let of_pool = |one: &&Instance| one.pool.as_ref() == Some(&refresh.id.pool);
        let is_member = |one: &&Instance| match one.lifecycle {
            Lifecycle::Launching | Lifecycle::LaunchingWaits | Lifecycle::InService => {
                !one.power.is_off()
            }
            Lifecycle::Terminating
            | Lifecycle::TerminatingWaits
            | Lifecycle::Terminated
            | Lifecycle::Aside => false,
        };
        let members = cluster.instances().values().filter(of_pool).filter(is_member);
        let member = |instance: &'a Instance| {
            let node = cluster.nodes().get(&instance.id);
            let node = node.filter(|node| node.availability != Availability::Dead);
            let drain = node.and_then(|node| node.drain);
            // Whoever else wants it empty, and may not be told to keep it, does the same work.
            let is_leaving = drain.is_some_and(|drain| drain.cause >= DrainCause::Refresh)
                || refresh.ending.contains(&instance.id)
                || refresh.roots.contains_key(&instance.id);
            Member {
                instance,
                node,
                is_new: refresh.aim().made(instance),
                is_ready: instance.lifecycle == Lifecycle::InService
                    && node.is_some_and(|node| is_open(cluster, node, now)),
                is_leaving,
            }
        };
        let members = members.map(member).collect();
        let held = hold::held(cluster, refresh, now);
        Some(Self { cluster, refresh, group, members, held, now })
    }

    const fn size(&self) -> usize {
        self.refresh.size as usize
    }

    fn old(&self) -> impl Iterator<Item = &Member<'a>> {
        self.members.iter().filter(|member| !member.is_new)
    }

    /// How many machines are new once the stage is over.
    fn quota(&self) -> usize {
        match self.refresh.phase {
            RefreshPhase::Rolling { stage, .. } => self.quota_of(stage),
            RefreshPhase::Making { .. } => 0,
            RefreshPhase::RollingBack { .. }
            | RefreshPhase::Restoring { .. }
            | RefreshPhase::Done { .. } => self.size(),
        }
    }

    /// The same of any stage. Of one that is a matter of zones: as many as are new when the first zone is.
    pub(crate) fn quota_of(&self, stage: usize) -> usize {
        let new = self.members.iter().filter(|member| member.is_new).count();
        let quota = self.refresh.policy.quota(stage, self.size());
        quota.unwrap_or_else(|| new + self.left_in_zone())
    }

    /// The next stage in which more machines are new.
    pub(crate) fn stage_after(&self, stage: usize) -> Option<usize> {
        let mut later = stage + 1..=self.refresh.policy.stages.len();
        later.find(|next| self.quota_of(*next) > self.quota_of(stage))
    }

    /// Why an old machine is not replaced, if it is not.
    fn why_left(&self, member: &Member<'_>) -> Option<String> {
        let skip = self.refresh.skipped.get(&member.instance.id);
        if member.is_leaving {
            return None;
        }
        if let Some(skip) = skip.filter(|skip| skip.tries >= TRIES_LIMIT) {
            return Some(skip.why.clone());
        }
        if member.instance.is_protected {
            return Some("it is protected from scale-in".to_owned());
        }
        let mut tasks = self.cluster.tasks_on(&member.instance.id);
        if member.is_closed() && tasks.any(|task| !task.state.is_final()) {
            return Some("an operator has closed it, and tasks run there".to_owned());
        }
        let is_silent = member.node.is_some_and(|node| !self.cluster.is_heard(node, self.now));
        is_silent.then(|| "its agent is silent".to_owned())
    }

    /// Old machines that stay, and why: what is said of a refresh when it is over.
    pub(crate) fn left_as_they_are(&self) -> BTreeMap<NodeId, Skip> {
        let left = self.old().filter_map(|member| {
            let (id, why) = (member.instance.id.clone(), self.why_left(member)?);
            let tries = self.refresh.skipped.get(&id).map_or(0, |skip| skip.tries);
            Some((id, Skip { why, tries }))
        });
        left.collect()
    }

    /// Old machines that are to be replaced, sooner or later.
    fn replaceable(&self) -> impl Iterator<Item = &Member<'a>> {
        self.old().filter(|member| self.why_left(member).is_none())
    }

    /// How many machines are to be replaced before the stage is over.
    fn left(&self) -> usize {
        let floor = self.size().saturating_sub(self.quota());
        let left = if self.is_zone_stage() {
            self.left_in_zone()
        } else {
            self.old().count().saturating_sub(floor).min(self.replaceable().count())
        };
        // Another may have come in the place of one that died: what was begun is finished all the same (simulation, seed 281).
        left.max(self.old().filter(|member| member.is_leaving).count())
    }

    fn surge(&self) -> usize {
        self.refresh.policy.surge_of(self.size())
    }

    /// How many machines may be replaced now before the stage is over. Outside of its windows only what was begun is: what is
    /// being emptied, and as many as there are machines in the place of others by now.
    fn may_replace(&self) -> usize {
        if self.held.is_none() {
            return self.left();
        }
        let begun = self.old().filter(|member| self.is_begun(member)).count();
        self.surplus().min(self.surge()).max(begun).min(self.left())
    }

    /// Says whether nothing is under way that was begun before it was held up.
    fn stands_still(&self) -> Option<&Held> {
        self.held.as_ref().filter(|_| self.may_replace() == 0)
    }

    /// How many machines the group is to have once `gone` more are.
    fn wanted_after(&self, gone: usize) -> u32 {
        let extra = match self.refresh.phase {
            RefreshPhase::Rolling { .. } | RefreshPhase::RollingBack { .. } => {
                self.surge().min(self.may_replace().saturating_sub(gone))
            }
            RefreshPhase::Making { .. }
            | RefreshPhase::Restoring { .. }
            | RefreshPhase::Done { .. } => 0,
        };
        let wanted = self.size() + extra;
        u32::try_from(wanted).unwrap_or(u32::MAX)
    }

    /// Says whether all machines of the stage are new, and none of them is missing.
    pub(crate) fn is_stage_over(&self) -> bool {
        let mut new = self.members.iter().filter(|member| member.is_new);
        let is_calm = !self.refresh.before.rebalanced || self.group.suspended.contains(REBALANCING);
        self.is_told()
            && is_calm
            && self.left() == 0
            && !self.old().any(|member| member.is_leaving)
            && self.members.iter().filter(|member| !member.is_leaving).count() >= self.size()
            && new.all(|member| member.is_ready || member.is_leaving || member.is_closed())
    }

    /// Says whether the group launches what it should.
    fn is_told(&self) -> bool {
        self.group.blueprint.as_ref() == Some(self.refresh.aim())
    }

    /// Says whether the group is as it was before, apart from what it launches.
    pub(crate) fn is_restored(&self) -> bool {
        let before = &self.refresh.before;
        self.is_told()
            && self.has_healed()
            && self.has_settled()
            && self.surplus() == 0
            && self.members.iter().all(|member| !member.is_leaving)
            && (!before.rebalanced || !self.group.suspended.contains(REBALANCING))
            && before.max.is_none_or(|max| self.group.max == max || self.group.desired > max)
    }

    /// Says whether what was asked for before shows by now. At the end of a refresh everything has shown; who turns back on the
    /// way may have asked for something that is still to be done (simulation, seed 519).
    fn has_settled(&self) -> bool {
        match &self.refresh.phase {
            RefreshPhase::Restoring {
                end: RefreshEnd::RolledBack { .. } | RefreshEnd::Aborted { .. },
                since,
            } => self.now.since(*since) >= SETTLES,
            RefreshPhase::Restoring { end: RefreshEnd::Refreshed, .. }
            | RefreshPhase::Making { .. }
            | RefreshPhase::Rolling { .. }
            | RefreshPhase::RollingBack { .. }
            | RefreshPhase::Done { .. } => true,
        }
    }

    /// What the group's greatest size was, if more machines are needed than that and it was not written down.
    pub(crate) fn outgrown(&self) -> Option<u32> {
        let is_new = self.refresh.is_rolling() && self.refresh.before.max.is_none();
        (is_new && self.wanted_after(0) > self.group.max).then_some(self.group.max)
    }

    /// How many machines there are beyond what the group is to have.
    fn surplus(&self) -> usize {
        (self.group.desired as usize).saturating_sub(self.size())
    }

    /// Machines that were to go because they were too many and are not any more: another has died meanwhile, or was ended because
    /// it had not joined. What the group was asked to end goes first of those that are too many.
    pub(crate) fn not_to_go(&self) -> Vec<NodeId> {
        if !matches!(self.refresh.phase, RefreshPhase::Restoring { .. }) {
            return Vec::new();
        }
        let is_ending = |one: &&Member<'_>| {
            let id = &one.instance.id;
            self.refresh.ending.contains(id) || self.refresh.roots.contains_key(id)
        };
        let ending = self.members.iter().filter(is_ending).count();
        let is_ours = |one: &&Member<'_>| {
            let drain = one.node.and_then(|node| node.drain);
            !is_ending(one) && drain.is_some_and(|drain| drain.cause == DrainCause::Refresh)
        };
        let mut leaving: Vec<&Member<'_>> = self.members.iter().filter(is_ours).collect();
        leaving.sort_by_key(|one| !one.is_drained());
        let too_many = self.surplus().saturating_sub(ending);
        leaving.into_iter().skip(too_many).map(|one| one.instance.id.clone()).collect()
    }

    /// The next machine to be emptied, if one more may be missed.
    pub(crate) fn next_to_leave(&self) -> Option<&Member<'a>> {
        if !self.is_told() || self.is_healing_again() {
            return None;
        }
        let leaving = self.members.iter().filter(|member| member.is_leaving).count();
        let is_restoring = matches!(self.refresh.phase, RefreshPhase::Restoring { .. });
        let most = if is_restoring { self.excess() } else { self.may_replace() };
        if leaving >= most {
            return None;
        }
        let mut candidates: Vec<&Member<'a>> = self.candidates(is_restoring).collect();
        candidates.sort_by_cached_key(|member| self.order(member));
        candidates.into_iter().find(|member| self.may_be_missed(member))
    }

    /// Machines that could be taken away, were no more wanted: those beyond the size of the group that are there already.
    fn excess(&self) -> usize {
        self.surplus().min(self.members.len().saturating_sub(self.size()))
    }

    fn candidates(&self, is_restoring: bool) -> impl Iterator<Item = &Member<'a>> {
        let untried =
            |member: &&Member<'_>| !self.refresh.skipped.contains_key(&member.instance.id);
        // Who is to go back need not come up first.
        let is_early =
            is_restoring || matches!(self.refresh.phase, RefreshPhase::RollingBack { .. });
        let is_free = move |member: &&Member<'a>| {
            !member.is_leaving
                && member.node.is_some()
                && (is_early || member.instance.lifecycle == Lifecycle::InService)
                && !member.instance.is_protected
        };
        let scope = self.scope();
        let is_in_scope =
            move |one: &Member<'_>| scope.is_none_or(|zone| zone == one.instance.zone);
        let mut in_scope = self.replaceable().filter(|one| is_in_scope(one));
        let has_untried = in_scope.any(|one| is_free(&one) && untried(&one));
        let heard = |member: &&Member<'_>| {
            member.node.is_some_and(|node| self.cluster.is_heard(node, self.now))
        };
        self.members.iter().filter(is_free).filter(move |member| {
            if is_restoring {
                return heard(member);
            }
            let is_due = untried(member) || !has_untried;
            !member.is_new && is_due && self.why_left(member).is_none() && is_in_scope(member)
        })
    }

    /// Which of two machines is taken away first: of the zone whose turn it is, one that takes no tasks anyway, where there are most
    /// in its zone, and that has the fewest tasks. While a group is made as it was, an old one before a new one.
    fn order(&self, member: &Member<'a>) -> (&'a str, (bool, bool, Reverse<usize>, usize, NodeId)) {
        let zone = &member.instance.zone;
        let in_zone = self
            .members
            .iter()
            .filter(|other| other.is_ready && !other.is_leaving && other.instance.zone == *zone);
        let id = &member.instance.id;
        let tasks = self.cluster.tasks_on(id).filter(|task| !task.state.is_final()).count();
        let rest = (member.is_ready, member.is_new, Reverse(in_zone.count()), tasks, id.clone());
        (self.zone_rank(member), rest)
    }

    /// Says whether there are enough machines without this one. Those that take no tasks anyway are missed by nobody.
    fn may_be_missed(&self, member: &Member<'_>) -> bool {
        if !member.is_ready {
            return true;
        }
        let ready = self.members.iter().filter(|one| one.is_ready && !one.is_leaving).count();
        let is_idle = |one: &&Member<'_>| {
            one.instance.lifecycle == Lifecycle::InService && !one.is_ready && !one.is_leaving
        };
        let idle = self.members.iter().filter(is_idle).count();
        let is_restoring = matches!(self.refresh.phase, RefreshPhase::Restoring { .. });
        let first = if is_restoring { 0 } else { self.away() };
        ready > self.size().saturating_sub(idle + first)
    }

    /// Machines of the old kind that new tasks should not go to while there are others: what goes there moves twice.
    pub(crate) fn fenced(&self) -> Vec<NodeId> {
        let has_new = self.members.iter().any(|member| member.is_new && member.is_ready);
        if !self.refresh.is_rolling() || !has_new {
            return Vec::new();
        }
        self.old().map(|member| member.instance.id.clone()).collect()
    }

    /// What is to be asked of the cloud.
    pub(crate) fn orders(&self) -> Vec<Command> {
        let refresh = self.refresh;
        let pool = refresh.id.pool.clone();
        if let RefreshPhase::Making { ami } = &refresh.phase {
            let (ami, from) = (ami.clone(), refresh.from.clone());
            let (id, since) = (refresh.id.clone(), refresh.since.as_millis());
            let token = format!("wharf-{since}-{}", id.number);
            return vec![Command::MakeTemplate { refresh: id, token, from, ami }];
        }
        let takes_over = refresh.policy.takes_over && refresh.is_rolling();
        let cancel = self.group.foreign.as_ref().filter(|_| takes_over);
        let cancel = cancel.map(|_| Command::CancelRefresh { pool: pool.clone() });
        let mut orders = Vec::from_iter(cancel);
        if refresh.is_done() || self.has_not_begun() {
            return orders;
        }
        let is_restoring = matches!(refresh.phase, RefreshPhase::Restoring { .. });
        if let Some(from) = self.group.blueprint.clone().filter(|from| from != refresh.aim()) {
            let to = refresh.aim().clone();
            orders.push(Command::SetTemplate { pool: pool.clone(), from, to });
        }
        let is_suspended = self.group.suspended.contains(REBALANCING);
        if refresh.before.rebalanced && is_suspended == is_restoring {
            let (process, suspended) = (REBALANCING, !is_restoring);
            orders.push(Command::SetProcess { pool: pool.clone(), process, suspended });
        }
        orders.extend(self.roots());
        orders.extend(self.sizes());
        orders.extend(self.endings());
        orders
    }

    /// Says whether it waits for the first window: until then the group is as it was, and what comes for other reasons is launched
    /// as before.
    fn has_not_begun(&self) -> bool {
        self.held.is_some() && !self.is_told()
    }

    /// How large the group is to be, and may be.
    fn sizes(&self) -> Option<Command> {
        let (group, refresh) = (self.group, self.refresh);
        let pool = refresh.id.pool.clone();
        if let RefreshPhase::Restoring { .. } = refresh.phase {
            let max = refresh.before.max.filter(|max| group.max != *max && group.desired <= *max);
            return max.map(|to| Command::SetMax { pool, to });
        }
        let wanted = self.wanted_after(0);
        if !self.is_told() || refresh.paused_at.is_some() || group.desired >= wanted {
            return None;
        }
        if wanted > group.max && refresh.before.max.is_some() {
            return Some(Command::SetMax { pool, to: wanted });
        }
        Some(Command::SetDesired { pool, from: group.desired, to: wanted })
    }

    /// The machines that can be ended now.
    pub(crate) fn to_end(&self) -> BTreeSet<NodeId> {
        let going = self.going();
        let staying = self.staying(&going);
        &going - &staying
    }

    /// The machines that can go as they are: they are empty, or never became nodes.
    fn going(&self) -> BTreeSet<NodeId> {
        if self.refresh.paused_at.is_some() || !self.is_told() {
            return BTreeSet::new();
        }
        let is_restoring = matches!(self.refresh.phase, RefreshPhase::Restoring { .. });
        let is_back = matches!(self.refresh.phase, RefreshPhase::RollingBack { .. });
        let scope = self.scope();
        let may = |one: &&Member<'_>| match (one.node, one.instance.lifecycle) {
            // Tasks are put on a node as soon as it has joined.
            (Some(_), _) => one.is_leaving && one.is_drained(),
            (None, Lifecycle::InService) => {
                !one.is_new
                    && !one.instance.is_protected
                    && self.held.is_none()
                    && scope.is_none_or(|zone| zone == one.instance.zone)
            }
            // What is bad need not come up first, and what is too much need not either.
            (None, _) => is_back && !one.is_new || is_restoring,
        };
        let most = if is_restoring { self.excess() } else { self.may_replace() };
        let most = most.min(self.surge().max(self.away()).max(1));
        let ending =
            self.members.iter().filter(|one| !is_restoring || one.is_leaving || !one.is_ready);
        ending.filter(may).take(most).map(|one| one.instance.id.clone()).collect()
    }

    /// Machines that their group was asked to end and that are on their way out by now, or gone.
    pub(crate) fn ended(&self) -> BTreeSet<NodeId> {
        let is_member = |id: &NodeId| self.members.iter().any(|one| one.instance.id == *id);
        self.refresh.ending.iter().filter(|id| !is_member(id)).cloned().collect()
    }

    /// What was begun is finished, also while the refresh stands still.
    fn endings(&self) -> Vec<Command> {
        let pool = self.refresh.id.pool.clone();
        // Tasks that find no room have asked for as many.
        let lacks = self.cluster.shortage_of(&pool).map_or(0, |shortage| shortage.machines);
        let ending =
            self.members.iter().filter(|one| self.refresh.ending.contains(&one.instance.id));
        let mut gone = 0;
        let end = |one: &Member<'_>| {
            gone += usize::from(!one.is_new);
            let keep = self.wanted_after(gone).max(lacks);
            let (pool, instance) = (pool.clone(), one.instance.id.clone());
            Command::Terminate { pool, instance, keep }
        };
        ending.map(end).collect()
    }

    fn note(&self) -> String {
        if self.refresh.paused_at.is_some() {
            return "stands still until it is resumed".to_owned();
        }
        let failing = |command: Command| {
            let tried = self.cluster.fleet.tries.get(&command.key())?;
            tried.why.clone()
        };
        if let Some(why) = self.orders().into_iter().find_map(failing) {
            return format!("waits for the cloud: {why}");
        }
        match &self.refresh.phase {
            RefreshPhase::Making { ami } => format!("a version of its template is made of {ami}"),
            RefreshPhase::Rolling { watched_since: Some(since), .. } => {
                let until = *since + self.refresh.policy.hold;
                let rest = until.since(self.now).as_secs();
                format!("its new machines are watched for {rest} s more")
            }
            RefreshPhase::Rolling { .. } | RefreshPhase::RollingBack { .. } => {
                self.stands_still().map_or_else(|| self.waits_for(), |held| held.note(self.now))
            }
            RefreshPhase::Restoring { end: RefreshEnd::Refreshed, .. } => {
                "the group is made as it was, apart from what it launches".to_owned()
            }
            RefreshPhase::Restoring { .. } => "the group is made as it was".to_owned(),
            RefreshPhase::Done { .. } => String::new(),
        }
    }

    fn waits_for(&self) -> String {
        if !self.is_told() {
            return "the group is told what to launch".to_owned();
        }
        let missing = (self.wanted_after(0) as usize).saturating_sub(self.members.len());
        let coming = self.members.iter().filter(|one| one.is_new && !one.is_ready).count();
        let leaving = self.members.iter().filter(|one| one.is_leaving).count();
        let parts =
            [(missing, "to be launched"), (coming, "to become ready"), (leaving, "to be emptied")];
        let parts = parts.into_iter().filter(|(count, _)| *count > 0);
        let parts: Vec<String> = parts.map(|(count, what)| format!("{count} {what}")).collect();
        match parts.as_slice() {
            [] => "looks for the next machine".to_owned(),
            parts => format!("waits for machines: {}", parts.join(", ")),
        }
    }
}

/// Says whether the node takes tasks, as far as anybody has said since it was last silent.
fn is_open(cluster: &Cluster, node: &Node, now: Timestamp) -> bool {
    node.availability == Availability::Active
        && node.preparing_until.is_none()
        && cluster.takes_work(node, now)
        && cluster.is_back(&node.id, now)
}
