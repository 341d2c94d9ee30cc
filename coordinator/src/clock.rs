//! The time: that of the world at the start, and from then on that of a clock nobody sets.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use model::time::Timestamp;

/// Tells the time. Somebody who sets the machine's clock does not make every node look silent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    started: Instant,
    started_at: Timestamp,
}

impl Clock {
    /// Reads the machine's clock once.
    #[must_use]
    pub(crate) fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: Instant::now(), started_at: Timestamp::default() + since_epoch }
    }

    /// The time now.
    #[must_use]
    pub(crate) fn now(&self) -> Timestamp {
        self.started_at + self.started.elapsed()
    }

    /// When this clock was started.
    #[must_use]
    pub(crate) const fn started_at(&self) -> Timestamp {
        self.started_at
    }
}
