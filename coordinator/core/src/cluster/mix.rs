//! What the services of the cluster ask for, and what a node's free room is worth to them: where tasks are packed, a node
//! is good when what it is left with can still be used.
//!
//! For one kind of tasks all is stranded where not one more of them fits; where some do, what is left over when the node is
//! filled up with them: memory without a processor, a processor without memory, GPUs without either. Kinds weigh as much
//! as their tasks hold together. (After fragmentation gradient descent: Weng et al., "Beware of Fragmentation", USENIX ATC
//! 2023, which asks only whether one more fits, and only about GPUs.)
//!
//! It is coarse on purpose. It follows from specs and nodes alone, so that a coordinator that starts anew decides alike,
//! and it rarely changes, so that nodes that were put in order stay so.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use model::node::Node;
use model::resources::Resources;
use model::service::Service;
use model::spec::Mode;

/// So many kinds of tasks are told apart, those with most tasks: few services make most of a cluster.
const KINDS: usize = 32;

/// So much of what is free does not count as much as one that is stranded. Without it tasks would nibble at empty nodes, which
/// large tasks need whole; with much more of it a node would be filled up whatever is stranded there. Tried on the fleets
/// of `wharf-bench packing`: from 1/30 to 1/15 the mix comes out alike, and the GPUs of the trace between 0.95 and 0.98.
const LEFT: u32 = 20;

/// What a node would be left with if it took a task, in millionths of an average node. Less is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Packing {
    /// What is more stranded, and a part of what would be free. No node is as large as two thousand average ones.
    cost: i32,
    left: u32,
}

impl Packing {
    fn new(stranded: i64, left: u64) -> Self {
        let left = u32::try_from(left).unwrap_or(u32::MAX);
        let cost = stranded.saturating_add(Self::part_of(left));
        let most = if cost < 0 { i32::MIN } else { i32::MAX };
        Self { cost: i32::try_from(cost).unwrap_or(most), left }
    }

    fn part_of(left: u32) -> i64 {
        i64::from(left / LEFT)
    }

    /// One number in the same order.
    pub(crate) const fn order(self) -> u64 {
        ((self.cost.cast_unsigned() ^ (1 << 31)) as u64) << 32 | self.left as u64
    }

    /// What would be free there.
    #[must_use]
    pub fn left(&self) -> u64 {
        u64::from(self.left)
    }

    /// How much more of the node nobody could use; less than nothing where the task uses what was stranded.
    #[must_use]
    pub fn stranded(&self) -> i64 {
        i64::from(self.cost) - Self::part_of(self.left)
    }
}

/// Processor, memory and GPUs in some unit.
type Parts = [u64; 3];

/// What all services ask for and all nodes have, kept as they come and go.
#[derive(Debug, Clone, Default)]
pub(super) struct Demand {
    /// How many tasks hold so much.
    tasks: BTreeMap<Parts, u64>,
    nodes: u64,
    capacity: Parts,
    mix: Arc<Mix>,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Mix {
    /// What an average node has.
    mean: Parts,
    /// What one of each part is worth.
    worth: Prices,
    /// The same, and a part of which much is there for what is asked for is worth less: it is no loss.
    loss: Prices,
    kinds: Vec<Kind>,
}

/// For one of each part, in millionths of an average node.
type Prices = [Fixed; 3];

/// A number with [`DIGITS`] binary digits behind the point.
type Fixed = u64;
const DIGITS: u32 = 20;

/// Tasks that ask for the same. Its numbers are IEEE 754 and added up in one order: they come out alike everywhere.
#[derive(Debug, Clone, PartialEq)]
struct Kind {
    /// How often each part of what is asked for goes into one; infinitely often when nothing of it is.
    inverse: [f64; 3],
    /// What would be lost with one such task, times the weight of the kind.
    loss: f64,
}

impl Demand {
    /// What these ask for and have.
    pub(super) fn of<'a>(
        services: impl Iterator<Item = &'a Service>,
        nodes: impl Iterator<Item = &'a Node>,
    ) -> Self {
        let mut demand = Self::default();
        services.for_each(|service| demand.put_service(None, Some(service)));
        nodes.for_each(|node| demand.put_node(None, node));
        demand
    }

    /// A service has another spec, or is gone.
    pub(super) fn put_service(&mut self, before: Option<&Service>, after: Option<&Service>) {
        let (before, after) = (before.and_then(asked), after.and_then(asked));
        if before == after {
            return;
        }
        let weights = |demand: &Self| {
            [before, after].map(|of| of.map(|(asked, _)| coarse(demand.count(&asked))))
        };
        let known = weights(self);
        if let Some((asked, count)) = before {
            let left = self.count(&asked).saturating_sub(count);
            if left > 0 {
                self.tasks.insert(asked, left);
            } else {
                self.tasks.remove(&asked);
            }
        }
        if let Some((asked, count)) = after {
            let all = self.count(&asked).saturating_add(count);
            self.tasks.insert(asked, all);
        }
        if weights(self) != known {
            self.weigh();
        }
    }

    fn count(&self, asked: &Parts) -> u64 {
        self.tasks.get(asked).copied().unwrap_or_default()
    }

    /// A node has joined, or says something else of itself.
    pub(super) fn put_node(&mut self, before: Option<&Node>, after: &Node) {
        let capacity =
            |node: Option<&Node>| node.map(|node| parts(&node.capacity)).unwrap_or_default();
        let (old, new) = (capacity(before), capacity(Some(after)));
        if before.is_some() && old == new {
            return;
        }
        self.nodes += u64::from(before.is_none());
        for ((all, old), new) in self.capacity.iter_mut().zip(old).zip(new) {
            *all = all.saturating_sub(old).saturating_add(new);
        }
        if self.mean() != self.mix.mean {
            self.weigh();
        }
    }

    /// A node is forgotten.
    pub(super) fn remove_node(&mut self, node: &Node) {
        self.nodes = self.nodes.saturating_sub(1);
        for (all, gone) in self.capacity.iter_mut().zip(parts(&node.capacity)) {
            *all = all.saturating_sub(gone);
        }
        if self.mean() != self.mix.mean {
            self.weigh();
        }
    }

    /// What is asked for now.
    pub(super) const fn mix(&self) -> &Arc<Mix> {
        &self.mix
    }

    fn mean(&self) -> Parts {
        self.capacity.map(|all| first_digits(all.div_ceil(self.nodes.max(1)), 4))
    }

    fn weigh(&mut self) {
        let mean = self.mean();
        // All parts of an average node together are worth one.
        let parts: u64 = mean.iter().map(|mean| u64::from(*mean > 0)).sum();
        let worth = mean
            .map(|mean| ((1_000_000_u64 << DIGITS) / parts.max(1)).checked_div(mean).unwrap_or(0));
        let kinds = self.tasks.iter().map(|(asked, count)| (*asked, coarse(*count)));
        let mut kinds: Vec<(Parts, u64)> = kinds.collect();
        kinds.sort_by_key(|(_, count)| Reverse(*count));
        kinds.truncate(KINDS);
        let loss = losses(&kinds, &worth);
        let held = |(asked, count): &(Parts, u64)| count.saturating_mul(price(asked, &worth));
        let all = kinds.iter().map(held).fold(0, u64::saturating_add);
        let kinds: Vec<Kind> = kinds
            .iter()
            .map(|kind| Kind {
                inverse: kind.0.map(|asked| 1.0 / float(asked)),
                loss: float(price(&kind.0, &loss)) * float(held(kind)) / float(all.max(1)),
            })
            .collect();
        self.mix = Arc::new(Mix { mean, worth, loss, kinds });
    }
}

/// The worth of each part, in the measure in which it is asked for: what is asked for most counts in full.
fn losses(kinds: &[(Parts, u64)], worth: &Prices) -> Prices {
    let mut asked = Parts::default();
    for (of_one, count) in kinds {
        for (all, one) in asked.iter_mut().zip(of_one) {
            *all = all.saturating_add(one.saturating_mul(*count));
        }
    }
    let mut losses = Prices::default();
    for ((loss, asked), worth) in losses.iter_mut().zip(asked).zip(worth) {
        *loss = shifted(asked, *worth);
    }
    let most = losses.iter().copied().max().unwrap_or_default();
    for (loss, worth) in losses.iter_mut().zip(worth) {
        *loss = shifted(quotient(*loss, most), *worth);
    }
    losses
}

/// What each task of a service asks for, and how many there are. What runs on every node is there already when others are
/// placed, and what asks for nothing fits everywhere.
fn asked(service: &Service) -> Option<(Parts, u64)> {
    let spec = &service.target.spec;
    let count = match spec.mode {
        Mode::Replicated { replicas } => u64::from(replicas),
        Mode::Job(job) => u64::from(job.parallelism),
        Mode::Once => 1,
        Mode::Global => 0,
    };
    let asked = parts(&spec.task.reservation());
    (count > 0 && asked != Parts::default()).then_some((asked, count))
}

/// Memory is counted in MiB, so that no product of two amounts is too large, and GPUs in thousandths, because an average
/// node has less than one.
const fn parts(of: &Resources) -> Parts {
    [of.cpu_millis, of.memory_bytes >> 20, of.gpus.saturating_mul(1_000)]
}

/// The first binary digit: a power of two, or nothing.
const fn coarse(number: u64) -> u64 {
    first_digits(number, 1)
}

/// A number of which only so many of its first binary digits are kept.
const fn first_digits(number: u64, digits: u32) -> u64 {
    let rest = (u64::BITS - number.leading_zeros()).saturating_sub(digits);
    (number >> rest) << rest
}

impl Mix {
    /// What a node that has so much free would be left with if it took a task that asks for so much.
    pub(crate) fn packing(&self, free: &Resources, asked: &Resources) -> Packing {
        let (free, left) = (parts(free), parts(&free.minus(asked)));
        // What is there and not usable is stranded, before and after.
        let gone = float(price(&free, &self.loss)) - float(price(&left, &self.loss));
        let stranded = self.usable(&free) - self.usable(&left) - gone;
        Packing::new(whole(stranded), price(&left, &self.worth))
    }

    /// What of so much is used when it is filled up with tasks of one kind, on average over all kinds.
    fn usable(&self, free: &Parts) -> f64 {
        let free = free.map(float);
        self.kinds.iter().map(|kind| kind.usable(&free)).sum()
    }
}

impl Kind {
    fn usable(&self, free: &[f64; 3]) -> f64 {
        /// A little less than once, which is what comes out when something fits exactly.
        const ONCE: f64 = 1.0 - 1e-9;
        let mut often = f64::INFINITY;
        for (free, inverse) in free.iter().zip(&self.inverse) {
            // Nothing of what is not asked for is no number, and not less than any.
            let times = free * inverse;
            if times < often {
                often = times;
            }
        }
        if often < ONCE { 0.0 } else { often * self.loss }
    }
}

#[allow(clippy::cast_precision_loss, reason = "no amount that matters has so many digits")]
const fn float(number: u64) -> f64 {
    number as f64
}

#[allow(clippy::cast_possible_truncation, reason = "what is too large becomes the largest")]
const fn whole(number: f64) -> i64 {
    number.round() as i64
}

/// What so much is worth.
fn price(amount: &Parts, prices: &Prices) -> u64 {
    let parts = amount.iter().zip(prices).map(|(amount, price)| shifted(*amount, *price));
    parts.fold(0, u64::saturating_add)
}

/// A product with a number that has digits behind the point.
fn shifted(one: u64, other: Fixed) -> u64 {
    u64::try_from((u128::from(one) * u128::from(other)) >> DIGITS).unwrap_or(u64::MAX)
}

/// A part of a whole.
fn quotient(part: u64, whole: u64) -> Fixed {
    let quotient = (u128::from(part) << DIGITS) / u128::from(whole.max(1));
    u64::try_from(quotient).unwrap_or(u64::MAX)
}
