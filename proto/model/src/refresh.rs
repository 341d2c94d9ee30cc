//! Moving the machines of a pool to another machine image.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use crate::budget::Amount;
use crate::fleet::{Instance, WAIT_LIMITS};
use crate::id::NodeId;
use crate::time::Timestamp;

/// The first machines of a refresh are watched for so long before others follow, and so are those of each stage after it.
pub const HOLD_USUALLY: Duration = Duration::from_secs(300);
/// No stage is watched for longer: whoever wants to wait for more than a week can pause it.
pub const HOLD_LIMIT: Duration = Duration::from_secs(7 * 86_400);
/// So many stages a refresh has at most.
pub const STAGES_LIMIT: usize = 16;
/// So many refreshes of a pool are remembered that are over.
pub const HISTORY_LIMIT: usize = 10;
/// Why a machine is left as it is twice is why it is left for good.
pub const TRIES_LIMIT: u32 = 2;

/// What the machines of a group are launched from: of each launch template that the group names the number of the version.
/// Never `$Latest` or `$Default`: whoever may write a version would otherwise change what is launched.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Blueprint(pub BTreeMap<String, u64>);

/// A version of a launch template: the template's id, and the number. What is in a version never changes.
pub type Version = (String, u64);

impl Blueprint {
    /// The versions one by one.
    pub fn versions(&self) -> impl Iterator<Item = Version> {
        self.0.iter().map(|(id, number)| (id.clone(), *number))
    }

    /// Says whether a machine was launched from this. One of which the cloud does not say from what was not.
    #[must_use]
    pub fn made(&self, instance: &Instance) -> bool {
        let version = instance.template_id.as_ref().and_then(|id| self.0.get(id));
        let of = instance.template_version.as_ref().and_then(|version| version.parse::<u64>().ok());
        version.is_some() && version.copied() == of
    }
}

impl fmt::Display for Blueprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (id, version)) in self.0.iter().enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            write!(f, "{comma}{id} version {version}")?;
        }
        Ok(())
    }
}

/// Which refresh of which pool.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RefreshId {
    /// The pool.
    pub pool: String,
    /// Its refreshes are numbered from 1.
    pub number: u64,
}

/// The name of a group has no colon (Auto Scaling does not allow it).
impl fmt::Display for RefreshId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.pool, self.number)
    }
}

/// How the machines of a pool are replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshPolicy {
    /// So many machines more than usual are there at a time; a share is rounded up. With none a machine leaves before the next
    /// comes.
    pub surge: Amount,
    /// Which machines are to be new at the end of each stage. What is beyond the last is the last stage: all of them.
    pub stages: Vec<Stage>,
    /// For so long the new machines of a stage are watched before the next begins.
    pub hold: Duration,
    /// A machine that is to go waits for so long for what the services on it do not allow.
    pub drain_within: Duration,
    /// What is done with a machine that is not empty by then.
    pub at_deadline: AtDeadline,
    /// Why it waits for no window, no end of a freeze and no other refresh, if it does not: in the words of whoever wanted that.
    pub urgent: Option<String>,
    /// What becomes of an old machine once it is empty.
    pub mode: Mode,
    /// Whether an instance refresh that is not ours is cancelled; otherwise it is waited for.
    pub takes_over: bool,
}

/// What becomes of an old machine once it is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// It is ended, and another is launched.
    #[default]
    Replace,
    /// It stays, and boots from another root volume: it needs no capacity that is not there, and keeps its addresses and its
    /// other volumes. One of which that can not be done is ended all the same. There is no surge: its amount says how many
    /// machines are away at a time.
    InPlace,
}

/// Which machines are to be new at the end of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// So many.
    Machines(Amount),
    /// All of one zone. Where there is such a stage machines are taken zone by zone, in the order of their names.
    Zone,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Machines(amount) => write!(f, "{amount}"),
            Self::Zone => f.write_str("zone"),
        }
    }
}

/// What is done with a machine that could not be emptied in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtDeadline {
    /// It is left as it is, and tried once more after the others.
    Skip,
    /// What is left on it is stopped, whatever that costs.
    Force,
}

impl Default for RefreshPolicy {
    fn default() -> Self {
        Self {
            surge: Amount::Percent(10),
            stages: vec![Stage::Machines(Amount::Count(1)), Stage::Machines(Amount::Percent(25))],
            hold: HOLD_USUALLY,
            drain_within: crate::fleet::DRAIN_USUALLY,
            at_deadline: AtDeadline::Skip,
            urgent: None,
            mode: Mode::Replace,
            takes_over: false,
        }
    }
}

impl RefreshPolicy {
    /// How many machines of `size` are new once stage `number`, from 0, is over; none when that is a matter of zones.
    #[must_use]
    pub fn quota(&self, number: usize, size: usize) -> Option<usize> {
        match self.stages.get(number) {
            Some(Stage::Machines(amount)) => Some(amount.of(size).max(1).min(size)),
            Some(Stage::Zone) => None,
            None => Some(size),
        }
    }

    /// Says whether machines are taken zone by zone.
    #[must_use]
    pub fn goes_by_zone(&self) -> bool {
        self.stages.contains(&Stage::Zone)
    }

    /// How many machines more than `size` there may be.
    #[must_use]
    pub fn surge_of(&self, size: usize) -> usize {
        match self.mode {
            Mode::Replace => self.amount_of(size),
            Mode::InPlace => 0,
        }
    }

    /// How many machines may be away at a time without others in their place: one at least, where there is no surge.
    #[must_use]
    pub fn away_of(&self, size: usize) -> usize {
        match self.mode {
            Mode::Replace => usize::from(self.amount_of(size) == 0),
            Mode::InPlace => self.amount_of(size).max(1),
        }
    }

    fn amount_of(&self, size: usize) -> usize {
        match self.surge {
            Amount::Count(count) => count as usize,
            Amount::Percent(0) => 0,
            share @ Amount::Percent(_) => share.of(size).max(1),
        }
    }

    /// Says what is wrong with it, if anything is.
    ///
    /// # Errors
    /// A sentence that names the bound.
    pub fn check(&self) -> Result<(), String> {
        let (least, most) = WAIT_LIMITS;
        if !(least..=most).contains(&self.drain_within) {
            return Err(format!(
                "a machine is waited for from {} s to {} h",
                least.as_secs(),
                most.as_secs() / 3_600
            ));
        }
        if self.urgent.as_ref().is_some_and(|why| why.trim().is_empty()) {
            return Err("say why it is not to wait".to_owned());
        }
        if self.hold > HOLD_LIMIT {
            return Err("no stage is watched for longer than a week".to_owned());
        }
        if self.stages.len() > STAGES_LIMIT {
            return Err(format!("a refresh has {STAGES_LIMIT} stages at most"));
        }
        let is_more = |pair: &[Amount]| match pair {
            [Amount::Percent(one), Amount::Percent(next)] => one < next,
            [Amount::Count(one), Amount::Count(next)] => one < next,
            [Amount::Count(_), Amount::Percent(_)] => true,
            _ => false,
        };
        let zones = self.stages.iter().filter(|stage| **stage == Stage::Zone).count();
        if zones > 1 {
            return Err("a refresh has one stage of a zone at most".to_owned());
        }
        let amounts = self.stages.iter().filter_map(|stage| match stage {
            Stage::Machines(amount) => Some(*amount),
            Stage::Zone => None,
        });
        let amounts: Vec<Amount> = amounts.collect();
        if !amounts.windows(2).all(is_more) {
            return Err(
                "each stage is of more machines than the one before; numbers come before shares"
                    .to_owned(),
            );
        }
        Ok(())
    }
}

/// Moving the machines of a pool to another machine image, or having done so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refresh {
    /// Which.
    pub id: RefreshId,
    /// Since when.
    pub since: Timestamp,
    /// What machines were launched from before.
    pub from: Blueprint,
    /// What they are to be launched from. Empty until its versions are made: see [`RefreshPhase::Making`].
    pub to: Blueprint,
    /// How.
    pub policy: RefreshPolicy,
    /// How many machines the group is to have apart from those that are there for the refresh.
    pub size: u32,
    /// How the group was before, where that was changed.
    pub before: Before,
    /// Refreshes of other pools that still have to be through before it begins with the first machine. When one of them is not what
    /// its operator wanted in the end, this one is not begun with.
    pub after: BTreeSet<RefreshId>,
    /// How far it is.
    pub phase: RefreshPhase,
    /// Since when it stands still because an operator wants it to.
    pub paused_at: Option<Timestamp>,
    /// Machines that could not be emptied in time.
    pub skipped: BTreeMap<NodeId, Skip>,
    /// Machines that were launched from the new versions and never became nodes.
    pub failed: BTreeSet<NodeId>,
    /// Machines that their group is asked to end. There is no way back: whoever asks can not take it back.
    pub ending: BTreeSet<NodeId>,
    /// Machines that get another root volume, until they take tasks again.
    pub roots: BTreeMap<NodeId, Root>,
}

/// A machine gets another root volume. It is written down before the cloud is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// It is as if launched from this version then.
    pub version: Version,
    /// The machine image of that version.
    pub ami: String,
    /// Since when that is wanted.
    pub since: Timestamp,
    /// How far it is.
    pub phase: RootPhase,
}

/// How far a machine is that gets another root volume. Only moves forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootPhase {
    /// The cloud is asked for it.
    Asked,
    /// It has the volume, and boots.
    Booting {
        /// Since when.
        since: Timestamp,
    },
    /// Its agent is there, of the new image.
    Joined,
}

impl Root {
    /// By which the cloud knows the request: what is asked for twice with the same is done once.
    #[must_use]
    pub fn token(&self, instance: &NodeId) -> String {
        format!("wharf-{}-{instance}", self.since.as_millis())
    }
}

/// A time in which no machine is replaced in any pool: over a sale, or while something else is being repaired. What has a reason
/// to go on all the same does, and so does what leads back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freeze {
    /// Why, in the operator's words.
    pub why: String,
    /// Since when.
    pub since: Timestamp,
    /// Until when; none when an operator is to end it.
    pub until: Option<Timestamp>,
}

impl Freeze {
    /// Says whether it holds.
    #[must_use]
    pub fn holds(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// Why a machine is left as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skip {
    /// In the operator's words.
    pub why: String,
    /// How often it was tried.
    pub tries: u32,
}

/// How a group was before a refresh, so that it is so again after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Before {
    /// Whether it moved machines between zones by itself, and was told not to.
    pub rebalanced: bool,
    /// Whether it replaces machines that it finds sick: it is told not to while one of them boots anew.
    pub heals: bool,
    /// The greatest size that it had, if it was given another.
    pub max: Option<u32>,
}

/// How far a refresh is. Only moves forward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefreshPhase {
    /// The versions of its launch templates are made that name the new machine image.
    Making {
        /// The machine image.
        ami: String,
    },
    /// Machines are replaced.
    Rolling {
        /// Which stage, from 0.
        stage: usize,
        /// Since when all machines of the stage are new; none while they are replaced.
        watched_since: Option<Timestamp>,
    },
    /// The new machines are replaced by such as were there before.
    RollingBack {
        /// Why.
        why: String,
    },
    /// The group is made as it was before, apart from what it launches.
    Restoring {
        /// How it ends.
        end: RefreshEnd,
        /// Since when.
        since: Timestamp,
    },
    /// It is over.
    Done {
        /// How it ended.
        end: RefreshEnd,
        /// Since when.
        at: Timestamp,
    },
}

/// How a refresh ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefreshEnd {
    /// Every machine that could be replaced is new.
    Refreshed,
    /// The machines are as they were before.
    RolledBack {
        /// Why.
        why: String,
    },
    /// It was left where it was: what is launched from now on is as before.
    Aborted {
        /// Why.
        why: String,
    },
}

impl Refresh {
    /// What machines are to be launched from as things are.
    #[must_use]
    pub const fn aim(&self) -> &Blueprint {
        match &self.phase {
            RefreshPhase::Rolling { .. }
            | RefreshPhase::Restoring { end: RefreshEnd::Refreshed, .. }
            | RefreshPhase::Done { end: RefreshEnd::Refreshed, .. } => &self.to,
            RefreshPhase::Making { .. }
            | RefreshPhase::RollingBack { .. }
            | RefreshPhase::Restoring {
                end: RefreshEnd::RolledBack { .. } | RefreshEnd::Aborted { .. },
                ..
            }
            | RefreshPhase::Done {
                end: RefreshEnd::RolledBack { .. } | RefreshEnd::Aborted { .. },
                ..
            } => &self.from,
        }
    }

    /// Says whether it is over, and every machine that could be is new.
    #[must_use]
    pub const fn is_through(&self) -> bool {
        match self.phase {
            RefreshPhase::Done { end: RefreshEnd::Refreshed, .. } => true,
            RefreshPhase::Done {
                end: RefreshEnd::RolledBack { .. } | RefreshEnd::Aborted { .. },
                ..
            }
            | RefreshPhase::Making { .. }
            | RefreshPhase::Rolling { .. }
            | RefreshPhase::RollingBack { .. }
            | RefreshPhase::Restoring { .. } => false,
        }
    }

    /// Says whether it is over.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        match self.phase {
            RefreshPhase::Done { .. } => true,
            RefreshPhase::Making { .. }
            | RefreshPhase::Rolling { .. }
            | RefreshPhase::RollingBack { .. }
            | RefreshPhase::Restoring { .. } => false,
        }
    }

    /// Says whether machines are being replaced, or would be if it did not stand still.
    #[must_use]
    pub const fn is_rolling(&self) -> bool {
        match self.phase {
            RefreshPhase::Rolling { .. } | RefreshPhase::RollingBack { .. } => true,
            RefreshPhase::Making { .. }
            | RefreshPhase::Restoring { .. }
            | RefreshPhase::Done { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_stage_is_all_machines_and_no_stage_is_none() {
        let policy = RefreshPolicy::default();
        let quotas = [0, 1, 2, 3].map(|stage| policy.quota(stage, 10));
        assert_eq!(quotas, [1, 3, 10, 10].map(Some));
        assert_eq!(policy.quota(0, 0), Some(0));
    }

    #[test]
    fn a_share_of_few_machines_is_one_machine() {
        let of = |surge| RefreshPolicy { surge, ..RefreshPolicy::default() }.surge_of(3);
        assert_eq!([Amount::Percent(10), Amount::Percent(0), Amount::Count(5)].map(of), [1, 0, 5]);
    }

    #[test]
    fn stages_grow() {
        let with = |stages| RefreshPolicy { stages, ..RefreshPolicy::default() }.check();
        let count = |count| Stage::Machines(Amount::Count(count));
        let percent = |percent| Stage::Machines(Amount::Percent(percent));
        assert!(with(vec![count(1), count(3), percent(50)]).is_ok());
        assert!(with(vec![count(1), Stage::Zone, percent(50)]).is_ok());
        assert!(with(vec![percent(50), percent(50)]).is_err());
        assert!(with(vec![percent(50), Stage::Zone, percent(50)]).is_err());
        assert!(with(vec![percent(50), count(3)]).is_err());
        assert!(with(vec![Stage::Zone, Stage::Zone]).is_err());
        assert!(with(vec![count(1); STAGES_LIMIT + 1]).is_err());
    }
}
