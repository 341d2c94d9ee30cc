//! Why something is as it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use coordinator_core::cluster::{Age, Cluster};
use coordinator_core::explain::{self, Account, Headroom};
use coordinator_core::view::{self, NodeVerdict, Packing};
use model::id::NodeId;
use model::node::Node;
use model::service::{Service, ServicePhase};
use model::spec::Strategy;
use model::task::{DesiredState, Task, TaskState};
use model::time::Timestamp;
use proto::convert::resources_to_wire;
use proto::wire;
use tonic::Status;

use crate::Shared;
use crate::api::control::service_id;
use crate::api::views::count;
use crate::api::{job, rollout, views};
use crate::published::State;

/// So many tasks of a service are told of one by one: more than anybody reads.
const TASKS: usize = 100;
/// So many nodes say what they think: at some hundred bytes each, well within a message.
const NODES: usize = 10_000;
/// So many groups of waiting tasks are explained. Each asks every node, unless it belongs to one.
const GROUPS: usize = 10;
/// So many changes that would help are named.
const REMEDIES: usize = 5;

pub(crate) fn explain(
    shared: &Shared,
    request: wire::ExplainRequest,
) -> Result<wire::ExplainResponse, Status> {
    use wire::explain_request::About;
    let now = shared.clock.now();
    let state = shared.published.read();
    match request.about {
        Some(About::Service(service)) => {
            let id = service_id(Some(service))?;
            let service = state.cluster.services().get(&id);
            let service =
                service.ok_or_else(|| Status::not_found(format!("there is no service {id}")))?;
            Ok(explain_service(&state, service, now))
        }
        Some(About::Task(task)) => {
            let known = task.parse().ok().and_then(|id| state.cluster.tasks().get(&id));
            let task =
                known.ok_or_else(|| Status::not_found(format!("there is no task {task}")))?;
            Ok(explain_task(&state, task, now))
        }
        Some(About::Node(node)) => {
            let known = node.parse::<NodeId>().ok();
            let known = known.and_then(|id| state.cluster.nodes().get(&id));
            let node =
                known.ok_or_else(|| Status::not_found(format!("there is no node {node}")))?;
            Ok(explain_node(&state.cluster, node, now))
        }
        None => Err(Status::invalid_argument("name a service, a task or a node")),
    }
}

/// Why a machine is there still: what runs on it, and what keeps it.
fn explain_node(cluster: &Cluster, node: &Node, now: Timestamp) -> wire::ExplainResponse {
    let live = cluster.tasks_on(&node.id).filter(|task| !task.state.is_final());
    let live: Vec<String> = live.map(|task| format!("{} is {}", task.id, task.state)).collect();
    let pool = node.pool.as_ref().map_or_else(String::new, |pool| format!(" of pool {pool}"));
    let state = format!("{:?}", view::node_state(cluster, node, now)).to_lowercase();
    let mut details = view::why_here(cluster, node, now);
    details.extend(live.iter().take(TASKS).cloned());
    details.extend(
        live.len()
            .checked_sub(TASKS)
            .filter(|more| *more > 0)
            .map(|more| format!("and {more} tasks more")),
    );
    let summary = format!("{}{pool} is {state}, with {} tasks", node.id, live.len());
    wire::ExplainResponse { summary, details, ..wire::ExplainResponse::default() }
}

/// What is on its way for tasks that wait, or why nothing is.
fn outlook(cluster: &Cluster, waiting: &[wire::Waiting], now: Timestamp) -> Vec<String> {
    if waiting.iter().all(|one| one.takers > 0) { Vec::new() } else { view::outlook(cluster, now) }
}

fn explain_service(state: &State, service: &Service, now: Timestamp) -> wire::ExplainResponse {
    let progress = view::service_progress(&state.cluster, service, now);
    let number = service.target.number;
    let summary = match &service.phase {
        ServicePhase::Steady | ServicePhase::Rolling { .. }
            if job::view(&state.cluster, service).is_some() =>
        {
            job::summary(&state.cluster, service)
        }
        ServicePhase::Steady if progress.serving >= progress.desired => {
            format!(
                "{} is steady: generation {number} runs in all {} slots",
                service.id, progress.desired
            )
        }
        ServicePhase::Steady => format!(
            "{} was steady with generation {number}, and now {} of {} tasks serve",
            service.id, progress.serving, progress.desired
        ),
        ServicePhase::Rolling(_) => {
            rollout::sentence(&state.cluster, service, now).unwrap_or_default()
        }
        ServicePhase::Halted { reason, .. } => format!("{} is halted: {reason}", service.id),
        ServicePhase::Removing => format!("{} is being removed", service.id),
    };
    let mut details: Vec<String> =
        progress.waits_for.into_iter().map(|on| format!("waits for {on}")).collect();
    details.extend(rollout::note(service, now));
    details.extend(explain::headroom(&state.cluster, service, now).map(room));
    details.extend(job::notes(&state.cluster, service, now));
    let tasks: Vec<&Arc<Task>> = state.cluster.tasks_of(&service.id).collect();
    details.extend(tasks.iter().take(TASKS).map(|task| sentence(state, task)));
    if let Some(more) = tasks.len().checked_sub(TASKS).filter(|more| *more > 0) {
        details.push(format!("and {more} tasks more"));
    }
    let waiting = waiting(&state.cluster, &tasks, now);
    details.extend(outlook(&state.cluster, &waiting, now));
    let first = tasks.iter().find(|task| waits(task));
    let nodes = first.map(|task| verdicts(&state.cluster, task, now)).unwrap_or_default();
    wire::ExplainResponse { summary, details, nodes, hint: hint(&waiting), waiting }
}

fn room(Headroom { tasks, nodes }: Headroom) -> String {
    match (tasks, nodes) {
        (0, _) => "there is no room for another of its tasks".to_owned(),
        (1, _) => "there is room for one more of its tasks".to_owned(),
        (_, 1) => format!("there is room for {tasks} more of its tasks, on one node"),
        (_, _) => format!("there is room for {tasks} more of its tasks, on {nodes} nodes"),
    }
}

fn explain_task(state: &State, task: &Arc<Task>, now: Timestamp) -> wire::ExplainResponse {
    let waiting = waiting(&state.cluster, &[task], now);
    wire::ExplainResponse {
        summary: sentence(state, task),
        details: task
            .containers
            .iter()
            .map(container)
            .chain(outlook(&state.cluster, &waiting, now))
            .collect(),
        nodes: verdicts(&state.cluster, task, now),
        hint: hint(&waiting),
        waiting,
    }
}

fn waits(task: &Task) -> bool {
    task.state == TaskState::Pending && task.desired == DesiredState::Run
}

/// One account for all tasks of a generation: all of its replicas ask for the same. What belongs to a node asks only that
/// one.
fn waiting(cluster: &Cluster, tasks: &[&Arc<Task>], now: Timestamp) -> Vec<wire::Waiting> {
    let mut groups: BTreeMap<(u64, Option<&NodeId>), Vec<&Arc<Task>>> = BTreeMap::new();
    for task in tasks.iter().filter(|task| waits(task)) {
        groups.entry((task.generation.number, task.slot.node())).or_default().push(task);
    }
    let groups = groups.into_values().take(GROUPS);
    let told = groups.filter_map(|group| {
        let account = explain::account(cluster, group.first()?, now);
        Some(waiting_to_wire(&group, account))
    });
    told.collect()
}

fn waiting_to_wire(group: &[&Arc<Task>], account: Account) -> wire::Waiting {
    let nearest = account.nearest.map(|nearest| wire::Nearest {
        node: nearest.node.to_string(),
        reasons: nearest.refusals,
        shortage: Some(resources_to_wire(&nearest.shortage)),
    });
    let growth = account.growth.into_iter().map(|growth| wire::Growth {
        kind: growth.kind.to_string(),
        like: growth.like.to_string(),
        fits: growth.refusals.is_empty(),
        reasons: growth.refusals,
    });
    let refusals = account.refusals.into_iter();
    wire::Waiting {
        generation: group.first().map_or(0, |task| task.generation.number),
        tasks: group.iter().take(TASKS).map(|task| task.id.to_string()).collect(),
        count: count(group.len()),
        nodes: count(account.nodes),
        takers: count(account.takers),
        refusals: refusals
            .map(|(reason, nodes)| wire::Refusal { reason, nodes: count(nodes) })
            .collect(),
        nearest,
        remedies: account.remedies.iter().take(REMEDIES).map(ToString::to_string).collect(),
        growth: growth.collect(),
    }
}

fn sentence(state: &State, task: &Task) -> String {
    let place = task.node.as_ref().map(|node| format!(" on {node}")).unwrap_or_default();
    let why = match &task.state {
        TaskState::Failed { reason, .. } => reason.clone(),
        TaskState::Pending => state.notes.get(&task.id).cloned().unwrap_or_default(),
        TaskState::Assigned
        | TaskState::Fetching
        | TaskState::Preparing
        | TaskState::Running { .. }
        | TaskState::Completed
        | TaskState::Lost => {
            views::lease_note(&state.cluster, task).unwrap_or_else(|| task.note.clone())
        }
    };
    let why = if why.is_empty() { why } else { format!(": {why}") };
    let again = if task.restarts > 0 {
        format!(", started again {} times", task.restarts)
    } else {
        String::new()
    };
    format!(
        "{} (generation {}) is {}{place}{again}{why}",
        task.id, task.generation.number, task.state
    )
}

fn container(status: &model::task::ContainerStatus) -> String {
    match &status.exit {
        Some(exit) => format!("container {} ended: {exit}", status.name),
        None if status.container_id.is_empty() => {
            format!("container {} is not made yet", status.name)
        }
        None => format!(
            "container {} runs, attempt {}, health {:?}",
            status.name, status.attempt, status.health
        ),
    }
}

fn verdicts(cluster: &Cluster, task: &Task, now: Timestamp) -> Vec<wire::NodeVerdict> {
    let mut asked = view::ask_nodes(cluster, task, now);
    asked.sort_by_key(|verdict| (verdict.refusals.len(), verdict.score));
    asked.into_iter().take(NODES).map(|verdict| verdict_to_wire(task, verdict)).collect()
}

fn verdict_to_wire(task: &Task, verdict: NodeVerdict) -> wire::NodeVerdict {
    let score = verdict.score;
    let fits = verdict.refusals.is_empty();
    let is_packed = task.generation.spec.strategy == Strategy::Binpack;
    let has_preferences = !task.generation.spec.preferences.is_empty();
    let terms = || {
        let held = (score.load.memory_mib(), score.load.cpu_millis());
        let failed = "a task of the slot has failed there by no fault of its own";
        let mut terms: Vec<String> =
            score.has_failed.then(|| failed.to_owned()).into_iter().collect();
        let fenced = "its machine is to be replaced by a newer one";
        terms.extend(score.is_fenced.then(|| fenced.to_owned()));
        let data = "without data that the service has left elsewhere, or may have";
        terms.extend(score.is_without_data.then(|| data.to_owned()));
        if has_preferences {
            terms.push(format!("costs {} by what it would rather have", weight(score.preference)));
        }
        terms.push(format!("{} of the service stay in its zone", score.in_zone));
        if is_packed {
            terms.extend(packing(score.packing));
        }
        terms.push(format!("{} of the service stay on it", score.on_node));
        let old = "its group launches other machines by now";
        terms.extend((score.age == Age::Old).then(|| old.to_owned()));
        terms.extend([
            match score.fetch_mib {
                0 => "nothing to fetch".to_owned(),
                mib => format!("{mib} MiB of images to fetch"),
            },
            format!("{} MiB and {} millicores held", held.0, held.1),
        ]);
        terms
    };
    wire::NodeVerdict {
        task: task.id.to_string(),
        placed: task.node.as_ref() == Some(&verdict.node),
        node: verdict.node.to_string(),
        fits,
        reasons: if fits { terms() } else { verdict.refusals },
        score: Some(wire::Score {
            has_failed: score.has_failed,
            is_fenced: score.is_fenced,
            in_zone: count(score.in_zone),
            on_node: count(score.on_node),
            is_without_data: score.is_without_data,
            preference: score.preference,
            age: match score.age {
                Age::Current => wire::MachineAge::Unspecified,
                Age::Old => wire::MachineAge::Old,
            }
            .into(),
            fetch_bytes: (score.fetch_mib as u64) << 20,
            memory_bytes: score.load.memory_mib() << 20,
            cpu_millis: score.load.cpu_millis(),
            packing: is_packed.then_some(wire::Packing {
                stranded_millionths: score.packing.stranded(),
                left_millionths: score.packing.left(),
            }),
        }),
    }
}

/// A price in the weights of preferences.
fn weight(hundredths: u64) -> String {
    let text = format!("{}.{:02}", hundredths / 100, hundredths % 100);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// What a packed task would make of a node, in words.
fn packing(packing: Packing) -> [String; 2] {
    let percent = |millionths: u64| {
        format!("{}.{} % of a node", millionths / 10_000, millionths / 1_000 % 10)
    };
    let stranded = match packing.stranded() {
        0 => "nothing more of it stranded".to_owned(),
        more if more > 0 => format!("{} more stranded there", percent(more.unsigned_abs())),
        less => format!("{} less stranded there", percent(less.unsigned_abs())),
    };
    [stranded, format!("{} left there", percent(packing.left()))]
}

/// The least that would help the first tasks that wait.
fn hint(waiting: &[wire::Waiting]) -> String {
    let Some(first) = waiting.first() else { return String::new() };
    if first.nodes == 0 {
        return "no node has joined: start an agent".to_owned();
    }
    if first.takers > 0 {
        return format!("{} nodes would take it: it goes there with the next step", first.takers);
    }
    let grows = first.growth.iter().find(|growth| growth.fits);
    let grows = grows.map(|growth| format!("one more node like {} would take it", growth.like));
    let nearest = first.nearest.as_ref();
    let nearest = nearest
        .map(|nearest| format!("{} is nearest: {}", nearest.node, nearest.reasons.join(", ")));
    first.remedies.first().cloned().or(grows).or(nearest).unwrap_or_default()
}
