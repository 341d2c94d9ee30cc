//! Whether one node more would take a task, if it were like those that there are.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use model::id::NodeId;
use model::node::{Availability, Node};
use model::resources::{Part, Resources};
use model::service::{Service, ServicePhase};
use model::spec::ServiceSpec;
use model::task::Task;

use super::amount;
use crate::cluster::{Cluster, Ledger};
use crate::plan::place::filter::Refusal;

/// The id of a node that is not there yet. No constraint can mean it.
const NEW: &str = "a-new-node";

/// What one node more of a kind would say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Growth {
    /// Of which kind.
    pub kind: Kind,
    /// A node of that kind, which the new one would be like.
    pub like: NodeId,
    /// Why even that would not take the task; nothing when it would.
    pub refusals: Vec<String>,
}

/// Nodes that are alike.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Those of a pool.
    Pool(String),
    /// Those of no pool that have as much to give away.
    Capacity {
        /// Thousandths of a core.
        cpu_millis: u64,
        /// Bytes.
        memory_bytes: u64,
        /// Whole ones.
        gpus: u64,
    },
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pool(name) => write!(f, "pool {name}"),
            Self::Capacity { cpu_millis, memory_bytes, gpus } => {
                let (cpu_millis, memory_bytes, gpus) = (*cpu_millis, *memory_bytes, *gpus);
                let it = Resources { cpu_millis, memory_bytes, gpus, ..Resources::default() };
                f.write_str(&amount(&it))
            }
        }
    }
}

impl Kind {
    fn of(node: &Node) -> Self {
        match &node.pool {
            Some(pool) => Self::Pool(pool.clone()),
            None => {
                let Resources { cpu_millis, memory_bytes, gpus, .. } = node.capacity;
                Self::Capacity { cpu_millis, memory_bytes, gpus }
            }
        }
    }
}

/// So many kinds are told of: more capacities than that are of machines that are all different.
const KINDS: usize = 20;

/// So many nodes are asked. Those that look alike are asked once, so that this is reached only when each has labels of its
/// own.
const ASKED: usize = 500;

/// Asks for each kind of nodes whether one more would take the task. Within a kind nodes differ in zone and labels; the one
/// that has the least against it speaks for all.
pub(super) fn kinds(cluster: &Cluster, task: &Task) -> Vec<Growth> {
    let globals: Vec<&Arc<Service>> = globals(cluster, task).collect();
    let mut kinds: BTreeMap<Kind, Growth> = BTreeMap::new();
    let mut asked = BTreeSet::new();
    for (node, ledger) in cluster.nodes_with_ledgers() {
        let is_alive = node.availability != Availability::Dead;
        if !is_alive || asked.len() == ASKED || !asked.insert(looks(node)) {
            continue;
        }
        let kind = Kind::of(node);
        let known = kinds.get(&kind);
        let (is_open, is_full) = (known.is_none(), kinds.len() == KINDS);
        if known.is_some_and(|known| known.refusals.is_empty()) || is_open && is_full {
            continue;
        }
        let refusals = refusals(task, (node, ledger), &globals);
        if known.is_none_or(|known| refusals.len() < known.refusals.len()) {
            kinds.insert(kind.clone(), Growth { kind, like: node.id.clone(), refusals });
        }
    }
    let mut kinds: Vec<Growth> = kinds.into_values().collect();
    kinds.sort_by_key(|growth| growth.refusals.len());
    kinds
}

/// What one machine more of a pool would be like: like one of those that it has.
pub(crate) struct Likeness<'a> {
    cluster: &'a Cluster,
    /// Those that look different, a few of them.
    looks: Vec<(&'a Node, &'a Ledger)>,
}

impl<'a> Likeness<'a> {
    pub(crate) fn of(cluster: &'a Cluster, nodes: &[&'a Arc<Node>]) -> Self {
        let mut seen = BTreeSet::new();
        let different = nodes.iter().filter(|node| seen.insert(looks(node)));
        let seats = different.filter_map(|node| Some((&***node, cluster.ledger(&node.id)?)));
        Self { cluster, looks: seats.take(KINDS).collect() }
    }

    /// Whether nobody knows what it would be like.
    pub(crate) const fn is_unknown(&self) -> bool {
        self.looks.is_empty()
    }

    /// What it would have for such tasks, beside what runs on every node, if it would take any. In a zone of which no machine
    /// is known it is like one of another.
    pub(crate) fn room(&self, task: &Task, zone: Option<&str>) -> Option<Resources> {
        let globals: Vec<&Arc<Service>> = globals(self.cluster, task).collect();
        let is_known = zone.is_none_or(|zone| self.looks.iter().any(|(node, _)| node.zone == zone));
        let meant = self
            .looks
            .iter()
            .filter(|(node, _)| zone.is_none_or(|zone| !is_known || node.zone == zone));
        meant.into_iter().find_map(|(node, ledger)| {
            let zone = zone.unwrap_or(&node.zone).to_owned();
            let like = Node { zone, ..(*node).clone() };
            let seat = (&like, *ledger);
            if !refusals(task, seat, &globals).is_empty() {
                return None;
            }
            let held = first(seat, &globals).into_iter().map(|spec| spec.task.reservation()).sum();
            Some(like.capacity.minus(&held))
        })
    }

    /// What the smallest of them would have beside what runs on every node.
    pub(crate) fn capacity(&self) -> Option<Resources> {
        let services = self.cluster.globals().iter();
        let services = services.filter_map(|id| self.cluster.services().get(id));
        let globals: Vec<&Arc<Service>> =
            services.filter(|service| service.phase != ServicePhase::Removing).collect();
        let rooms = self.looks.iter().map(|(node, ledger)| {
            let first = first((node, ledger), &globals).into_iter();
            let held: Resources = first.map(|spec| spec.task.reservation()).sum();
            node.capacity.minus(&held)
        });
        rooms.min_by_key(|room| (room.memory_bytes, room.cpu_millis, room.gpus, room.disk_bytes))
    }
}

/// Whatever decides which tasks a node takes.
fn looks(node: &Node) -> impl Ord + '_ {
    let capacity = Part::ALL.map(|part| node.capacity.part(part));
    (&node.pool, capacity, &node.zone, &node.labels, &node.ami)
}

/// Services that would have a task on the new node before this one.
fn globals<'a>(cluster: &'a Cluster, task: &'a Task) -> impl Iterator<Item = &'a Arc<Service>> {
    let globals = cluster.globals().iter().filter(|id| **id != task.service);
    let globals = globals.filter_map(|id| cluster.services().get(id));
    globals.filter(|service| service.phase != ServicePhase::Removing)
}

/// What comes to the node before the task.
fn first<'a>(
    (new, ledger): (&Node, &Ledger),
    globals: &[&'a Arc<Service>],
) -> Vec<&'a ServiceSpec> {
    let specs = globals.iter().map(|service| &service.target.spec);
    specs.filter(|spec| ledger.meets(new, spec.task.of_node())).collect()
}

fn refusals(
    task: &Task,
    (like, ledger): (&Node, &Ledger),
    globals: &[&Arc<Service>],
) -> Vec<String> {
    let spec = &task.generation.spec.task;
    let id = NEW.parse().unwrap_or_else(|_| like.id.clone());
    // Its name is not known, and it is open whatever the other is.
    let new = Node { id, hostname: String::new(), ..like.clone() };
    let unmet = ledger.unmet(&new, &spec.constraints);
    let mut refusals: Vec<String> = unmet.map(|unmet| format!("not `{unmet}`")).collect();
    if !ledger.takes(spec.profile) {
        refusals.push(Refusal::Profile(ledger.profile).to_string());
    }
    // What a machine image brings is on each machine of it.
    let volumes = ledger.volumes_missing(spec);
    refusals.extend(volumes.map(|name| Refusal::Volume(name.to_owned()).to_string()));
    let first = first((&new, ledger), globals);
    let held: Resources = first.iter().map(|spec| spec.task.reservation()).sum();
    if !spec.reservation().fits(&new.capacity.minus(&held)) {
        let (asked, all) = (amount(&spec.reservation()), amount(&new.capacity));
        let taken = match held {
            held if held == Resources::default() => String::new(),
            held => format!(", of which services of every node take {}", amount(&held)),
        };
        refusals.push(format!("too small for {asked}: it has {all}{taken}"));
    }
    for port in spec.fixed_ports() {
        let taker = first.iter().find(|spec| spec.task.fixed_ports().any(|own| own.meets(&port)));
        refusals.extend(taker.map(|spec| format!("port {} taken by {}", port.number, spec.id)));
    }
    refusals
}
