//! What a node must have for a task to be put there. Each filter can say why it refuses.

use std::fmt;
use std::iter::once_with;

use model::node::Node;
use model::policy::Profile;
use model::resources::{Lack, Resources};
use model::spec::{HostPort, Mode};
use model::task::Task;
use model::time::Timestamp;

use super::count::Counts;
use crate::cluster::{Cluster, Door, Ledger};
use crate::event::EngineState;

/// Why a node does not take a task, in the order in which it is asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Refusal {
    Closed,
    Silent,
    Engine,
    Returning,
    Preparing,
    OtherSlot,
    Constraint(String),
    Profile(Profile),
    Volume(String),
    Full(Lack),
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
            Self::Preparing => f.write_str("new, and what runs on every node does not serve yet"),
            Self::OtherSlot => f.write_str("not the node of this slot"),
            Self::Constraint(text) => write!(f, "not `{text}`"),
            Self::Profile(least) => write!(f, "of a pool that takes only what is {least}"),
            Self::Volume(name) => write!(f, "without the volume {name}"),
            Self::Full(lack) => write!(f, "without enough free {lack}"),
            Self::Port(number) => write!(f, "with port {number} taken"),
            Self::Enough(limit) => write!(f, "with {limit} tasks of the service already"),
        }
    }
}

/// A node and what is known of it.
pub(crate) type Seat<'a> = (&'a Node, &'a Ledger);

/// Why the node takes no task at all, if it takes none.
pub(super) fn closed(ledger: &Ledger, now: Timestamp) -> Option<Refusal> {
    if ledger.door == Door::Closed {
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

/// The first reason why the node does not take this task, if there is one.
pub(crate) fn refusal(
    cluster: &Cluster,
    asked: (&Task, Counts<'_>),
    seat: Seat<'_>,
    now: Timestamp,
) -> Option<Refusal> {
    refusals(cluster, asked, seat, now).next()
}

/// Every reason why the node does not take this task, found one after the other as they are asked for. The task itself
/// takes up nothing, wherever it is now.
pub(crate) fn refusals<'a>(
    cluster: &'a Cluster,
    (task, counts): (&'a Task, Counts<'a>),
    (node, ledger): Seat<'a>,
    now: Timestamp,
) -> impl Iterator<Item = Refusal> + 'a {
    let spec = &task.generation.spec.task;
    let closed = once_with(move || closed(ledger, now)).flatten();
    let is_early = ledger.door == Door::Preparing && task.generation.spec.mode != Mode::Global;
    let is_other = task.slot.node().is_some_and(|own| *own != node.id);
    let unmet = ledger.unmet(node, &spec.constraints);
    let unmet = unmet.map(|constraint| Refusal::Constraint(constraint.to_string()));
    let lesser = (!ledger.takes(spec.profile)).then_some(Refusal::Profile(ledger.profile));
    let volumes = ledger.volumes_missing(spec);
    let volumes = volumes.map(|name| Refusal::Volume(name.to_owned()));
    let full = once_with(move || {
        let lack = spec.reservation().lacking(&free((node, ledger), task));
        (!lack.is_none()).then_some(Refusal::Full(lack))
    });
    let ports = spec.fixed_ports().filter(|port| is_taken(cluster, node, port, Some(task)));
    let ports = ports.map(|port| Refusal::Port(port.number));
    let limit =
        spec.max_per_node.filter(move |limit| counts.present(ledger.number) >= *limit as usize);
    closed
        .chain(is_early.then_some(Refusal::Preparing))
        .chain(is_other.then_some(Refusal::OtherSlot))
        .chain(unmet)
        .chain(lesser)
        .chain(volumes)
        .chain(full.flatten())
        .chain(ports)
        .chain(limit.map(Refusal::Enough))
}

/// What the node has left without the task.
pub(crate) fn free((node, ledger): Seat<'_>, task: &Task) -> Resources {
    let is_there = task.booked_on() == Some(&node.id) && !task.state.is_final();
    let own = if is_there { task.generation.spec.task.reservation() } else { Resources::default() };
    node.capacity.minus(&ledger.held.minus(&own))
}

/// Says whether the port is held by another task than `own`. Nodes that share an engine share its ports.
pub(super) fn is_taken(
    cluster: &Cluster,
    node: &Node,
    port: &HostPort,
    own: Option<&Task>,
) -> bool {
    meeting(cluster, node, port, own) > 0
}

/// How many others than `own` hold such a port where the node is.
pub(crate) fn meeting(
    cluster: &Cluster,
    node: &Node,
    port: &HostPort,
    own: Option<&Task>,
) -> usize {
    let held = cluster.neighbours(node).flat_map(|ledger| &ledger.ports);
    let meeting = held.filter(|taken| taken.meets(port)).count();
    // The task's own port is booked too, if the task is on one of these nodes.
    let is_near = |task: &&Task| {
        let on = task.booked_on().and_then(|id| cluster.nodes().get(id));
        !task.state.is_final() && on.is_some_and(|on| on.engine == node.engine)
    };
    let own = own.filter(is_near).map_or(0, |task| {
        task.generation.spec.task.fixed_ports().filter(|taken| taken.meets(port)).count()
    });
    meeting.saturating_sub(own)
}
