//! Taking a deployment: tags become digests, the request is checked as a whole, and a dry run only looks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use coordinator_core::cluster::Cluster;
use coordinator_core::event::{Event, Reply};
use coordinator_core::view::secret::{Kept, kept_from};
use coordinator_core::{step, view};
use futures_util::future::{join_all, try_join_all};
use model::constraint::{Constraint, ImageName};
use model::id::{NodeId, ServiceId, TaskId};
use model::policy::Right;
use model::service::ServicePhase;
use model::spec::ServiceSpec;
use model::task::{DesiredState, StopCause, Task, TaskState};
use model::traffic::TargetGroup;
use proto::convert::{image_to_wire, spec_from_wire};
use proto::wire;
use tonic::Status;

use crate::Shared;
use crate::api::access::{Caller, Needs};
use crate::api::control::service_id;
use crate::api::{accepted, differences, hinted, images, invalid, references, resolve};
use crate::audit::By;

/// The most services of one request.
const SERVICES_LIMIT: usize = 1_000;

pub(crate) async fn deploy(
    shared: &Arc<Shared>,
    (caller, by): &(Caller, By),
    mut request: wire::DeployRequest,
) -> Result<wire::DeployResponse, Status> {
    if request.services.len() > SERVICES_LIMIT {
        let why = format!("{} services of {SERVICES_LIMIT} allowed", request.services.len());
        return Err(Status::invalid_argument(why));
    }
    // Before anybody is asked for anything on behalf of whoever calls.
    let named = request.services.iter().map(|spec| {
        let (project, name) = (spec.project.clone(), spec.name.clone());
        service_id(Some(wire::ServiceRef { project, name }))
    });
    caller.may_change(&named.collect::<Result<Vec<_>, _>>()?)?;
    images::check_names(shared, &request.services)?;
    pin(shared, &mut request.services).await?;
    let specs: Result<Vec<ServiceSpec>, _> = request.services.iter().map(spec_from_wire).collect();
    let specs = specs.map_err(|error| invalid(&error))?;
    images::check_pins(shared, &specs)?;
    check_machines(shared, caller, &specs)?;
    check_secrets(shared, caller, &specs)?;
    check_target_groups(shared, &specs).await?;
    let found = references::find(shared, &specs).await?;
    let unnamed = unnamed(shared, &specs, &request.project)?;
    let (remove, unnamed) =
        if request.prune { (unnamed, Vec::new()) } else { (Vec::new(), unnamed) };
    caller.may_change(&remove)?;
    let mut services = plan(shared, &found, &specs, &remove)?;
    if !request.dry_run {
        for value in found {
            references::take(shared, by, value).await?;
        }
        let expect = expectations(&request.project, &request.expect)?;
        let event = Event::Deploy { specs, remove, expect };
        let numbers = match accepted(shared.door.ask_by(by.clone(), event).await)? {
            Reply::Deployed(numbers) => numbers,
            Reply::Noted
            | Reply::Accepted { .. }
            | Reply::Run { .. }
            | Reply::Baking(_)
            | Reply::SecretSet(_)
            | Reply::Refused(_) => Vec::new(),
        };
        for (service, (_, number)) in services.iter_mut().zip(numbers) {
            service.generation = number;
        }
    }
    let unnamed = unnamed.iter().map(|id| id.name.to_string()).collect();
    Ok(wire::DeployResponse { services, unnamed })
}

/// Whoever does not decide about machines asks no more of them than somebody who does has allowed.
fn check_machines(shared: &Shared, caller: &Caller, specs: &[ServiceSpec]) -> Result<(), Status> {
    if caller.rules_machines() {
        return Ok(());
    }
    let ledger = shared.ledgers.read();
    for spec in specs {
        let forbidden = ledger.forbidden(spec);
        if forbidden.is_empty() {
            continue;
        }
        let said: Vec<String> = forbidden.iter().map(ToString::to_string).collect();
        let options: Vec<String> = forbidden.iter().map(Right::option).collect();
        let why = format!(
            "{} {}, which nobody has allowed: do without, or ask an administrator for `wharf grant add '{}' {}`",
            spec.id,
            said.join(" and "),
            spec.id,
            options.join(" ")
        );
        let hint = "what services may ask of machines is in docs/policy.md; an administrator may deploy anything";
        return Err(hinted(Status::permission_denied(why), hint));
    }
    Ok(())
}

/// Whoever may not set secrets has a service name none that is not for it.
fn check_secrets(shared: &Shared, caller: &Caller, specs: &[ServiceSpec]) -> Result<(), Status> {
    if caller.may(Needs::Operate) {
        return Ok(());
    }
    let state = shared.published.read();
    for spec in specs {
        let ledger = shared.ledgers.read();
        let kept = kept_from(&state.cluster, &ledger, spec);
        let Some(Kept { secret, owners }) = kept.into_iter().next() else { continue };
        let owners: Vec<String> = owners.iter().map(ToString::to_string).collect();
        let whose = if owners.is_empty() {
            "which is for nobody who does not have it".to_owned()
        } else {
            format!("which is for {} only", owners.join(", "))
        };
        let all = owners.iter().map(|owner| format!(" --for '{owner}'")).collect::<String>();
        let order = match secret.reference() {
            Some(reference) => {
                format!("allow '{}{}'", reference.keeper().prefix(), reference.name())
            }
            None => format!("set {secret} --keep-value"),
        };
        let why = format!(
            "{} names secret {secret}, {whose}: do without, or ask an operator for `wharf secret {order}{all} --for '{}'`",
            spec.id, spec.id
        );
        let hint =
            "whose secrets are is in docs/secrets.md; an operator may give any to every service";
        return Err(hinted(Status::permission_denied(why), hint));
    }
    Ok(())
}

/// What names target groups needs somebody who tells them, and groups that are there.
async fn check_target_groups(shared: &Shared, specs: &[ServiceSpec]) -> Result<(), Status> {
    let routes = specs.iter().flat_map(|spec| &spec.task.routes);
    let groups: BTreeSet<&TargetGroup> = routes.map(|route| &route.group).collect();
    let Some(first) = groups.first() else { return Ok(()) };
    let Some(fleet) = &shared.fleet else {
        let why = format!("nobody here can tell the target group {first} anything");
        let hint = "start the coordinator with --aws, or leave `x-wharf.target_groups` out";
        return Err(hinted(Status::failed_precondition(why), hint));
    };
    for look in join_all(groups.iter().map(|group| fleet.look_at_group(group))).await {
        if let Err(unseen) = look.shown {
            let why = format!("the target group {} can not be used: {}", look.group, unseen.why);
            let hint = "it has to be there, in this region, with targets of type instance, and the role of the coordinator needs the permissions that docs/balancers.md lists";
            return Err(hinted(Status::failed_precondition(why), hint));
        }
    }
    Ok(())
}

fn expectations(
    project: &str,
    expect: &[wire::Expectation],
) -> Result<Vec<(ServiceId, u64)>, Status> {
    let read = |one: &wire::Expectation| {
        let (project, name) = (project.to_owned(), one.service.clone());
        Ok((service_id(Some(wire::ServiceRef { project, name }))?, one.generation))
    };
    expect.iter().map(read).collect()
}

pub(crate) async fn remove(
    shared: &Shared,
    (caller, by): &(Caller, By),
    request: &wire::RemoveRequest,
) -> Result<wire::RemoveResponse, Status> {
    let named = request.services.iter().map(|name| {
        service_id(Some(wire::ServiceRef { project: request.project.clone(), name: name.clone() }))
    });
    let mut ids: Vec<ServiceId> = named.collect::<Result<_, _>>()?;
    if request.services.is_empty() {
        let state = shared.published.read();
        let all = state.cluster.services().keys();
        ids = all.filter(|id| id.project.as_str() == request.project).cloned().collect();
    }
    caller.may_change(&ids)?;
    if ids.is_empty() {
        let why = format!("there is no project {:?} with services", request.project);
        return Err(Status::not_found(why));
    }
    let services = ids
        .iter()
        .map(|id| wire::ServiceRef { project: id.project.to_string(), name: id.name.to_string() });
    let services = services.collect();
    let event = Event::Deploy { specs: Vec::new(), remove: ids, expect: Vec::new() };
    accepted(shared.door.ask_by(by.clone(), event).await)?;
    Ok(wire::RemoveResponse { services })
}

/// Services of the same projects that the request does not name.
fn unnamed(
    shared: &Shared,
    specs: &[ServiceSpec],
    project: &str,
) -> Result<Vec<ServiceId>, Status> {
    let mut projects: BTreeSet<_> = specs.iter().map(|spec| spec.id.project.clone()).collect();
    if !project.is_empty() {
        let project =
            project.parse().map_err(|error| Status::invalid_argument(format!("{error}")))?;
        projects.insert(project);
    }
    let state = shared.published.read();
    let others = state.cluster.services().values().filter(|service| {
        projects.contains(&service.id.project)
            && service.phase != ServicePhase::Removing
            && !specs.iter().any(|spec| spec.id == service.id)
    });
    Ok(others.map(|service| service.id.clone()).collect())
}

/// Has every reference without a pin resolved by an agent: agents have the registries and their passwords.
async fn pin(shared: &Shared, services: &mut [wire::ServiceSpec]) -> Result<(), Status> {
    let tasks = services.iter_mut().filter_map(|service| service.task.as_mut());
    let containers = tasks.flat_map(|task| &mut task.containers);
    let mut unpinned: Vec<&mut wire::Image> = containers
        .filter_map(|container| container.image.as_mut())
        .filter(|image| image.pin.is_none())
        .collect();
    let references: BTreeSet<String> =
        unpinned.iter().map(|image| image.reference.clone()).collect();
    let resolved = try_join_all(references.iter().map(|one| resolve::resolve(shared, one))).await?;
    let pins: BTreeMap<&String, wire::Image> = references.iter().zip(resolved).collect();
    for image in &mut unpinned {
        if let Some(pinned) = pins.get(&image.reference) {
            image.pin.clone_from(&pinned.pin);
        }
    }
    pin_constraints(shared, services).await
}

/// Has the tags in constraints resolved as well: a node is asked for an image by its digest.
async fn pin_constraints(
    shared: &Shared,
    services: &mut [wire::ServiceSpec],
) -> Result<(), Status> {
    let tasks = services.iter_mut().filter_map(|service| service.task.as_mut());
    let texts: Vec<&mut String> =
        tasks.flat_map(|task| &mut task.constraints).map(|one| &mut one.text).collect();
    // What can not be read is refused with the spec that it is part of.
    let read = |text: &&mut String| text.parse::<Constraint>().ok();
    let asked: Vec<Constraint> = texts.iter().filter_map(read).collect();
    let names = asked.iter().flat_map(Constraint::images).filter(|name| name.digest().is_none());
    let names: BTreeSet<String> = names.map(ToString::to_string).collect();
    if names.is_empty() {
        return Ok(());
    }
    let images = try_join_all(names.iter().map(|one| resolve::resolve(shared, one))).await?;
    let found = names.into_iter().zip(images);
    let found: BTreeMap<String, ImageName> = found.filter_map(named_by_digest).collect();
    let rename =
        |name: &ImageName| found.get(&name.to_string()).cloned().unwrap_or_else(|| name.clone());
    for text in texts {
        if let Ok(constraint) = text.parse::<Constraint>() {
            *text = constraint.with_images(&rename).to_string();
        }
    }
    Ok(())
}

/// What was asked for, with the digest that was found.
fn named_by_digest((name, image): (String, wire::Image)) -> Option<(String, ImageName)> {
    let (wire::image::Pin::Manifest(digest) | wire::image::Pin::Local(digest)) = image.pin?;
    let pinned = format!("{name}@{digest}").parse().ok().map(ImageName::Reference);
    let pinned = pinned.or_else(|| digest.parse().ok().map(ImageName::Digest))?;
    Some((name, pinned))
}

/// What would become of each service: the same step that a deployment takes, on a copy.
fn plan(
    shared: &Shared,
    found: &[references::Found],
    specs: &[ServiceSpec],
    remove: &[ServiceId],
) -> Result<Vec<wire::PlannedService>, Status> {
    let event =
        Event::Deploy { specs: specs.to_vec(), remove: remove.to_vec(), expect: Vec::new() };
    let found = found.iter().cloned().map(references::event);
    let foreseen = foresee(shared, &found.chain([event]).collect::<Vec<_>>())?;
    let planned = specs.iter().map(|spec| planned(&foreseen, &spec.id));
    let removed = remove.iter().map(|id| wire::PlannedService {
        project: id.project.to_string(),
        name: id.name.to_string(),
        action: wire::PlannedAction::Remove.into(),
        ..wire::PlannedService::default()
    });
    Ok(planned.chain(removed).collect())
}

/// What another number of replicas would do.
pub(crate) fn plan_scale(
    shared: &Shared,
    service: &ServiceId,
    replicas: u32,
) -> Result<wire::PlannedService, Status> {
    let foreseen = foresee(shared, &[Event::Scale { service: service.clone(), replicas }])?;
    let mut planned = planned(&foreseen, service);
    let Foreseen { before, after, .. } = &foreseen;
    let stops = |task: &&Arc<Task>| {
        let was = before.tasks().get(&task.id);
        task.desired != DesiredState::Run && was.is_some_and(|was| was.desired == DesiredState::Run)
    };
    let stopped = after.tasks_of(service).filter(stops).map(|task| wire::PlannedTask {
        slot: task.slot.to_string(),
        node: task.node.as_ref().map(ToString::to_string),
        note: "stops".to_owned(),
        preempts: Vec::new(),
    });
    planned.tasks.extend(stopped);
    Ok(planned)
}

/// A cluster, and what one step makes of it.
struct Foreseen {
    before: Cluster,
    after: Cluster,
    notes: BTreeMap<TaskId, String>,
}

impl Foreseen {
    /// The tasks of a node that would stop for others.
    fn gives_way(&self, node: &NodeId) -> impl Iterator<Item = String> {
        let is_news = move |task: &&Arc<Task>| {
            let was = self.before.tasks().get(&task.id);
            let is_preempted = task.desired.stop_cause() == Some(StopCause::Preemption);
            is_preempted && was.is_some_and(|was| was.desired == DesiredState::Run)
        };
        self.after.tasks_on(node).filter(is_news).map(|task| task.id.to_string())
    }
}

/// The step that a request would take, on a copy.
fn foresee(shared: &Shared, events: &[Event]) -> Result<Foreseen, Status> {
    let now = shared.clock.now();
    let before = shared.published.read().cluster.clone();
    let mut after = before.clone();
    // All of it is to be seen, however many steps it will take.
    after.bound(usize::MAX);
    let done = step(&mut after, events, now);
    for reply in done.replies {
        accepted(Ok(reply))?;
    }
    Ok(Foreseen { before, after, notes: done.notes })
}

fn planned(foreseen: &Foreseen, id: &ServiceId) -> wire::PlannedService {
    let Foreseen { before, after, notes } = foreseen;
    let (old, new) = (before.services().get(id), after.services().get(id));
    let (old, new) = (old.map(|old| &old.target), new.map(|new| &new.target));
    let action = match (old, new) {
        (None, _) => wire::PlannedAction::Create,
        (Some(old), Some(new)) if old.number == new.number => wire::PlannedAction::None,
        (Some(old), Some(new)) if old.template == new.template => wire::PlannedAction::Adjust,
        (Some(_), _) => wire::PlannedAction::Replace,
    };
    let is_new = |task: &&Arc<Task>| !before.tasks().contains_key(&task.id);
    let tasks = after.tasks_of(id).filter(is_new).map(|task| wire::PlannedTask {
        slot: task.slot.to_string(),
        node: task.node.as_ref().map(ToString::to_string),
        note: match task.state {
            TaskState::Pending => notes.get(&task.id).cloned().unwrap_or_default(),
            TaskState::Assigned
            | TaskState::Fetching
            | TaskState::Preparing
            | TaskState::Running { .. }
            | TaskState::Completed
            | TaskState::Failed { .. }
            | TaskState::Lost => String::new(),
        },
        preempts: task.room_on.iter().flat_map(|node| foreseen.gives_way(node)).collect(),
    });
    let differences = match (old, new) {
        (Some(old), Some(new)) => differences::between(&old.spec, &new.spec),
        (None, _) | (_, None) => Vec::new(),
    };
    let images = new
        .map(|new| new.spec.task.containers.iter().map(|one| image_to_wire(&one.image)).collect());
    wire::PlannedService {
        project: id.project.to_string(),
        name: id.name.to_string(),
        action: action.into(),
        generation: new.map_or(0, |new| new.number),
        differences,
        warnings: new.map(|new| view::slow_stops(after, &new.spec)).unwrap_or_default(),
        images: images.unwrap_or_default(),
        tasks: tasks.collect(),
    }
}
