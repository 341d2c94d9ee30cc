//! Load balancers: what a spec says of them, what we have registered, and what they show.

use std::collections::BTreeSet;
use std::time::Duration;

use model::spec::{Network, TaskSpec};
use model::time::Timestamp;
use model::traffic::{
    LEAVE_LIMIT, Look, ROUTES_LIMIT, Registration, RegistrationId, RegistrationPhase, Route, Shown,
    Target, TargetHealth, Traffic, Unseen,
};

use super::checks::{duration, line, millis, port};
use super::{At, Invalid, Named, Valid};
use crate::wire;

/// Reads which target groups send requests to a task.
pub(crate) fn routes_from_wire(from: &[wire::Route]) -> Valid<Vec<Route>> {
    if from.len() > ROUTES_LIMIT {
        let why = format!("names {} target groups of {ROUTES_LIMIT} allowed", from.len());
        return Err(Invalid::new("task.routes", why));
    }
    let read = |from: &wire::Route| -> Valid<Route> {
        let within = from.leave_within_ms.map(|ms| duration("task.routes.leave_within", ms));
        let leave_within = within.transpose()?;
        if leave_within.is_some_and(|within| within > LEAVE_LIMIT) {
            let why = format!("is longer than {} s", LEAVE_LIMIT.as_secs());
            return Err(Invalid::new("task.routes.leave_within", why));
        }
        let group = from.group.named("task.routes.group")?;
        Ok(Route { group, port: port("task.routes.port", from.port)?, leave_within })
    };
    let routes: Vec<Route> = from.iter().map(read).collect::<Valid<_>>()?;
    let mut seen = BTreeSet::new();
    if let Some(again) = routes.iter().find(|route| !seen.insert((&route.group, route.port))) {
        let why = format!("{} is named twice with port {}", again.group, again.port);
        return Err(Invalid::new("task.routes", why));
    }
    Ok(routes)
}

/// A load balancer reaches what the host publishes, and nothing else.
pub(crate) fn check_routes(task: &TaskSpec) -> Valid<()> {
    let published = || task.containers.iter().flat_map(|container| &container.ports);
    let is_reached = |route: &&Route| {
        task.network == Network::Host || published().any(|port| port.container == route.port)
    };
    match task.routes.iter().find(|route| !is_reached(route)) {
        Some(Route { group, port, .. }) => {
            let why =
                format!("{port} is no port that the host publishes: {group} can not reach it");
            Err(Invalid::new("task.routes.port", why))
        }
        None => Ok(()),
    }
}

/// Writes which target groups send requests to a task.
pub(crate) fn routes_to_wire(routes: &[Route]) -> Vec<wire::Route> {
    let write = |route: &Route| wire::Route {
        group: route.group.to_string(),
        port: route.port.into(),
        leave_within_ms: route.leave_within.map(millis),
    };
    routes.iter().map(write).collect()
}

/// Reads how a task stands with its load balancers.
pub(crate) fn traffic_from_wire(from: Option<&wire::task::Traffic>) -> Traffic {
    use wire::task::Traffic as Wire;
    match from {
        None => Traffic::Out,
        Some(Wire::InTrafficSinceMs(at)) => Traffic::In { since: Timestamp::from_millis(*at) },
        Some(Wire::LeavesTrafficUntilMs(at)) => {
            Traffic::Leaving { until: Timestamp::from_millis(*at) }
        }
    }
}

/// Writes how a task stands with its load balancers.
pub(crate) fn traffic_to_wire(traffic: Traffic) -> Option<wire::task::Traffic> {
    use wire::task::Traffic as Wire;
    match traffic {
        Traffic::Out => None,
        Traffic::In { since } => Some(Wire::InTrafficSinceMs(since.as_millis())),
        Traffic::Leaving { until } => Some(Wire::LeavesTrafficUntilMs(until.as_millis())),
    }
}

/// Reads what we have registered.
///
/// # Errors
/// Says where and what is wrong.
pub fn registration_from_wire(from: &wire::Registration) -> Valid<Registration> {
    let target = target_from_wire(&from.node, from.port)?;
    Ok(Registration {
        id: RegistrationId { group: from.group.named("registration.group")?, target },
        task: from.task.named("registration.task")?,
        since: Timestamp::from_millis(from.since_ms),
        phase: if from.leaving { RegistrationPhase::Leaving } else { RegistrationPhase::Entering },
    })
}

/// Writes what we have registered.
#[must_use]
pub fn registration_to_wire(registration: &Registration) -> wire::Registration {
    let RegistrationId { group, target } = &registration.id;
    wire::Registration {
        group: group.to_string(),
        node: target.node.to_string(),
        port: target.port.into(),
        task: registration.task.to_string(),
        since_ms: registration.since.as_millis(),
        leaving: registration.phase == RegistrationPhase::Leaving,
    }
}

/// Reads what a target group sends requests to.
///
/// # Errors
/// When the node or the port is none.
pub fn target_from_wire(node: &str, number: u32) -> Valid<Target> {
    Ok(Target { node: node.named("target.node")?, port: port("target.port", number)? })
}

/// Reads what a target group has shown.
///
/// # Errors
/// Says where and what is wrong.
pub fn look_from_wire(from: &wire::TargetGroupLook) -> Valid<Look> {
    use wire::target_group_look::Shown as Wire;
    let shown = match from.shown.as_ref().at("look.shown")? {
        Wire::Unseen(unseen) => {
            Err(Unseen { why: line("look.unseen", &unseen.why)?, is_gone: unseen.gone })
        }
        Wire::Targets(shown) => {
            let read = |from: &wire::ShownTarget| -> Valid<_> {
                Ok((target_from_wire(&from.node, from.port)?, target_health_from_wire(from)?))
            };
            let targets = shown.targets.iter().map(read).collect::<Valid<_>>()?;
            Ok(Shown { delay: Duration::from_millis(shown.delay_ms), targets })
        }
    };
    Ok(Look { group: from.group.named("look.group")?, shown })
}

/// Writes what a target group has shown.
#[must_use]
pub fn look_to_wire(look: &Look) -> wire::TargetGroupLook {
    use wire::target_group_look::Shown as Wire;
    let shown = match &look.shown {
        Err(Unseen { why, is_gone }) => {
            Wire::Unseen(wire::UnseenTargets { why: why.clone(), gone: *is_gone })
        }
        Ok(shown) => {
            let targets = shown.targets.iter().map(|(target, health)| {
                let (health, why) = target_health_to_wire(health);
                let (node, port) = (target.node.to_string(), target.port.into());
                wire::ShownTarget { node, port, health: health.into(), why }
            });
            Wire::Targets(wire::ShownTargets {
                delay_ms: millis(shown.delay),
                targets: targets.collect(),
            })
        }
    };
    wire::TargetGroupLook { group: look.group.to_string(), shown: Some(shown) }
}

fn target_health_from_wire(from: &wire::ShownTarget) -> Valid<TargetHealth> {
    use wire::TargetHealth as Wire;
    Ok(match from.health() {
        Wire::Initial => TargetHealth::Initial,
        Wire::Healthy => TargetHealth::Healthy,
        Wire::Unhealthy => TargetHealth::Unhealthy { why: line("target.why", &from.why)? },
        Wire::Draining => TargetHealth::Draining,
        Wire::Unchecked => TargetHealth::Unchecked,
        Wire::Unspecified => return None.at("target.health"),
    })
}

/// Writes what a load balancer says of a target, and why.
#[must_use]
pub fn target_health_to_wire(health: &TargetHealth) -> (wire::TargetHealth, String) {
    use wire::TargetHealth as Wire;
    match health {
        TargetHealth::Initial => (Wire::Initial, String::new()),
        TargetHealth::Healthy => (Wire::Healthy, String::new()),
        TargetHealth::Unhealthy { why } => (Wire::Unhealthy, why.clone()),
        TargetHealth::Draining => (Wire::Draining, String::new()),
        TargetHealth::Unchecked => (Wire::Unchecked, String::new()),
    }
}
