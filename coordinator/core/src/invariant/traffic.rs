//! What must hold of load balancers.

use std::collections::BTreeSet;

use model::id::TaskId;
use model::task::DesiredState;
use model::traffic::{RegistrationPhase, Traffic};

use crate::cluster::Cluster;

pub(super) fn check(cluster: &Cluster, broken: &mut Vec<String>) {
    let mut held = BTreeSet::new();
    for task in cluster.tasks().values() {
        let has_routes = !task.generation.spec.task.routes.is_empty();
        let is_sound = match (task.traffic, task.desired) {
            (Traffic::Out, _) => true,
            (Traffic::In { .. }, DesiredState::Run) => has_routes && !task.state.is_final(),
            (Traffic::Leaving { .. }, DesiredState::Stop { .. }) => {
                held.insert(&task.id);
                has_routes && !task.state.is_final()
            }
            (Traffic::In { .. }, DesiredState::Stop { .. })
            | (Traffic::Leaving { .. }, DesiredState::Run) => false,
        };
        if !is_sound {
            broken.push(format!(
                "task {} is {} and to {:?}, and stands with its load balancers as {:?}",
                task.id, task.state, task.desired, task.traffic
            ));
        }
    }
    for known in cluster.registrations().values() {
        let task = cluster.tasks().get(&known.task);
        let is_dark = task.is_some_and(|task| cluster.is_dark(task));
        let is_entering = known.phase == RegistrationPhase::Entering;
        // What was not looked at in this step is in the next.
        if is_dark && is_entering && !cluster.traffic.touched.contains(&known.task) {
            broken.push(format!(
                "{} is registered for {}, which its service has not switched to",
                known.id, known.task
            ));
        }
    }
    let booked: BTreeSet<&TaskId> = cluster.held_for_traffic().map(|task| &task.id).collect();
    if held != booked {
        broken.push("the stops that wait for load balancers are not those in the book".to_owned());
    }
}
