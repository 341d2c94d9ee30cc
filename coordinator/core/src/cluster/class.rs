//! Nodes that meet the same constraints, in the order in which a task should be put on them: whoever looks for a place for
//! a few tasks begins with the first and rarely has to look at many.
//!
//! It follows from nodes, ledgers and what services ask for. Nodes that changed are only written down, and put in their
//! place when somebody asks: who places thousands of tasks at once looks at every node anyway.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::constraint::Constraint;
use model::id::NodeId;
use model::policy::Profile;
use model::resources::Resources;
use model::spec::{ServiceSpec, Strategy};

use super::by_name::ByNode;
use super::load::Load;
use super::mix::{Mix, Packing};
use super::{Age, Ledger};

/// So many nodes stand in classes, each once in every class: some 130 bytes for each.
const STANDING: usize = 400_000;
/// But so many classes are kept at least, and no more than that. More are rare, and only cost the time to sort the nodes
/// anew.
const CLASSES: (usize, usize) = (32, 256);
/// So many changes are written down for each node before all is sorted anew, and so many in all: half a megabyte.
const CHANGES: (usize, usize) = (4, 1 << 16);

/// What decides between two nodes, and which node it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    /// Nothing where tasks are spread.
    pub(crate) packing: Packing,
    pub(crate) age: Age,
    pub(crate) load: Load,
    pub(crate) node: NodeId,
    /// See [`super::Cluster::numbered`].
    pub(crate) number: usize,
}

/// In which order nodes stand.
#[derive(Debug)]
enum Order {
    /// The emptiest first.
    Emptiest,
    /// First the one that is left with the least that nobody can use, once it has taken this.
    Packed { reservation: Resources, mix: Arc<Mix> },
}

/// All classes that were asked for.
#[derive(Debug, Default)]
pub(super) struct Classes {
    /// The one that was asked for last is the last.
    all: Vec<Class>,
    /// The numbers of the nodes that have changed, oldest first.
    changed: Vec<usize>,
    /// How many have changed before those.
    before: u64,
}

/// A copy of the cluster begins without classes: to sort the nodes again costs less than to copy them in every order.
impl Clone for Classes {
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// The nodes of one class.
#[derive(Debug)]
pub(crate) struct Class {
    constraints: Vec<Constraint>,
    profile: Profile,
    order: Order,
    /// By the number of the zone.
    zones: Vec<BTreeSet<Rank>>,
    /// Where each node stands now, by its number: in which zone, and how.
    standing: Vec<Option<(usize, Rank)>>,
    /// How many changes it knows.
    knows: u64,
}

impl Classes {
    /// Something about the node of this number has changed.
    pub(super) fn mark(&mut self, number: usize) {
        if !self.all.is_empty() {
            self.note(number);
        }
    }

    fn note(&mut self, number: usize) {
        if self.changed.len() >= CHANGES.1 {
            self.forget_changes();
        }
        self.changed.push(number);
    }

    /// Whoever does not know them yet is sorted anew.
    fn forget_changes(&mut self) {
        self.before += self.changed.len() as u64;
        self.changed.clear();
    }

    /// Other images than before are on the node's engine.
    pub(super) fn mark_images(&mut self, number: usize) {
        let needs_images = |class: &Class| class.constraints.iter().any(Constraint::needs_images);
        if self.all.iter().any(needs_images) {
            self.note(number);
        }
    }

    /// The class of these tasks, as it was when it was last put in order.
    pub(super) fn get(&self, spec: &ServiceSpec) -> Option<&Class> {
        self.all.iter().rfind(|class| class.is_of(spec))
    }

    /// Has the class of these tasks, with every node where it belongs.
    pub(super) fn refresh(&mut self, spec: &ServiceSpec, mix: &Arc<Mix>, ledgers: &ByNode<Ledger>) {
        let nodes = ledgers.values().count();
        if self.changed.len() > CHANGES.0 * nodes.max(1) {
            self.forget_changes();
        }
        let class = match self.all.iter().rposition(|class| class.is_of(spec)) {
            Some(at) => self.all.remove(at),
            None => {
                let (least, most) = CLASSES;
                if self.all.len() >= (STANDING / nodes.max(1)).clamp(least, most) {
                    self.all.remove(0);
                }
                Class::new(spec, mix)
            }
        };
        let known = class.knows.checked_sub(self.before);
        let news = known.and_then(|known| self.changed.get(usize::try_from(known).ok()?..));
        let now = self.before + self.changed.len() as u64;
        self.all.push(class.in_order(mix, (news, now), ledgers));
    }
}

impl Class {
    fn new(spec: &ServiceSpec, mix: &Arc<Mix>) -> Self {
        let order = match spec.strategy {
            Strategy::Spread => Order::Emptiest,
            Strategy::Binpack => {
                Order::Packed { reservation: spec.task.reservation(), mix: Arc::clone(mix) }
            }
        };
        let (constraints, profile) = (spec.task.constraints.clone(), spec.task.profile);
        Self { constraints, profile, order, zones: Vec::new(), standing: Vec::new(), knows: 0 }
    }

    fn is_of(&self, spec: &ServiceSpec) -> bool {
        let is_ordered = match (&self.order, spec.strategy) {
            (Order::Emptiest, Strategy::Spread) => true,
            (Order::Packed { reservation, .. }, Strategy::Binpack) => {
                *reservation == spec.task.reservation()
            }
            (Order::Emptiest, Strategy::Binpack) | (Order::Packed { .. }, Strategy::Spread) => {
                false
            }
        };
        is_ordered && (self.constraints.as_slice(), self.profile) == spec.task.of_node()
    }

    /// Puts the nodes that changed where they belong; all of them when it is not known which, or something else counts now.
    fn in_order(
        mut self,
        mix: &Arc<Mix>,
        (news, now): (Option<&[usize]>, u64),
        ledgers: &ByNode<Ledger>,
    ) -> Self {
        let is_outdated = match &mut self.order {
            Order::Emptiest => false,
            Order::Packed { mix: known, .. } if Arc::ptr_eq(known, mix) || known == mix => false,
            Order::Packed { mix: known, .. } => {
                *known = Arc::clone(mix);
                true
            }
        };
        match news.filter(|_| !is_outdated && !self.standing.is_empty()) {
            Some(news) => {
                let news: BTreeSet<usize> = news.iter().copied().collect();
                news.into_iter().for_each(|number| self.stand(number, ledgers.at(number)));
            }
            None => self.sort(ledgers),
        }
        self.knows = now;
        self
    }

    /// The nodes of each zone, which has this number, the first to be tried first.
    pub(crate) fn zones(&self) -> impl Iterator<Item = (usize, &BTreeSet<Rank>)> {
        self.zones.iter().enumerate().filter(|(_, ranks)| !ranks.is_empty())
    }

    /// Begins anew.
    fn sort(&mut self, ledgers: &ByNode<Ledger>) {
        let all = ledgers.values().enumerate();
        self.standing = all.map(|(number, ledger)| self.place(number, ledger)).collect();
        let mut zones: Vec<Vec<Rank>> = Vec::new();
        for (zone, rank) in self.standing.iter().flatten() {
            if zones.len() <= *zone {
                zones.resize(zone + 1, Vec::new());
            }
            zones.get_mut(*zone).into_iter().for_each(|ranks| ranks.push(rank.clone()));
        }
        self.zones = zones.into_iter().map(|ranks| ranks.into_iter().collect()).collect();
    }

    /// Where a node belongs, if it belongs to the class.
    fn place(&self, number: usize, ledger: &Ledger) -> Option<(usize, Rank)> {
        let asked = (self.constraints.as_slice(), self.profile);
        let node = ledger.node.as_ref().filter(|node| ledger.meets(node, asked))?;
        let packing = match &self.order {
            Order::Emptiest => Packing::default(),
            Order::Packed { reservation, mix } => {
                let free = ledger.free();
                // Who is full stays out of the way of those who look for room.
                reservation.fits(&free).then(|| mix.packing(&free, reservation))?
            }
        };
        let (load, node, age) = (Load::of(&ledger.held), node.id.clone(), ledger.age);
        Some((ledger.zone?, Rank { packing, age, load, node, number }))
    }

    fn stand(&mut self, number: usize, ledger: Option<&Ledger>) {
        let now = ledger.and_then(|ledger| self.place(number, ledger));
        if self.standing.len() <= number {
            self.standing.resize(number + 1, None);
        }
        let Some(standing) = self.standing.get_mut(number) else { return };
        if *standing == now {
            return;
        }
        if let Some((zone, before)) = std::mem::replace(standing, now.clone())
            && let Some(ranks) = self.zones.get_mut(zone)
        {
            ranks.remove(&before);
        }
        if let Some((zone, rank)) = now {
            if self.zones.len() <= zone {
                self.zones.resize(zone + 1, BTreeSet::new());
            }
            if let Some(ranks) = self.zones.get_mut(zone) {
                ranks.insert(rank);
            }
        }
    }
}
