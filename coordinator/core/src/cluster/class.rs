//! Nodes that meet the same constraints, in the order of what tasks hold there: whoever looks for a place for a few tasks
//! begins with the emptiest node and rarely has to look at many.
//!
//! It follows from nodes and ledgers. Nodes that changed are only marked, and put in their place when somebody asks: who
//! places thousands of tasks at once looks at every node anyway.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::constraint::Constraint;
use model::id::NodeId;
use model::node::Node;

use super::Ledger;
use super::by_name::ByNode;

/// So many classes are kept. More kinds of constraints are rare, and only cost the time to sort the nodes anew.
const CLASSES: usize = 32;

/// What a node's tasks hold, and which node it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    pub(crate) memory_bytes: u64,
    pub(crate) cpu_millis: u64,
    pub(crate) node: NodeId,
}

/// All classes that were asked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Classes {
    all: Vec<Class>,
}

/// The nodes of one class.
#[derive(Debug, Clone)]
pub(crate) struct Class {
    constraints: Vec<Constraint>,
    /// Whether it depends on what is on the engines.
    needs_images: bool,
    zones: BTreeMap<String, BTreeSet<Rank>>,
    /// Where each node stands now.
    standing: BTreeMap<NodeId, (String, Rank)>,
    /// What changed since. When that is much, everything is sorted anew.
    marked: BTreeSet<NodeId>,
}

impl Classes {
    /// Something about the node has changed.
    pub(super) fn mark(&mut self, node: &NodeId) {
        for class in &mut self.all {
            class.marked.insert(node.clone());
        }
    }

    /// Other images than before are on the node's engine.
    pub(super) fn mark_images(&mut self, node: &NodeId) {
        for class in self.all.iter_mut().filter(|class| class.needs_images) {
            class.marked.insert(node.clone());
        }
    }

    pub(super) fn get(&self, constraints: &[Constraint]) -> Option<&Class> {
        self.all.iter().find(|class| class.constraints == constraints)
    }

    /// Has the class of these constraints, with every node where it belongs.
    pub(super) fn refresh(
        &mut self,
        constraints: &[Constraint],
        nodes: &BTreeMap<NodeId, Arc<Node>>,
        ledgers: &ByNode<Ledger>,
    ) {
        if self.get(constraints).is_none() {
            if self.all.len() == CLASSES {
                self.all.remove(0);
            }
            self.all.push(Class {
                constraints: constraints.to_vec(),
                needs_images: constraints.iter().any(Constraint::needs_images),
                zones: BTreeMap::new(),
                standing: BTreeMap::new(),
                marked: nodes.keys().cloned().collect(),
            });
        }
        let found = self.all.iter_mut().find(|class| class.constraints == constraints);
        let Some(class) = found else { return };
        for id in std::mem::take(&mut class.marked) {
            let seat = nodes.get(&id).zip(ledgers.get(&id));
            let seat = seat.filter(|(node, ledger)| ledger.meets(node, constraints));
            let rank = seat.map(|(node, ledger)| {
                let (memory_bytes, cpu_millis) = (ledger.held.memory_bytes, ledger.held.cpu_millis);
                (node.zone.clone(), Rank { memory_bytes, cpu_millis, node: id.clone() })
            });
            class.stand(&id, rank);
        }
    }
}

impl Class {
    /// The nodes of each zone, the emptiest first.
    pub(crate) fn zones(&self) -> impl Iterator<Item = (&str, &BTreeSet<Rank>)> {
        self.zones.iter().map(|(zone, ranks)| (zone.as_str(), ranks))
    }

    fn stand(&mut self, id: &NodeId, rank: Option<(String, Rank)>) {
        let before = match rank.clone() {
            Some(rank) => self.standing.insert(id.clone(), rank),
            None => self.standing.remove(id),
        };
        if before == rank {
            return;
        }
        if let Some((zone, before)) = before
            && let Some(ranks) = self.zones.get_mut(&zone)
        {
            ranks.remove(&before);
            if ranks.is_empty() {
                self.zones.remove(&zone);
            }
        }
        if let Some((zone, rank)) = rank {
            self.zones.entry(zone).or_default().insert(rank);
        }
    }
}
