//! What machines have to expect: as letters say it of any machine, and as agents hear it of their own.
//!
//! An agent is believed of its own machine, in a pool or not: whoever has taken it over can end what runs there anyway.

use std::sync::Arc;
use std::time::Duration;

use model::fleet::{DRAIN_USUALLY, Notice, Outlook, Pool, Precaution};
use model::id::NodeId;
use model::node::{Availability, DrainCause, Node};

use super::fleet::leave;
use crate::cluster::Change;
use crate::draft::Draft;
use crate::event::Reply;

/// So long before a machine is taken back what runs there is stopped: a grace of seconds, and a margin.
pub(crate) const BEFORE_INTERRUPTION: Duration = Duration::from_secs(30);
/// A machine that is to be stopped or restarted is left so long before the time that its drain may take.
const BEFORE_MAINTENANCE: Duration = Duration::from_secs(600);

/// Anybody who can write to a queue can say that of any machine: it is believed of Spot machines in pools.
fn may_expect(draft: &Draft<'_>, id: &NodeId) -> bool {
    pool(draft, id).is_some() && draft.cluster.instance(id).is_none_or(|instance| instance.is_spot)
}

fn pool(draft: &Draft<'_>, id: &NodeId) -> Option<Arc<Pool>> {
    let node = draft.cluster.nodes().get(id)?;
    draft.cluster.pools().get(node.pool.as_ref()?).cloned()
}

/// Hears what the cloud says that a machine has to expect.
pub(super) fn notice(draft: &mut Draft<'_>, id: &NodeId, notice: Notice) -> Reply {
    if !may_expect(draft, id) {
        return Reply::Noted;
    }
    match notice {
        Notice::Interrupted { at } => {
            let within = at.since(draft.now).saturating_sub(BEFORE_INTERRUPTION);
            leave(draft, id, (within, DrainCause::Interrupted));
        }
        Notice::AtRisk => beware(draft, id),
    }
    Reply::Noted
}

/// Hears what an agent says that its machine has to expect.
pub(super) fn foresee(draft: &mut Draft<'_>, id: &NodeId, outlook: &Outlook) -> Reply {
    let pool = pool(draft, id);
    let within = pool.map_or(DRAIN_USUALLY, |pool| pool.policy.drain_within);
    if outlook.is_leaving {
        leave(draft, id, (within, DrainCause::Terminating));
    }
    if let Some(at) = outlook.interrupted_at {
        let within = at.since(draft.now).saturating_sub(BEFORE_INTERRUPTION);
        leave(draft, id, (within, DrainCause::Interrupted));
    }
    let is_near =
        outlook.maintained_at.is_some_and(|at| at.since(draft.now) <= within + BEFORE_MAINTENANCE);
    if !(is_near || outlook.is_at_risk) {
        draft.cluster.fleet.warned.remove(id);
    } else if draft.cluster.fleet.warned.insert(id.clone()) {
        // It is said again and again; who opens the node again has heard it.
        beware(draft, id);
    }
    Reply::Noted
}

/// Does what the pool of a machine wants done when EC2 warns of it. A machine of no pool has nobody who would launch another.
fn beware(draft: &mut Draft<'_>, id: &NodeId) {
    let Some(pool) = pool(draft, id) else { return };
    match pool.policy.precaution {
        Precaution::Drain => leave(draft, id, (pool.policy.drain_within, DrainCause::AtRisk)),
        Precaution::Close => close(draft, id),
        Precaution::Ignore => {}
    }
}

fn close(draft: &mut Draft<'_>, id: &NodeId) {
    let node = draft.cluster.nodes().get(id).cloned();
    let open = node.filter(|node| node.availability == Availability::Active);
    if let Some(node) = open {
        let availability = Availability::Cordoned;
        draft.write(Change::PutNode(Arc::new(Node { availability, ..(*node).clone() })));
        super::touch_nodes(draft);
    }
}
