//! What each node costs a task by the preferences of its service: see [`model::preference`].
//!
//! Preferences are looked up for all nodes at once, because what a spread costs depends on where the other tasks are.

use std::sync::Arc;

use model::spec::ServiceSpec;
use model::task::Task;

use super::count::Counts;
use crate::cluster::{Cluster, Ground};

/// See the module.
#[derive(Debug)]
pub(crate) struct Leaning {
    ground: Arc<Ground>,
    /// Of each spread, how many tasks are there of each value.
    there: Vec<Vec<u64>>,
}

impl Leaning {
    /// What the service of the task would rather have, if it has said anything.
    pub(crate) fn beside(cluster: &Cluster, task: &Task, counts: Counts<'_>) -> Option<Self> {
        let spec = &task.generation.spec;
        let on_node = |number| counts.on_node(number);
        Self::of(cluster, spec, counts.has_others().then_some(&on_node))
    }

    /// What a service would rather have, which has so many tasks on the node of each number, or none at all.
    pub(crate) fn of(
        cluster: &Cluster,
        spec: &ServiceSpec,
        on_node: Option<&dyn Fn(usize) -> usize>,
    ) -> Option<Self> {
        let asked = &spec.preferences;
        let ground = (!asked.is_empty()).then(|| cluster.ground(asked))?;
        let there = ground.spreads().iter().map(|values| vec![0; values.prices.len()]).collect();
        let mut leaning = Self { ground: Arc::clone(&ground), there };
        if let Some(on_node) = on_node {
            ground.nodes().for_each(|(number, kind)| leaning.add(kind, on_node(number) as u64));
        }
        Some(leaning)
    }

    /// What the node of this number lacks, and of which kind it is.
    pub(super) fn node(&self, number: usize) -> (u64, usize) {
        self.ground.node(number)
    }

    /// How many kinds of nodes there are.
    pub(super) fn kinds(&self) -> usize {
        self.ground.kinds()
    }

    /// What one more task costs on nodes of a kind, beside what each of them lacks.
    pub(super) fn dealt(&self, kind: usize) -> u64 {
        let spreads = self.ground.spreads().iter().zip(&self.there);
        let prices =
            spreads.zip(self.ground.values(kind)).filter_map(|((spread, there), value)| {
                Some(spread.prices.get(*value)?.of(spread.weight, *there.get(*value)?))
            });
        prices.fold(0, u64::saturating_add)
    }

    /// What the task costs on the node of this number.
    pub(crate) fn cost(&self, number: usize) -> u64 {
        let (lacks, kind) = self.node(number);
        lacks.saturating_add(self.dealt(kind))
    }

    /// One more task is on a node of this kind.
    pub(super) fn took(&mut self, kind: usize) {
        self.add(kind, 1);
    }

    fn add(&mut self, kind: usize, count: u64) {
        for (there, value) in self.there.iter_mut().zip(self.ground.values(kind)) {
            there.get_mut(*value).into_iter().for_each(|there| *there += count);
        }
    }
}
