//! Moving a service to a generation: how it is to be done, and how far it has come.

use std::time::Duration;

use crate::budget::Amount;
use crate::time::Timestamp;

/// How a new generation is tried before it may have everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trial {
    /// In a few slots, beside the others.
    Canary(Canary),
    /// In every slot, beside what was there, and without a request of anybody.
    BlueGreen(BlueGreen),
}

impl Trial {
    /// In how many of `wanted` slots the new generation is tried.
    #[must_use]
    pub fn count(&self, wanted: usize) -> usize {
        match self {
            Self::Canary(canary) => canary.count(wanted),
            Self::BlueGreen(_) => wanted,
        }
    }

    /// For how long all of them have to serve before the trial is taken for good, beyond the time that each new task is watched
    /// anyway.
    #[must_use]
    pub const fn hold(&self) -> Duration {
        match self {
            Self::Canary(canary) => canary.hold,
            Self::BlueGreen(blue_green) => blue_green.hold,
        }
    }

    /// Who says that it is good.
    #[must_use]
    pub const fn promotion(&self) -> Promotion {
        match self {
            Self::Canary(canary) => canary.promotion,
            Self::BlueGreen(blue_green) => blue_green.promotion,
        }
    }
}

/// Both generations are up as a whole: the new one (green) gets no requests until it is switched to, and the old one (blue)
/// gets none after that, and is kept for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlueGreen {
    /// For how long all of the new tasks have to be healthy before the switch, beyond the time that each is watched anyway.
    pub hold: Duration,
    /// Who says that it may be switched.
    pub promotion: Promotion,
    /// For how long what was there is kept after the switch. Failures of what is new take everything back meanwhile.
    pub keep: Duration,
}

/// A new generation is tried in a few slots before it may have the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Canary {
    /// In how many: at least one, and a share is rounded up.
    pub slots: Amount,
    /// For how long all of them have to serve, beyond the time that each new task is watched anyway.
    pub hold: Duration,
    /// Who says that the others may follow.
    pub promotion: Promotion,
}

impl Canary {
    /// How many of `wanted` slots try the new generation.
    #[must_use]
    pub fn count(&self, wanted: usize) -> usize {
        self.slots.of(wanted).max(1).min(wanted)
    }
}

/// Who says that what is tried is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promotion {
    /// Time: it has served for as long as it was to be held.
    Automatic,
    /// An operator, and nobody else.
    Manual,
}

/// How many failures a rollout bears beside its share of the slots: with few slots a share is none, and with many it is
/// more than anybody wants to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tolerance {
    /// So many are borne in any case.
    pub at_least: u32,
    /// So many at most; without a bound when there is none. Not below `at_least`.
    pub at_most: Option<u32>,
}

impl Tolerance {
    /// How many failures are borne of which the share of the slots would be `share`.
    #[must_use]
    pub fn of(&self, share: usize) -> usize {
        let most = self.at_most.map_or(usize::MAX, |most| most as usize);
        share.max(self.at_least as usize).min(most)
    }
}

/// A service on its way to its target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollout {
    /// When it began.
    pub since: Timestamp,
    /// How far it may go.
    pub stage: Stage,
    /// Whether it moves.
    pub pace: Pace,
}

impl Rollout {
    /// One that begins now and may go all the way.
    #[must_use]
    pub const fn new(now: Timestamp) -> Self {
        Self { since: now, stage: Stage::Everywhere, pace: Pace::Going { since: now } }
    }

    /// Says whether an operator holds it.
    #[must_use]
    pub const fn is_paused(&self) -> bool {
        match self.pace {
            Pace::Paused { .. } => true,
            Pace::Going { .. } => false,
        }
    }
}

/// How far a rollout may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The target is only tried ([`Trial`]). What ran where it is tried stays beside the new tasks, if the two can run side by
    /// side.
    Trial,
    /// What is tried has settled, and is watched.
    Holding {
        /// Since when.
        since: Timestamp,
    },
    /// Only of [`BlueGreen`]: load balancers are told of the new tasks, and still send requests to the old ones.
    Switching {
        /// Since when.
        since: Timestamp,
    },
    /// Only of [`BlueGreen`]: the new tasks have all requests, and the old ones are kept without any.
    Keeping {
        /// Since when.
        since: Timestamp,
    },
    /// Every slot is moved.
    Everywhere,
}

impl Stage {
    /// Says whether the target has every slot, and only may be given up again.
    #[must_use]
    pub const fn is_switched(self) -> bool {
        match self {
            Self::Switching { .. } | Self::Keeping { .. } => true,
            Self::Trial | Self::Holding { .. } | Self::Everywhere => false,
        }
    }
}

/// Whether a rollout moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// It does.
    Going {
        /// When it began, or was last told to go on. What was before does not count against its tasks.
        since: Timestamp,
    },
    /// An operator holds it: nothing is begun, and nothing is judged.
    Paused {
        /// Since when.
        since: Timestamp,
    },
}

/// What an operator may want of a rollout that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Steering {
    /// To stand still.
    Pause,
    /// To go on, from a pause or after it was halted.
    Resume,
    /// To take what is tried for good; after a switch not to keep what was there any longer.
    Promote,
    /// To go back to the generation that was healthy.
    Abort,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_is_at_least_one_slot_and_never_more_than_there_are() {
        let canary = |slots| Canary { slots, hold: Duration::ZERO, promotion: Promotion::Manual };
        assert_eq!(canary(Amount::Percent(1)).count(8), 1);
        assert_eq!(canary(Amount::Percent(20)).count(8), 2);
        assert_eq!(canary(Amount::Count(9)).count(8), 8);
        assert_eq!(canary(Amount::Count(0)).count(8), 1);
        assert_eq!(canary(Amount::Count(1)).count(0), 0);
    }

    #[test]
    fn failures_are_borne_by_share_within_bounds() {
        let bounds = Tolerance { at_least: 2, at_most: Some(5) };
        assert_eq!([0, 3, 9].map(|share| bounds.of(share)), [2, 3, 5]);
        assert_eq!(Tolerance::default().of(7), 7);
    }
}
