//! Why a task finds no node, and the least that would help.
//!
//! One look at every node answers for all tasks of a generation: they ask for the same. Nothing here is part of a step.

pub(crate) mod growth;
mod headroom;
mod remedy;

use std::collections::BTreeMap;
use std::sync::Arc;

use model::id::NodeId;
use model::node::{Availability, Node};
use model::resources::Resources;
use model::task::Task;
use model::time::Timestamp;

pub use self::growth::{Growth, Kind};
pub use self::headroom::{Headroom, headroom};
pub use self::remedy::Remedy;
use crate::cluster::{Cluster, Ledger};
use crate::plan::place::Counts;
use crate::plan::place::filter::{self, Refusal};

/// What all nodes say to a task, put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Nodes that were asked: those that are not dead, or for a task that belongs to a node only that one.
    pub nodes: usize,
    /// Nodes that would take the task.
    pub takers: usize,
    /// Each reason for which nodes refuse, and how many do, the most first. A node may have several.
    pub refusals: Vec<(String, usize)>,
    /// The node that is nearest to taking the task, when none does.
    pub nearest: Option<Nearest>,
    /// What would help by itself, the least first. Empty when a node takes the task, or only several changes together help.
    pub remedies: Vec<Remedy>,
    /// Whether one node more would take the task, for each kind of nodes there is.
    pub growth: Vec<Growth>,
}

/// The node that is nearest to taking a task: it has the fewest reasons against it, and of those the least is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nearest {
    /// Which.
    pub node: NodeId,
    /// Every reason that it has.
    pub refusals: Vec<String>,
    /// What it lacks of what the task asks for.
    pub shortage: Resources,
}

/// What one node says.
struct Answer<'a> {
    node: &'a Node,
    refusals: Vec<Refusal>,
    shortage: Resources,
}

/// Asks every node about a task that waits.
#[must_use]
pub fn account(cluster: &Cluster, task: &Task, now: Timestamp) -> Account {
    let counts = Counts::beside(cluster, task);
    let is_asked = |(node, _): &(&Arc<Node>, _)| {
        let is_meant = task.slot.node().is_none_or(|own| *own == node.id);
        is_meant && node.availability != Availability::Dead
    };
    let seats = cluster.nodes_with_ledgers().filter(is_asked);
    let answers: Vec<Answer<'_>> =
        seats.map(|(node, ledger)| answer(cluster, (task, counts), (node, ledger), now)).collect();
    let takers = answers.iter().filter(|answer| answer.refusals.is_empty()).count();
    let growth = match task.slot.node() {
        None if takers == 0 => growth::kinds(cluster, task),
        None | Some(_) => Vec::new(),
    };
    Account {
        nodes: answers.len(),
        takers,
        refusals: counted(&answers),
        nearest: if takers == 0 { nearest(&answers, task) } else { None },
        remedies: if takers == 0 { remedy::all(cluster, task, &answers) } else { Vec::new() },
        growth,
    }
}

fn answer<'a>(
    cluster: &'a Cluster,
    (task, counts): (&Task, Counts<'_>),
    (node, ledger): (&'a Node, &'a Ledger),
    now: Timestamp,
) -> Answer<'a> {
    let refusals = filter::refusals(cluster, (task, counts), (node, ledger), now).collect();
    let free = filter::free((node, ledger), task);
    Answer { node, refusals, shortage: task.generation.spec.task.reservation().minus(&free) }
}

fn counted(answers: &[Answer<'_>]) -> Vec<(String, usize)> {
    let mut counts: BTreeMap<&Refusal, usize> = BTreeMap::new();
    for refusal in answers.iter().flat_map(|answer| &answer.refusals) {
        *counts.entry(refusal).or_default() += 1;
    }
    let mut counts: Vec<_> =
        counts.into_iter().map(|(why, count)| (why.to_string(), count)).collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts
}

fn nearest(answers: &[Answer<'_>], task: &Task) -> Option<Nearest> {
    let asked = task.generation.spec.task.reservation();
    let distance = |answer: &&Answer<'_>| (answer.refusals.len(), share(&answer.shortage, &asked));
    let nearest = answers.iter().min_by_key(distance)?;
    Some(Nearest {
        node: nearest.node.id.clone(),
        refusals: nearest.refusals.iter().map(ToString::to_string).collect(),
        shortage: nearest.shortage,
    })
}

/// How much of what is asked for is missing, in thousandths, all parts added up.
const fn share(shortage: &Resources, asked: &Resources) -> u64 {
    const fn part(short: u64, asked: u64) -> u64 {
        // Nothing is missing of what is not asked for.
        let asked = if asked == 0 { 1 } else { asked };
        short.saturating_mul(1_000) / asked
    }
    part(shortage.cpu_millis, asked.cpu_millis)
        .saturating_add(part(shortage.memory_bytes, asked.memory_bytes))
        .saturating_add(part(shortage.gpus, asked.gpus))
        .saturating_add(part(shortage.disk_bytes, asked.disk_bytes))
        .saturating_add(part(shortage.pids, asked.pids))
}

/// An amount in the words of an operator: `0.25 CPUs and 512 MiB of memory`.
pub(crate) fn amount(of: &Resources) -> String {
    let cpus = (of.cpu_millis > 0).then(|| cpus(of.cpu_millis));
    let memory = (of.memory_bytes > 0).then(|| format!("{} of memory", size(of.memory_bytes)));
    let gpus = (of.gpus > 0).then(|| match of.gpus {
        1 => "1 GPU".to_owned(),
        gpus => format!("{gpus} GPUs"),
    });
    let disk = (of.disk_bytes > 0).then(|| format!("{} of disk", size(of.disk_bytes)));
    let pids = (of.pids > 0).then(|| match of.pids {
        1 => "1 process".to_owned(),
        pids => format!("{pids} processes"),
    });
    let parts = cpus.into_iter().chain(memory).chain(disk).chain(pids).chain(gpus);
    let parts: Vec<String> = parts.collect();
    match parts.split_last() {
        None => "nothing".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

fn cpus(millis: u64) -> String {
    let (whole, rest) = (millis / 1_000, millis % 1_000);
    if rest == 0 {
        return format!("{whole} CPU{}", if whole == 1 { "" } else { "s" });
    }
    format!("{} CPUs", format!("{whole}.{rest:03}").trim_end_matches('0'))
}

/// Rounded up, so that what is said is enough.
fn size(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    let mib = bytes.div_ceil(MIB);
    if mib.is_multiple_of(1_024) { format!("{} GiB", mib / 1_024) } else { format!("{mib} MiB") }
}
