//! The time: that of the world at the start, and from then on that of a clock nobody sets.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use model::time::Timestamp;

/// Tells the time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    started: Instant,
    started_at: Timestamp,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: Instant::now(), started_at: Timestamp::default() + since_epoch }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.started_at + self.started.elapsed()
    }
}
