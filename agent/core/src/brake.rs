//! Holds back tombstones when too many come at once for reasons that no person gave.
//!
//! A coordinator that lost its state, or is wrong, can say that everything is a duplicate. Rather than obey at once, the
//! agent lets only a part of its tasks go each minute, so that somebody can look.

use std::time::Duration;

use model::task::DesiredState;
use model::time::Timestamp;

use crate::unit::Unit;
use crate::workload::Workload;

/// So many of a hundred running tasks may be told to stop at once, and one in any case.
const SHARE_PERCENT: usize = 30;
/// The rest waits so long for each further share.
const WAIT: Duration = Duration::from_secs(60);

/// Judges the tombstones that were heard since it was known last what lives: they come with assignments, or are found in
/// the journal by an agent that begins.
pub(crate) fn hold(workload: &mut Workload, now: Timestamp) {
    let running = workload.units.values().filter(|unit| unit.is_alive()).count();
    let allowed = (running * SHARE_PERCENT / 100).max(1);
    let mut sudden = 0;
    for unit in workload.units.values_mut() {
        if !std::mem::take(&mut unit.is_unjudged) || !is_suspicious(unit) {
            continue;
        }
        let share = u32::try_from(sudden / allowed).unwrap_or(u32::MAX);
        unit.braked_until = (share > 0).then(|| now + WAIT.saturating_mul(share));
        sudden += 1;
    }
}

fn is_suspicious(unit: &Unit) -> bool {
    let DesiredState::Stop { cause, .. } = unit.assignment.desired else { return false };
    !cause.is_intended() && unit.is_alive()
}
