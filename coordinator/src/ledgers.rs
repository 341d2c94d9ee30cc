//! Who is let in, as it is committed: what every request is judged by.

use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use coordinator_core::trust::{Change, Ledger};

/// The committed ledger, behind a lock that is held only to look or to apply.
#[derive(Debug, Default)]
pub(crate) struct Ledgers(RwLock<Ledger>);

impl Ledgers {
    /// Publishes what was loaded from the store.
    pub(crate) const fn new(ledger: Ledger) -> Self {
        Self(RwLock::new(ledger))
    }

    /// Looks. Hold it shortly, and never across an await.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Ledger> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies what was committed.
    pub(crate) fn apply(&self, changes: &[Change]) {
        if changes.is_empty() {
            return;
        }
        let mut ledger = self.0.write().unwrap_or_else(PoisonError::into_inner);
        changes.iter().for_each(|change| ledger.apply(change));
    }
}
