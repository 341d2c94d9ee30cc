//! What the machines of pools are launched from, and what they should be.

use std::collections::BTreeMap;
use std::time::Duration;

use model::bake::{Ami, AmiState};
use model::fleet::{Group, Instance};
use model::refresh::Refresh;
use model::time::Timestamp;

use crate::cluster::Cluster;
use crate::foresee;
use crate::plan::refresh::progress;
use crate::view::{NodeState, node_state};

/// How far the machines of a pool are from what its group launches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// The name of the pool.
    pub pool: String,
    /// Its machines by what they were launched from, the oldest version first. Machines that leave are not counted.
    pub generations: Vec<MachineGeneration>,
    /// Why machines are old, or what there is that is newer, in sentences.
    pub notes: Vec<String>,
    /// How long the refresh that is under way will take, if every task starts as fast as those that run and every machine boots as
    /// fast as those that were launched lately. None when there is none, or nobody can say.
    pub left: Option<Duration>,
}

/// Machines that were launched from the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineGeneration {
    /// The machine image, as far as the cloud says.
    pub ami: Option<String>,
    /// What a bake has called it, and when it was taken, if it is one of ours.
    pub baked: Option<(String, Timestamp)>,
    /// The id of the launch template and the number of its version.
    pub template: Option<(String, String)>,
    /// How many machines.
    pub machines: usize,
    /// How many of them are nodes that take tasks.
    pub ready: usize,
    /// Whether the group launches these.
    pub is_current: bool,
}

/// Says of each pool, or of the one that is named, what its machines are launched from.
#[must_use]
pub fn drift(cluster: &Cluster, pool: Option<&str>, now: Timestamp) -> Vec<Drift> {
    let pools = cluster.pools().keys().filter(|name| pool.is_none_or(|pool| pool == *name));
    pools.map(|name| of_pool(cluster, name, now)).collect()
}

fn of_pool(cluster: &Cluster, pool: &str, now: Timestamp) -> Drift {
    let open = cluster.open_refreshes().find(|refresh| refresh.id.pool == pool);
    let generations = generations(cluster, pool, now);
    let left = open.and_then(|_| foresee::rest(cluster, pool, now));
    let notes = match open {
        Some(refresh) => vec![under_way(cluster, refresh, now)],
        None => standing(cluster, pool, &generations),
    };
    Drift { pool: pool.to_owned(), generations, notes, left }
}

fn generations(cluster: &Cluster, pool: &str, now: Timestamp) -> Vec<MachineGeneration> {
    let blueprint = cluster.group(pool).and_then(|group| group.blueprint.as_ref());
    let members = cluster.instances().values().filter(|one| one.pool.as_deref() == Some(pool));
    let there = members.filter(|one| !one.lifecycle.is_leaving() && !one.power.is_off());
    let mut found: BTreeMap<_, MachineGeneration> = BTreeMap::new();
    for one in there {
        let template = one.template_id.clone().zip(one.template_version.clone());
        let is_current = blueprint.is_some_and(|blueprint| blueprint.made(one));
        let version = template.as_ref().and_then(|(_, version)| version.parse::<u64>().ok());
        let key = (is_current, version, template.clone(), one.ami.clone());
        let generation = found.entry(key).or_insert_with(|| MachineGeneration {
            ami: one.ami.clone(),
            baked: baked(cluster, one).map(|ami| (ami.name.clone(), ami.made_at)),
            template,
            machines: 0,
            ready: 0,
            is_current,
        });
        generation.machines += 1;
        let node = cluster.nodes().get(&one.id);
        let is_ready = node.is_some_and(|node| node_state(cluster, node, now) == NodeState::Ready);
        generation.ready += usize::from(is_ready);
    }
    found.into_values().collect()
}

fn baked<'a>(cluster: &'a Cluster, machine: &Instance) -> Option<&'a Ami> {
    let id = machine.ami.as_ref()?.parse().ok()?;
    cluster.amis().get(&id).map(AsRef::as_ref)
}

fn under_way(cluster: &Cluster, refresh: &Refresh, now: Timestamp) -> String {
    let id = &refresh.id;
    match progress(cluster, refresh, now) {
        Some(progress) => format!("refresh {id}: {}", progress.note),
        None => format!("refresh {id} is under way, and its group was not looked at yet"),
    }
}

/// Why machines are old although nothing is under way, and what there is that is newer.
fn standing(cluster: &Cluster, pool: &str, generations: &[MachineGeneration]) -> Vec<String> {
    let Some(group) = cluster.group(pool) else {
        return vec!["its group was not looked at yet, or is not there".to_owned()];
    };
    let old: usize = generations.iter().filter(|one| !one.is_current).map(|one| one.machines).sum();
    let mut notes = Vec::new();
    match &group.blueprint {
        None => notes.push("it is not known what its group launches".to_owned()),
        Some(_) if old > 0 => notes.push(why_old(cluster, pool, old)),
        Some(_) => {}
    }
    notes.extend(newer(cluster, (pool, group), generations));
    notes
}

fn why_old(cluster: &Cluster, pool: &str, old: usize) -> String {
    let last = cluster.refreshes_of(pool).last();
    let left = last.filter(|last| last.is_through() && !last.skipped.is_empty());
    match left {
        Some(last) => {
            let why = last.skipped.iter().map(|(id, skip)| format!("{id}: {}", skip.why));
            format!("refresh {} left machines: {}", last.id, why.collect::<Vec<_>>().join("; "))
        }
        None => format!(
            "{old} were launched before the group launched what it does now, and no refresh is under way"
        ),
    }
}

/// The newest image that was published for the pool, if its machines are launched from an older one.
fn newer(
    cluster: &Cluster,
    (pool, group): (&str, &Group),
    generations: &[MachineGeneration],
) -> Option<String> {
    let is_for_it = |ami: &&Ami| {
        matches!(ami.state, AmiState::Published { .. }) && ami.pools.iter().any(|one| one == pool)
    };
    let published = cluster.amis().values().map(AsRef::as_ref).filter(is_for_it);
    let newest = published.max_by_key(|ami| (ami.made_at, ami.id.clone()))?;
    let id = newest.id.to_string();
    let launched = generations.iter().filter(|one| one.is_current);
    let is_used = launched.into_iter().any(|one| one.ami.as_deref() == Some(id.as_str()));
    // Without a machine of it nobody says which image the version names.
    let is_known = group.desired == 0 || generations.iter().any(|one| one.is_current);
    (!is_used && is_known).then(|| {
        format!(
            "{id} ({}) was published for it: `wharf refresh start {pool} --ami {id}`",
            newest.name
        )
    })
}
