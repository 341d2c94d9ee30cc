//! Whether a machine could be done without: everything on it fits elsewhere, and nobody wants it to stay.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::fleet::{Instance, Lifecycle, Pool};
use model::id::{NodeId, TaskId};
use model::node::{Availability, DrainCause, Node};
use model::refresh::Blueprint;
use model::resources::Resources;
use model::service::ServicePhase;
use model::spec::Mode;
use model::task::Task;
use model::time::Timestamp;

use crate::cluster::{Cluster, Ledger};
use crate::explain::amount;
use crate::plan::capacity::{Machine, members, takes_any};
use crate::plan::condemn;
use crate::plan::place::Counts;
use crate::plan::place::filter;

/// What is thought of a machine of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Which.
    pub instance: NodeId,
    /// Why it stays; nothing when it could be done without.
    pub stays: Option<String>,
    /// Whether it stays only for what runs to its end there and would have found a place elsewhere.
    pub is_passing: bool,
    /// Where each of its tasks would go, as things are.
    pub moves: Vec<(TaskId, NodeId)>,
    /// Tasks that are there.
    pub tasks: usize,
    /// What it has.
    pub capacity: Resources,
}

/// Judges the machines of a pool, at most so many, those that could go first: of an old template first, then the emptiest.
pub(super) fn verdicts(
    cluster: &Cluster,
    (pool, most): (&Pool, usize),
    now: Timestamp,
) -> Vec<Verdict> {
    let blueprint = cluster.group(&pool.name).and_then(|group| group.blueprint.as_ref());
    let nodes = cluster.nodes().values();
    let nodes = nodes.filter(|node| node.pool.as_ref() == Some(&pool.name));
    let nodes = nodes.filter(|node| node.availability != Availability::Dead);
    let mut nodes: Vec<&Arc<Node>> = nodes.collect();
    nodes.sort_by_cached_key(|node| order(cluster, node, blueprint));
    nodes.into_iter().take(most).map(|node| verdict(cluster, (pool, node), now)).collect()
}

fn order(
    cluster: &Cluster,
    node: &Node,
    blueprint: Option<&Blueprint>,
) -> (bool, usize, u64, u64, NodeId) {
    let machine = cluster.instance(&node.id);
    let is_current = blueprint.is_none_or(|now| machine.is_none_or(|machine| now.made(machine)));
    let tasks = movable(cluster, &node.id).count();
    let held = cluster.held_on(&node.id);
    (is_current, tasks, held.memory_bytes, held.cpu_millis, node.id.clone())
}

/// The tasks that would have to go elsewhere.
fn movable<'a>(cluster: &'a Cluster, id: &'a NodeId) -> impl Iterator<Item = &'a Arc<Task>> {
    let live = cluster.tasks_on(id).filter(|task| task.is_wanted() && !task.state.is_final());
    live.filter(|task| task.generation.spec.mode != Mode::Global)
}

fn verdict(cluster: &Cluster, (pool, node): (&Pool, &Node), now: Timestamp) -> Verdict {
    let tasks = cluster.tasks_on(&node.id).filter(|task| !task.state.is_final()).count();
    let said = |stays, moves| Verdict {
        instance: node.id.clone(),
        stays,
        is_passing: false,
        moves,
        tasks,
        capacity: node.capacity,
    };
    let own = match node.drain {
        _ if pool.condemned.contains_key(&node.id) => {
            Some("its group is asked to end it, because it was silent".to_owned())
        }
        Some(drain) if drain.cause != DrainCause::ScaleIn => {
            Some("its node is being emptied for another reason".to_owned())
        }
        Some(_) => None,
        None if node.availability == Availability::Cordoned => {
            Some("an operator has closed its node".to_owned())
        }
        None => (!takes_any(cluster, node, now)).then(|| {
            "its node is new, or silent, and nobody knows what is to run there".to_owned()
        }),
    };
    if let Some(stays) = own.or_else(|| obstacle(cluster, &node.id)) {
        return said(Some(stays), Vec::new());
    }
    let to_end = movable(cluster, &node.id).find(|task| task.generation.spec.mode.runs_to_end());
    let to_end = to_end.map(|task| format!("{} runs to its end there", task.id));
    match (rehouse(cluster, (pool, node), now), to_end) {
        (Ok(moves), None) => said(None, moves),
        (Ok(_), stays @ Some(_)) => Verdict { is_passing: true, ..said(stays, Vec::new()) },
        (Err(_), stays @ Some(_)) => said(stays, Vec::new()),
        (Err(stays), None) => said(Some(stays), Vec::new()),
    }
}

/// Says whether the cloud was not looked at since we know of the machine, or since its agent has joined again.
pub(super) fn is_unseen(cluster: &Cluster, id: &NodeId) -> bool {
    let pool = cluster.nodes().get(id).and_then(|node| node.pool.as_ref());
    pool.is_none_or(|name| cluster.group(name).is_none()) || cluster.instance(id).is_none()
}

/// What is against ending the machine, whatever runs on it.
pub(super) fn obstacle(cluster: &Cluster, id: &NodeId) -> Option<String> {
    let node = cluster.nodes().get(id)?;
    let pool = node.pool.as_ref().and_then(|name| cluster.pools().get(name));
    let Some(pool) = pool else { return Some("it belongs to no pool".to_owned()) };
    if !pool.policy.shrinks {
        return Some(format!("{} is not made smaller: `--scale in` or `both`", pool.name));
    }
    let (Some(group), Some(machine)) = (cluster.group(&pool.name), cluster.instance(id)) else {
        return Some("the cloud has not shown it".to_owned());
    };
    if machine.lifecycle != Lifecycle::InService {
        return Some("its group has not put it in service, or ends it".to_owned());
    }
    if machine.is_protected {
        return Some("its group may not end it: it is protected from scale-in".to_owned());
    }
    if let Some(refresh) = cluster.open_refreshes().find(|one| one.id.pool == pool.name) {
        return Some(format!("{} is under way", refresh.id));
    }
    if group.foreign.is_some() || group.suspended.contains("Terminate") {
        return Some("its group is refreshed by somebody else, or may end no machines".to_owned());
    }
    let waiting = cluster.shortage_of(&pool.name).map_or(0, |short| short.waiting);
    if waiting > 0 {
        return Some(format!("{waiting} tasks wait for such a machine"));
    }
    let there = staying(cluster, &pool.name).count();
    let least = least(cluster, pool) as usize;
    if there.min(group.desired as usize) <= least {
        return Some(format!("{} has {there} machines, and {least} is the least", pool.name));
    }
    uneven(cluster, (pool, &machine.zone), group.suspended.contains("AZRebalance"))
}

/// The machines of a pool that are to stay in its group, also where the cloud has not been seen to end them yet.
fn staying<'a>(cluster: &'a Cluster, pool: &'a str) -> impl Iterator<Item = &'a Instance> {
    members(cluster, pool).filter(|one| {
        let node = cluster.nodes().get(&one.id);
        let drain = node.and_then(|node| node.drain);
        !cluster.is_ending(&one.id) && drain.is_none_or(|drain| !drain.cause.is_final())
    })
}

/// How many machines are left in any case.
pub(super) fn least(cluster: &Cluster, pool: &Pool) -> u32 {
    cluster.group(&pool.name).map_or(0, |group| group.min).max(pool.policy.least)
}

/// A group evens out its zones: where there are fewer than elsewhere it would launch another at once.
fn uneven(
    cluster: &Cluster,
    (pool, zone): (&Pool, &String),
    may_be_uneven: bool,
) -> Option<String> {
    let mut zones: BTreeMap<&String, usize> = BTreeMap::new();
    for one in staying(cluster, &pool.name) {
        *zones.entry(&one.zone).or_default() += 1;
    }
    let most = zones.values().max().copied().unwrap_or(0);
    let here = zones.get(zone).copied().unwrap_or(0);
    (here < most && !may_be_uneven).then(|| {
        format!("{zone} has {here} machines and another zone {most}: its group evens that out")
    })
}

/// What keeps every machine for now.
pub(super) fn unrest(cluster: &Cluster) -> Option<String> {
    let mut services = cluster.services().values();
    let rolling = services.find(|service| matches!(service.phase, ServicePhase::Rolling(_)));
    rolling.map(|service| format!("{} is rolled out", service.id))
}

/// Finds a place elsewhere for each task of the node, and for what is to stay free.
fn rehouse(
    cluster: &Cluster,
    (pool, node): (&Pool, &Node),
    now: Timestamp,
) -> Result<Vec<(TaskId, NodeId)>, String> {
    let mut tasks: Vec<&Arc<Task>> = movable(cluster, &node.id).collect();
    tasks.sort_by_key(|task| {
        let asked = task.generation.spec.task.reservation();
        std::cmp::Reverse((asked.gpus, asked.memory_bytes, asked.cpu_millis))
    });
    let others = cluster.nodes_with_ledgers();
    let others = others.filter(|(other, _)| other.id != node.id && takes_any(cluster, other, now));
    let others: Vec<(&Arc<Node>, &Ledger)> = others.collect();
    let mut laden: BTreeMap<&NodeId, Machine> = BTreeMap::new();
    let mut moves = Vec::new();
    for task in tasks {
        let counts = Counts::beside(cluster, task);
        let takes = |(other, ledger): &&(&Arc<Node>, &Ledger)| {
            let none = Machine::default();
            let beside = laden.get(&other.id).unwrap_or(&none);
            beside.fits(task, &ledger.free(), counts.present(ledger.number))
                && filter::refusal(cluster, (task, counts), (other, ledger), now).is_none()
        };
        let Some((other, _)) = others.iter().find(takes) else {
            let asked = amount(&task.generation.spec.task.reservation());
            return Err(format!("{} would find no other place for {asked}", task.id));
        };
        laden.entry(&other.id).or_default().take(task);
        moves.push((task.id.clone(), other.id.clone()));
    }
    let headroom = pool.policy.headroom;
    let of_pool = others.iter().filter(|(other, _)| other.pool.as_ref() == Some(&pool.name));
    let left = of_pool.map(|(other, ledger)| {
        let beside = laden.get(&other.id).cloned().unwrap_or_default();
        beside.holds(&headroom.each, &ledger.free())
    });
    let left = if headroom.count > 0 { left.fold(0, u64::saturating_add) } else { 0 };
    if left < u64::from(headroom.count) {
        let (count, each) = (headroom.count, amount(&headroom.each));
        return Err(format!(
            "room for {count} tasks of {each} is to stay free, and {left} would fit"
        ));
    }
    Ok(moves)
}

/// Why a node is there still, in sentences, the one that counts most first.
#[must_use]
pub fn why_here(cluster: &Cluster, node: &Node, now: Timestamp) -> Vec<String> {
    let mut said = Vec::new();
    if let Some(drain) = node.drain {
        let rest = drain.deadline.since(now).as_secs();
        said.push(if cluster.is_ending(&node.id) {
            "it is empty, and its group is asked to end it".to_owned()
        } else if node.is_draining() {
            format!("it is being emptied, for {rest} s more at most")
        } else {
            "it is drained".to_owned()
        });
    }
    let pool = node.pool.as_ref().and_then(|name| cluster.pools().get(name));
    let Some(pool) = pool else {
        said.extend(condemn::of_no_pool(cluster, node, now));
        said.push("it belongs to no pool: nothing but an operator ends it".to_owned());
        return said;
    };
    said.extend(condemn::outlook(cluster, (pool, node), now));
    let verdict = verdict(cluster, (pool, node), now);
    match (verdict.stays, super::due(cluster, &node.id)) {
        (Some(stays), _) => said.push(format!("it stays: {stays}")),
        (None, Some(due)) if node.drain.is_none() => {
            said.push(format!(
                "nothing needs it: its {} tasks fit elsewhere, and unless that changes it is emptied in {} s",
                verdict.moves.len(),
                due.since(now).as_secs()
            ));
            said.extend(unrest(cluster).map(|why| format!("no machine is emptied while {why}")));
        }
        (None, Some(_) | None) => {}
    }
    said
}
