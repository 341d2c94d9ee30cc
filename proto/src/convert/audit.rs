//! The record of who did what.

use model::audit::{Act, Object, Verdict};
use model::time::Timestamp;

use super::{At, Valid};
use crate::wire;

/// Writes an act as the record with this number.
#[must_use]
pub fn act_to_wire(act: &Act, sequence: u64) -> wire::Act {
    let object = |object: &Object| wire::ActObject {
        name: object.name.clone(),
        before: object.before,
        after: object.after,
    };
    let verdict = match act.verdict {
        Verdict::Done => wire::ActVerdict::Done,
        Verdict::Refused => wire::ActVerdict::Refused,
        Verdict::Denied => wire::ActVerdict::Denied,
        Verdict::Alarm => wire::ActVerdict::Alarm,
    };
    wire::Act {
        sequence,
        at_ms: act.at.as_millis(),
        who: act.who.clone(),
        from: act.from.clone(),
        what: act.what.clone(),
        objects: act.objects.iter().map(object).collect(),
        why: act.why.clone(),
        request: act.request.clone(),
        verdict: verdict.into(),
        note: act.note.clone(),
        count: act.count,
    }
}

/// Reads an act, and the number of its record.
///
/// # Errors
/// When this version does not know what became of it.
pub fn act_from_wire(from: &wire::Act) -> Valid<(u64, Act)> {
    let verdict = match from.verdict() {
        wire::ActVerdict::Done => Verdict::Done,
        wire::ActVerdict::Refused => Verdict::Refused,
        wire::ActVerdict::Denied => Verdict::Denied,
        wire::ActVerdict::Alarm => Verdict::Alarm,
        wire::ActVerdict::Unspecified => return None.at("act.verdict"),
    };
    let object = |object: &wire::ActObject| Object {
        name: object.name.clone(),
        before: object.before,
        after: object.after,
    };
    let act = Act {
        at: Timestamp::from_millis(from.at_ms),
        who: from.who.clone(),
        from: from.from.clone(),
        what: from.what.clone(),
        objects: from.objects.iter().map(object).collect(),
        why: from.why.clone(),
        request: from.request.clone(),
        verdict,
        note: from.note.clone(),
        count: from.count,
    };
    Ok((from.sequence, act))
}
