//! What the checks of a container say, whoever runs them.

use std::time::Duration;

use model::spec::{ContainerSpec, HealthCheck, Probe};
use model::task::Health;
use model::time::Timestamp;

use crate::Order;
use crate::action::Action;
use crate::unit::{Part, Unit};

/// While a container comes up our own probes are tried so often, so that a quick start is seen quickly.
pub(crate) const EAGER_INTERVAL: Duration = Duration::from_millis(500);

/// The check that we run ourselves, if the spec has one.
fn own_check(spec: &ContainerSpec) -> Option<&HealthCheck> {
    spec.health.as_ref().filter(|check| match check.probe {
        Probe::Http { .. } | Probe::Tcp { .. } => true,
        Probe::Disabled | Probe::Command(_) => false,
    })
}

/// What is known of the health of a part: from our own probes, or from the engine's checks.
pub(crate) fn of_part(part: &Part, spec: &ContainerSpec) -> Health {
    if own_check(spec).is_some() {
        return part.probe.health;
    }
    part.seen.as_ref().and_then(|seen| seen.health).unwrap_or(Health::Unchecked)
}

/// The health of several containers is that of the worst.
pub(crate) fn worst(all: impl Iterator<Item = Health>) -> Health {
    let rank = |health: &Health| match health {
        Health::Unchecked => 0,
        Health::Healthy => 1,
        Health::Starting => 2,
        Health::Unhealthy => 3,
    };
    all.max_by_key(rank).unwrap_or(Health::Unchecked)
}

/// Probes whose time has come. They run beside everything else.
pub(crate) fn orders(unit: &mut Unit, now: Timestamp) -> Vec<Order> {
    let Unit { assignment, parts, .. } = unit;
    let mut orders = Vec::new();
    for (part, spec) in parts.iter_mut().zip(&assignment.spec.containers) {
        let Some(check) = own_check(spec) else { continue };
        let Some(seen) = part.seen.as_ref().filter(|seen| seen.is_alive()) else { continue };
        if part.probe.is_busy || now < part.probe.next_at {
            continue;
        }
        part.probe.is_busy = true;
        part.probe.number = part.probe.number.wrapping_add(1);
        let (id, number) = (seen.id.clone(), part.probe.number);
        let (probe, timeout) = (check.probe.clone(), check.timeout);
        let action = Action::Probe { id, number, probe, timeout };
        orders.push(Order { task: assignment.task.clone(), container: part.name.clone(), action });
    }
    orders
}

pub(crate) fn wake_at(unit: &Unit) -> Option<Timestamp> {
    let parts = unit.parts.iter().zip(&unit.assignment.spec.containers);
    let waiting = parts
        .filter(|(part, spec)| own_check(spec).is_some() && part.is_alive() && !part.probe.is_busy);
    waiting.map(|(part, _)| part.probe.next_at).min()
}
