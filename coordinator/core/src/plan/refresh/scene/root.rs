//! Machines that stay and boot from another root volume, in a scene.

use std::collections::{BTreeMap, BTreeSet};

use model::fleet::JOIN_USUALLY;
use model::id::NodeId;
use model::node::DrainCause;
use model::refresh::{Mode, RefreshPhase, Root, RootPhase, Version};

use super::{Member, Scene};
use crate::command::Command;
use crate::plan::refresh::HEALING;
use crate::plan::refresh::root::Fate;

/// How an old machine that is empty goes.
#[derive(Debug, PartialEq, Eq)]
enum Way {
    /// It is ended.
    End,
    /// It boots from this.
    Root(Root),
    /// It is not known yet.
    Unknown,
}

impl Scene<'_> {
    /// How many machines may be away before others come.
    pub(super) fn away(&self) -> usize {
        self.refresh.policy.away_of(self.size())
    }

    /// Says whether machines are to stay.
    fn is_in_place(&self) -> bool {
        let leads_somewhere = match self.refresh.phase {
            RefreshPhase::Rolling { .. } | RefreshPhase::RollingBack { .. } => true,
            RefreshPhase::Making { .. }
            | RefreshPhase::Restoring { .. }
            | RefreshPhase::Done { .. } => false,
        };
        leads_somewhere && self.refresh.policy.mode == Mode::InPlace
    }

    fn way(&self, member: &Member<'_>) -> Way {
        // Whoever else has it emptied has a reason to want it gone.
        if !self.is_in_place() || !Self::leaves_for_this(member) {
            return Way::End;
        }
        let template = member.instance.template_id.as_ref();
        let aim = template.and_then(|id| Some((id.clone(), *self.refresh.aim().0.get(id)?)));
        let Some(version) = aim else { return Way::End };
        match self.cluster.fleet.images.get(&version) {
            None => Way::Unknown,
            Some(None) => Way::End,
            // What is different then is no matter of its files.
            Some(ami) if *ami == member.instance.ami => Way::End,
            Some(Some(ami)) => Way::Root(self.root(version, ami)),
        }
    }

    fn root(&self, version: Version, ami: &str) -> Root {
        Root { version, ami: ami.to_owned(), since: self.now, phase: RootPhase::Asked }
    }

    /// Those of them that are not ended but get another root volume, or would once it is known which.
    pub(super) fn staying(&self, going: &BTreeSet<NodeId>) -> BTreeSet<NodeId> {
        let going = self.members.iter().filter(|one| going.contains(&one.instance.id));
        let stays = going.filter(|one| {
            self.refresh.roots.contains_key(&one.instance.id) || self.way(one) != Way::End
        });
        stays.map(|one| one.instance.id.clone()).collect()
    }

    /// Machines that are empty and get another root volume now.
    pub(crate) fn to_change(&self) -> BTreeMap<NodeId, Root> {
        let going = self.going();
        let is_going = |one: &&Member<'_>| {
            let id = &one.instance.id;
            let is_known = self.refresh.roots.contains_key(id) || self.refresh.ending.contains(id);
            going.contains(id) && !one.is_new && !is_known
        };
        let going = self.members.iter().filter(is_going);
        let root = |one: &Member<'_>| match self.way(one) {
            Way::Root(root) => Some((one.instance.id.clone(), root)),
            Way::End | Way::Unknown => None,
        };
        going.filter_map(root).collect()
    }

    /// What becomes of a machine that gets another root volume.
    pub(crate) fn fate(&self, id: &NodeId, root: &Root) -> Fate {
        let Some(member) = self.members.iter().find(|one| one.instance.id == *id) else {
            return Fate::Gone;
        };
        let again = match self.way(member) {
            Way::Root(again) if self.is_in_place() => Some(again),
            Way::Root(_) | Way::End | Way::Unknown => None,
        };
        if let Some(back) = Fate::elsewhere(root, again) {
            return back;
        }
        let pool = self.cluster.pools().get(&self.refresh.id.pool);
        let within = pool.map_or(JOIN_USUALLY, |pool| pool.policy.join_within);
        match root.phase {
            RootPhase::Booting { since } if since + within <= self.now => Fate::Late,
            RootPhase::Joined if self.has_come_back(member) => Fate::Ready,
            RootPhase::Asked | RootPhase::Booting { .. } | RootPhase::Joined => Fate::Waits,
        }
    }

    /// Says whether tasks could run there, were its node open.
    fn has_come_back(&self, member: &Member<'_>) -> bool {
        member.node.is_some_and(|node| {
            self.cluster.takes_work(node, self.now) && self.cluster.is_back(&node.id, self.now)
        })
    }

    /// Says whether a machine boots that its group may take for a sick one, or will soon.
    fn is_disturbed(&self) -> bool {
        let is_near = self.is_in_place() && self.members.iter().any(Self::leaves_for_this);
        is_near || !self.refresh.roots.is_empty()
    }

    fn leaves_for_this(member: &Member<'_>) -> bool {
        let drain = member.node.and_then(|node| node.drain);
        drain.is_some_and(|drain| drain.cause == DrainCause::Refresh)
    }

    /// Says whether the group is being told to replace what is sick again. Until that shows no machine is begun with: it could boot
    /// just when the group hears of it (simulation, seed 15).
    pub(super) fn is_healing_again(&self) -> bool {
        let is_ours = self.is_in_place() && self.refresh.before.heals;
        is_ours && self.group.suspended.contains(HEALING) && !self.is_disturbed()
    }

    /// What is to be asked of the cloud for them: a machine that boots is not to be taken for a sick one.
    pub(super) fn roots(&self) -> Vec<Command> {
        let pool = self.refresh.id.pool.clone();
        let suspended = self.is_disturbed();
        let is_suspended = self.group.suspended.contains(HEALING);
        let is_ours = self.refresh.policy.mode == Mode::InPlace && self.refresh.before.heals;
        let process = HEALING;
        let set = Command::SetProcess { pool, process, suspended };
        let set = (is_ours && suspended != is_suspended).then_some(set);
        let is_asked = |root: &Root| root.phase == RootPhase::Asked;
        let asked = self.refresh.roots.iter().filter(|(_, root)| is_asked(root) && is_suspended);
        let asked = asked.map(|(instance, root)| Command::ReplaceRoot {
            instance: instance.clone(),
            token: root.token(instance),
            ami: root.ami.clone(),
        });
        set.into_iter().chain(asked).collect()
    }

    /// Says whether nothing is left of what was done for them.
    pub(super) fn has_healed(&self) -> bool {
        let is_ours = self.refresh.policy.mode == Mode::InPlace && self.refresh.before.heals;
        let heals = !is_ours || !self.group.suspended.contains(HEALING);
        self.refresh.roots.is_empty() && heals
    }
}
