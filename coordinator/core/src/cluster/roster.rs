//! The tasks of a service: those of each slot, and where all of them are.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::id::{Slot, TaskId};
use model::task::Task;
use model::time::Timestamp;

use super::spread::Spread;

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct Roster {
    slots: BTreeMap<Slot, Crew>,
    pub(super) spread: Spread,
}

/// The tasks of one slot, oldest first. Mostly it is one.
#[derive(Debug, Clone)]
enum Crew {
    One(Arc<Task>),
    Several(Vec<Arc<Task>>),
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

    fn put(&mut self, task: &Arc<Task>) {
        let tasks = match self {
            Self::One(known) if known.id == task.id => return *known = Arc::clone(task),
            Self::One(known) => {
                *self = Self::Several(vec![Arc::clone(known)]);
                return self.put(task);
            }
            Self::Several(tasks) => tasks,
        };
        match tasks.iter_mut().find(|known| known.id == task.id) {
            Some(known) => *known = Arc::clone(task),
            None => {
                let is_older = |known: &Arc<Task>| age(known) < age(task);
                tasks.insert(tasks.partition_point(is_older), Arc::clone(task));
            }
        }
    }

    /// What is left without the task, if anything is.
    fn without(self, id: &TaskId) -> Option<Self> {
        match self {
            Self::One(known) => (known.id != *id).then_some(Self::One(known)),
            Self::Several(mut tasks) => {
                tasks.retain(|known| known.id != *id);
                if tasks.len() > 1 {
                    return Some(Self::Several(tasks));
                }
                tasks.pop().map(Self::One)
            }
        }
    }
}

impl Roster {
    /// Adds a task to its slot, or replaces it there.
    pub(super) fn put(&mut self, task: &Arc<Task>) {
        match self.slots.get_mut(&task.slot) {
            Some(crew) => crew.put(task),
            None => {
                self.slots.insert(task.slot.clone(), Crew::One(Arc::clone(task)));
            }
        }
    }

    /// Takes a task out of its slot.
    pub(super) fn remove(&mut self, task: &Task) {
        if let Some(crew) = self.slots.remove(&task.slot).and_then(|crew| crew.without(&task.id)) {
            self.slots.insert(task.slot.clone(), crew);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The slots that have tasks, and the tasks of each, oldest first.
    pub(super) fn slots(&self) -> impl Iterator<Item = (&Slot, &[Arc<Task>])> {
        self.slots.iter().map(|(slot, crew)| (slot, crew.tasks()))
    }

    /// The tasks of one slot, oldest first.
    pub(super) fn tasks_in(&self, slot: &Slot) -> &[Arc<Task>] {
        self.slots.get(slot).map_or(&[], Crew::tasks)
    }
}
