//! Makes tasks of the services that were read: those joined by `network_mode: service:NAME` become one task.

use std::collections::{BTreeMap, BTreeSet};

use model::suggest::nearest;
use proto::wire::network::Kind;
use proto::wire::service_spec::Mode;
use proto::wire::{
    Constraint, Dependency, DependencyCondition, HostNetwork, Network, NoNetwork, ProjectNetworks,
    Replicated, RestartCondition, ServiceSpec, TaskSpec,
};

use super::cycles;
use super::job;
use super::join;
use super::network::Connection;
use super::problems::Problems;
use super::published;
use super::service::Draft;

/// Makes services of the project. `others` are those that the profiles leave out.
pub(super) fn services(
    problems: &mut Problems,
    project: &str,
    drafts: Vec<Draft<'_>>,
    others: &BTreeSet<String>,
) -> Vec<ServiceSpec> {
    let owners = join::owners(problems, &drafts, others);
    join::check(problems, &drafts, &owners);
    published::check(problems, &drafts, &owners);
    check_waits(problems, &drafts, others);
    cycles::check(problems, &drafts, &owners);
    let once = run_once(problems, &drafts, &owners);
    let mut groups: BTreeMap<String, Vec<Draft<'_>>> = BTreeMap::new();
    let mut order = Vec::new();
    for draft in drafts {
        let owner = owners.get(&draft.name).unwrap_or(&draft.name).clone();
        if draft.name == owner {
            order.push(owner.clone());
            groups.entry(owner).or_default().insert(0, draft);
        } else {
            groups.entry(owner).or_default().push(draft);
        }
    }
    let groups = order.into_iter().filter_map(|owner| groups.remove(&owner));
    groups.filter_map(|group| service(project, group, (&owners, &once))).collect()
}

/// Which service has the task that a service is in.
pub(super) type Owners = BTreeMap<String, String>;

fn service(
    project: &str,
    mut group: Vec<Draft<'_>>,
    (owners, once): (&Owners, &BTreeSet<String>),
) -> Option<ServiceSpec> {
    let members: BTreeSet<String> = group.iter().map(|draft| draft.name.clone()).collect();
    let after = group.iter().flat_map(|draft| outside(draft, &members, owners)).collect();
    for draft in &mut group {
        draft.container.after = inside(draft, &members);
    }
    let names: Vec<String> = group.iter().map(|draft| draft.name.clone()).collect();
    let constraints = constraints(&group);
    let mut group = group.into_iter();
    let owner = group.next()?;
    let (mut mode, mut restart) = (owner.deployment.mode, owner.deployment.restart);
    if once.contains(&owner.name) && matches!(mode, Mode::Replicated(_)) {
        mode = Mode::Job(job::once(&restart, owner.deployment.is_restart_given));
        restart.set_condition(RestartCondition::Never);
        restart.max_attempts = None;
    }
    let network = network(owner.connection, &names);
    let containers = [owner.container].into_iter().chain(group.map(|draft| draft.container));
    Some(ServiceSpec {
        project: project.to_owned(),
        name: owner.name,
        mode: Some(mode),
        task: Some(TaskSpec {
            containers: containers.collect(),
            network: Some(network),
            constraints,
            max_per_node: owner.deployment.max_per_node,
            restart: Some(restart),
            restarts_asked: 0,
            lease: owner.deployment.lease,
            routes: owner.deployment.routes,
            rotation: owner.deployment.rotation,
            profile: owner.deployment.profile.map(Into::into),
        }),
        update: Some(owner.deployment.update),
        after: unique(after),
        budget: owner.deployment.budget,
        strategy: owner.deployment.strategy.map(Into::into),
        preferences: owner.deployment.preferences,
        priority: owner.deployment.priority.map(Into::into),
        is_left_in_place: owner.deployment.is_left_in_place,
        schedule: owner.deployment.schedule,
    })
}

/// Those of all members, each once.
fn constraints(group: &[Draft<'_>]) -> Vec<Constraint> {
    let mut seen = BTreeSet::new();
    let mut constraints = Vec::new();
    for constraint in group.iter().flat_map(|draft| &draft.deployment.constraints) {
        let Constraint { attribute, operator, value, text } = constraint;
        if seen.insert((attribute, operator, value, text)) {
            constraints.push(constraint.clone());
        }
    }
    constraints
}

fn network(connection: Connection, names: &[String]) -> Network {
    let kind = match connection {
        Connection::Host => Kind::Host(HostNetwork {}),
        Connection::Nothing => Kind::None(NoNetwork {}),
        Connection::Project(mut attachments) => {
            for attachment in &mut attachments {
                let given = std::mem::take(&mut attachment.aliases);
                let mut aliases = names.iter().cloned().chain(given).collect::<Vec<_>>();
                let mut seen = BTreeSet::new();
                aliases.retain(|alias| seen.insert(alias.clone()));
                attachment.aliases = aliases;
            }
            Kind::Project(ProjectNetworks { attachments })
        }
        // An owner is joined to nothing, unless an error was found.
        Connection::Joined { .. } => Kind::Project(ProjectNetworks::default()),
    };
    Network { kind: Some(kind) }
}

fn dependency(on: &str, condition: DependencyCondition) -> Dependency {
    Dependency { on: on.to_owned(), condition: condition.into() }
}

/// What a container waits for in its own task.
fn inside(draft: &Draft<'_>, members: &BTreeSet<String>) -> Vec<Dependency> {
    let waits = draft.waits.iter().filter(|wait| members.contains(&wait.on));
    unique(waits.map(|wait| dependency(&wait.on, wait.condition)).collect())
}

/// What it waits for elsewhere: the services whose tasks have the containers that are named.
fn outside(draft: &Draft<'_>, members: &BTreeSet<String>, owners: &Owners) -> Vec<Dependency> {
    let waits = draft.waits.iter().filter(|wait| !members.contains(&wait.on));
    let named = waits.filter_map(|wait| Some((owners.get(&wait.on)?, wait.condition)));
    named.map(|(owner, condition)| dependency(owner, condition)).collect()
}

fn unique(dependencies: Vec<Dependency>) -> Vec<Dependency> {
    let mut unique: Vec<Dependency> = Vec::new();
    for dependency in dependencies {
        if !unique.contains(&dependency) {
            unique.push(dependency);
        }
    }
    unique
}

/// Reports waits for what is not there.
fn check_waits(problems: &mut Problems, drafts: &[Draft<'_>], others: &BTreeSet<String>) {
    let names: BTreeSet<&str> = drafts.iter().map(|draft| draft.name.as_str()).collect();
    for wait in drafts.iter().flat_map(|draft| &draft.waits) {
        let is_there = names.contains(wait.on.as_str());
        if is_there || !wait.is_required {
            continue;
        }
        let (message, hint) = missing(&wait.on, &names, others);
        problems.error(wait.place, message).hint(hint);
    }
}

/// Says that a service is not there, and why.
pub(super) fn missing(
    name: &str,
    names: &BTreeSet<&str>,
    others: &BTreeSet<String>,
) -> (String, String) {
    if others.contains(name) {
        let message = format!("service `{name}` belongs to a profile that is not active");
        return (message, "activate its profile with --profile".to_owned());
    }
    let hint = match nearest(name, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "name a service of this project".to_owned(),
    };
    (format!("there is no service `{name}`"), hint)
}

/// Services that run once because others wait until they have completed. In Compose such a service ends because it is
/// not restarted by default.
fn run_once(problems: &mut Problems, drafts: &[Draft<'_>], owners: &Owners) -> BTreeSet<String> {
    let by_name: BTreeMap<&str, &Draft<'_>> =
        drafts.iter().map(|draft| (draft.name.as_str(), draft)).collect();
    let mut once = BTreeSet::new();
    for draft in drafts {
        let waits =
            draft.waits.iter().filter(|wait| wait.condition == DependencyCondition::Completed);
        for wait in waits {
            let Some(owner) =
                owners.get(&wait.on).filter(|owner| owners.get(&draft.name) != Some(owner))
            else {
                continue;
            };
            let Some(target) = by_name.get(owner.as_str()) else { continue };
            if ends(target) {
                once.insert(owner.clone());
            } else {
                let message = format!("service `{owner}` never completes");
                let hint = format!(
                    "write `restart: \"no\"` and no replicas for `{owner}`, or wait for `service_healthy`"
                );
                problems.error(wait.place, message).hint(hint);
            }
        }
    }
    once
}

fn ends(draft: &Draft<'_>) -> bool {
    let is_restarted = draft.deployment.restart.condition() == RestartCondition::Any
        && draft.deployment.is_restart_given;
    match draft.deployment.mode {
        Mode::Once(_) | Mode::Job(_) => true,
        Mode::Replicated(Replicated { replicas: 1 }) => !is_restarted,
        Mode::Replicated(_) | Mode::Global(_) => false,
    }
}
