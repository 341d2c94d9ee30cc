//! What is heard of machines that get another root volume.
//!
//! The cloud goes on saying that such a machine was launched from the version that it was launched from. So it is kept with the pool
//! which version it is as if launched from since, and whoever asks what a machine is made of is told that.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::fleet::{Instance, Pool, Survey};
use model::id::NodeId;
use model::refresh::{Refresh, Root, RootPhase};

use crate::cluster::Change;
use crate::command::Outcome;
use crate::draft::Draft;

/// A machine as it is, made of what the cloud says of it.
pub(super) fn seen(draft: &Draft<'_>, instance: &Instance) -> Instance {
    let pool = instance.pool.as_ref().and_then(|pool| draft.cluster.pools().get(pool));
    let Some((template, version)) = pool.and_then(|pool| pool.roots.get(&instance.id)) else {
        return instance.clone();
    };
    Instance {
        template_id: Some(template.clone()),
        template_version: Some(version.to_string()),
        ..instance.clone()
    }
}

/// Nothing is kept of machines that are not in their group any more.
pub(super) fn forget_gone(draft: &mut Draft<'_>, survey: &Survey) {
    for group in &survey.groups {
        let Some(pool) = draft.cluster.pools().get(&group.name).cloned() else { continue };
        if pool.roots.is_empty() {
            continue;
        }
        let members = survey.instances.iter().filter(|one| one.pool.as_ref() == Some(&pool.name));
        let members: BTreeSet<&NodeId> =
            members.filter(|one| !one.power.is_off()).map(|one| &one.id).collect();
        let mut roots = pool.roots.clone();
        roots.retain(|id, _| members.contains(id));
        if roots != pool.roots {
            draft.write(Change::PutPool(Arc::new(Pool { roots, ..(*pool).clone() })));
        }
    }
}

/// Who gets another root volume, and by which refresh.
fn changing(draft: &Draft<'_>, id: &NodeId) -> Option<(Arc<Refresh>, Root)> {
    let refresh = draft.cluster.open_refreshes().find(|one| one.roots.contains_key(id))?.clone();
    let root = refresh.roots.get(id)?.clone();
    Some((refresh, root))
}

/// An agent joins: it says which machine image it has booted. One that does not know is of the new one when the cloud has said that the
/// volume is there.
pub(super) fn joined(draft: &mut Draft<'_>, id: &NodeId, ami: Option<&str>) {
    let Some((refresh, root)) = changing(draft, id) else { return };
    let is_new = match (root.phase, ami) {
        (RootPhase::Asked, None) | (RootPhase::Joined, _) => false,
        (RootPhase::Booting { .. }, None) => true,
        (RootPhase::Asked | RootPhase::Booting { .. }, Some(said)) => said == root.ami,
    };
    if is_new {
        goes_on(draft, (&refresh, id, &root), RootPhase::Joined);
    }
}

/// The cloud has done it, or will not.
pub(super) fn replaced(draft: &mut Draft<'_>, id: &NodeId, outcome: &Outcome) {
    draft.cluster.fleet.refresh_at = None;
    let Some((refresh, root)) = changing(draft, id) else { return };
    match (outcome, root.phase) {
        (Outcome::Done, RootPhase::Asked) => {
            let phase = RootPhase::Booting { since: draft.now };
            goes_on(draft, (&refresh, id, &root), phase);
        }
        (Outcome::InVain { .. }, RootPhase::Asked) => {
            // Its group puts another in its place.
            let mut given_up = (*refresh).clone();
            given_up.roots.remove(id);
            given_up.ending.insert(id.clone());
            draft.write(Change::PutRefresh(Arc::new(given_up)));
        }
        (
            Outcome::Done
            | Outcome::InVain { .. }
            | Outcome::Made(_)
            | Outcome::NothingWaits
            | Outcome::UnderWay
            | Outcome::Failed { .. },
            RootPhase::Asked | RootPhase::Booting { .. } | RootPhase::Joined,
        ) => {}
    }
}

/// It has the volume: it is as if launched from that version from now on.
fn goes_on(
    draft: &mut Draft<'_>,
    (refresh, id, root): (&Arc<Refresh>, &NodeId, &Root),
    phase: RootPhase,
) {
    draft.cluster.fleet.refresh_at = None;
    let mut refresh = (**refresh).clone();
    refresh.roots.insert(id.clone(), Root { phase, ..root.clone() });
    let pool = draft.cluster.pools().get(&refresh.id.pool).cloned();
    draft.write(Change::PutRefresh(Arc::new(refresh)));
    if let Some(pool) = pool.filter(|pool| pool.roots.get(id) != Some(&root.version)) {
        let mut pool = (*pool).clone();
        pool.roots.insert(id.clone(), root.version.clone());
        draft.write(Change::PutPool(Arc::new(pool)));
    }
    if let Some(instance) = draft.cluster.fleet.instances.get(id) {
        let seen = seen(draft, instance);
        draft.cluster.fleet.instances.insert(id.clone(), seen);
        draft.cluster.find_old();
    }
}
