//! How tasks stand with their load balancers, in words.

use model::task::{Task, TaskState};
use model::traffic::{Registration, RegistrationPhase, TargetHealth, Traffic};

use crate::cluster::Cluster;

const BEFORE_SWITCH: &str = "gets no requests before its service is switched to it";
const AFTER_SWITCH: &str = "gets no requests any more, and is kept in case the new tasks fail";

/// What a task waits for until its load balancers send it requests, if it does.
#[must_use]
pub fn traffic_wait(cluster: &Cluster, task: &Task) -> Option<String> {
    let runs = matches!(task.state, TaskState::Running { .. });
    let routes = &task.generation.spec.task.routes;
    if !runs || task.traffic != Traffic::Out || !task.is_wanted() || routes.is_empty() {
        return None;
    }
    if let Some(service) = cluster.services().get(&task.service)
        && service.keeps_dark(task.generation.template)
    {
        let is_new = task.generation.template == service.target.template;
        return Some(if is_new { BEFORE_SWITCH } else { AFTER_SWITCH }.to_owned());
    }
    let mut known = cluster.registrations_of(&task.id).filter(|known| is_entering(known));
    let Some(first) = known.next() else {
        return Some("waits: its node has not said where its ports are".to_owned());
    };
    let mut all = std::iter::once(first).chain(known);
    all.find_map(|known| lacks(cluster, known))
}

fn is_entering(registration: &Registration) -> bool {
    registration.phase == RegistrationPhase::Entering
}

/// What keeps a target group from sending requests.
fn lacks(cluster: &Cluster, registration: &Registration) -> Option<String> {
    let group = &registration.id.group;
    let (entering, phase) = (RegistrationPhase::Entering, registration.phase);
    if let Some(failure) = cluster.traffic.failed.get(&(group.clone(), phase)) {
        return Some(format!("waits: {group} did not take it: {}", failure.why));
    }
    match cluster.shown_by(group) {
        None => return Some(format!("waits: {group} has not been looked at yet")),
        Some(Err(unseen)) => {
            return Some(format!("waits: {group} can not be seen: {}", unseen.why));
        }
        Some(Ok(_)) => debug_assert_eq!(phase, entering, "only what enters is waited for"),
    }
    match cluster.health_of(&registration.id) {
        None => Some(format!("waits: is being registered in {group}")),
        Some(TargetHealth::Initial) => Some(format!("waits: {group} has not found it healthy yet")),
        Some(TargetHealth::Unhealthy { why }) => {
            Some(format!("fails the health checks of {group}: {why}"))
        }
        Some(TargetHealth::Draining) => Some(format!("waits: {group} still shows it as leaving")),
        Some(TargetHealth::Healthy | TargetHealth::Unchecked) => None,
    }
}
