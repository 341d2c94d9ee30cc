//! Empties nodes, and tells how it goes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use model::node::Availability;
use proto::convert::node_from_wire;
use proto::wire;
use serde_json::json;

use crate::args::{Drain, Global};
use crate::client::{Client, unary};
use crate::commands::change;
use crate::exit::{Exit, Failure, from_status};
use crate::output::{self, Listing, Row, clean};

/// How often the node is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// How much longer than the drain itself may take is waited for its end: containers have their grace to stop.
const MORE: Duration = Duration::from_secs(120);

pub(crate) async fn drain(
    client: &Client,
    global: &Global,
    arguments: &Drain,
) -> anyhow::Result<Exit> {
    let within = if arguments.force { Duration::ZERO } else { arguments.deadline };
    let nodes = meant(client, arguments).await?;
    let request = wire::DrainRequest {
        nodes: nodes.clone(),
        within_ms: Some(u64::try_from(within.as_millis()).unwrap_or(u64::MAX)),
        dry_run: arguments.plan,
    };
    let answer = client.control.clone().drain(unary(request)).await;
    let answer = answer.map_err(|status| from_status(&status))?.into_inner();
    if arguments.plan {
        return show(client, global, (&nodes, &answer.tasks)).await;
    }
    if arguments.detach {
        return Ok(Exit::Done);
    }
    let end = Instant::now() + arguments.timeout.unwrap_or(within + MORE);
    wait(client, &nodes, end).await
}

/// The ids of the nodes that are meant.
async fn meant(client: &Client, arguments: &Drain) -> anyhow::Result<Vec<String>> {
    let mut ids = BTreeSet::new();
    for name in &arguments.nodes {
        ids.insert(change::node_id(client, name).await?);
    }
    let Some(constraint) = &arguments.where_met else { return Ok(ids.into_iter().collect()) };
    for view in client.nodes().await? {
        let Some(Ok(node)) = view.node.as_ref().map(node_from_wire) else { continue };
        // Which images a node has is not said of it here.
        if node.availability != Availability::Dead && constraint.is_met(&node, None) {
            ids.insert(node.id.to_string());
        }
    }
    if ids.is_empty() {
        let message = format!("no node meets `{constraint}`");
        return Err(Failure::error(Exit::Error, message, "`wharf node ls -o wide` shows them"));
    }
    Ok(ids.into_iter().collect())
}

/// Prints what would become of each task.
async fn show(
    client: &Client,
    global: &Global,
    (nodes, tasks): (&[String], &[wire::PlannedLeave]),
) -> anyhow::Result<Exit> {
    let row = |leave: &wire::PlannedLeave| {
        let when = if leave.forced { "is stopped at the deadline: " } else { "" };
        let to = leave.to.clone().unwrap_or_else(|| "-".to_owned());
        Row {
            id: leave.task.clone(),
            cells: vec![
                leave.task.clone(),
                leave.from.clone(),
                to,
                leave.after_ms.map_or_else(|| "-".to_owned(), output::lasting),
                format!("{when}{}", leave.note),
            ],
            json: json!({
                "task": leave.task,
                "from": leave.from,
                "to": leave.to,
                "after_ms": leave.after_ms,
                "forced": leave.forced,
                "note": leave.note,
            }),
        }
    };
    let rows = tasks.iter().map(row).collect();
    let listing = Listing { head: vec!["TASK", "FROM", "TO", "AFTER", "NOTE"], wide: 5, rows };
    output::print(listing, global.format(), &global.filters)?;
    let mut is_done = tasks.is_empty();
    for node in nodes {
        is_done &= look(client, node).await?.state() == wire::NodeState::Drained;
    }
    Ok(if is_done { Exit::Done } else { Exit::Changes })
}

async fn look(client: &Client, id: &str) -> anyhow::Result<wire::NodeView> {
    let nodes = client.nodes().await?;
    let mut nodes = nodes.into_iter();
    let found = nodes.find(|view| view.node.as_ref().is_some_and(|node| node.id == id));
    found.ok_or_else(|| Failure::error(Exit::Error, format!("node {id} is not there any more"), ""))
}

/// Waits until the nodes are empty, one after the other: they are emptied together.
async fn wait(client: &Client, nodes: &[String], end: Instant) -> anyhow::Result<Exit> {
    for node in nodes {
        if let Waited::Interrupted = wait_for(client, node, end).await? {
            let nodes: Vec<_> = nodes.iter().map(|node| clean(node)).collect();
            println!("it goes on without you: `wharf drain {}` shows how", nodes.join(" "));
            break;
        }
    }
    Ok(Exit::Done)
}

/// How the wait for one node came to its end.
enum Waited {
    Empty,
    Interrupted,
}

/// Waits until the node is empty, and prints what each task waits for whenever that changes.
async fn wait_for(client: &Client, id: &str, end: Instant) -> anyhow::Result<Waited> {
    let mut told = BTreeMap::new();
    loop {
        let view = look(client, id).await?;
        let node = view.node.clone().unwrap_or_default();
        let Some(drain) = view.drain else {
            return Err(called_off(id, &node));
        };
        tell(&mut told, &drain.left);
        if node.drain.is_some_and(|drain| drain.phase() == wire::DrainPhase::Drained) {
            println!("{} is drained", clean(id));
            return Ok(Waited::Empty);
        }
        if Instant::now() >= end {
            return Err(late(id, &drain));
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                return Ok(Waited::Interrupted);
            }
        }
    }
}

fn tell(told: &mut BTreeMap<String, String>, left: &[wire::Leaving]) {
    let now: BTreeMap<String, String> =
        left.iter().map(|one| (one.task.clone(), one.waits_for.clone())).collect();
    for task in told.keys().filter(|task| !now.contains_key(*task)) {
        println!("{} has left", clean(task));
    }
    for (task, waits) in now.iter().filter(|(task, waits)| told.get(*task) != Some(*waits)) {
        println!("{} {}", clean(task), clean(waits));
    }
    *told = now;
}

fn called_off(id: &str, node: &wire::Node) -> anyhow::Error {
    let (message, hint) = match node.availability() {
        wire::Availability::Dead => (format!("node {id} is gone for good"), "".to_owned()),
        wire::Availability::Active
        | wire::Availability::Cordoned
        | wire::Availability::Unspecified => (
            format!("somebody has opened node {id} again: the drain is called off"),
            "`wharf events` says when".to_owned(),
        ),
    };
    Failure::error(Exit::Error, message, hint)
}

fn late(id: &str, drain: &wire::DrainView) -> anyhow::Error {
    let left = drain.left.len();
    if drain.blocked {
        let first = drain.left.first();
        let why = first.map(|one| format!("{} {}", one.task, one.waits_for)).unwrap_or_default();
        let message = format!("{left} tasks can not leave node {id}: {why}");
        let hint = "make room or change the budget; `--force` stops them all the same, `wharf uncordon` keeps them";
        return Failure::error(Exit::NotPlaced, message, hint);
    }
    let message = format!("{left} tasks are still on node {id}, and the drain goes on");
    Failure::error(Exit::TimedOut, message, format!("`wharf drain {id}` shows how it goes on"))
}
