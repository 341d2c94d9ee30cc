//! What everybody but the run loop may see: the cluster as it is committed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use coordinator_core::cluster::{Change, Cluster, Sighting};
use coordinator_core::narrate::{Occurrence, narrate};
use model::id::{NodeId, TaskId};
use model::image::Stock;
use model::time::Timestamp;
use tokio::sync::watch;

/// So many occurrences are remembered: an hour of a busy cluster, in about 2 MB.
const OCCURRENCES: usize = 10_000;

/// The committed cluster and what happened lately, behind one lock that is held only to look or to apply.
#[derive(Debug)]
pub(crate) struct Published {
    state: RwLock<State>,
    /// Tells those who follow that there is more.
    newest: watch::Sender<u64>,
}

/// What can be seen.
#[derive(Debug)]
pub(crate) struct State {
    /// The cluster as it is committed.
    pub(crate) cluster: Cluster,
    /// Counts the commits of this process.
    pub(crate) revision: u64,
    /// Why tasks wait, as of the last step that looked at them.
    pub(crate) notes: BTreeMap<TaskId, String>,
    /// Invariants that are broken.
    pub(crate) alarms: Vec<String>,
    occurrences: VecDeque<Happened>,
    next_sequence: u64,
}

/// An occurrence with its place in time.
#[derive(Debug, Clone)]
pub(crate) struct Happened {
    /// Counts from 1 in this process.
    pub(crate) sequence: u64,
    /// By the coordinator's clock.
    pub(crate) at: Timestamp,
    /// What.
    pub(crate) occurrence: Arc<Occurrence>,
}

impl Published {
    /// Publishes what was loaded from the store.
    #[must_use]
    pub(crate) fn new(cluster: Cluster) -> Self {
        let state = State {
            cluster,
            revision: 1,
            notes: BTreeMap::new(),
            alarms: Vec::new(),
            occurrences: VecDeque::new(),
            next_sequence: 1,
        };
        Self { state: RwLock::new(state), newest: watch::Sender::new(0) }
    }

    /// Looks. Hold it shortly, and never across an await.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes with the sequence of the newest occurrence.
    pub(crate) fn follow(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// Applies what was committed.
    pub(crate) fn apply(&self, changes: &[Change], now: Timestamp) {
        if changes.is_empty() {
            return;
        }
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.revision += 1;
        for change in changes {
            if let Some(occurrence) = narrate(&state.cluster, change) {
                state.remember(occurrence, now);
            }
            if let Change::RemoveTask(task) = change {
                state.notes.remove(task);
            }
            state.cluster.apply(change);
        }
        self.newest.send_replace(state.next_sequence - 1);
    }

    /// Shows what is known of the cloud, which is not stored.
    pub(crate) fn saw_cloud(&self, cluster: &Cluster) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.cluster.saw_cloud(cluster);
    }

    /// Takes over which images a node has.
    pub(crate) fn saw_images(&self, node: &NodeId, stock: &Stock) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.cluster.saw_images(node, stock);
    }

    /// Takes over until when tasks hold leases, which is not stored. Mostly that is known.
    pub(crate) fn saw_leases(&self, leases: &[(TaskId, Option<Timestamp>)]) {
        let is_news = {
            let state = self.read();
            leases.iter().any(|(task, until)| state.cluster.lease(task) != *until)
        };
        if is_news {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            leases.iter().for_each(|(task, until)| state.cluster.saw_lease(task, *until));
        }
    }

    /// Nobody's silence counts: this process itself stood still.
    pub(crate) fn forgive(&self, now: Timestamp) {
        self.state.write().unwrap_or_else(PoisonError::into_inner).cluster.forgive(now);
    }

    /// Takes over what is not stored: signs of life, and why tasks wait.
    pub(crate) fn apply_soft(
        &self,
        sightings: &[(NodeId, Sighting)],
        notes: BTreeMap<TaskId, String>,
        alarms: Option<Vec<String>>,
    ) {
        if sightings.is_empty() && notes.is_empty() && alarms.is_none() {
            return;
        }
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        sightings.iter().for_each(|(node, sighting)| state.cluster.saw(node, *sighting));
        state.notes.extend(notes);
        state.alarms = alarms.unwrap_or_else(|| std::mem::take(&mut state.alarms));
    }
}

impl State {
    fn remember(&mut self, occurrence: Occurrence, at: Timestamp) {
        let (sequence, occurrence) = (self.next_sequence, Arc::new(occurrence));
        self.next_sequence += 1;
        if self.occurrences.len() == OCCURRENCES {
            self.occurrences.pop_front();
        }
        self.occurrences.push_back(Happened { sequence, at, occurrence });
    }

    /// The occurrences after a sequence, oldest first.
    #[must_use]
    pub(crate) fn occurrences_after(&self, sequence: u64) -> Vec<Happened> {
        let after = self.occurrences.iter().filter(|happened| happened.sequence > sequence);
        after.cloned().collect()
    }
}
