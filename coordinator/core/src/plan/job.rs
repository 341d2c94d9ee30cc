//! Jobs: which runs are in progress, which of their slots have a task, and when a run is over.
//!
//! ```text
//!  deployed ─┐
//!  due ──────┼▶ active ─▶ succeeded | failed | stopped | replaced, and remembered for a while
//!  asked ────┘
//! ```
//! The slots of a run are its own, so that nothing of one run counts for another. A slot that has completed never has a
//! task again in its run. What ended otherwise is done again, elsewhere if need be: so a job is run at least once, and what
//! it does has to bear being begun twice.

mod advance;
mod due;
mod fill;
mod forget;
pub(crate) mod order;
pub(crate) mod progress;

use std::sync::Arc;

use model::id::ServiceId;
use model::job::{Job, Run};
use model::service::{Service, ServicePhase};
use model::spec::Mode;

use crate::cluster::Cluster;
use crate::draft::Draft;

pub(crate) use self::fill::held_by;
pub(super) use self::forget::forgotten;

/// The service, if it is a job and stays.
pub(super) fn find(cluster: &Cluster, id: &ServiceId) -> Option<Arc<Service>> {
    let service = cluster.services().get(id)?;
    let stays = match service.phase {
        ServicePhase::Removing => false,
        ServicePhase::Rolling { .. } | ServicePhase::Steady | ServicePhase::Halted { .. } => true,
    };
    (stays && terms(service.target.spec.mode).is_some()).then(|| Arc::clone(service))
}

/// What a job wants of its runs, if it is one.
pub(crate) const fn terms(mode: Mode) -> Option<Job> {
    match mode {
        Mode::Job(job) => Some(job),
        Mode::Replicated { .. } | Mode::Global | Mode::Once => None,
    }
}

/// What the run was begun with.
pub(crate) fn terms_of(run: &Run) -> Option<Job> {
    terms(run.generation.spec.mode)
}

pub(super) fn pass(draft: &mut Draft<'_>, service: &Arc<Service>) {
    let service = advance::pass(draft, service);
    fill::pass(draft, &service);
}
