//! What the host and the containers use, read from the kernel and not from the engine, which is slow to say.
//!
//! Rates are those since the sample before. What can not be read is left out, never guessed. All of it is reading small
//! files of `/proc` and `/sys`, which does not wait for a disk.

mod containers;
mod host;

pub use containers::ContainerMeter;
pub use host::HostMeter;
pub(super) use host::{disk, most_processes};

use std::time::{Duration, Instant};

/// A counter that only grows, and when it was read.
#[derive(Debug, Clone, Copy)]
struct Reading {
    total: u64,
    at: Instant,
}

/// The growth per second between two readings; nothing when no time has passed or the counter began anew.
fn rate(before: Option<Reading>, now: Reading) -> u64 {
    let Some(before) = before else { return 0 };
    let passed: Duration = now.at.saturating_duration_since(before.at);
    let grown = u128::from(now.total.saturating_sub(before.total)) * 1_000_000_000;
    let per_second = grown.checked_div(passed.as_nanos()).unwrap_or_default();
    u64::try_from(per_second).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_needs_two_readings_and_survives_a_counter_that_began_anew() {
        let start = Instant::now();
        let before = Reading { total: 1_000, at: start };
        let later = start + Duration::from_millis(500);
        assert_eq!(rate(None, before), 0);
        assert_eq!(rate(Some(before), Reading { total: 2_000, at: later }), 2_000);
        assert_eq!(rate(Some(before), Reading { total: 0, at: later }), 0);
        assert_eq!(rate(Some(before), Reading { total: 9_000, at: start }), 0);
    }
}
