//! Machines of a refresh that stay and boot from another root volume.
//!
//! ```text
//!  emptied ─▶ written down ─▶ asked for ─▶ boots ─▶ its agent joins ─▶ takes tasks again
//!                                 └──────────┴─▶ its group puts another in its place
//! ```

use std::collections::BTreeMap;

use model::id::NodeId;
use model::refresh::{Mode, Refresh, Root, RootPhase};

use super::scene::Scene;
use super::{keep, put};
use crate::draft::Draft;

/// What becomes of machines that get another root volume; none when nothing does now.
pub(super) fn advance(draft: &mut Draft<'_>, refresh: &Refresh) -> Option<Refresh> {
    if refresh.policy.mode == Mode::Replace {
        return None;
    }
    let scene = Scene::of(draft.cluster, refresh, draft.now)?;
    let (mut next, mut open) = (refresh.clone(), Vec::new());
    for (id, root) in &refresh.roots {
        match scene.fate(id, root) {
            Fate::Waits => {}
            Fate::Gone => drop(next.roots.remove(id)),
            Fate::Ready => {
                next.roots.remove(id);
                open.push(id.clone());
            }
            Fate::Late => {
                next.roots.remove(id);
                next.failed.insert(id.clone());
                next.ending.insert(id.clone());
            }
            Fate::Back(again) => drop(next.roots.insert(id.clone(), again)),
        }
    }
    let wanted: BTreeMap<NodeId, Root> = scene.to_change();
    next.roots.extend(wanted);
    if next == *refresh {
        return None;
    }
    let next = put(draft, next);
    open.iter().for_each(|id| keep(draft, id));
    Some(next)
}

/// What becomes of a machine that gets another root volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nothing yet.
    Waits,
    /// It is on its way out, whoever wanted that.
    Gone,
    /// It takes tasks again.
    Ready,
    /// Its agent should have joined long ago.
    Late,
    /// The refresh leads elsewhere by now, and so does this.
    Back(Root),
}

impl Fate {
    /// Of a machine whose volume is there: what is aimed at by now, if that is something else and known.
    pub(super) fn elsewhere(root: &Root, again: Option<Root>) -> Option<Self> {
        let is_there = match root.phase {
            RootPhase::Asked => false,
            RootPhase::Booting { .. } | RootPhase::Joined => true,
        };
        again.filter(|again| is_there && again.version != root.version).map(Self::Back)
    }
}
