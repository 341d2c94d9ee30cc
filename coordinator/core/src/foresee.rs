//! What would happen: the same steps on a copy of the cluster, in a world where everything that is asked for succeeds.

mod refresh;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::id::{NodeId, TaskId};
use model::node::DrainCause;
use model::task::{DesiredState, Task};
use model::time::Timestamp;

pub use self::refresh::{RefreshPlan, Replacement, refresh, rest};

use self::world::World;
use crate::cluster::Cluster;
use crate::event::{Event, Refusal};
use crate::view::{self, Wait};

/// More turns than a drain takes: three for each of the most tasks that a node can have had at once in our benchmarks.
const TURNS: usize = 10_000;

/// What would become of a task of a node that is emptied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leave {
    /// Which.
    pub task: TaskId,
    /// Where it is.
    pub from: NodeId,
    /// From the beginning of the drain until it has left, if others start as fast as those that run and all images are there.
    /// None when it would not leave.
    pub after: Option<Duration>,
    /// Where another would take its place.
    pub to: Option<NodeId>,
    /// What it would wait for until the deadline, if it would.
    pub forced: Option<Wait>,
}

/// Says what would become of the tasks of nodes that are emptied together, in the order in which they would be told to leave.
///
/// # Errors
/// When the drain itself would be refused.
pub fn drain(
    cluster: &Cluster,
    nodes: &[NodeId],
    within: Duration,
    now: Timestamp,
) -> Result<Vec<Leave>, Refusal> {
    let mut world = World::new(cluster, now);
    let asked = Event::Drain { nodes: nodes.to_vec(), within, cause: DrainCause::Operator };
    let mut events = vec![asked];
    let end = now + within + Duration::from_secs(1);
    let (mut left, mut waits) = (Vec::new(), BTreeMap::new());
    let told = |world: &World| -> Vec<TaskId> {
        let on = nodes.iter().flat_map(|node| world.cluster.tasks_on(node));
        on.filter(|task| task.desired != DesiredState::Run).map(|task| task.id.clone()).collect()
    };
    let mut known: BTreeSet<TaskId> = told(&world).into_iter().collect();
    let here: Vec<Task> = live(cluster, nodes).collect();
    for _ in 0..TURNS {
        let deadline_at = nodes.iter().filter_map(|node| world.deadline(node)).min();
        let is_forced = deadline_at.is_some_and(|at| at <= world.now) || within.is_zero();
        world.turn(&events)?;
        for id in told(&world).into_iter().filter(|id| known.insert(id.clone())) {
            let forced = waits.remove(&id).filter(|wait| is_forced && *wait != Wait::Others);
            left.push((id, forced));
        }
        for node in nodes {
            waits.extend(view::leaving(&world.cluster, node, world.now));
        }
        if live(&world.cluster, nodes).next().is_none() || world.now > end {
            break;
        }
        events = world.succeed();
        if events.is_empty() && !world.sleep() {
            break;
        }
    }
    Ok(left
        .into_iter()
        .filter_map(|(id, forced)| {
            let task = here.iter().find(|task| task.id == id)?;
            let after = world.ended_at(&id).map(|at| at.since(now));
            Some(Leave { from: task.node.clone()?, to: world.heir(task), task: id, after, forced })
        })
        .collect())
}

/// A task that would move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// Which.
    pub task: TaskId,
    /// Where it is.
    pub from: Option<NodeId>,
    /// Where another would take its place.
    pub to: Option<NodeId>,
}

/// Says which tasks would move to where their services are spread better, in their order.
#[must_use]
pub fn rebalance(cluster: &Cluster, now: Timestamp) -> Vec<Move> {
    let mut world = World::new(cluster, now);
    let (mut events, mut moves) = (vec![Event::Rebalance], Vec::<Task>::new());
    for _ in 0..TURNS {
        // Nobody is refused who only asks to have it looked around.
        if world.turn(&events).is_err() {
            break;
        }
        for task in world.cluster.moving() {
            if moves.iter().all(|known| known.id != task.id) {
                moves.push((**task).clone());
            }
        }
        events = world.succeed();
        let is_over = world.cluster.round.at.is_none() && world.cluster.moving().next().is_none();
        if events.is_empty() && (is_over || !world.sleep()) {
            break;
        }
    }
    let told = moves.into_iter().map(|task| Move {
        to: world.heir(&task),
        task: task.id.clone(),
        from: task.node,
    });
    told.collect()
}

fn live<'a>(cluster: &'a Cluster, nodes: &'a [NodeId]) -> impl Iterator<Item = Task> + 'a {
    let on = nodes.iter().flat_map(|node| cluster.tasks_on(node));
    on.filter(|task| !task.state.is_final()).map(|task| (**task).clone())
}
