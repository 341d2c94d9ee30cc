//! How much of a service may be away by our own doing.

use std::fmt;

/// What a service bears of rollouts, drains and whatever else moves its tasks. Failures are nobody's to allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Budget {
    /// Nothing is said: a rollout takes as many as its parallelism allows, and a drain leaves one task that serves to a
    /// service of two or more.
    #[default]
    Usual,
    /// So many go on serving; a share is rounded up.
    MinAvailable(Amount),
    /// So many at most do not serve; a share is rounded up.
    MaxUnavailable(Amount),
}

/// A number of tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// So many.
    Count(u32),
    /// Such a part of those that are wanted, from 0 to 100.
    Percent(u8),
}

impl Amount {
    /// How many of `wanted` that is: never more.
    #[must_use]
    pub fn of(self, wanted: usize) -> usize {
        match self {
            Self::Count(count) => wanted.min(count as usize),
            Self::Percent(percent) => (wanted * usize::from(percent)).div_ceil(100).min(wanted),
        }
    }
}

impl Budget {
    /// How many of `wanted` tasks it keeps serving, if it says so.
    #[must_use]
    pub fn least(self, wanted: usize) -> Option<usize> {
        match self {
            Self::Usual => None,
            Self::MinAvailable(amount) => Some(amount.of(wanted)),
            Self::MaxUnavailable(amount) => Some(wanted - amount.of(wanted)),
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usual => f.write_str("the usual"),
            Self::MinAvailable(amount) => write!(f, "min_available {amount}"),
            Self::MaxUnavailable(amount) => write!(f, "max_unavailable {amount}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_rounded_up_and_never_more_than_there_is() {
        assert_eq!(Amount::Percent(50).of(3), 2);
        assert_eq!(Amount::Percent(1).of(3), 1);
        assert_eq!(Amount::Percent(0).of(3), 0);
        assert_eq!(Amount::Percent(100).of(3), 3);
        assert_eq!(Amount::Count(7).of(3), 3);
    }

    #[test]
    fn what_may_be_away_and_what_must_be_there_are_two_words_for_one_thing() {
        assert_eq!(Budget::MinAvailable(Amount::Count(3)).least(4), Some(3));
        assert_eq!(Budget::MaxUnavailable(Amount::Count(1)).least(4), Some(3));
        assert_eq!(Budget::MaxUnavailable(Amount::Percent(25)).least(3), Some(2));
        assert_eq!(Budget::Usual.least(4), None);
    }
}
