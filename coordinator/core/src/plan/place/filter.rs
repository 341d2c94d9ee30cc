//! What a node must have for a task to be put there. Each filter can say why it refuses.

use std::fmt;

use model::id::Slot;
use model::node::Node;
use model::resources::Resources;
use model::spec::{Attribute, Constraint, HostPort, Operator, TaskSpec};
use model::task::Task;
use model::time::Timestamp;

use super::count::Counts;
use crate::cluster::{Cluster, Ledger};
use crate::event::EngineState;

/// Why a node does not take a task.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Refusal {
    Closed,
    Silent,
    Engine,
    Returning,
    OtherSlot,
    Constraint(String),
    Full,
    Port(u16),
    Enough(u32),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("closed to new tasks"),
            Self::Silent => f.write_str("silent"),
            Self::Engine => f.write_str("without an engine that answers"),
            Self::Returning => {
                f.write_str("back after silence, and what runs there not settled yet")
            }
            Self::OtherSlot => f.write_str("not the node of this slot"),
            Self::Constraint(text) => write!(f, "not {text}"),
            Self::Full => f.write_str("without enough free CPU or memory"),
            Self::Port(number) => write!(f, "with port {number} taken"),
            Self::Enough(limit) => write!(f, "with {limit} tasks of the service already"),
        }
    }
}

/// A node and what is known of it.
pub(crate) type Seat<'a> = (&'a Node, &'a Ledger);

/// Why the node takes no task at all, if it takes none.
pub(super) fn closed(ledger: &Ledger, now: Timestamp) -> Option<Refusal> {
    if !ledger.is_open {
        return Some(Refusal::Closed);
    }
    let Some(seen) = ledger.seen.filter(|seen| seen.is_recent(now)) else {
        return Some(Refusal::Silent);
    };
    match seen.engine {
        EngineState::Silent => Some(Refusal::Engine),
        EngineState::Ready if !ledger.missed.is_empty() => Some(Refusal::Returning),
        EngineState::Ready => None,
    }
}

/// Why the node does not take this task, if it does not. The task itself takes up nothing, wherever it is now.
pub(crate) fn refusal(
    cluster: &Cluster,
    (task, counts): (&Task, Counts<'_>),
    seat: Seat<'_>,
    now: Timestamp,
) -> Option<Refusal> {
    let spec = &task.generation.spec.task;
    let (node, ledger) = seat;
    if let Some(refusal) = closed(ledger, now) {
        return Some(refusal);
    }
    if matches!(&task.slot, Slot::Node(slot) if *slot != node.id) {
        return Some(Refusal::OtherSlot);
    }
    if let Some(constraint) = unmet(node, spec) {
        return Some(Refusal::Constraint(describe(constraint)));
    }
    if !spec.reservation().fits(&free(seat, task)) {
        return Some(Refusal::Full);
    }
    let taken = |port: &HostPort| is_taken(cluster, node, port, Some(task));
    if let Some(port) = spec.fixed_ports().find(taken) {
        return Some(Refusal::Port(port.number));
    }
    let limit = spec.max_per_node?;
    (counts.on_node(&node.id) >= limit as usize).then_some(Refusal::Enough(limit))
}

/// What the node has left without the task.
fn free((node, ledger): Seat<'_>, task: &Task) -> Resources {
    let is_there = task.node.as_ref() == Some(&node.id) && !task.state.is_final();
    let own = if is_there { task.generation.spec.task.reservation() } else { Resources::default() };
    node.capacity.minus(&ledger.held.minus(&own))
}

/// The first constraint that the node does not meet.
pub(crate) fn unmet<'a>(node: &Node, spec: &'a TaskSpec) -> Option<&'a Constraint> {
    spec.constraints.iter().find(|constraint| !constraint.is_met(node))
}

fn describe(constraint: &Constraint) -> String {
    let attribute = match &constraint.attribute {
        Attribute::Id => "node.id".to_owned(),
        Attribute::Hostname => "node.hostname".to_owned(),
        Attribute::Zone => "node.zone".to_owned(),
        Attribute::Arch => "node.platform.arch".to_owned(),
        Attribute::Label(key) => format!("node.labels.{key}"),
    };
    let operator = match constraint.operator {
        Operator::Equal => "==",
        Operator::NotEqual => "!=",
    };
    format!("{attribute} {operator} {}", constraint.value)
}

/// Says whether the port is held by another task than `own`. Nodes that share an engine share its ports.
pub(super) fn is_taken(
    cluster: &Cluster,
    node: &Node,
    port: &HostPort,
    own: Option<&Task>,
) -> bool {
    let held = cluster.neighbours(node).flat_map(|ledger| &ledger.ports);
    let meeting = held.filter(|taken| taken.meets(port)).count();
    // The task's own port is booked too, if the task is on one of these nodes.
    let is_near = |task: &&Task| {
        let on = task.node.as_ref().and_then(|id| cluster.nodes().get(id));
        !task.state.is_final() && on.is_some_and(|on| on.engine == node.engine)
    };
    let own = own.filter(is_near).map_or(0, |task| {
        task.generation.spec.task.fixed_ports().filter(|taken| taken.meets(port)).count()
    });
    meeting > own
}
