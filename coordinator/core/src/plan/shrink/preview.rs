//! What would become of a pool that is made smaller, by the same judgement that acts: one machine after the other is taken away
//! from a copy, with its tasks where they were judged to go, until none could be done without.

use std::sync::Arc;

use model::fleet::Pool;
use model::node::{Availability, Node};
use model::resources::Resources;
use model::task::Task;
use model::time::Timestamp;

use super::JUDGED;
use super::judge::{Verdict, verdicts};
use crate::cluster::{Change, Cluster};

/// So many machines are taken away in thought. Whoever can spare more can ask again.
const MOST: usize = 500;

/// The machines that would go, in their order, then those that would stay, and why; and what those that go free together.
#[must_use]
pub fn consolidation(cluster: &Cluster, pool: &Pool, now: Timestamp) -> (Vec<Verdict>, Resources) {
    let mut copy = cluster.clone();
    let mut judged = Vec::new();
    while judged.len() < MOST {
        let next = verdicts(&copy, (pool, JUDGED), now).into_iter();
        let Some(next) = next.into_iter().find(|one| one.stays.is_none()) else { break };
        take_away(&mut copy, &next);
        judged.push(next);
    }
    let freed = judged.iter().map(|verdict| verdict.capacity).sum();
    judged.extend(verdicts(&copy, (pool, usize::MAX), now));
    (judged, freed)
}

/// The machine is not there any more, and its tasks are where they would go.
fn take_away(copy: &mut Cluster, verdict: &Verdict) {
    for (id, to) in &verdict.moves {
        let Some(task) = copy.tasks().get(id).cloned() else { continue };
        copy.apply(&Change::PutTask(Arc::new(Task { node: Some(to.clone()), ..(*task).clone() })));
    }
    let id = &verdict.instance;
    if let Some(node) = copy.nodes().get(id).cloned() {
        let dead = Node { availability: Availability::Dead, drain: None, ..(*node).clone() };
        copy.apply(&Change::PutNode(Arc::new(dead)));
        copy.fleet.instances.remove(id);
        if let Some(group) = node.pool.as_ref().and_then(|pool| copy.fleet.groups.get_mut(pool)) {
            group.desired = group.desired.saturating_sub(1);
        }
    }
}
