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
    Fragmentation,
    /// The least that is stranded, over all kinds of tasks that there will be and exactly as often as they will come: what
    /// Wharf does with few kinds, roughly counted, and only those that have come already.
    Stranding,
}

pub(crate) const ALL: [(Search, &str); 7] = [
    (Search::Stranding, "stranding-aware, slow"),
    (Search::Fragmentation, "fragmentation descent"),
    (Search::BestFit, "best fit"),
    (Search::FirstFit, "first fit"),
    (Search::MostAllocated, "Kubernetes, MostAllocated"),
    (Search::Nomad, "Nomad, binpack"),
    (Search::LeastAllocated, "Kubernetes, LeastAllocated"),
];

/// A kind of tasks.
#[derive(Debug)]
struct Kind {
    asked: [f64; 3],
    /// Which part of all tasks are of it.
    count: f64,
    /// Which part they hold of what all tasks hold.
    held: f64,
}

#[derive(Debug, Clone)]
struct Node {
    all: [f64; 3],
    free: [f64; 3],
}

struct World {
    nodes: Vec<Node>,
    kinds: Vec<Kind>,
    /// What a node has on average.
    mean: [f64; 3],
    /// The same, and more of what is asked for less than the rest.
    scarcity: [f64; 3],
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
        let nodes: Vec<Node> =
            fleet.nodes.iter().map(|all| float(*all)).map(|all| Node { all, free: all }).collect();
        #[allow(clippy::cast_precision_loss, reason = "there are not so many nodes")]
        let mean = [0, 1, 2]
            .map(|part| nodes.iter().map(|node| node.all[part]).sum::<f64>() / nodes.len() as f64);
        let mut counts: BTreeMap<Amounts, f64> = BTreeMap::new();
        fleet.tasks.iter().for_each(|task| *counts.entry(*task).or_default() += 1.0);
        let all: f64 = counts.values().sum();
        let sum =
            |part: usize| counts.iter().map(|(kind, of)| float(*kind)[part] * of).sum::<f64>();
        let asked =
            [0, 1, 2].map(|part| if mean[part] > 0.0 { sum(part) / mean[part] } else { 0.0 });
        let most = asked.into_iter().fold(0.0, f64::max);
        let scarcity = [0, 1, 2]
            .map(|part| if asked[part] > 0.0 { mean[part] * most / asked[part] } else { 0.0 });
        let held: f64 = asked.iter().sum();
        let kinds = counts.iter().map(|(kind, of)| Kind {
            asked: float(*kind),
            count: of / all,
            held: of * worth(&float(*kind), &mean) / held,
        });
        Self { kinds: kinds.collect(), nodes, mean, scarcity }
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
            Search::BestFit => (worth(&left, &self.mean), 0.0),
            Search::LeastAllocated => (-(share(0) + share(1)), 0.0),
            Search::MostAllocated => {
                let count = parts().map(|_| 1.0).sum::<f64>();
                (parts().map(share).sum::<f64>() / count, 0.0)
            }
            Search::Nomad => (10_f64.powf(share(0)) + 10_f64.powf(share(1)), 0.0),
            Search::Fragmentation => {
                let more = self.fragments(&left) - self.fragments(&node.free);
                (more, worth(&left, &self.mean))
            }
            Search::Stranding => {
                let more = self.stranded(&left) - self.stranded(&node.free);
                (more + worth(&left, &self.mean) / 20.0, 0.0)
            }
        }
    }

    /// What of this can not be used because not one more fits, on average over all kinds of tasks.
    fn fragments(&self, free: &[f64; 3]) -> f64 {
        let none = self.kinds.iter().filter(|kind| !fits(&kind.asked, free));
        none.map(|kind| kind.count).sum::<f64>() * worth(free, &self.mean)
    }

    /// What of this is left over when it is filled up with tasks of a kind, on average over what kinds hold together.
    fn stranded(&self, free: &[f64; 3]) -> f64 {
        let all = worth(free, &self.scarcity);
        let stranded = self.kinds.iter().map(|kind| {
            if !fits(&kind.asked, free) {
                return kind.held * all;
            }
            let parts = (0..3).filter(|part| kind.asked[*part] > 0.0);
            let often = parts.map(|part| free[part] / kind.asked[part]).fold(f64::MAX, f64::min);
            kind.held * (all - often * worth(&kind.asked, &self.scarcity))
        });
        stranded.sum()
    }

    fn take(&mut self, at: usize, asked: &[f64; 3]) {
        let node = &mut self.nodes[at];
        node.free = [0, 1, 2].map(|part| node.free[part] - asked[part]);
    }
}

/// An amount in such nodes, all parts added up.
fn worth(amount: &[f64; 3], node: &[f64; 3]) -> f64 {
    let parts = amount.iter().zip(node).filter(|(_, node)| **node > 0.0);
    parts.map(|(amount, node)| amount / node).sum()
}
