//! What others do: each asks every node for every task, as a reader would write it down.

use std::collections::BTreeMap;
use std::time::Instant;

use super::Packed;
use super::fleet::{Amounts, Fleet};

/// How a node is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Search {
    /// The first that has room.
    FirstFit,
    /// The one that is left with the least, added up in shares of what the fleet has.
    BestFit,
    /// Kubernetes' default: the largest share of the node is left (`NodeResourcesFit`, `LeastAllocated`).
    LeastAllocated,
    /// Kubernetes' other strategy (`MostAllocated`), over every resource that the node has.
    MostAllocated,
    /// Nomad's bin packing: 20 - 10^(free processor) - 10^(free memory) (`ScoreFitBinPack`; Google's BestFit v3).
    Nomad,
    /// Fragmentation gradient descent over all kinds of tasks that there will be (Weng et al., USENIX ATC 2023), in every
    /// resource and not in GPUs alone.
    Stranding,
}

pub(crate) const ALL: [(Search, &str); 6] = [
    (Search::Stranding, "stranding-aware, slow"),
    (Search::BestFit, "best fit"),
    (Search::FirstFit, "first fit"),
    (Search::MostAllocated, "Kubernetes, MostAllocated"),
    (Search::Nomad, "Nomad, binpack"),
    (Search::LeastAllocated, "Kubernetes, LeastAllocated"),
];

/// A kind of tasks, and which part of all tasks are of it.
type Kind = ([f64; 3], f64);

#[derive(Debug, Clone)]
struct Node {
    all: [f64; 3],
    free: [f64; 3],
    /// What was stranded there when it last took something.
    stranded: Option<f64>,
}

struct World {
    nodes: Vec<Node>,
    kinds: Vec<Kind>,
    /// What a node has on average.
    mean: [f64; 3],
}

/// Places tasks in their order until one does not fit.
pub(crate) fn place(fleet: &Fleet, search: Search) -> Packed {
    let mut world = World::new(fleet);
    let mut packed = Packed::default();
    let began = Instant::now();
    for asked in &fleet.tasks {
        let Some(at) = world.find(&float(*asked), search) else { break };
        world.take(at, &float(*asked));
        packed.tasks += 1;
        packed.held += asked[fleet.counted];
    }
    packed.took = began.elapsed();
    packed
}

#[allow(clippy::cast_precision_loss, reason = "none of them has so many digits")]
fn float(amounts: Amounts) -> [f64; 3] {
    amounts.map(|amount| amount as f64)
}

fn fits(asked: &[f64; 3], free: &[f64; 3]) -> bool {
    asked.iter().zip(free).all(|(asked, free)| asked <= free)
}

impl World {
    fn new(fleet: &Fleet) -> Self {
        let nodes: Vec<Node> = fleet
            .nodes
            .iter()
            .map(|all| float(*all))
            .map(|all| Node { all, free: all, stranded: None })
            .collect();
        let mut counts: BTreeMap<Amounts, f64> = BTreeMap::new();
        fleet.tasks.iter().for_each(|task| *counts.entry(*task).or_default() += 1.0);
        let count: f64 = counts.values().sum();
        let kinds = counts.iter().map(|(kind, of)| (float(*kind), of / count)).collect();
        #[allow(clippy::cast_precision_loss, reason = "there are not so many nodes")]
        let mean = [0, 1, 2]
            .map(|part| nodes.iter().map(|node| node.all[part]).sum::<f64>() / nodes.len() as f64);
        Self { nodes, kinds, mean }
    }

    fn find(&self, asked: &[f64; 3], search: Search) -> Option<usize> {
        let mut fitting = self.nodes.iter().enumerate().filter(|(_, node)| fits(asked, &node.free));
        if search == Search::FirstFit {
            return fitting.next().map(|(at, _)| at);
        }
        let scored = fitting.map(|(at, node)| (self.score(node, asked, search), at));
        let best = scored.min_by(|(one, _), (other, _)| one.partial_cmp(other).unwrap());
        best.map(|(_, at)| at)
    }

    /// Less is better.
    fn score(&self, node: &Node, asked: &[f64; 3], search: Search) -> (f64, f64) {
        let left = [0, 1, 2].map(|part| node.free[part] - asked[part]);
        let share =
            |part: usize| if node.all[part] > 0.0 { left[part] / node.all[part] } else { 0.0 };
        let parts = || (0..3).filter(|part| node.all[*part] > 0.0);
        match search {
            Search::FirstFit => (0.0, 0.0),
            Search::BestFit => (self.worth(&left), 0.0),
            Search::LeastAllocated => (-(share(0) + share(1)), 0.0),
            Search::MostAllocated => {
                let count = parts().map(|_| 1.0).sum::<f64>();
                (parts().map(share).sum::<f64>() / count, 0.0)
            }
            Search::Nomad => (10_f64.powf(share(0)) + 10_f64.powf(share(1)), 0.0),
            Search::Stranding => {
                let before = node.stranded.unwrap_or_else(|| self.stranded(&node.free));
                (self.stranded(&left) - before, self.worth(&left))
            }
        }
    }

    /// An amount in average nodes, all parts added up.
    fn worth(&self, amount: &[f64; 3]) -> f64 {
        let parts = amount.iter().zip(&self.mean).filter(|(_, mean)| **mean > 0.0);
        parts.map(|(amount, mean)| amount / mean).sum()
    }

    /// What of this can not be used, on average over all kinds of tasks: all of it where not one more fits.
    fn stranded(&self, free: &[f64; 3]) -> f64 {
        let worth = self.worth(free);
        self.kinds.iter().filter(|(kind, _)| !fits(kind, free)).map(|(_, part)| part * worth).sum()
    }

    fn take(&mut self, at: usize, asked: &[f64; 3]) {
        let left = [0, 1, 2].map(|part| self.nodes[at].free[part] - asked[part]);
        let stranded = self.stranded(&left);
        self.nodes[at] = Node { free: left, stranded: Some(stranded), ..self.nodes[at] };
    }
}
