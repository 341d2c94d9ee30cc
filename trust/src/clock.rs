//! The time of the world, by which certificates hold.

use std::time::{SystemTime, UNIX_EPOCH};

use model::time::Timestamp;

/// The time of the world as this machine has it: somebody may set it, and then certificates hold or not by the new one.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp::default() + SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
