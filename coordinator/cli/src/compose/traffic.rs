//! Load balancers: `target_groups` of `x-wharf`.

use model::traffic::{LEAVE_LIMIT, ROUTES_LIMIT, TargetGroup};
use proto::wire::service_spec::Mode;
use proto::wire::{ContainerSpec, Route};

use super::keys::TARGET_GROUP;
use super::network::Connection;
use super::node::{Node, Value};
use super::problems::Problems;
use super::section::Section;
use super::values;

/// Reads which target groups send requests to the tasks of a service.
pub(super) fn read(problems: &mut Problems, service: &Section<'_>, mode: Mode) -> Vec<Route> {
    let wharf = service.section(problems, "x-wharf");
    let items = wharf.read(problems, "target_groups", values::list).unwrap_or_default();
    let Some(node) = wharf.node("target_groups") else { return Vec::new() };
    if let Mode::Once(_) | Mode::Job(_) = mode {
        let message = "a job has no target groups: it runs to its end";
        problems.error(node.place, message).hint("leave them out");
        return Vec::new();
    }
    if items.len() > ROUTES_LIMIT {
        let message = format!("a service has at most {ROUTES_LIMIT} target groups");
        problems.error(node.place, message).hint("one group may have several listeners");
        return Vec::new();
    }
    items.iter().filter_map(|item| route(problems, item)).collect()
}

fn route(problems: &mut Problems, item: &Node) -> Option<Route> {
    if !matches!(item.value, Value::Mapping(_)) {
        let hint = "write `{ group: web, port: 8080 }`";
        problems.error(item.place, "a target group is a mapping").hint(hint);
        return None;
    }
    let section = Section::new(problems, item, TARGET_GROUP);
    let group = section.read(problems, "group", |problems, node| {
        let text = values::text(problems, node)?;
        match text.parse::<TargetGroup>() {
            Ok(group) => Some(group.to_string()),
            Err(error) => {
                problems.error(node.place, error.to_string()).hint("give its name or its ARN");
                None
            }
        }
    });
    let port = section.read(problems, "port", values::port);
    let leave_within_ms = section.read(problems, "leave_within", |problems, node| {
        let within = values::duration_ms(problems, node)?;
        let longest = LEAVE_LIMIT.as_secs();
        if within > longest * 1_000 {
            let message = format!("a task is waited for at most {longest} s");
            problems.error(node.place, message).hint("no target group waits for longer itself");
            return None;
        }
        Some(within)
    });
    for name in ["group", "port"] {
        if section.node(name).is_none() {
            let message = format!("a target group without a `{name}`");
            problems.error(item.place, message).hint("write `{ group: web, port: 8080 }`");
        }
    }
    Some(Route { group: group?, port: port?, leave_within_ms })
}

/// Reports ports that no load balancer can reach: those that the host does not publish.
pub(super) fn check(
    problems: &mut Problems,
    service: &Section<'_>,
    (routes, container, connection): (&[Route], &ContainerSpec, &Connection),
) {
    let wharf = service.section(problems, "x-wharf");
    let Some(node) = wharf.node("target_groups").filter(|_| !is_host(connection)) else { return };
    let is_published =
        |route: &&Route| container.ports.iter().any(|one| one.container == route.port);
    for Route { group, port, .. } in routes.iter().filter(|route| !is_published(route)) {
        let message = format!("{group} can not reach port {port}: it is not published");
        problems.error(node.place, message).hint(format!(
            "add `\"{port}\"` to `ports`: the node chooses a port of its own, and the group is told which"
        ));
    }
}

const fn is_host(connection: &Connection) -> bool {
    match connection {
        Connection::Host => true,
        Connection::Project(_) | Connection::Nothing | Connection::Joined { .. } => false,
    }
}
