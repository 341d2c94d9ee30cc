//! Whether what a service depends on has come far enough. Asked only while the service is being rolled out: a database
//! that falls does not keep the web server beside it from being replaced.

use std::sync::Arc;

use model::id::{ServiceId, ServiceName};
use model::job::RunVerdict;
use model::service::{Service, ServicePhase};
use model::spec::{Dependency, DependencyCondition};
use model::task::{Task, TaskState};

use crate::cluster::Cluster;
use crate::plan::job;

/// Says whether tasks of the service may be made.
pub(crate) fn is_free(cluster: &Cluster, service: &Service) -> bool {
    missing(cluster, service).is_none()
}

/// The first thing that the service waits for.
pub(crate) fn missing<'a>(
    cluster: &Cluster,
    service: &'a Service,
) -> Option<&'a Dependency<ServiceName>> {
    match service.phase {
        ServicePhase::Rolling(_) => {}
        ServicePhase::Steady | ServicePhase::Halted { .. } | ServicePhase::Removing => return None,
    }
    service.target.spec.after.iter().find(|after| !is_met(cluster, &service.id, after))
}

fn is_met(cluster: &Cluster, id: &ServiceId, after: &Dependency<ServiceName>) -> bool {
    let on = ServiceId { project: id.project.clone(), name: after.on.clone() };
    if let Some(job) = job::find(cluster, &on) {
        return is_met_by_job(cluster, &job, after.condition);
    }
    let mut tasks = cluster.tasks_of(&on);
    let template = cluster.services().get(&on).map(|service| service.target.template);
    let wanted = |task: &Arc<Task>| task.is_wanted();
    match after.condition {
        DependencyCondition::Started => {
            let began = |state: &TaskState| {
                matches!(state, TaskState::Running { .. } | TaskState::Completed)
            };
            tasks.any(|task| wanted(task) && began(&task.state))
        }
        DependencyCondition::Healthy => {
            tasks.any(|task| wanted(task) && task.serving_since().is_some())
        }
        DependencyCondition::Completed => tasks.any(|task| {
            task.state == TaskState::Completed && Some(task.generation.template) == template
        }),
    }
}

/// What depends on a job waits for a run of what is its target now: what an earlier one did is not enough.
fn is_met_by_job(cluster: &Cluster, job: &Service, condition: DependencyCondition) -> bool {
    let template = job.target.template;
    let mut past = job.runs.past.iter().filter(|run| run.template == template);
    let mut live = cluster.tasks_of(&job.id).filter(|task| task.generation.template == template);
    match condition {
        DependencyCondition::Started => {
            let began = |task: &Arc<Task>| {
                matches!(task.state, TaskState::Running { .. } | TaskState::Completed)
            };
            past.next().is_some() || live.any(began)
        }
        DependencyCondition::Healthy => live.any(|task| task.serving_since().is_some()),
        DependencyCondition::Completed => past.any(|run| run.verdict == RunVerdict::Succeeded),
    }
}
