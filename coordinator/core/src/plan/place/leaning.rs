//! What each node costs a task by the preferences of its service: see [`model::preference`].
//!
//! Preferences are looked up for all nodes at once, because what a spread costs depends on where the other tasks are.

use std::collections::BTreeMap;

use model::preference::{Preferred, Price, Spread};
use model::spec::ServiceSpec;
use model::task::Task;

use super::count::Counts;
use crate::cluster::Cluster;

/// What a node that lacks what is wished for costs for each unit of weight: spreads are reckoned in hundredths.
const MISSED: u64 = 100;

/// See the module.
#[derive(Debug)]
pub(crate) struct Leaning {
    /// By the number of the node: what it lacks, and its kind.
    nodes: Vec<(u64, usize)>,
    /// Nodes of one kind have the same values of all that is spread over: of each spread, which value.
    kinds: Vec<Vec<usize>>,
    spreads: Vec<Dealt>,
}

/// How far tasks are spread over the values of an attribute.
#[derive(Debug)]
struct Dealt {
    weight: u32,
    /// By the number of the value: what a task costs there, and how many there are.
    values: Vec<(Price, u64)>,
}

impl Leaning {
    /// What the service of the task would rather have, if it has said anything.
    pub(crate) fn beside(cluster: &Cluster, task: &Task, counts: Counts<'_>) -> Option<Self> {
        Self::of(cluster, &task.generation.spec, |number| counts.on_node(number))
    }

    /// What a service would rather have, which has so many tasks on the node of each number.
    pub(crate) fn of(
        cluster: &Cluster,
        spec: &ServiceSpec,
        on_node: impl Fn(usize) -> usize,
    ) -> Option<Self> {
        let preferences = &spec.preferences;
        if preferences.is_empty() {
            return None;
        }
        let mut values: Vec<BTreeMap<Option<&str>, usize>> = Vec::new();
        let mut kinds: BTreeMap<Vec<usize>, usize> = BTreeMap::new();
        let mut leaning = Self { nodes: Vec::new(), kinds: Vec::new(), spreads: Vec::new() };
        let mut spreads: Vec<&Spread> = Vec::new();
        for preference in preferences {
            if let Preferred::Spread(spread) = &preference.of {
                spreads.push(spread);
                values.push(BTreeMap::new());
                let (weight, values) = (preference.weight, Vec::new());
                leaning.spreads.push(Dealt { weight, values });
            }
        }
        for (number, ledger) in cluster.ledgers() {
            let Some(node) = &ledger.node else { continue };
            let missed = preferences.iter().map(|preference| match &preference.of {
                Preferred::Nodes(wish) if !wish.is_met(node, None) => u64::from(preference.weight),
                Preferred::Nodes(_) | Preferred::Spread(_) => 0,
            });
            let lacks = missed.sum::<u64>() * MISSED;
            let there = on_node(number) as u64;
            let mut kind = Vec::with_capacity(spreads.len());
            for ((spread, known), dealt) in
                spreads.iter().zip(&mut values).zip(&mut leaning.spreads)
            {
                let value = spread.value(spread.over.of(node));
                let next = known.len();
                let at = *known.entry(value).or_insert(next);
                if at == dealt.values.len() {
                    dealt.values.push((spread.price(value), 0));
                }
                dealt.values.get_mut(at).into_iter().for_each(|(_, count)| *count += there);
                kind.push(at);
            }
            let next = kinds.len();
            let kind = *kinds.entry(kind).or_insert(next);
            if leaning.nodes.len() <= number {
                leaning.nodes.resize(number + 1, (0, 0));
            }
            leaning.nodes.get_mut(number).into_iter().for_each(|known| *known = (lacks, kind));
        }
        let mut ordered: Vec<_> = kinds.into_iter().collect();
        ordered.sort_by_key(|(_, number)| *number);
        leaning.kinds = ordered.into_iter().map(|(kind, _)| kind).collect();
        Some(leaning)
    }

    /// What the node of this number lacks, and of which kind it is.
    pub(super) fn node(&self, number: usize) -> (u64, usize) {
        self.nodes.get(number).copied().unwrap_or_default()
    }

    /// What one more task costs on nodes of a kind, beside what each of them lacks.
    pub(super) fn dealt(&self, kind: usize) -> u64 {
        let values = self.kinds.get(kind).into_iter().flatten();
        let prices = self.spreads.iter().zip(values).filter_map(|(spread, value)| {
            let (price, count) = spread.values.get(*value)?;
            Some(price.of(spread.weight, *count))
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
        let values = self.kinds.get(kind).into_iter().flatten();
        for (spread, value) in self.spreads.iter_mut().zip(values) {
            spread.values.get_mut(*value).into_iter().for_each(|(_, count)| *count += 1);
        }
    }
}
