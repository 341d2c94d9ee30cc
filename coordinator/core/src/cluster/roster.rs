//! The tasks of a service: those of each slot, and where all of them are.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use model::id::{ServiceId, Slot, TaskId};
use model::task::Task;
use model::time::Timestamp;

use super::Cluster;
use super::spread::{Spot, Spread};

/// See the module.
#[derive(Debug, Clone, Default)]
pub(crate) struct Roster {
    /// By their numbers: most slots there are, and numbers are found much faster than slots.
    replicas: BTreeMap<u32, Crew>,
    others: BTreeMap<Slot, Crew>,
    pub(super) spread: Spread,
}

/// The tasks of one slot, oldest first. Mostly it is one; several are two at the least.
#[derive(Debug, Clone)]
enum Crew {
    One(Arc<Task>),
    Several(Box<[Arc<Task>]>),
}

/// The same order before and after a restart.
fn age(task: &Task) -> (Timestamp, &TaskId) {
    (task.created_at, &task.id)
}

impl Crew {
    fn tasks(&self) -> &[Arc<Task>] {
        match self {
            Self::One(task) => std::slice::from_ref(task),
            Self::Several(tasks) => tasks,
        }
    }

    fn tasks_mut(&mut self) -> &mut [Arc<Task>] {
        match self {
            Self::One(task) => std::slice::from_mut(task),
            Self::Several(tasks) => tasks,
        }
    }

    fn put(&mut self, task: &Arc<Task>) {
        if let Some(known) = self.tasks_mut().iter_mut().find(|known| known.id == task.id) {
            return *known = Arc::clone(task);
        }
        let mut tasks = self.tasks().to_vec();
        let is_older = |known: &Arc<Task>| age(known) < age(task);
        tasks.insert(tasks.partition_point(is_older), Arc::clone(task));
        *self = Self::Several(tasks.into());
    }
}

impl Roster {
    /// Adds a task to its slot, or replaces it there.
    pub(super) fn put(&mut self, task: &Arc<Task>) {
        match &task.slot {
            Slot::Replica(number) => put(self.replicas.entry(*number), task),
            slot @ (Slot::Node(_) | Slot::RunReplica { .. } | Slot::RunNode { .. }) => {
                put(self.others.entry(slot.clone()), task);
            }
        }
    }

    /// Takes a task out of its slot.
    pub(super) fn remove(&mut self, task: &Task) {
        match &task.slot {
            Slot::Replica(number) => remove(self.replicas.entry(*number), task),
            slot @ (Slot::Node(_) | Slot::RunReplica { .. } | Slot::RunNode { .. }) => {
                remove(self.others.entry(slot.clone()), task);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.replicas.is_empty() && self.others.is_empty()
    }

    /// The slots that have tasks, in their order, and the tasks of each, oldest first.
    pub(super) fn slots(&self) -> impl Iterator<Item = (&Slot, &[Arc<Task>])> {
        let crews = self.replicas.values().chain(self.others.values()).map(Crew::tasks);
        crews.filter_map(|tasks| Some((&tasks.first()?.slot, tasks)))
    }

    /// Those slots that belong to runs.
    pub(super) fn slots_of_runs(&self) -> impl Iterator<Item = (&Slot, &[Arc<Task>])> {
        // They come last in the order of slots.
        let first = Slot::RunReplica { run: 0, number: 0 };
        self.others.range(first..).map(|(slot, crew)| (slot, crew.tasks()))
    }

    /// The tasks of one slot, oldest first.
    pub(crate) fn tasks_in(&self, slot: &Slot) -> &[Arc<Task>] {
        let crew = match slot {
            Slot::Replica(number) => self.replicas.get(number),
            Slot::Node(_) | Slot::RunReplica { .. } | Slot::RunNode { .. } => self.others.get(slot),
        };
        crew.map_or(&[], Crew::tasks)
    }
}

fn put<K: Ord>(entry: Entry<'_, K, Crew>, task: &Arc<Task>) {
    match entry {
        Entry::Occupied(mut crew) => crew.get_mut().put(task),
        Entry::Vacant(slot) => {
            slot.insert(Crew::One(Arc::clone(task)));
        }
    }
}

fn remove<K: Ord>(entry: Entry<'_, K, Crew>, task: &Task) {
    let Entry::Occupied(mut entry) = entry else { return };
    let crew = entry.get_mut();
    match crew {
        Crew::One(known) if known.id == task.id => {
            entry.remove();
        }
        Crew::One(_) => {}
        Crew::Several(tasks) => {
            let others = tasks.iter().filter(|known| known.id != task.id).cloned();
            *crew = match others.collect::<Vec<_>>().as_slice() {
                [last] => Crew::One(Arc::clone(last)),
                others => Crew::Several(others.into()),
            };
        }
    }
}

impl Cluster {
    /// The slots of a service that have tasks, and the tasks of each, oldest first.
    pub(crate) fn slots_of(
        &self,
        service: &ServiceId,
    ) -> impl Iterator<Item = (&Slot, &[Arc<Task>])> {
        self.roster(service).into_iter().flat_map(Roster::slots)
    }

    /// The same of all runs of a job.
    pub(crate) fn slots_of_runs(
        &self,
        service: &ServiceId,
    ) -> impl Iterator<Item = (&Slot, &[Arc<Task>])> {
        self.roster(service).into_iter().flat_map(Roster::slots_of_runs)
    }

    /// The same of one run of a job.
    pub(crate) fn slots_of_run(
        &self,
        service: &ServiceId,
        run: u64,
    ) -> impl Iterator<Item = (&Slot, &[Arc<Task>])> {
        self.slots_of_runs(service).filter(move |(slot, _)| slot.run() == Some(run))
    }

    /// The tasks of a service, if it has any: for whoever asks about many of its slots.
    pub(crate) fn roster(&self, service: &ServiceId) -> Option<&Roster> {
        self.rosters.get(service).map(|roster| &**roster)
    }

    /// The tasks of one slot, oldest first.
    pub(crate) fn tasks_in(&self, service: &ServiceId, slot: &Slot) -> &[Arc<Task>] {
        self.rosters.get(service).map_or(&[], |roster| roster.tasks_in(slot))
    }

    /// The tasks of a service by slot, and those of a slot oldest first.
    pub fn tasks_of(&self, service: &ServiceId) -> impl Iterator<Item = &Arc<Task>> {
        self.slots_of(service).flat_map(|(_, tasks)| tasks)
    }

    /// Where the tasks of a service are.
    pub(crate) fn spread(&self, service: &ServiceId) -> Option<&Spread> {
        self.rosters.get(service).map(|roster| &roster.spread).filter(|spread| spread.total() > 0)
    }

    /// Where a task counts, if it does.
    pub(crate) fn spot(&self, task: &Task) -> Option<Spot> {
        self.ledger(task.booked_on()?)?.spot(task)
    }
}
