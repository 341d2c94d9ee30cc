//! One change that would let a node take a task.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use model::id::{NodeId, TaskId};
use model::node::Node;
use model::policy::Profile;
use model::resources::Resources;
use model::spec::HostPort;
use model::task::Task;

use super::{Answer, amount, share};
use crate::cluster::Cluster;
use crate::plan::place::filter::Refusal;

/// One change that is enough for a node to take a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// Nodes are closed and would take it.
    Open {
        /// So many.
        nodes: usize,
        /// One of them.
        first: NodeId,
    },
    /// The task asks for a little more than a node has left.
    Less {
        /// So much less would do.
        by: Resources,
        /// There.
        node: NodeId,
    },
    /// Nodes fail nothing but one constraint.
    Constraint {
        /// As it is printed.
        text: String,
        /// So many.
        nodes: usize,
        /// One of them.
        first: NodeId,
    },
    /// The pools of nodes take nothing that may do so much as the task.
    Profile {
        /// The least that they take.
        least: Profile,
        /// So many.
        nodes: usize,
        /// One of them.
        first: NodeId,
    },
    /// A volume that the task needs is on none of the nodes that would take it otherwise.
    Volume {
        /// Its name on the engine.
        name: String,
        /// So many.
        nodes: usize,
        /// One of them.
        first: NodeId,
    },
    /// A port is held by another task.
    Port {
        /// Which.
        number: u16,
        /// Where.
        node: NodeId,
        /// Who holds it.
        holder: Option<TaskId>,
        /// On so many nodes nothing else is in the way.
        nodes: usize,
    },
    /// Nodes have as many tasks of the service as they may.
    PerNode {
        /// One more than that.
        limit: u32,
        /// So many.
        nodes: usize,
    },
    /// Nodes would take it once they are heard again, or their engines answer.
    Recovery {
        /// So many.
        nodes: usize,
        /// One of them.
        first: NodeId,
    },
}

/// Everything that would help by itself, the least first.
pub(super) fn all(cluster: &Cluster, task: &Task, answers: &[Answer<'_>]) -> Vec<Remedy> {
    let mut only: BTreeMap<&Refusal, Vec<&Answer<'_>>> = BTreeMap::new();
    for answer in answers {
        if let [refusal] = answer.refusals.as_slice() {
            only.entry(refusal).or_default().push(answer);
        }
    }
    let asked = task.generation.spec.task.reservation();
    let mut found: Vec<(u8, Remedy)> = only
        .into_iter()
        .filter_map(|(refusal, answers)| one(cluster, task, (refusal, &answers)))
        .map(|remedy| (rank(&remedy, &asked), remedy))
        .collect();
    // What helps on more nodes is more likely to be meant.
    found.sort_by_key(|(rank, remedy)| (*rank, std::cmp::Reverse(remedy.nodes())));
    found.into_iter().map(|(_, remedy)| remedy).collect()
}

fn one(
    cluster: &Cluster,
    task: &Task,
    (refusal, answers): (&Refusal, &[&Answer<'_>]),
) -> Option<Remedy> {
    let (nodes, first) = (answers.len(), answers.first()?.node);
    let asked = task.generation.spec.task.reservation();
    Some(match refusal {
        Refusal::Closed => Remedy::Open { nodes, first: first.id.clone() },
        Refusal::Silent | Refusal::Engine | Refusal::Returning | Refusal::Preparing => {
            Remedy::Recovery { nodes, first: first.id.clone() }
        }
        // There is no other node for such a task.
        Refusal::OtherSlot => return None,
        Refusal::Constraint(text) => {
            Remedy::Constraint { text: text.clone(), nodes, first: first.id.clone() }
        }
        Refusal::Profile(least) => {
            Remedy::Profile { least: *least, nodes, first: first.id.clone() }
        }
        Refusal::Volume(name) => {
            Remedy::Volume { name: name.clone(), nodes, first: first.id.clone() }
        }
        Refusal::Full(_) => {
            let least = answers.iter().min_by_key(|answer| share(&answer.shortage, &asked))?;
            Remedy::Less { by: least.shortage, node: least.node.id.clone() }
        }
        Refusal::Port(number) => {
            let holder = holder(cluster, task, (first, *number));
            Remedy::Port { number: *number, node: first.id.clone(), holder, nodes }
        }
        Refusal::Enough(limit) => Remedy::PerNode { limit: limit.saturating_add(1), nodes },
    })
}

/// The task that holds a port which this one asks for, on the node or on another of its engine.
fn holder(cluster: &Cluster, task: &Task, (node, number): (&Node, u16)) -> Option<TaskId> {
    let asked: Vec<HostPort> =
        task.generation.spec.task.fixed_ports().filter(|port| port.number == number).collect();
    let tasks = cluster.neighbours(node).flat_map(|ledger| ledger.tasks.iter());
    let live = tasks.filter_map(|id| cluster.tasks().get(id)).filter(|one| !one.state.is_final());
    let mut others = live.filter(|one| one.id != task.id);
    let holds = |one: &&Arc<Task>| {
        let mut held = one.generation.spec.task.fixed_ports();
        held.any(|held| asked.iter().any(|asked| asked.meets(&held)))
    };
    others.find(holds).map(|holder| holder.id.clone())
}

/// The least first: what needs no other spec, then what gives up little. To ask for less than half is no small change.
const fn rank(remedy: &Remedy, asked: &Resources) -> u8 {
    match remedy {
        Remedy::Open { .. } => 0,
        Remedy::Less { by, .. } if share(by, asked) <= 500 => 1,
        Remedy::Constraint { .. } => 2,
        Remedy::Profile { .. } => 3,
        Remedy::PerNode { .. } => 4,
        Remedy::Port { .. } => 5,
        Remedy::Volume { .. } => 6,
        Remedy::Recovery { .. } => 7,
        Remedy::Less { .. } => 8,
    }
}

impl Remedy {
    /// How many nodes would take the task then, as far as it is known.
    #[must_use]
    pub const fn nodes(&self) -> usize {
        match self {
            Self::Less { .. } => 1,
            Self::Open { nodes, .. }
            | Self::Constraint { nodes, .. }
            | Self::Profile { nodes, .. }
            | Self::Volume { nodes, .. }
            | Self::Port { nodes, .. }
            | Self::PerNode { nodes, .. }
            | Self::Recovery { nodes, .. } => *nodes,
        }
    }
}

/// `one node` or `3 nodes`.
fn counted(nodes: usize) -> String {
    if nodes == 1 { "1 node".to_owned() } else { format!("{nodes} nodes") }
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open { nodes, first } => {
                write!(f, "{} would take it if open: `wharf uncordon {first}`", counted(*nodes))
            }
            Self::Less { by, node } => write!(f, "with {} less it would fit {node}", amount(by)),
            Self::Constraint { text, nodes, first } => {
                let nodes = counted(*nodes);
                write!(f, "without `{text}` {nodes} would take it, {first} among them")
            }
            Self::Profile { least, nodes, first } => {
                let nodes = counted(*nodes);
                write!(
                    f,
                    "with `x-wharf.profile: {least}` {nodes} would take it, {first} among them"
                )
            }
            Self::Volume { name, nodes, first } => {
                let nodes = counted(*nodes);
                write!(
                    f,
                    "with the volume {name} {nodes} would take it: `docker volume create {name}` on {first}"
                )
            }
            Self::Port { number, node, holder, nodes } => {
                write!(f, "port {number} is held on {node}")?;
                if let Some(holder) = holder {
                    write!(f, " by {holder}")?;
                }
                write!(f, "; with it free {} would take it", counted(*nodes))
            }
            Self::PerNode { limit, nodes } => {
                let nodes = counted(*nodes);
                write!(f, "with `max_replicas_per_node: {limit}` {nodes} would take it")
            }
            Self::Recovery { nodes, first } => {
                let nodes = counted(*nodes);
                write!(f, "{nodes} would take it once back and settled, {first} among them")
            }
        }
    }
}
