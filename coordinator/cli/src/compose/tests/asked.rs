//! Notes which keys the reader asks for.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::super::keys::Key;

thread_local! {
    static ASKED: RefCell<BTreeSet<(String, &'static str)>> = const { RefCell::new(BTreeSet::new()) };
}

/// Notes that a key of a table was asked for.
pub(in super::super) fn note(keys: &[Key], name: &'static str) {
    ASKED.with_borrow_mut(|asked| asked.insert((identity(keys), name)));
}

/// Says whether it was, on this thread.
pub(super) fn was(keys: &[Key], name: &'static str) -> bool {
    ASKED.with_borrow(|asked| asked.contains(&(identity(keys), name)))
}

/// What tells one table from another; the address does not, because the compiler may copy a table.
fn identity(keys: &[Key]) -> String {
    keys.iter().map(|key| key.name).collect::<Vec<_>>().join(" ")
}
