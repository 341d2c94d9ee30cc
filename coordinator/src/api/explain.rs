//! Why something is as it is.

use std::sync::Arc;

use coordinator_core::view::{self, NodeVerdict};
use model::service::{Service, ServicePhase};
use model::task::{Task, TaskState};
use model::time::Timestamp;
use proto::wire;
use tonic::Status;

use crate::Shared;
use crate::api::control::service_id;
use crate::published::State;

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
        None => Err(Status::invalid_argument("name a service or a task")),
    }
}

fn explain_service(state: &State, service: &Service, now: Timestamp) -> wire::ExplainResponse {
    let progress = view::service_progress(&state.cluster, service, now);
    let number = service.target.number;
    let summary = match &service.phase {
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
        ServicePhase::Rolling { since } => format!(
            "{} is moving to generation {number} since {} s: {} of {} slots are there",
            service.id,
            now.since(*since).as_secs(),
            progress.updated,
            progress.desired
        ),
        ServicePhase::Halted { reason } => format!("{} is halted: {reason}", service.id),
        ServicePhase::Removing => format!("{} is being removed", service.id),
    };
    let mut details: Vec<String> =
        progress.waits_for.into_iter().map(|on| format!("waits for {on}")).collect();
    let tasks: Vec<&Arc<Task>> = state.cluster.tasks_of(&service.id).collect();
    details.extend(tasks.iter().map(|task| sentence(state, task)));
    let waiting = tasks.iter().find(|task| task.state == TaskState::Pending);
    let nodes = waiting.map(|task| verdicts(state, task, now)).unwrap_or_default();
    let hint = waiting.map(|task| hint(&view::ask_nodes(&state.cluster, task, now)));
    wire::ExplainResponse { summary, details, nodes, hint: hint.unwrap_or_default() }
}

fn explain_task(state: &State, task: &Task, now: Timestamp) -> wire::ExplainResponse {
    let asked = view::ask_nodes(&state.cluster, task, now);
    let is_waiting = task.state == TaskState::Pending;
    wire::ExplainResponse {
        summary: sentence(state, task),
        details: task.containers.iter().map(container).collect(),
        nodes: verdicts(state, task, now),
        hint: if is_waiting { hint(&asked) } else { String::new() },
    }
}

fn sentence(state: &State, task: &Task) -> String {
    let place = task.node.as_ref().map(|node| format!(" on {node}")).unwrap_or_default();
    let why = match &task.state {
        TaskState::Failed { reason, .. } => reason.clone(),
        TaskState::Pending => state.notes.get(&task.id).cloned().unwrap_or_default(),
        TaskState::Assigned
        | TaskState::Preparing
        | TaskState::Running { .. }
        | TaskState::Completed
        | TaskState::Lost => task.note.clone(),
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

fn verdicts(state: &State, task: &Task, now: Timestamp) -> Vec<wire::NodeVerdict> {
    let asked = view::ask_nodes(&state.cluster, task, now);
    let show = |verdict: NodeVerdict| {
        let score = verdict.score;
        let reasons = match &verdict.refusal {
            Some(refusal) => vec![refusal.clone()],
            None => vec![
                format!("{} of the service in its zone", score.in_zone),
                format!("{} of the service on it", score.on_node),
                format!("{} images to fetch", score.images_missing),
                format!(
                    "{} MiB and {} millicores held",
                    score.memory_bytes >> 20,
                    score.cpu_millis
                ),
            ],
        };
        wire::NodeVerdict {
            task: task.id.to_string(),
            node: verdict.node.to_string(),
            fits: verdict.refusal.is_none(),
            reasons,
        }
    };
    asked.into_iter().map(show).collect()
}

/// The refusal that most nodes agree on is the one whose end helps most.
fn hint(asked: &[NodeVerdict]) -> String {
    if asked.is_empty() {
        return "no node has joined: start an agent".to_owned();
    }
    let mut counts = std::collections::BTreeMap::<&str, usize>::new();
    for refusal in asked.iter().filter_map(|verdict| verdict.refusal.as_deref()) {
        *counts.entry(refusal).or_default() += 1;
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count);
    most.map(|(why, count)| format!("{count} of {} nodes are {why}", asked.len()))
        .unwrap_or_default()
}
