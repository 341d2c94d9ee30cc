//! What must hold of load balancers.

use std::collections::BTreeSet;

use model::id::TaskId;
use model::task::DesiredState;
use model::traffic::Traffic;

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
    let booked: BTreeSet<&TaskId> = cluster.held_for_traffic().map(|task| &task.id).collect();
    if held != booked {
        broken.push("the stops that wait for load balancers are not those in the book".to_owned());
    }
}
