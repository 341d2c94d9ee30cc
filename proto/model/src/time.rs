//! Instants as values: who needs the time is given it.

use std::fmt;
use std::num::NonZeroU64;
use std::ops::{Add, Sub};
use std::time::Duration;

/// An instant in milliseconds since the Unix epoch, UTC.
///
/// Cores never read a clock; a timestamp always comes in as an argument.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(
    /// One more than that, so that an instant that may be missing is no larger: a task has four of them.
    NonZeroU64,
);

impl Default for Timestamp {
    fn default() -> Self {
        Self::from_millis(0)
    }
}

impl Timestamp {
    /// Makes an instant from milliseconds since the Unix epoch. The last that there is comes half a billion years from now.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(millis))
    }

    /// Gives the milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0.get() - 1
    }

    /// Gives the time that passed since `earlier`, and nothing when `earlier` lies in the future (a clock was set back).
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.as_millis().saturating_sub(earlier.as_millis()))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    /// Saturates at the end of time: an absurd deadline is a deadline that never comes, not a panic.
    fn add(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self::from_millis(self.as_millis().saturating_sub(millis))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.as_millis())
    }
}

impl fmt::Display for Timestamp {
    /// As RFC 3339 has it, in UTC and to the second.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = i64::try_from(self.as_millis()).unwrap_or(i64::MAX);
        match jiff::Timestamp::from_millisecond(millis) {
            Ok(instant) => write!(f, "{instant:.0}"),
            Err(_) => f.write_str("the end of time"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        let now = Timestamp::from_millis(5);
        assert_eq!(now - Duration::from_secs(1), Timestamp::from_millis(0));
        assert_eq!(now + Duration::MAX, Timestamp::from_millis(u64::MAX));
        assert_eq!(now.since(Timestamp::from_millis(9)), Duration::ZERO);
    }

    #[test]
    fn an_instant_is_shown_to_the_second() {
        let shown = Timestamp::from_millis(1_800_000_000_999).to_string();
        assert_eq!(shown, "2027-01-15T08:00:00Z");
        assert_eq!(Timestamp::from_millis(u64::MAX).to_string(), "the end of time");
    }
}
