//! All tasks, in the order of their ids.
//!
//! They are made by the million, each with a higher number than those before it, and are found by that number. Tasks of
//! neighbouring numbers share a bundle: a map of single tasks would be twice as large as this, and several times as slow.
//! Copies share the bundles that neither has changed since, so that a copy of a full cluster costs little.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use model::id::TaskId;
use model::task::Task;

/// So many numbers share a bundle. With more it would take longer to take one out of the middle.
const BUNDLE: u64 = 64;

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    /// By the number of the bundle; each in the order of ids, and none is empty.
    bundles: BTreeMap<u64, Arc<Vec<Arc<Task>>>>,
    count: usize,
}

impl Tasks {
    /// The task of this id, if there is one.
    #[must_use]
    pub fn get(&self, id: &TaskId) -> Option<&Arc<Task>> {
        let bundle = self.bundles.get(&(id.number() / BUNDLE))?;
        bundle.get(place(bundle, id).ok()?)
    }

    /// Says whether there is a task of this id.
    #[must_use]
    pub fn contains_key(&self, id: &TaskId) -> bool {
        self.get(id).is_some()
    }

    /// All of them in the order of their ids.
    pub fn values(&self) -> impl Iterator<Item = &Arc<Task>> {
        self.bundles.values().flat_map(|bundle| bundle.iter())
    }

    /// Those that begin there, in the order of their ids.
    pub fn range(&self, from: Bound<&TaskId>) -> impl Iterator<Item = &Arc<Task>> {
        let first = match from {
            Bound::Included(id) | Bound::Excluded(id) => id.number() / BUNDLE,
            Bound::Unbounded => 0,
        };
        let is_before = move |task: &&Arc<Task>| match from {
            Bound::Included(id) => task.id < *id,
            Bound::Excluded(id) => task.id <= *id,
            Bound::Unbounded => false,
        };
        self.bundles.range(first..).flat_map(|(_, bundle)| bundle.iter()).skip_while(is_before)
    }

    /// The same as the values, each with its id.
    pub fn iter(&self) -> impl Iterator<Item = (&TaskId, &Arc<Task>)> {
        self.values().map(|task| (&task.id, task))
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Says whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds a task or replaces it, and gives it as it was.
    pub(super) fn put(&mut self, task: &Arc<Task>) -> Option<Arc<Task>> {
        let bundle = self.bundles.entry(task.id.number() / BUNDLE).or_default();
        let bundle = Arc::make_mut(bundle);
        let at = match bundle.last() {
            Some(last) if last.id >= task.id => place(bundle, &task.id),
            Some(_) | None => Err(bundle.len()),
        };
        match at {
            Ok(at) => bundle.get_mut(at).map(|known| std::mem::replace(known, Arc::clone(task))),
            Err(at) => {
                bundle.insert(at, Arc::clone(task));
                self.count += 1;
                None
            }
        }
    }

    /// Takes a task out.
    pub(super) fn remove(&mut self, id: &TaskId) -> Option<Arc<Task>> {
        let number = id.number() / BUNDLE;
        let bundle = self.bundles.get_mut(&number)?;
        let at = place(bundle, id).ok()?;
        let bundle = Arc::make_mut(bundle);
        let task = bundle.remove(at);
        if bundle.is_empty() {
            self.bundles.remove(&number);
        }
        self.count -= 1;
        Some(task)
    }
}

/// Where in a bundle the task of this id is, or belongs.
fn place(bundle: &[Arc<Task>], id: &TaskId) -> Result<usize, usize> {
    // There it is as long as none before it is gone.
    let first = usize::try_from(id.number() % BUNDLE).unwrap_or_default();
    match bundle.get(first) {
        Some(task) if task.id == *id => Ok(first),
        Some(_) | None => bundle.binary_search_by(|task| task.id.cmp(id)),
    }
}
