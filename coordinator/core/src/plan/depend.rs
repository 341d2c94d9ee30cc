//! Whether what a service depends on has come far enough. Asked only while the service is being rolled out: a database
//! that falls does not keep the web server beside it from being replaced.

use std::sync::Arc;

use model::id::{ServiceId, ServiceName};
use model::service::{Service, ServicePhase};
use model::spec::{Dependency, DependencyCondition};
use model::task::{Task, TaskState};

use crate::cluster::Cluster;

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
    let mut tasks = cluster.tasks_of(&on);
    let wanted = |task: &Arc<Task>| task.is_wanted();
    match after.condition {
        DependencyCondition::Started => {
            let began = |state: &TaskState| {
                matches!(state, TaskState::Running { .. } | TaskState::Completed)
            };
            tasks.any(|task| wanted(task) && began(&task.state))
        }
        DependencyCondition::Healthy => {
            tasks.any(|task| wanted(task) && task.state.serving_since().is_some())
        }
        DependencyCondition::Completed => tasks.any(|task| task.state == TaskState::Completed),
    }
}
