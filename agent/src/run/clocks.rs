//! Whether this machine and the coordinator's agree on the time.

use std::time::Duration;

use model::time::Timestamp;

/// Clocks that are further apart are worth a word: certificates bear an hour.
const CLOCKS_APART: Duration = Duration::from_secs(60);

/// Says when the clocks are so far apart that certificates may not hold on one of the two machines. An older coordinator
/// does not say its time.
pub(super) fn compare_clocks(theirs_ms: u64) {
    let (ours, theirs) = (trust::now(), Timestamp::from_millis(theirs_ms));
    let (ahead, behind) = (ours.since(theirs), theirs.since(ours));
    let (apart, way) = if ahead > behind { (ahead, "ahead of") } else { (behind, "behind") };
    if theirs_ms > 0 && apart > CLOCKS_APART {
        tracing::warn!(
            "the clock of this machine is {} {way} the coordinator's: set it, best with NTP, before certificates do not hold",
            trust::failure::span(apart)
        );
    }
}
