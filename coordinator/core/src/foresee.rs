//! What would happen: the same steps on a copy of the cluster, in a world where everything that is asked for succeeds.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::id::{NodeId, TaskId};
use model::image::Image;
use model::node::DrainCause;
use model::task::{DesiredState, Health, Task, TaskState};
use model::time::Timestamp;

use crate::cluster::{Cluster, Sighting};
use crate::event::{EngineState, Event, Refusal, Reply, Report};
use crate::step;
use crate::view::{self, Wait};

/// More turns than a drain takes: three for each of the most tasks that a node can have had at once in our benchmarks.
const TURNS: usize = 10_000;

/// What would become of a task of a node that is emptied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leave {
    /// Which.
    pub task: TaskId,
    /// Where another would take its place.
    pub to: Option<NodeId>,
    /// What it would wait for until the deadline, if it would.
    pub forced: Option<Wait>,
}

/// Says what would become of the tasks of a node that is emptied, in the order in which they would leave.
///
/// # Errors
/// When the drain itself would be refused.
pub fn drain(
    cluster: &Cluster,
    node: &NodeId,
    within: Duration,
    now: Timestamp,
) -> Result<Vec<Leave>, Refusal> {
    let mut world = World::new(cluster, now);
    let asked = Event::Drain { node: node.clone(), within, cause: DrainCause::Operator };
    let mut events = vec![asked];
    let end = now + within + Duration::from_secs(1);
    let (mut left, mut waits) = (Vec::new(), BTreeMap::new());
    let told = |world: &World| -> Vec<TaskId> {
        let on = world.cluster.tasks_on(node);
        on.filter(|task| task.desired != DesiredState::Run).map(|task| task.id.clone()).collect()
    };
    let mut known: BTreeSet<TaskId> = told(&world).into_iter().collect();
    let here: Vec<Task> = live(cluster, node).collect();
    for _ in 0..TURNS {
        let deadline_at = world.deadline(node);
        let is_forced = deadline_at.is_some_and(|at| at <= world.now) || within.is_zero();
        world.turn(&events)?;
        for id in told(&world).into_iter().filter(|id| known.insert(id.clone())) {
            let forced = waits.remove(&id).filter(|wait| is_forced && *wait != Wait::Others);
            left.push((id, forced));
        }
        waits.extend(view::leaving(&world.cluster, node, world.now));
        if live(&world.cluster, node).next().is_none() || world.now > end {
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
            Some(Leave { to: world.heir(task), task: id, forced })
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

fn live<'a>(cluster: &'a Cluster, node: &'a NodeId) -> impl Iterator<Item = Task> + 'a {
    cluster.tasks_on(node).filter(|task| !task.state.is_final()).map(|task| (**task).clone())
}

struct World {
    cluster: Cluster,
    now: Timestamp,
    wake_at: Option<Timestamp>,
    fetches: BTreeMap<NodeId, BTreeSet<Image>>,
    /// Those that are heard now, and go on being heard.
    heard: Vec<(NodeId, Sighting)>,
}

impl World {
    fn new(cluster: &Cluster, now: Timestamp) -> Self {
        let mut cluster = cluster.clone();
        // Nobody stores what comes of it.
        cluster.bound(usize::MAX);
        let heard = cluster.nodes().values().filter(|node| cluster.takes_work(node, now));
        let heard = heard.filter_map(|node| Some((node.id.clone(), cluster.sighting(&node.id)?)));
        let (heard, fetches) = (heard.collect(), BTreeMap::new());
        Self { heard, now, wake_at: None, fetches, cluster }
    }

    fn turn(&mut self, events: &[Event]) -> Result<(), Refusal> {
        for (node, seen) in &self.heard {
            self.cluster.saw(node, Sighting { at: self.now, ..*seen });
        }
        let done = step(&mut self.cluster, events, self.now);
        self.wake_at = done.wake_at;
        self.fetches = done.fetches;
        let refused = |reply| match reply {
            Reply::Refused(refusal) => Some(refusal),
            Reply::Noted | Reply::Accepted { .. } | Reply::Run { .. } | Reply::Deployed(_) => None,
        };
        done.replies.into_iter().find_map(refused).map_or(Ok(()), Err)
    }

    /// What is to run runs, and what is to stop has stopped.
    fn succeed(&self) -> Vec<Event> {
        let now = self.now;
        let report = |task: &Task| {
            let state = match (task.desired, &task.state) {
                (DesiredState::Stop { .. }, state) if !state.is_final() => TaskState::Completed,
                (
                    DesiredState::Run,
                    TaskState::Assigned | TaskState::Fetching | TaskState::Preparing,
                ) => TaskState::Running { since: now, health: Health::Healthy },
                (DesiredState::Run, TaskState::Running { health: Health::Starting, .. }) => {
                    TaskState::Running { since: now, health: Health::Healthy }
                }
                (DesiredState::Run | DesiredState::Stop { .. }, _) => return None,
            };
            let (restarts, note, containers) = (task.restarts, String::new(), Vec::new());
            let report = Report { task: task.id.clone(), state, restarts, note, containers };
            let node = task.node.clone().filter(|node| self.is_heard(node))?;
            Some(Event::Reported { node, tasks: vec![report], is_complete: false })
        };
        let reports = self.cluster.tasks().values().filter_map(|task| report(task));
        reports.chain(self.fetched()).collect()
    }

    /// What nodes were asked to fetch is there.
    fn fetched(&self) -> impl Iterator<Item = Event> {
        self.fetches.iter().map(|(node, images)| {
            let there = self.cluster.images(node).map(|there| (**there).clone());
            let mut digests = there.unwrap_or_default();
            digests.extend(images.iter().map(|image| image.digest().clone()));
            Event::Images { node: node.clone(), digests }
        })
    }

    fn is_heard(&self, node: &NodeId) -> bool {
        let is_ready = |seen: &Sighting| seen.engine == EngineState::Ready;
        self.heard.iter().any(|(heard, seen)| heard == node && is_ready(seen))
    }

    /// Goes on to when time alone changes something. Gives false when that never happens.
    fn sleep(&mut self) -> bool {
        let next = self.wake_at.filter(|at| *at > self.now);
        self.now = next.unwrap_or(self.now);
        next.is_some()
    }

    fn deadline(&self, node: &NodeId) -> Option<Timestamp> {
        self.cluster.nodes().get(node)?.drain.map(|drain| drain.deadline)
    }

    /// Where the task that has taken the place of this one is.
    fn heir(&self, task: &Task) -> Option<NodeId> {
        let beside = self.cluster.tasks_of(&task.service);
        let mut heirs = beside.filter(|other| other.slot == task.slot && other.is_wanted());
        heirs.find(|heir| heir.id != task.id && !heir.state.is_final())?.node.clone()
    }
}
