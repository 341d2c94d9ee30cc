//! What each task of a service is: containers that run together on a node.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::id::ContainerName;
use model::lease::{LEASE_LIMIT, LeasePolicy};
use model::spec::{
    Attachment, DependencyCondition, HostPort, Network, RestartCondition, RestartPolicy, TaskSpec,
};

use crate::convert::checks::{count, duration, few, millis, word};
use crate::convert::constraint::{constraint_from_wire, constraint_to_wire};
use crate::convert::policy::{check_profile, profile_from_wire, profile_to_wire};
use crate::convert::secret::{check_secrets, rotation_from_wire, rotation_to_wire};
use crate::convert::traffic::{check_routes, routes_from_wire, routes_to_wire};
use crate::convert::{At, Invalid, Named, Valid, container};
use crate::wire;

/// The most containers of one task.
const CONTAINERS_LIMIT: usize = 32;

/// Reads a task spec whose images are pinned.
///
/// # Errors
/// Names the first field that is not valid.
pub fn task_spec_from_wire(from: &wire::TaskSpec) -> Valid<TaskSpec> {
    if from.containers.is_empty() || from.containers.len() > CONTAINERS_LIMIT {
        let why = format!("a task has 1 to {CONTAINERS_LIMIT} containers");
        return Err(Invalid::new("task.containers", why));
    }
    few("task.constraints", from.constraints.len())?;
    if from.max_per_node == Some(0) {
        return Err(Invalid::new("task.max_per_node", "is 0: no node could take a task"));
    }
    let read = |(index, from): (usize, &wire::ContainerSpec)| {
        container::from_wire(from).map_err(|invalid| invalid.within(&place(index, &from.name)))
    };
    let task = TaskSpec {
        containers: from.containers.iter().enumerate().map(read).collect::<Valid<_>>()?,
        network: network_from_wire(from.network.as_ref().at("task.network")?)?,
        constraints: from.constraints.iter().map(constraint_from_wire).collect::<Valid<_>>()?,
        max_per_node: from.max_per_node,
        restart: restart_from_wire(from.restart.as_ref().at("task.restart")?)?,
        restarts_asked: count("task.restarts_asked", from.restarts_asked)?,
        lease: from.lease.as_ref().map(lease_from_wire).transpose()?,
        routes: routes_from_wire(&from.routes)?,
        rotation: rotation_from_wire(from.rotation.as_ref())?,
        profile: profile_from_wire("task.profile", from.profile)?,
    };
    check_containers(&task)?;
    check_routes(&task)?;
    check_secrets(&task)?;
    check_profile(&task)?;
    Ok(task)
}

/// Where a container is found: by its name, or by its number when the name is none.
fn place(index: usize, name: &str) -> String {
    match name.parse::<ContainerName>() {
        Ok(name) => format!("task.containers.{name}"),
        Err(_) => format!("task.containers[{}]", index + 1),
    }
}

/// Names are used once, ports are taken once, and in some order each container waits only for those before it.
fn check_containers(task: &TaskSpec) -> Valid<()> {
    let mut names = BTreeSet::new();
    for container in &task.containers {
        if !names.insert(&container.name) {
            let why = format!("two containers are called {}", container.name);
            return Err(Invalid::new("task.containers", why));
        }
    }
    let mut ports: BTreeMap<u16, Vec<HostPort>> = BTreeMap::new();
    for port in task.fixed_ports() {
        let others = ports.entry(port.number).or_default();
        if others.iter().any(|other| other.meets(&port)) {
            let why = format!("port {} of the host is asked for twice", port.number);
            return Err(Invalid::new("task.containers", why));
        }
        others.push(port);
    }
    check_order(task)
}

fn check_order(task: &TaskSpec) -> Valid<()> {
    check_owner(task)?;
    let mut waiting: Vec<_> = task.containers.iter().collect();
    for after in waiting.iter().flat_map(|container| &container.after) {
        if !task.containers.iter().any(|container| container.name == after.on) {
            let why = format!("{} is no container of this task", after.on);
            return Err(Invalid::new("task.containers.after", why));
        }
    }
    let mut ready = BTreeSet::new();
    while !waiting.is_empty() {
        let before = waiting.len();
        waiting.retain(|container| {
            let is_ready = container.after.iter().all(|after| ready.contains(&after.on));
            if is_ready {
                ready.insert(&container.name);
            }
            !is_ready
        });
        if waiting.len() == before {
            let names: Vec<_> = waiting.iter().map(|container| container.name.as_str()).collect();
            let why = format!("containers wait for each other: {}", names.join(", "));
            return Err(Invalid::new("task.containers.after", why));
        }
    }
    Ok(())
}

/// The first container is there before the others and as long as they are: they share its network.
fn check_owner(task: &TaskSpec) -> Valid<()> {
    let Some(owner) = task.containers.first() else { return Ok(()) };
    if !owner.after.is_empty() {
        let why = "the first container owns the network of the others and can not wait for them";
        return Err(Invalid::new("task.containers.after", why));
    }
    let mut after = task.containers.iter().flat_map(|container| &container.after);
    if after
        .any(|after| after.on == owner.name && after.condition == DependencyCondition::Completed)
    {
        let name = &owner.name;
        let why = format!("{name} owns the network of the others and can not complete before them");
        return Err(Invalid::new("task.containers.after", why));
    }
    Ok(())
}

/// Writes a task spec.
#[must_use]
pub fn task_spec_to_wire(task: &TaskSpec) -> wire::TaskSpec {
    wire::TaskSpec {
        containers: task.containers.iter().map(container::to_wire).collect(),
        network: Some(network_to_wire(&task.network)),
        constraints: task.constraints.iter().map(constraint_to_wire).collect(),
        max_per_node: task.max_per_node,
        restart: Some(restart_to_wire(&task.restart)),
        restarts_asked: task.restarts_asked,
        lease: task.lease.map(|lease| wire::LeasePolicy { cap_ms: millis(lease.cap) }),
        routes: routes_to_wire(&task.routes),
        rotation: rotation_to_wire(&task.rotation),
        profile: profile_to_wire(task.profile),
    }
}

fn lease_from_wire(from: &wire::LeasePolicy) -> Valid<LeasePolicy> {
    let cap = duration("task.lease.cap", from.cap_ms)?;
    if cap < Duration::from_secs(1) || cap > LEASE_LIMIT {
        let longest = LEASE_LIMIT.as_secs();
        let why = format!("is not a time from 1 s to {longest} s");
        return Err(Invalid::new("task.lease.cap", why));
    }
    Ok(LeasePolicy { cap })
}

fn network_from_wire(from: &wire::Network) -> Valid<Network> {
    use wire::network::Kind;
    let project = match from.kind.as_ref().at("task.network")? {
        Kind::Host(_) => return Ok(Network::Host),
        Kind::None(_) => return Ok(Network::None),
        Kind::Project(project) => project,
    };
    few("task.network", project.attachments.len())?;
    if project.attachments.is_empty() {
        return Err(Invalid::new("task.network", "names no network of the project"));
    }
    let read = |from: &wire::Attachment| {
        few("task.network.aliases", from.aliases.len())?;
        let alias = |alias: &String| word("task.network.aliases", alias);
        Ok(Attachment {
            network: from.network.named("task.network")?,
            aliases: from.aliases.iter().map(alias).collect::<Valid<_>>()?,
        })
    };
    let attachments: Vec<Attachment> =
        project.attachments.iter().map(read).collect::<Valid<_>>()?;
    let mut names = BTreeSet::new();
    if let Some(again) = attachments.iter().find(|one| !names.insert(&one.network)) {
        return Err(Invalid::new("task.network", format!("{} is named twice", again.network)));
    }
    Ok(Network::Project(attachments))
}

fn network_to_wire(network: &Network) -> wire::Network {
    use wire::network::Kind;
    let kind = match network {
        Network::Host => Kind::Host(wire::HostNetwork {}),
        Network::None => Kind::None(wire::NoNetwork {}),
        Network::Project(attachments) => {
            let write = |one: &Attachment| wire::Attachment {
                network: one.network.to_string(),
                aliases: one.aliases.clone(),
            };
            let attachments = attachments.iter().map(write).collect();
            Kind::Project(wire::ProjectNetworks { attachments })
        }
    };
    wire::Network { kind: Some(kind) }
}

fn restart_from_wire(from: &wire::RestartPolicy) -> Valid<RestartPolicy> {
    use wire::RestartCondition as Wire;
    let condition = match from.condition() {
        Wire::Never => RestartCondition::Never,
        Wire::OnFailure => RestartCondition::OnFailure,
        Wire::Any => RestartCondition::Any,
        Wire::Unspecified => return None.at("task.restart.condition"),
    };
    let delay = duration("task.restart.delay", from.delay_ms)?;
    Ok(RestartPolicy { condition, max_attempts: from.max_attempts, delay })
}

fn restart_to_wire(policy: &RestartPolicy) -> wire::RestartPolicy {
    use wire::RestartCondition as Wire;
    let condition = match policy.condition {
        RestartCondition::Never => Wire::Never,
        RestartCondition::OnFailure => Wire::OnFailure,
        RestartCondition::Any => Wire::Any,
    };
    let (max_attempts, delay_ms) = (policy.max_attempts, millis(policy.delay));
    wire::RestartPolicy { condition: condition.into(), max_attempts, delay_ms }
}
