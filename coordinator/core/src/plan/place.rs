//! Finds a node for each task that has none. Each filter can say why it refuses.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use model::id::{NodeId, ServiceId, Slot};
use model::node::{Availability, Node};
use model::resources::Resources;
use model::spec::{Attribute, Constraint, HostPort, Operator, TaskSpec};
use model::task::{DesiredState, Task, TaskState};
use model::time::Timestamp;

use crate::cluster::Cluster;
use crate::draft::Draft;

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
    Port(HostPort),
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
            Self::Port(port) => write!(f, "with port {} taken", port.number),
            Self::Enough(limit) => write!(f, "with {limit} tasks of the service already"),
        }
    }
}

pub(crate) fn pass(draft: &mut Draft<'_>, id: &ServiceId) {
    let is_waiting =
        |task: &&Arc<Task>| task.state == TaskState::Pending && task.desired == DesiredState::Run;
    let waiting: Vec<_> = draft.cluster.tasks_of(id).filter(is_waiting).cloned().collect();
    for task in waiting {
        if draft.is_full() {
            return draft.touch(id);
        }
        match choose(draft.cluster, &task, draft.now) {
            Ok(node) => {
                // From now on it is expected to come up in time, also when its node is never heard again (simulation,
                // seed 5569).
                draft.wake(id, task.created_at + task.generation.spec.update.progress_deadline);
                let task = (*task).clone();
                draft.put_task(Task { node: Some(node), state: TaskState::Assigned, ..task });
            }
            Err(note) => {
                if !crowding(draft.cluster, &task, draft.now).is_empty() {
                    draft.touch(id);
                }
                draft.cluster.waiting.insert(id.clone());
                draft.note(&task.id, note);
            }
        }
    }
}

/// Tasks of the same slot that have to go before there is room for this one. A slot that belongs to a node can not look
/// for room elsewhere: on a full node its old task and the new one would wait for each other for ever.
pub(crate) fn crowding(cluster: &Cluster, task: &Task, now: Timestamp) -> Vec<Arc<Task>> {
    let Slot::Node(id) = &task.slot else { return Vec::new() };
    let Some(node) = cluster.nodes().get(id) else { return Vec::new() };
    let blocks = |other: &&Arc<Task>| {
        other.slot == task.slot && other.id != task.id && other.desired == DesiredState::Run
    };
    let old: Vec<_> = cluster.tasks_of(&task.service).filter(blocks).cloned().collect();
    let held = old.iter().filter(|task| !task.state.is_final());
    let freed: Resources = held.map(|task| task.generation.spec.task.reservation()).sum();
    let free = node.capacity.minus(&cluster.held_on(id)) + freed;
    let helps = task.generation.spec.task.reservation().fits(&free);
    let is_full = || refusal(cluster, task, node, now) == Some(Refusal::Full);
    if task.state == TaskState::Pending && helps && is_full() { old } else { Vec::new() }
}

/// The best node for the task, or what all of them say against it.
fn choose(cluster: &Cluster, task: &Task, now: Timestamp) -> Result<NodeId, String> {
    let mut refusals: BTreeMap<Refusal, usize> = BTreeMap::new();
    let mut best = None;
    for node in cluster.nodes().values() {
        match refusal(cluster, task, node, now) {
            Some(refusal) => *refusals.entry(refusal).or_default() += 1,
            None => {
                let score = score(cluster, task, node);
                if best.as_ref().is_none_or(|(least, _)| score < *least) {
                    best = Some((score, node.id.clone()));
                }
            }
        }
    }
    best.map(|(_, node)| node).ok_or_else(|| explain(&refusals))
}

fn explain(refusals: &BTreeMap<Refusal, usize>) -> String {
    if refusals.is_empty() {
        return "waits: there are no nodes yet".to_owned();
    }
    let parts: Vec<_> = refusals.iter().map(|(why, count)| format!("{count} {why}")).collect();
    format!("waits: of all nodes {}", parts.join(", "))
}

/// Why the node does not take the task, if it does not.
pub(crate) fn refusal(
    cluster: &Cluster,
    task: &Task,
    node: &Node,
    now: Timestamp,
) -> Option<Refusal> {
    let spec = &task.generation.spec.task;
    if node.availability != Availability::Active {
        return Some(Refusal::Closed);
    }
    if !cluster.is_heard(node, now) {
        return Some(Refusal::Silent);
    }
    if !cluster.takes_work(node, now) {
        return Some(Refusal::Engine);
    }
    if cluster.missed_on(&node.id).next().is_some() {
        return Some(Refusal::Returning);
    }
    if matches!(&task.slot, Slot::Node(slot) if *slot != node.id) {
        return Some(Refusal::OtherSlot);
    }
    if let Some(constraint) = unmet(node, spec) {
        return Some(Refusal::Constraint(describe(constraint)));
    }
    let free = node.capacity.minus(&cluster.held_on(&node.id));
    if !spec.reservation().fits(&free) {
        return Some(Refusal::Full);
    }
    if let Some(port) = spec.fixed_ports().find(|port| is_taken(cluster, node, *port)) {
        return Some(Refusal::Port(port));
    }
    let limit = spec.max_per_node?;
    (count_on(cluster, task, &node.id) >= limit as usize).then_some(Refusal::Enough(limit))
}

/// The first constraint that the node does not meet.
pub(crate) fn unmet<'a>(node: &Node, spec: &'a TaskSpec) -> Option<&'a Constraint> {
    spec.constraints.iter().find(|constraint| {
        let found = match &constraint.attribute {
            Attribute::Id => Some(node.id.as_str()),
            Attribute::Hostname => Some(node.hostname.as_str()),
            Attribute::Zone => Some(node.zone.as_str()),
            Attribute::Arch => Some(node.arch.as_str()),
            Attribute::Label(key) => node.labels.get(key).map(String::as_str),
        };
        let is_equal = found == Some(constraint.value.as_str());
        match constraint.operator {
            Operator::Equal => !is_equal,
            Operator::NotEqual => is_equal,
        }
    })
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

/// Nodes that share an engine share its ports.
fn is_taken(cluster: &Cluster, node: &Node, port: HostPort) -> bool {
    let neighbours = cluster.nodes().values().filter(|other| other.engine == node.engine);
    let mut tasks = neighbours.flat_map(|other| cluster.tasks_on(&other.id));
    tasks.any(|task| {
        !task.state.is_final()
            && task.generation.spec.task.fixed_ports().any(|taken| taken.meets(&port))
    })
}

fn count_on(cluster: &Cluster, task: &Task, node: &NodeId) -> usize {
    let there = cluster.tasks_on(node);
    let counts = |other: &&Arc<Task>| !other.state.is_final() && !other.is_missed();
    there.filter(|other| other.service == task.service && counts(other)).count()
}

/// Why one node is better than another: the first term that differs decides, and less is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Score {
    /// Tasks of the service in the zone of the node: what fails together is spread first.
    pub in_zone: usize,
    /// Tasks of the service on the node.
    pub on_node: usize,
    /// Images that the node would have to fetch first.
    pub images_missing: usize,
    /// Bytes of memory that tasks hold there.
    pub memory_bytes: u64,
    /// Thousandths of a core that tasks hold there.
    pub cpu_millis: u64,
}

pub(crate) fn score(cluster: &Cluster, task: &Task, node: &Node) -> Score {
    let zone = cluster.nodes().values().filter(|other| other.zone == node.zone);
    let in_zone = zone.map(|other| count_on(cluster, task, &other.id)).sum();
    let held = cluster.held_on(&node.id);
    Score {
        in_zone,
        on_node: count_on(cluster, task, &node.id),
        images_missing: cluster.images_missing(&node.id, &task.generation.spec.task),
        memory_bytes: held.memory_bytes,
        cpu_millis: held.cpu_millis,
    }
}
