//! What is published, as operators are shown it.

use std::collections::BTreeMap;
use std::sync::Arc;

use coordinator_core::cluster::Cluster;
use coordinator_core::view::{self, NodeState, Short};
use model::id::{NodeId, ServiceId};
use model::node::Node;
use model::resources::Resources;
use model::service::{Service, ServicePhase};
use model::task::{Task, TaskState};
use model::time::Timestamp;
use proto::convert::{node_to_wire, resources_to_wire, service_to_wire, task_to_wire};
use proto::wire;

use tonic::Status;

use super::{job, pages, rollout};
use crate::Shared;
use crate::published::State;

/// So many tasks of a node that is being emptied are named: more than anybody reads.
const LEAVING_LIMIT: usize = 200;

/// So much of what an agent complains of is shown, in characters.
const FAULT_LIMIT: usize = 500;

pub(crate) fn service(state: &State, service: &Service, now: Timestamp) -> wire::ServiceView {
    let progress = view::service_progress(&state.cluster, service, now);
    let mut notes: Vec<String> = Vec::new();
    notes.extend(progress.waits_for.map(|on| format!("waits for {on}")));
    notes.extend(view::withheld(&state.cluster, service, now).map(|Short { serving, least }| {
        format!(
            "goes on when more can be spared: {serving} of its tasks serve, and {least} have to"
        )
    }));
    notes.extend(rollout::note(service, now));
    notes.extend(view::fetching(&state.cluster, service).map(|(node, image)| {
        format!("goes on when {node} has fetched {image}: what runs is stopped only then")
    }));
    if let ServicePhase::Halted { reason, .. } = &service.phase {
        notes.push(reason.clone());
    }
    notes.extend(job::notes(&state.cluster, service, now));
    let tasks = state.cluster.tasks_of(&service.id);
    notes.extend(tasks.filter_map(|task| note(state, task)).take(20));
    let mut shown = service_to_wire(service);
    let past = shown.history.iter_mut().filter_map(|past| past.generation.as_mut());
    let runs = shown.runs.iter_mut().flat_map(|runs| &mut runs.active);
    let past = past.chain(runs.filter_map(|run| run.generation.as_mut()));
    shown.target.iter_mut().chain(&mut shown.stable).chain(past).for_each(leave_out_files);
    wire::ServiceView {
        service: Some(shown),
        desired: count(progress.desired),
        serving: count(progress.serving),
        updated: count(progress.updated),
        notes,
        rollout: rollout::view(&state.cluster, service, now),
        job: job::view(&state.cluster, service),
    }
}

/// What is in files is not for lists: some services with large ones, each with its history, would fill a message.
fn leave_out_files(generation: &mut wire::Generation) {
    let task = generation.spec.as_mut().and_then(|spec| spec.task.as_mut());
    let containers = task.into_iter().flat_map(|task| &mut task.containers);
    containers.flat_map(|container| &mut container.files).for_each(|file| file.content.clear());
}

/// Of the spec of each of many tasks only what is shown: which images it runs.
fn leave_images(generation: &mut wire::Generation) {
    let Some(spec) = generation.spec.as_mut() else { return };
    let containers = spec.task.take().map(|task| task.containers).unwrap_or_default();
    let containers = containers.into_iter().map(|container| wire::ContainerSpec {
        name: container.name,
        image: container.image,
        ..wire::ContainerSpec::default()
    });
    let task = wire::TaskSpec { containers: containers.collect(), ..wire::TaskSpec::default() };
    *spec = wire::ServiceSpec { task: Some(task), ..wire::ServiceSpec::default() };
}

pub(crate) fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Why a task is not where it should be, named after its slot.
fn note(state: &State, task: &Task) -> Option<String> {
    match &task.state {
        TaskState::Pending => state.notes.get(&task.id).map(|why| format!("{}: {why}", task.id)),
        TaskState::Assigned
        | TaskState::Fetching
        | TaskState::Preparing
        | TaskState::Running { .. } => {
            let waits = view::stop_wait(&state.cluster, task);
            let waits = waits.map(|wait| format!("{} is to stop: {wait}", task.id));
            let traffic = || {
                let waits = view::traffic_wait(&state.cluster, task)?;
                Some(format!("{}: {waits}", task.id))
            };
            waits
                .or_else(traffic)
                .or_else(|| (!task.note.is_empty()).then(|| format!("{}: {}", task.id, task.note)))
        }
        TaskState::Completed | TaskState::Failed { .. } | TaskState::Lost => None,
    }
}

pub(crate) fn services(
    shared: &Shared,
    request: &wire::ListServicesRequest,
) -> Result<wire::ListServicesResponse, Status> {
    let (now, after) = (shared.clock.now(), pages::after(&request.after)?);
    let state = shared.published.read();
    let is_meant = |one: &&Arc<Service>| {
        request.project.is_empty() || one.id.project.as_str() == request.project
    };
    let meant = pages::rest(state.cluster.services(), after).filter(is_meant);
    let (services, next) =
        pages::page(meant.map(|one| (one.id.to_string(), service(&state, one, now))));
    Ok(wire::ListServicesResponse { services, next })
}

pub(crate) fn tasks(
    shared: &Shared,
    request: &wire::ListTasksRequest,
) -> Result<wire::ListTasksResponse, Status> {
    let (now, after) = (shared.clock.now(), pages::after(&request.after)?);
    let state = shared.published.read();
    let is_meant = |task: &&Arc<Task>| {
        (request.project.is_empty() || task.service.project.as_str() == request.project)
            && (request.service.is_empty() || task.service.name.as_str() == request.service)
            && (request.all || !task.state.is_final())
    };
    let meant = state.cluster.tasks().range(after.as_ref()).filter(is_meant);
    let (tasks, next) =
        pages::page(meant.map(|task| (task.id.to_string(), task_view(&state, task, now))));
    Ok(wire::ListTasksResponse { tasks, next })
}

fn task_view(state: &State, task: &Task, now: Timestamp) -> wire::TaskView {
    let node = task.node.as_ref().and_then(|node| state.cluster.nodes().get(node));
    let silence = node.and_then(|node| match view::node_state(&state.cluster, node, now) {
        NodeState::Suspect | NodeState::Unreachable => state.cluster.sighting(&node.id),
        NodeState::Joining
        | NodeState::Ready
        | NodeState::Returning
        | NodeState::Wedged
        | NodeState::Draining
        | NodeState::Drained
        | NodeState::Dead => None,
    });
    let mut task_on_wire = task_to_wire(task);
    task_on_wire.generation.iter_mut().for_each(leave_images);
    if task.state == TaskState::Pending {
        task_on_wire.note = state.notes.get(&task.id).cloned().unwrap_or_default();
    } else if task.is_missed() {
        "its node was silent for too long: another task fills its slot until the node is back"
            .clone_into(&mut task_on_wire.note);
    } else if let Some(wait) = view::leaving_wait(&state.cluster, task, now) {
        task_on_wire.note = format!("is to leave its node: {wait}");
    } else if let Some(note) = lease_note(&state.cluster, task) {
        task_on_wire.note = note;
    }
    wire::TaskView {
        task: Some(task_on_wire),
        stale_seconds: silence.map(|seen| now.since(seen.at).as_secs()),
        address: node.map(|node| node.hostname.clone()).unwrap_or_default(),
    }
}

/// What is to be said of the lease of a task, or of its load balancers, unless there is something else to say.
pub(crate) fn lease_note(cluster: &Cluster, task: &Task) -> Option<String> {
    let waits = view::stop_wait(cluster, task).map(|wait| format!("is to stop: {wait}"));
    let holds = || {
        let until = cluster.lease(&task.id).filter(|_| task.note.is_empty())?;
        Some(format!("holds a lease until {until}"))
    };
    let traffic = || view::traffic_wait(cluster, task).filter(|_| task.note.is_empty());
    waits.or_else(traffic).or_else(holds)
}

/// What the snapshot says of a node, taken out so that the lock is short.
struct Look {
    node: Arc<Node>,
    state: NodeState,
    heard: Option<Timestamp>,
    held: Resources,
    live: usize,
    missed: usize,
    drain: Option<wire::DrainView>,
}

/// How the drain of a node goes, if it has one.
fn drain(cluster: &Cluster, node: &Node, now: Timestamp) -> Option<wire::DrainView> {
    node.drain?;
    let left = view::leaving(cluster, &node.id, now);
    let blocked = view::is_blocked(&left);
    let left = left.into_iter().take(LEAVING_LIMIT);
    let left = left
        .map(|(task, wait)| wire::Leaving { task: task.to_string(), waits_for: wait.to_string() });
    Some(wire::DrainView { left: left.collect(), blocked })
}

pub(crate) fn nodes(
    shared: &Shared,
    request: &wire::ListNodesRequest,
) -> Result<wire::ListNodesResponse, Status> {
    let after = pages::after(&request.after)?;
    let now = shared.clock.now();
    let agents = shared.sessions.agents();
    let nodes: Vec<Look> = {
        let state = shared.published.read();
        let cluster = &state.cluster;
        let look = |node: &Arc<Node>| {
            let heard = cluster.sighting(&node.id).map(|seen| seen.at);
            let live = cluster.tasks_on(&node.id).filter(|task| !task.state.is_final()).count();
            let held = cluster.held_on(&node.id);
            Look {
                node: Arc::clone(node),
                state: view::node_state(cluster, node, now),
                heard,
                held,
                live,
                missed: cluster.missed_on(&node.id).count(),
                drain: drain(cluster, node, now),
            }
        };
        pages::rest(cluster.nodes(), after).map(look).collect()
    };
    let show = |Look { node, state, heard, held, live, missed, drain }| {
        let usage = shared.sessions.usage(&node.id).unwrap_or_default();
        let agent = agents.get(&node.id);
        let hello = agent.map(|agent| agent.hello()).unwrap_or_default();
        wire::NodeView {
            node: Some(node_to_wire(&node)),
            state: state_to_wire(state).into(),
            heard_ms_ago: heard
                .map_or(0, |heard| now.as_millis().saturating_sub(heard.as_millis())),
            reserved: Some(resources_to_wire(&held)),
            tasks: count(live),
            usage: usage.host,
            containers: usage.containers,
            agent_version: hello.agent_version,
            engine_version: hello.engine_version,
            address: agent.map(|agent| agent.address.clone()).unwrap_or_default(),
            note: note_on(state, missed, &usage.metadata_fault),
            drain,
        }
    };
    let shown = nodes.into_iter().map(|look| (look.node.id.to_string(), show(look)));
    let (nodes, next) = pages::page(shown);
    Ok(wire::ListNodesResponse { nodes, next })
}

fn note_on(state: NodeState, missed: usize, metadata_fault: &str) -> String {
    let missing = match (state, missed) {
        (_, 0) => None,
        (NodeState::Returning, _) => Some(format!(
            "waits until of {missed} tasks and those made in their place one each serves"
        )),
        (_, _) => Some(format!("others were made in the place of {missed} of its tasks")),
    };
    let fault: String = metadata_fault.chars().take(FAULT_LIMIT).collect();
    let open = (!fault.is_empty()).then(|| {
        format!("its containers are not kept from the instance metadata service: {fault}")
    });
    missing.into_iter().chain(open).collect::<Vec<_>>().join("; ")
}

const fn state_to_wire(state: NodeState) -> wire::NodeState {
    match state {
        NodeState::Joining => wire::NodeState::Joining,
        NodeState::Ready => wire::NodeState::Ready,
        NodeState::Suspect => wire::NodeState::Suspect,
        NodeState::Unreachable => wire::NodeState::Unreachable,
        NodeState::Returning => wire::NodeState::Returning,
        NodeState::Wedged => wire::NodeState::Wedged,
        NodeState::Draining => wire::NodeState::Draining,
        NodeState::Drained => wire::NodeState::Drained,
        NodeState::Dead => wire::NodeState::Dead,
    }
}

pub(crate) fn status(shared: &Shared) -> wire::GetStatusResponse {
    let now = shared.clock.now();
    let state = shared.published.read();
    let cluster = &state.cluster;
    let mut nodes_by_state = BTreeMap::new();
    for node in cluster.nodes().values() {
        let name = format!("{:?}", view::node_state(cluster, node, now)).to_lowercase();
        *nodes_by_state.entry(name).or_default() += 1;
    }
    let mut services_by_phase = BTreeMap::new();
    for service in cluster.services().values() {
        *services_by_phase.entry(phase(&service.phase).to_owned()).or_default() += 1;
    }
    let mut tasks_by_state = BTreeMap::new();
    for task in cluster.tasks().values() {
        *tasks_by_state.entry(task.state.to_string()).or_default() += 1;
    }
    wire::GetStatusResponse {
        cluster: shared.identity.cluster.to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        incarnation: shared.identity.incarnation,
        epoch: shared.identity.epoch,
        revision: state.revision,
        started_at_ms: shared.clock.started_at().as_millis(),
        store: shared.store.clone(),
        nodes_by_state,
        services_by_phase,
        tasks_by_state,
        alarms: state.alarms.clone(),
    }
}

pub(crate) const fn phase(phase: &ServicePhase) -> &'static str {
    match phase {
        ServicePhase::Rolling(_) => "rolling",
        ServicePhase::Steady => "steady",
        ServicePhase::Halted { .. } => "halted",
        ServicePhase::Removing => "removing",
    }
}

/// The nodes that tasks of a service are on and whose agents can be asked.
pub(crate) fn placed(state: &State, id: &ServiceId) -> Vec<(NodeId, Arc<Task>)> {
    let tasks = state.cluster.tasks_of(id);
    tasks.filter_map(|task| Some((task.node.clone()?, Arc::clone(task)))).collect()
}
