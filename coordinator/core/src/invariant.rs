//! What must hold after every step: one list for unit tests, simulation and production.

mod bake;
mod fleet;
mod job;
mod secret;
mod traffic;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::id::{NodeId, TaskId};
use model::node::Availability;
use model::resources::Resources;
use model::task::{DesiredState, Task, TaskState};

use crate::cluster::{Cluster, Line, Spread};

/// Names everything about the cluster that must not be. Empty is good.
#[must_use]
pub fn check(cluster: &Cluster) -> Vec<String> {
    let mut broken = Vec::new();
    one_current_task_a_slot(cluster, &mut broken);
    ledgers_add_up(cluster, &mut broken);
    spreads_add_up(cluster, &mut broken);
    nothing_is_oversold(cluster, &mut broken);
    fixed_ports_have_one_owner(cluster, &mut broken);
    placed_means_not_pending(cluster, &mut broken);
    room_is_made_for_who_waits(cluster, &mut broken);
    drains_close_their_nodes(cluster, &mut broken);
    demand_adds_up(cluster, &mut broken);
    leases_are_waited_for(cluster, &mut broken);
    job::check(cluster, &mut broken);
    bake::check(cluster, &mut broken);
    traffic::check(cluster, &mut broken);
    secret::check(cluster, &mut broken);
    fleet::check(cluster, &mut broken);
    broken
}

fn one_current_task_a_slot(cluster: &Cluster, broken: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for task in cluster.tasks().values() {
        // Beside one that is to leave its node there may be the next.
        let is_live = task.is_wanted() && !task.state.is_final() && !cluster.is_leaving(task);
        if is_live && !seen.insert((&task.service, &task.slot, task.generation.template)) {
            broken.push(format!(
                "slot {} of {} has two tasks of one template",
                task.slot, task.service
            ));
        }
    }
}

/// What is booked as each task comes and goes is what its tasks hold.
fn ledgers_add_up(cluster: &Cluster, broken: &mut Vec<String>) {
    for node in cluster.nodes().values() {
        let booked = cluster.tasks_on(&node.id).chain(cluster.promised_on(&node.id));
        let live = booked.filter(|task| !task.state.is_final());
        let held: Resources = live.map(|task| task.generation.spec.task.reservation()).sum();
        if held != cluster.held_on(&node.id) {
            broken.push(format!("what node {} holds is not what its tasks hold", node.id));
        }
    }
}

/// What is counted as tasks come and go is where they are.
fn spreads_add_up(cluster: &Cluster, broken: &mut Vec<String>) {
    for id in cluster.services().keys() {
        let none = Spread::default();
        let spread = cluster.spread(id).unwrap_or(&none);
        let is_there = |task: &&Arc<Task>| {
            task.booked_on().is_some() && !task.state.is_final() && !task.is_missed()
        };
        let present = Census::of(cluster, cluster.tasks_of(id).filter(is_there));
        let stays = |task: &&Arc<Task>| {
            is_there(task) && task.desired == DesiredState::Run && !cluster.is_leaving(task)
        };
        let staying = || cluster.tasks_of(id).filter(stays);
        let templates: BTreeSet<u64> = staying().map(|task| task.generation.template).collect();
        let is_counted = |template: &u64| {
            let of_line = staying().filter(|task| task.generation.template == *template);
            let line = spread.line(*template);
            line.is_some_and(|line| Census::of(cluster, of_line).is_counted_by(cluster, line))
        };
        let number =
            |node: &NodeId| cluster.ledger(node).map_or(usize::MAX, |ledger| ledger.number);
        let is_present = |(node, count): (&&NodeId, &usize)| spread.present(number(node)) == *count;
        if !present.on_nodes.iter().all(is_present)
            || spread.total() != present.total()
            || !templates.iter().all(is_counted)
        {
            broken.push(format!("the tasks of {id} are not counted where they are"));
        }
    }
}

/// How many of some tasks each node and each zone has.
struct Census<'a> {
    on_nodes: BTreeMap<&'a NodeId, usize>,
    in_zones: BTreeMap<&'a str, usize>,
}

impl<'a> Census<'a> {
    fn of(cluster: &'a Cluster, tasks: impl Iterator<Item = &'a Arc<Task>>) -> Self {
        let (mut on_nodes, mut in_zones) = (BTreeMap::new(), BTreeMap::new());
        for node in tasks.filter_map(|task| task.booked_on()) {
            *on_nodes.entry(node).or_default() += 1;
            let zone = cluster.nodes().get(node).map(|node| node.zone.as_str());
            zone.into_iter().for_each(|zone| *in_zones.entry(zone).or_default() += 1);
        }
        Self { on_nodes, in_zones }
    }

    fn total(&self) -> usize {
        self.on_nodes.values().sum()
    }

    fn is_counted_by(&self, cluster: &Cluster, line: &Line) -> bool {
        let is_node = |(node, count): (&&NodeId, &usize)| {
            cluster.ledger(node).is_some_and(|ledger| line.on_node(ledger.number) == *count)
        };
        let is_zone = |(zone, count): (&&str, &usize)| {
            cluster.zone(zone).map_or(0, |zone| line.in_zone(zone)) == *count
        };
        line.total() == self.total()
            && self.on_nodes.iter().all(is_node)
            && self.in_zones.iter().all(is_zone)
    }
}

fn nothing_is_oversold(cluster: &Cluster, broken: &mut Vec<String>) {
    for node in cluster.nodes().values() {
        let is_shrunk = cluster.ledger(&node.id).is_some_and(|ledger| ledger.is_shrunk);
        // What is promised is there only once others have ended.
        let live = cluster.tasks_on(&node.id).filter(|task| !task.state.is_final());
        let held: Resources = live.map(|task| task.generation.spec.task.reservation()).sum();
        if !is_shrunk && !held.fits(&node.capacity) {
            broken.push(format!("node {} is oversold", node.id));
        }
    }
}

fn fixed_ports_have_one_owner(cluster: &Cluster, broken: &mut Vec<String>) {
    let mut owners: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for node in cluster.nodes().values() {
        for task in cluster.tasks_on(&node.id).filter(|task| !task.state.is_final()) {
            for port in task.generation.spec.task.fixed_ports() {
                let others = owners.entry((&node.engine, port.number)).or_default();
                for (_, other) in others.iter().filter(|(taken, _)| port.meets(taken)) {
                    broken.push(format!("{} and {other} both hold port {}", task.id, port.number));
                }
                others.push((port, &task.id));
            }
        }
    }
}

fn placed_means_not_pending(cluster: &Cluster, broken: &mut Vec<String>) {
    for task in cluster.tasks().values() {
        let is_placed = task.node.is_some();
        if is_placed == (task.state == TaskState::Pending) {
            broken.push(format!(
                "task {} is {} but its node is {:?}",
                task.id, task.state, task.node
            ));
        }
    }
}

/// A promise is of a task that waits, and is kept in the book of its node.
fn room_is_made_for_who_waits(cluster: &Cluster, broken: &mut Vec<String>) {
    for task in cluster.tasks().values() {
        let Some(node) = &task.room_on else { continue };
        if task.state != TaskState::Pending || task.desired != DesiredState::Run {
            broken.push(format!("room is made on {node} for {}, which is {}", task.id, task.state));
        }
        let is_known = cluster.nodes().contains_key(node);
        if is_known && !cluster.promised_on(node).any(|promised| promised.id == task.id) {
            broken.push(format!("the room on {node} for {} is not booked", task.id));
        }
    }
    let promises = cluster.nodes().keys().flat_map(|node| cluster.promised_on(node));
    for task in promises.filter(|task| task.room_on.is_none()) {
        broken.push(format!("room is booked for {}, for which none is made", task.id));
    }
}

/// Who is to be empty gets nothing new, and who is empty has nothing.
fn drains_close_their_nodes(cluster: &Cluster, broken: &mut Vec<String>) {
    let shrinking = cluster.nodes().values().filter(|node| node.is_shrinking());
    if !cluster.shrinking().eq(shrinking) {
        broken.push("the book of nodes that nothing needs is not as they are".to_owned());
    }
    for node in cluster.nodes().values() {
        let Some(drain) = node.drain else { continue };
        if node.availability != Availability::Cordoned {
            broken.push(format!("node {} is being emptied and not closed", node.id));
        }
        let is_over = !node.is_draining();
        if is_over && cluster.tasks_on(&node.id).any(|task| !task.state.is_final()) {
            broken.push(format!("node {} is drained and has tasks", node.id));
        }
        if node.is_draining() != cluster.draining().any(|id| *id == node.id) {
            broken.push(format!("node {} is not in the book of drains as it is", node.id));
        }
        if drain.deadline < drain.since {
            broken.push(format!("the drain of node {} ends before it began", node.id));
        }
    }
}

/// What is kept as services and nodes come and go is what they ask for and have.
fn demand_adds_up(cluster: &Cluster, broken: &mut Vec<String>) {
    if !cluster.knows_its_mix() {
        broken.push("what services ask for is not what is known of it".to_owned());
    }
    if !cluster.knows_what_suits() {
        broken.push("which nodes meet constraints is not what is known of it".to_owned());
    }
    if !cluster.knows_its_ground() {
        broken.push("what nodes have that is preferred is not what is known of it".to_owned());
    }
}

/// A stop has patience only with what may hold a lease, and the book of those that are waited for has each of them.
fn leases_are_waited_for(cluster: &Cluster, broken: &mut Vec<String>) {
    let waits = |task: &&Arc<Task>| task.desired.patience().is_some() && !task.state.is_final();
    let tasks: BTreeSet<&TaskId> =
        cluster.tasks().values().filter(waits).map(|task| &task.id).collect();
    let booked: BTreeSet<&TaskId> = cluster.patient().map(|task| &task.id).collect();
    if tasks != booked {
        broken.push("the stops that wait for leases are not those in the book".to_owned());
    }
    for task in cluster.patient().filter(|task| task.generation.spec.task.lease.is_none()) {
        broken.push(format!("the stop of {} waits for a lease that it can not have", task.id));
    }
}
