//! What each node has of what services would rather have: see [`model::preference`]. It follows from nodes alone, so that it is
//! found once for each list of preferences, and again when a node has changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::node::Node;
use model::preference::{Preference, Preferred, Price, Spread};

use super::Cluster;

/// What a node that lacks what is wished for costs for each unit of weight: spreads are reckoned in hundredths.
const MISSED: u64 = 100;

/// So many lists of preferences are kept. More kinds are rare, and only cost the time to ask anew.
const LISTS: usize = 32;

/// The nodes as one list of preferences sees them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Ground {
    /// By the number of the node: what it lacks, and its kind. Nothing where no node has joined.
    nodes: Vec<Option<(u64, usize)>>,
    /// Nodes of one kind have the same values of all that is spread over: of each spread, which value.
    kinds: Vec<Vec<usize>>,
    spreads: Vec<Values>,
}

/// The values of an attribute that tasks are spread over.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Values {
    pub(crate) weight: u32,
    /// What a task costs at each, by its number.
    pub(crate) prices: Vec<Price>,
}

/// Those that were asked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Grounds {
    all: Vec<(Vec<Preference>, Arc<Ground>)>,
}

impl Grounds {
    /// A node has changed.
    pub(super) fn forget(&mut self) {
        self.all.clear();
    }

    fn known(&self, asked: &[Preference]) -> Option<Arc<Ground>> {
        self.all.iter().find(|(known, _)| known == asked).map(|(_, ground)| Arc::clone(ground))
    }

    fn keep(&mut self, asked: &[Preference], ground: Arc<Ground>) {
        if self.all.len() == LISTS {
            self.all.remove(0);
        }
        self.all.push((asked.to_vec(), ground));
    }
}

impl Cluster {
    /// The nodes as these preferences see them.
    pub(crate) fn ground(&self, asked: &[Preference]) -> Arc<Ground> {
        self.grounds.known(asked).unwrap_or_else(|| Arc::new(Ground::of(asked, self)))
    }

    /// Says whether what is kept comes out the same when nodes are asked anew.
    pub(crate) fn knows_its_ground(&self) -> bool {
        let is_so =
            |(asked, ground): &(Vec<Preference>, Arc<Ground>)| **ground == Ground::of(asked, self);
        self.grounds.all.iter().all(is_so)
    }

    /// Keeps them as these preferences see them, for all who will ask.
    pub(crate) fn keep_ground(&mut self, asked: &[Preference]) {
        if !asked.is_empty() && self.grounds.known(asked).is_none() {
            let ground = self.ground(asked);
            self.grounds.keep(asked, ground);
        }
    }
}

impl Ground {
    fn of(asked: &[Preference], cluster: &Cluster) -> Self {
        let mut ground = Self::default();
        let mut spreads: Vec<(&Spread, BTreeMap<Option<&str>, usize>)> = Vec::new();
        for Preference { of, weight } in asked {
            if let Preferred::Spread(spread) = of {
                spreads.push((spread, BTreeMap::new()));
                ground.spreads.push(Values { weight: *weight, prices: Vec::new() });
            }
        }
        let (mut kinds, mut kind) = (BTreeMap::new(), Vec::new());
        for (number, ledger) in cluster.ledgers() {
            let Some(node) = &ledger.node else { continue };
            kind.clear();
            for ((spread, known), values) in spreads.iter_mut().zip(&mut ground.spreads) {
                let value = spread.value(spread.over.of(node));
                kind.push(*known.entry(value).or_insert_with(|| {
                    values.prices.push(spread.price(value));
                    values.prices.len() - 1
                }));
            }
            let kind = kinds.get(&kind).copied().unwrap_or_else(|| {
                ground.kinds.push(kind.clone());
                kinds.insert(kind.clone(), ground.kinds.len() - 1);
                ground.kinds.len() - 1
            });
            if ground.nodes.len() <= number {
                ground.nodes.resize(number + 1, None);
            }
            let known = ground.nodes.get_mut(number);
            known.into_iter().for_each(|known| *known = Some((lacks(asked, node), kind)));
        }
        ground
    }

    /// What the node of this number lacks, and of which kind it is.
    pub(crate) fn node(&self, number: usize) -> (u64, usize) {
        self.nodes.get(number).copied().flatten().unwrap_or_default()
    }

    /// The number of each node, and its kind.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = (usize, usize)> {
        let nodes = self.nodes.iter().enumerate();
        nodes.filter_map(|(number, known)| known.map(|(_, kind)| (number, kind)))
    }

    /// How many kinds there are.
    pub(crate) const fn kinds(&self) -> usize {
        self.kinds.len()
    }

    /// Of each spread, which value nodes of a kind have.
    pub(crate) fn values(&self, kind: usize) -> &[usize] {
        self.kinds.get(kind).map_or(&[], Vec::as_slice)
    }

    /// All that is spread over.
    pub(crate) fn spreads(&self) -> &[Values] {
        &self.spreads
    }
}

/// What a node costs for what it lacks.
fn lacks(asked: &[Preference], node: &Node) -> u64 {
    let missed = asked.iter().map(|preference| match &preference.of {
        Preferred::Nodes(wish) if !wish.is_met(node, None) => u64::from(preference.weight),
        Preferred::Nodes(_) | Preferred::Spread(_) => 0,
    });
    missed.sum::<u64>() * MISSED
}
