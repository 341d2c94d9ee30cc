//! Where the tasks of a service are: kept as they come and go, because every placement asks.
//!
//! Tasks are spread among those that will be their neighbours. So each template has a line of its own, with the tasks that are
//! to stay: what a rollout is going to exchange says nothing about where its successors should be, and what was told to stop or
//! leaves its node is as good as gone. Only a limit on the tasks of a node asks for everything that is present there.

use super::by_name::ByName;

/// How a task counts on the node that it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It is to stay: it counts in the line of its template, which has this number.
    Stays(u64),
    /// It was told to stop, or is to leave its node. Until then it is there.
    Leaves,
}

/// A task and the place where it counts: the numbers of its node and of the zone, which is not known of a node that has not
/// joined yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) node: usize,
    pub(crate) zone: Option<usize>,
    pub(crate) presence: Presence,
}

/// The tasks of a service. Those that are over or missed do not count.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spread {
    /// Each with the number of its template. None is empty, and mostly there is one.
    lines: Vec<(u64, Line)>,
    leaving: Line,
}

/// How many tasks each node and each zone has.
#[derive(Debug, Clone, Default)]
pub(crate) struct Line {
    /// By the number of the node. None is nothing.
    on_node: ByName<usize, u32>,
    /// By the number of the zone.
    in_zone: Vec<u32>,
    total: usize,
}

impl Spread {
    /// The tasks of this template that are to stay, if there are any.
    pub(crate) fn line(&self, template: u64) -> Option<&Line> {
        self.lines.iter().find(|(known, _)| *known == template).map(|(_, line)| line)
    }

    /// All that are on the node of this number, of whatever template, also those that are to go.
    pub(crate) fn present(&self, node: usize) -> usize {
        let stay: usize = self.lines.iter().map(|(_, line)| line.on_node(node)).sum();
        stay + self.leaving.on_node(node)
    }

    /// All that are counted.
    pub(crate) fn total(&self) -> usize {
        self.lines.iter().map(|(_, line)| line.total).sum::<usize>() + self.leaving.total
    }

    /// Counts one task more.
    pub(super) fn add(&mut self, spot: Spot) {
        match spot.presence {
            Presence::Leaves => self.leaving.add(spot),
            Presence::Stays(template) => {
                let known = self.lines.iter().position(|(known, _)| *known == template);
                let at = known.unwrap_or_else(|| {
                    self.lines.push((template, Line::default()));
                    self.lines.len() - 1
                });
                self.lines.get_mut(at).into_iter().for_each(|(_, line)| line.add(spot));
            }
        }
    }

    /// Counts one task less.
    pub(super) fn take(&mut self, spot: Spot) {
        match spot.presence {
            Presence::Leaves => self.leaving.take(spot),
            Presence::Stays(template) => {
                let mut lines = self.lines.iter_mut();
                let line = lines.find(|(known, _)| *known == template);
                line.into_iter().for_each(|(_, line)| line.take(spot));
                self.lines.retain(|(_, line)| line.total > 0);
            }
        }
    }
}

impl Line {
    /// How many are on the node of this number: see [`Ledger::number`](super::Ledger::number).
    pub(crate) fn on_node(&self, node: usize) -> usize {
        self.on_node.get(&node).map_or(0, |count| *count as usize)
    }

    /// How many are in the zone of this number: see [`Ledger::zone`](super::Ledger::zone).
    pub(crate) fn in_zone(&self, zone: usize) -> usize {
        self.in_zone.get(zone).map_or(0, |count| *count as usize)
    }

    /// All that are counted.
    pub(crate) const fn total(&self) -> usize {
        self.total
    }

    fn add(&mut self, Spot { node, zone, .. }: Spot) {
        self.total += 1;
        *self.on_node.entry(node) += 1;
        let Some(zone) = zone else { return };
        if self.in_zone.len() <= zone {
            self.in_zone.resize(zone + 1, 0);
        }
        self.in_zone.get_mut(zone).into_iter().for_each(|count| *count += 1);
    }

    fn take(&mut self, Spot { node, zone, .. }: Spot) {
        self.total -= 1;
        let left = self.on_node.entry(node);
        *left -= 1;
        if *left == 0 {
            self.on_node.remove(&node);
        }
        let zone = zone.and_then(|zone| self.in_zone.get_mut(zone));
        zone.into_iter().for_each(|count| *count -= 1);
    }
}
