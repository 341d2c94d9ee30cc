//! Finds a node for each task that has none.

mod count;
mod field;
pub(crate) mod filter;
mod leaning;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::id::{NodeId, ServiceId, ServiceName, Slot};
use model::node::Node;
use model::resources::Resources;
use model::spec::Strategy;
use model::task::{DesiredState, Task, TaskState};
use model::time::Timestamp;

pub(crate) use self::count::Counts;
use self::field::Field;
use self::filter::{Refusal, Seat, refusal};
pub(crate) use self::leaning::Leaning;
use crate::cluster::{Age, Change, Cluster, Ledger, Load, Packing};
use crate::draft::Draft;
use crate::plan::Scope;
use crate::plan::budget::{Purpose, ask};
use crate::plan::preempt::{self, Rooms};

pub(crate) fn pass(draft: &mut Draft<'_>, id: &ServiceId, scope: &Scope) {
    let is_waiting =
        |task: &&Arc<Task>| task.state == TaskState::Pending && task.desired == DesiredState::Run;
    let waiting: Vec<_> = scope.tasks(draft.cluster, id).filter(is_waiting).cloned().collect();
    let made = std::mem::take(&mut draft.made);
    // For a few tasks it is not worth it to look at every node.
    let how = if waiting.len() + made.len() <= FEW { How::Walk } else { How::Survey };
    let tasks = scope.tasks(draft.cluster, id);
    let failed: BTreeSet<Slot> = tasks.filter(has_failed).map(|task| task.slot.clone()).collect();
    // What failed on a node before looks for another, by itself.
    let is_alone = |task: &Task| failed.contains(&task.slot) || task.room_on.is_some();
    let how = |task: &Task| if is_alone(task) { How::Walk } else { how };
    let mut search = Search::default();
    let (mut overdue_at, written) = (None, draft.written());
    for mut task in waiting {
        // Those that were made have to be written.
        if draft.room() <= made.len() {
            scope.put_off(draft, id);
            break;
        }
        // Where room was made for it counts for the others and not for itself (simulation, seed 1304). Where nobody finds a node it
        // finds none either.
        let is_promised = task.room_on.is_some() && !search.has_none_for(&task);
        let is_apart = is_apart(&task, &failed) || is_promised;
        if is_apart {
            search.forget();
        }
        let found = place(draft, &mut search, (&task, how(&task)));
        let is_stale = is_apart && (found.is_some() || !is_promised);
        if let Some(node) = found {
            overdue_at = overdue_at.into_iter().chain([overdue(draft.now, &task)]).min();
            // It has waited: there was little room, and what was placed then may be crowded.
            draft.cluster.round.begin(draft.now);
            draft.give_back(&task, Some(&node));
            put_on(&mut task, node, draft.now);
            draft.write(Change::PutTask(task));
        } else {
            preempt::make_room(draft, &mut search.rooms, (&task, made.len()));
        }
        if is_stale {
            search.forget();
        }
    }
    for mut task in made {
        let is_apart = is_apart(&task, &failed);
        if is_apart {
            search.forget();
        }
        if let Some(node) = place(draft, &mut search, (&task, how(&task))) {
            overdue_at = overdue_at.into_iter().chain([overdue(draft.now, &task)]).min();
            put_on(&mut task, node, draft.now);
        } else if draft.cluster.has_below(draft.cluster.priority(id)) {
            // Once it is written room can be made for it.
            draft.touch_slot(id, &task.slot);
        }
        if is_apart {
            search.forget();
        }
        draft.write(Change::PutTask(task));
    }
    // Where one is now another may not go that was promised the same node (simulation, seed 1880).
    if draft.cluster.has_classes() && draft.written() > written {
        let promised = draft.cluster.tasks_of(id).find(|task| task.room_on.is_some());
        promised.is_some().then(|| draft.touch(id));
    }
    // From now on they are expected to come up in time, also when their node is never heard again (simulation, seed 5569).
    overdue_at.into_iter().for_each(|at| draft.wake(id, at));
}

/// Says whether a node is found for the task without what is known of them for the others.
fn is_apart(task: &Task, failed: &BTreeSet<Slot>) -> bool {
    task.slot.node().is_some() || failed.contains(&task.slot)
}

fn has_failed(task: &&Arc<Task>) -> bool {
    matches!(task.state, TaskState::Failed { .. })
}

/// Gives the task its node. Nobody else knows yet of one that was just made, so that it is not copied.
fn put_on(task: &mut Arc<Task>, node: NodeId, now: Timestamp) {
    let task = Arc::make_mut(task);
    (task.node, task.clock_since, task.state) = (Some(node), Some(now), TaskState::Assigned);
    task.room_on = None;
}

/// When a task that is placed now should serve.
fn overdue(now: Timestamp, task: &Task) -> Timestamp {
    now + task.generation.spec.update.progress_deadline
}

/// The best node for the task; when there is none it is said why.
fn place(draft: &mut Draft<'_>, search: &mut Search, (task, how): (&Task, How)) -> Option<NodeId> {
    if let Some(node) = promised(draft.cluster, task, draft.now) {
        return Some(node.clone());
    }
    if how == How::Walk && task.slot.node().is_none() && !needs_survey(task) {
        draft.cluster.refresh_class(&task.generation.spec);
    }
    match search.find(draft.cluster, (task, how), draft.now) {
        Ok(node) => Some(node),
        Err(note) => {
            if !crowding(draft.cluster, task, draft.now).is_empty() {
                draft.touch(&task.service);
            }
            draft.cluster.waiting.insert(task.service.clone());
            draft.note(&task.id, note);
            None
        }
    }
}

/// The node on which room was made for the task, if it is there by now.
fn promised<'a>(cluster: &Cluster, task: &'a Task, now: Timestamp) -> Option<&'a NodeId> {
    let id = task.room_on.as_ref()?;
    let asked = (task, Counts::beside(cluster, task));
    let is_there = refusal(cluster, asked, seat(cluster, id)?, now).is_none();
    is_there.then_some(id)
}

/// So many tasks of a service are placed one by one. Beyond that one survey of all nodes costs less.
const FEW: usize = 8;

/// How a node is looked for. Both ways find the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// From the emptiest node on: see [`walk`].
    Walk,
    /// Among all, of which each is judged once: see [`field`].
    Survey,
}

/// What was found out about the nodes for tasks of one generation, for the next of its tasks.
#[derive(Debug, Default)]
struct Search {
    of: Option<u64>,
    rooms: Rooms,
    field: Option<Field>,
    /// What all nodes say, once none is left.
    note: Option<String>,
}

impl Search {
    /// A task was dealt with that is bound to a node. What it takes there was found without a look at what is known of the
    /// others, so that nothing is known any more (simulation, seed 327).
    fn forget(&mut self) {
        (self.of, self.field, self.note) = (None, None, None);
    }

    /// Says whether no node was found for tasks of the same generation.
    fn has_none_for(&self, task: &Task) -> bool {
        self.of == Some(task.generation.number) && self.note.is_some()
    }

    /// The best node for the task, or what all of them say against it.
    fn find(
        &mut self,
        cluster: &mut Cluster,
        (task, how): (&Task, How),
        now: Timestamp,
    ) -> Result<NodeId, String> {
        if let Some(id) = task.slot.node() {
            return own_node(cluster, task, id, now);
        }
        if self.of != Some(task.generation.number) {
            let is_surveyed = how == How::Survey || needs_survey(task);
            let field = is_surveyed.then(|| survey(cluster, task, now));
            *self = Self { of: Some(task.generation.number), field, ..Self::default() };
        }
        // Where one finds no node, the next of the same generation finds none either: nothing comes free in between.
        if let Some(note) = &self.note {
            return Err(note.clone());
        }
        if self.field.is_none() {
            let found = walk::first(cluster, task, now);
            // A survey is for tasks of which none has failed anywhere.
            let has_failed = || Counts::beside(cluster, task).failed_on().next().is_some();
            debug_assert!(has_failed() || is_first_of_all(cluster, (task, found.as_ref()), now));
            return found.ok_or_else(|| self.note.insert(explain(cluster, task, now)).clone());
        }
        let found = self.field.as_mut().and_then(|field| field.take(cluster, task));
        found.ok_or_else(|| self.note.get_or_insert_with(|| explain(cluster, task, now)).clone())
    }
}

/// Every node, judged for tasks like this one.
fn survey(cluster: &mut Cluster, task: &Task, now: Timestamp) -> Field {
    let spec = &task.generation.spec;
    let suits = cluster.suiting(spec.task.of_node());
    cluster.keep_ground(&spec.preferences);
    Field::survey(cluster, (task, &suits), now)
}

/// Says whether the best node is only known when all were looked at: no order of nodes by which they could be walked through
/// knows of preferences and of data.
fn needs_survey(task: &Task) -> bool {
    let spec = &task.generation.spec;
    let mut mounts =
        spec.task.own_volumes().map(|_| ()).chain(spec.task.host_volumes().map(|_| ()));
    !spec.preferences.is_empty() || mounts.next().is_some()
}

/// Says whether a survey of all nodes gives the same. Asked in tests only, and of small clusters, where it costs little.
fn is_first_of_all(
    cluster: &Cluster,
    (task, found): (&Task, Option<&NodeId>),
    now: Timestamp,
) -> bool {
    let spec = &task.generation.spec.task;
    let survey = || {
        let seats = cluster.nodes_with_ledgers();
        let suits: Vec<bool> =
            seats.map(|(node, ledger)| ledger.meets(node, spec.of_node())).collect();
        Field::survey(cluster, (task, &suits), now).take(cluster, task)
    };
    cluster.nodes().len() > 16 || survey().as_ref() == found
}

/// A slot that belongs to a node is filled there or not at all.
fn own_node(cluster: &Cluster, task: &Task, id: &NodeId, now: Timestamp) -> Result<NodeId, String> {
    let Some(seat) = seat(cluster, id) else {
        return Err(format!("waits: node {id} is not there"));
    };
    match refusal(cluster, (task, Counts::beside(cluster, task)), seat, now) {
        None => Ok(id.clone()),
        Some(why) => Err(format!("waits: node {id} is {why}")),
    }
}

pub(crate) fn seat<'a>(cluster: &'a Cluster, id: &NodeId) -> Option<Seat<'a>> {
    Some((cluster.nodes().get(id)?, cluster.ledger(id)?))
}

/// Tasks of the same slot that have to go before there is room for this one. A slot that belongs to a node can not look
/// for room elsewhere: on a full node its old task and the new one would wait for each other for ever.
pub(crate) fn crowding(cluster: &Cluster, task: &Task, now: Timestamp) -> Vec<Arc<Task>> {
    let Slot::Node(id) = &task.slot else { return Vec::new() };
    let Some(seat) = seat(cluster, id).filter(|_| task.state == TaskState::Pending) else {
        return Vec::new();
    };
    let blocks = |other: &&Arc<Task>| {
        other.slot == task.slot && other.id != task.id && other.desired == DesiredState::Run
    };
    let old: Vec<_> = cluster.tasks_of(&task.service).filter(blocks).cloned().collect();
    let held = old.iter().filter(|task| !task.state.is_final());
    let freed: Resources = held.map(|task| task.generation.spec.task.reservation()).sum();
    let (node, ledger) = seat;
    let free = node.capacity.minus(&ledger.held) + freed;
    let helps = task.generation.spec.task.reservation().fits(&free);
    let counts = Counts::beside(cluster, task);
    let refused = || refusal(cluster, (task, counts), seat, now);
    let is_full = || matches!(refused(), Some(Refusal::Full(_)));
    let service = cluster.services().get(&task.service);
    let may = |old: &Arc<Task>| {
        service.is_some_and(|service| ask(cluster, service, old, Purpose::Rollout).is_ok())
    };
    if helps && is_full() && old.iter().all(may) { old } else { Vec::new() }
}

/// Says whether another node than its own would take the task now, or what all of them say against it.
pub(crate) fn elsewhere(cluster: &Cluster, task: &Task, now: Timestamp) -> Result<(), String> {
    let asked = (task, Counts::beside(cluster, task));
    let takes = |(node, ledger): (&Arc<Node>, _)| {
        task.node.as_ref() != Some(&node.id)
            && refusal(cluster, asked, (node, ledger), now).is_none()
    };
    let mut nodes = cluster.nodes_with_ledgers();
    if nodes.any(takes) { Ok(()) } else { Err(explain(cluster, task, now)) }
}

/// Says whether the task would be better on another node than its own: with more of what its service would rather have; with as
/// much of that and fewer of its service in the zone; or with as many there and fewer on the node. It would then not be
/// better on its own node any more.
pub(crate) fn is_better_elsewhere(cluster: &mut Cluster, task: &Task, now: Timestamp) -> bool {
    let best = if needs_survey(task) {
        survey(cluster, task, now).take(cluster, task)
    } else {
        cluster.refresh_class(&task.generation.spec);
        walk::first(cluster, task, now)
    };
    let counts = Counts::beside(cluster, task);
    let leaning = Leaning::beside(cluster, task, counts);
    let rank = |id: &NodeId| {
        let asked = (task, counts, leaning.as_ref());
        let score = score(cluster, asked, seat(cluster, id)?);
        // Tasks that are packed shall be close together.
        let on_node = match task.generation.spec.strategy {
            Strategy::Spread => score.on_node,
            Strategy::Binpack => 0,
        };
        Some((score.preference, score.in_zone, on_node))
    };
    let (here, there) = (task.node.as_ref().and_then(rank), best.as_ref().and_then(rank));
    here.zip(there).is_some_and(|(here, there)| there < here)
}

/// What all nodes say against the task.
fn explain(cluster: &Cluster, task: &Task, now: Timestamp) -> String {
    let counts = Counts::beside(cluster, task);
    let mut refusals: BTreeMap<Refusal, usize> = BTreeMap::new();
    for (node, ledger) in cluster.nodes_with_ledgers() {
        let refusal = refusal(cluster, (task, counts), (node, ledger), now);
        refusal.into_iter().for_each(|refusal| *refusals.entry(refusal).or_default() += 1);
    }
    if refusals.is_empty() {
        return "waits: there are no nodes yet".to_owned();
    }
    let parts: Vec<_> = refusals.iter().map(|(why, count)| format!("{count} {why}")).collect();
    format!("waits: of all nodes {}", parts.join(", "))
}

/// Why one node is better than another: the first term that differs decides, and less is better. How much tasks hold there
/// decides where they are spread; where they are packed it only tells apart nodes that are equally good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Score {
    /// Whether a task of the same slot has failed there because the node or its engine could not run it, or got no image: it may
    /// be the node, so others are tried first.
    pub has_failed: bool,
    /// Whether the node is to be replaced by a newer one: what goes there will move again.
    pub is_fenced: bool,
    /// Whether the task would begin without the data that one of its service has left on another node, or may have.
    pub is_without_data: bool,
    /// What the node costs by the preferences of the service, in hundredths of a weight: see [`model::preference`].
    pub preference: u64,
    /// Tasks of the service that stay in the zone of the node, of the same template: what fails together is spread first.
    pub in_zone: usize,
    /// What the node would be left with; nothing where tasks are spread.
    pub packing: Packing,
    /// Tasks of the service that stay on the node, of the same template.
    pub on_node: usize,
    /// Whether the machine will be replaced sooner or later.
    pub age: Age,
    /// What the node would have to fetch first of the images, in MiB; layers that it has are there already.
    pub fetch_mib: usize,
    /// What tasks hold there.
    pub load: Load,
}

/// The score of a node for a task, as if the task had no node.
pub(crate) fn score(
    cluster: &Cluster,
    (task, counts, leaning): (&Task, Counts<'_>, Option<&Leaning>),
    (node, ledger): Seat<'_>,
) -> Score {
    let is_there = task.booked_on() == Some(&node.id) && !task.state.is_final();
    let spec = &task.generation.spec.task;
    let own = if is_there { spec.reservation() } else { Resources::default() };
    let held = ledger.held.minus(&own);
    let packing = match task.generation.spec.strategy {
        Strategy::Spread => Packing::default(),
        Strategy::Binpack => {
            cluster.mix().packing(&node.capacity.minus(&held), &spec.reservation())
        }
    };
    Score {
        has_failed: counts.failed_on().any(|failed| *failed == node.id),
        is_fenced: cluster.is_fenced(&node.id),
        is_without_data: is_without_data(task, (ledger, counts.present(ledger.number))),
        preference: leaning.map_or(0, |leaning| leaning.cost(ledger.number)),
        in_zone: ledger.zone.map_or(0, |zone| counts.in_zone(zone)),
        packing,
        on_node: counts.on_node(ledger.number),
        age: ledger.age,
        fetch_mib: cluster.fetch_mib(ledger, spec),
        load: Load::of(&held),
    }
}

/// Says whether a task that keeps data finds none on the node: none was left there, or another of its service uses it.
fn is_without_data(task: &Task, (ledger, present): (&Ledger, usize)) -> bool {
    let mut own = task.generation.spec.task.own_volumes().peekable();
    let lacks = |name: &ServiceName| !ledger.has_own_volume(&task.service.project, name);
    own.peek().is_some() && (present > 0 || own.any(lacks))
}
