//! Containers of ours that belong to no task we know, or to one of which the coordinator does not speak any more:
//! reported, kept for a while, and removed only when the coordinator says that nobody knows them.

use std::time::Duration;

use model::id::{ContainerName, TaskId};
use model::time::Timestamp;

use crate::Order;
use crate::action::Action;
use crate::observed::Container;
use crate::unit::{Stray, Unit};
use crate::workload::Workload;

/// How long an orphan is kept, even when the coordinator disowns it at once.
pub(crate) const GRACE: Duration = Duration::from_secs(600);
/// From the signal to stop until an orphan is killed: nobody knows what its spec said.
const STOP_GRACE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone)]
pub(crate) struct Orphan {
    pub(crate) container: Container,
    pub(crate) since: Timestamp,
    pub(crate) is_confirmed: bool,
    pub(crate) is_ordered: bool,
}

/// Replaces what is known of orphans by what is there, keeping since when and what was confirmed.
pub(crate) fn refresh(workload: &mut Workload, there: Vec<&Container>, now: Timestamp) {
    let mut known = std::mem::take(&mut workload.orphans);
    for container in there {
        let before = known.remove(&container.id);
        let (since, is_confirmed) =
            before.map_or((now, false), |before| (before.since, before.is_confirmed));
        let container = container.clone();
        let orphan = Orphan { container, since, is_confirmed, is_ordered: false };
        workload.orphans.insert(orphan.container.id.clone(), orphan);
    }
}

pub(crate) fn confirm(workload: &mut Workload, ids: &[String]) {
    for id in ids {
        if let Some(orphan) = workload.orphans.get_mut(id) {
            orphan.is_confirmed = true;
        }
    }
    for unit in workload.units.values_mut() {
        let is_named = unit.containers().any(|container| ids.contains(&container.id));
        if let Some(stray) = unit.stray.as_mut().filter(|_| is_named) {
            stray.is_disowned = true;
        }
    }
}

/// Lets go of a task that was disowned long enough ago.
pub(crate) fn release(unit: &mut Unit, now: Timestamp) {
    let is_due = |stray: Stray| stray.is_disowned && now >= stray.since + GRACE;
    unit.is_leaving |= unit.stray.is_some_and(is_due);
}

/// Everything that the coordinator is to be asked about.
pub(crate) fn all(workload: &Workload) -> impl Iterator<Item = &Container> {
    let strays = workload.units.values().filter(|unit| unit.stray.is_some());
    let containers = strays.flat_map(Unit::containers);
    workload.orphans.values().map(|orphan| &orphan.container).chain(containers)
}

/// Stops, then removes, what was confirmed long enough ago.
pub(crate) fn orders(workload: &mut Workload, now: Timestamp) -> Vec<Order> {
    let mut orders = Vec::new();
    for (id, orphan) in &mut workload.orphans {
        if !orphan.is_confirmed || orphan.is_ordered || now < orphan.since + GRACE {
            continue;
        }
        orphan.is_ordered = true;
        let id = id.clone();
        let action = if orphan.container.is_alive() {
            Action::Stop { id, grace: STOP_GRACE }
        } else {
            Action::Remove { id }
        };
        let (task, container): (TaskId, ContainerName) =
            (orphan.container.task.clone(), orphan.container.container.clone());
        orders.push(Order { task, container, action });
    }
    orders
}

pub(crate) fn wake_at(workload: &Workload) -> Option<Timestamp> {
    let waiting = workload.orphans.values().filter(|one| one.is_confirmed && !one.is_ordered);
    let strays = workload.units.values().filter(|unit| !unit.is_leaving);
    let disowned = strays.filter_map(|unit| unit.stray).filter(|stray| stray.is_disowned);
    let all = waiting.map(|orphan| orphan.since).chain(disowned.map(|stray| stray.since));
    all.min().map(|since| since + GRACE)
}
