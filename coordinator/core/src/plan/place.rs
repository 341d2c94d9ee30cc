//! Finds a node for each task that has none. Each filter can say why it refuses.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use model::id::{NodeId, ServiceId, Slot};
use model::node::{Availability, Node};
use model::spec::{Attribute, Constraint, HostPort, Operator, TaskSpec};
use model::task::{DesiredState, Task, TaskState};

use crate::draft::Draft;

/// Why a node does not take a task.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Refusal {
    Closed,
    Silent,
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
        match choose(draft, &task) {
            Ok(node) => {
                let task = (*task).clone();
                draft.put_task(Task { node: Some(node), state: TaskState::Assigned, ..task });
            }
            Err(note) => {
                draft.cluster.waiting.insert(id.clone());
                draft.note(&task.id, note);
            }
        }
    }
}

/// The best node for the task, or what all of them say against it.
fn choose(draft: &Draft<'_>, task: &Task) -> Result<NodeId, String> {
    let mut refusals: BTreeMap<Refusal, usize> = BTreeMap::new();
    let mut best = None;
    for node in draft.cluster.nodes().values() {
        match refusal(draft, task, node) {
            Some(refusal) => *refusals.entry(refusal).or_default() += 1,
            None => {
                let score = score(draft, task, node);
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

fn refusal(draft: &Draft<'_>, task: &Task, node: &Node) -> Option<Refusal> {
    let spec = &task.generation.spec.task;
    if node.availability != Availability::Active {
        return Some(Refusal::Closed);
    }
    if !draft.cluster.is_heard(node, draft.now) {
        return Some(Refusal::Silent);
    }
    if matches!(&task.slot, Slot::Node(slot) if *slot != node.id) {
        return Some(Refusal::OtherSlot);
    }
    if let Some(constraint) = unmet(node, spec) {
        return Some(Refusal::Constraint(describe(constraint)));
    }
    let free = node.capacity.minus(&draft.cluster.held_on(&node.id));
    if !spec.reservation().fits(&free) {
        return Some(Refusal::Full);
    }
    if let Some(port) = spec.fixed_ports().find(|port| is_taken(draft, node, *port)) {
        return Some(Refusal::Port(port));
    }
    let limit = spec.max_per_node?;
    (count_on(draft, task, &node.id) >= limit as usize).then_some(Refusal::Enough(limit))
}

/// The first constraint that the node does not meet.
pub(crate) fn unmet<'a>(node: &Node, spec: &'a TaskSpec) -> Option<&'a Constraint> {
    spec.constraints.iter().find(|constraint| {
        let found = match &constraint.attribute {
            Attribute::Id => Some(node.id.as_str()),
            Attribute::Hostname => Some(node.hostname.as_str()),
            Attribute::Zone => Some(node.zone.as_str()),
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
        Attribute::Label(key) => format!("node.labels.{key}"),
    };
    let operator = match constraint.operator {
        Operator::Equal => "==",
        Operator::NotEqual => "!=",
    };
    format!("{attribute} {operator} {}", constraint.value)
}

/// Nodes that share an engine share its ports.
fn is_taken(draft: &Draft<'_>, node: &Node, port: HostPort) -> bool {
    let neighbours = draft.cluster.nodes().values().filter(|other| other.engine == node.engine);
    let mut tasks = neighbours.flat_map(|other| draft.cluster.tasks_on(&other.id));
    tasks.any(|task| {
        !task.state.is_final() && task.generation.spec.task.fixed_ports().any(|taken| taken == port)
    })
}

fn count_on(draft: &Draft<'_>, task: &Task, node: &NodeId) -> usize {
    let there = draft.cluster.tasks_on(node);
    there.filter(|other| other.service == task.service && !other.state.is_final()).count()
}

/// Less is better: few of the service in the zone, few on the node, then little held, so that load spreads.
fn score(draft: &Draft<'_>, task: &Task, node: &Node) -> (usize, usize, u64, u64) {
    let zone = draft.cluster.nodes().values().filter(|other| other.zone == node.zone);
    let in_zone = zone.map(|other| count_on(draft, task, &other.id)).sum();
    let held = draft.cluster.held_on(&node.id);
    (in_zone, count_on(draft, task, &node.id), held.memory_bytes, held.cpu_millis)
}
