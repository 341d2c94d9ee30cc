//! Who did what, on the record: one act for each call that changed something, in the same write as the change, and for each
//! that was refused.
//!
//! ```text
//!  access ─ By ─▶ api ─▶ run ─ act + changes ─▶ store          (done: all of it or nothing)
//!    └─ refused ─▶ Refusals (a bounded number) ─▶ run ─ act ─▶ store ─▶ Export (a file)
//! ```

mod act;
mod export;
mod log;
mod refusals;

use std::path::PathBuf;
use std::sync::Arc;

use model::audit::{Act, Object, Verdict};

pub(crate) use act::{Watched, of_trust};
pub(crate) use export::export;
pub(crate) use log::Log;
pub(crate) use refusals::Refusals;

use crate::run::Door;

/// The fewest records that a store keeps.
pub const FEWEST_RECORDS: u64 = 100;
/// So many records a store keeps unless it is said otherwise: some 30 MB, and a week of 10,000 nodes that renew.
pub const RECORDS: u64 = 100_000;

/// How the record of who did what is kept.
#[derive(Debug, Clone)]
pub struct Audit {
    /// So many records stay in the store; older ones are given up, and where the record begins by then is kept.
    pub records: u64,
    /// A file that everything is written to as well, a line of JSON each. Nothing in it is ever given up.
    pub file: Option<PathBuf>,
}

impl Default for Audit {
    fn default() -> Self {
        Self { records: RECORDS, file: None }
    }
}

/// Who asks for something, as it is written down.
#[derive(Debug, Clone)]
pub(crate) struct By {
    pub(crate) who: String,
    pub(crate) from: String,
    pub(crate) what: String,
    pub(crate) why: String,
    pub(crate) request: String,
}

impl By {
    /// What they did, or did not.
    pub(crate) fn act(&self, objects: Vec<Object>, verdict: Verdict, note: &str) -> Act {
        let act = Act {
            at: trust::now(),
            who: self.who.clone(),
            from: self.from.clone(),
            what: self.what.clone(),
            objects,
            why: self.why.clone(),
            request: self.request.clone(),
            verdict,
            note: note.to_owned(),
            count: 1,
        };
        act.bounded()
    }
}

/// Puts on the record what changed nothing, without anybody waiting for it, and never more than a bounded number.
#[derive(Debug, Clone)]
pub(crate) struct Watch {
    pub(crate) refusals: Arc<Refusals>,
    pub(crate) door: Door,
}

impl Watch {
    /// Takes note of it. What is one of many is counted, and on the record later.
    pub(crate) fn note(&self, act: Act) {
        if let Some(act) = self.refusals.note(act) {
            self.door.tell_act(act);
        }
    }
}
