//! Emptying a node and spreading tasks better, or saying what that would do.

use std::time::Duration;

use coordinator_core::event::{Event, Reply};
use coordinator_core::foresee::{self, Leave};
use model::id::NodeId;
use model::node::{DRAIN_USUALLY, DrainCause};
use proto::wire;
use tonic::Status;

use crate::Shared;
use crate::api::accepted;
use crate::audit::By;

pub(crate) async fn drain(
    shared: &Shared,
    by: By,
    request: &wire::DrainRequest,
) -> Result<wire::DrainResponse, Status> {
    let nodes = request.nodes.iter().map(|node| node.parse());
    let nodes: Vec<NodeId> = nodes
        .collect::<Result<_, _>>()
        .map_err(|error| Status::invalid_argument(format!("{error}")))?;
    if nodes.is_empty() {
        return Err(Status::invalid_argument("no node is named that is to be emptied"));
    }
    let within = request.within_ms.map_or(DRAIN_USUALLY, Duration::from_millis);
    if request.dry_run {
        return plan(shared, &nodes, within);
    }
    let event = Event::Drain { nodes, within, cause: DrainCause::Operator };
    accepted(shared.door.ask_by(by, event).await)?;
    Ok(wire::DrainResponse::default())
}

fn plan(
    shared: &Shared,
    nodes: &[NodeId],
    within: Duration,
) -> Result<wire::DrainResponse, Status> {
    let now = shared.clock.now();
    let cluster = shared.published.read().cluster.clone();
    match foresee::drain(&cluster, nodes, within, now) {
        Ok(tasks) => Ok(wire::DrainResponse { tasks: tasks.iter().map(leave).collect() }),
        Err(refusal) => {
            accepted(Ok(Reply::Refused(refusal))).map(|_| wire::DrainResponse::default())
        }
    }
}

pub(crate) async fn rebalance(
    shared: &Shared,
    by: By,
    request: &wire::RebalanceRequest,
) -> Result<wire::RebalanceResponse, Status> {
    if !request.dry_run {
        accepted(shared.door.ask_by(by, Event::Rebalance).await)?;
        return Ok(wire::RebalanceResponse::default());
    }
    let now = shared.clock.now();
    let cluster = shared.published.read().cluster.clone();
    let name = |node: Option<NodeId>| node.map(|node| node.to_string()).unwrap_or_default();
    let moves = foresee::rebalance(&cluster, now).into_iter().map(|one| wire::PlannedMove {
        task: one.task.to_string(),
        from: name(one.from),
        to: name(one.to),
    });
    Ok(wire::RebalanceResponse { moves: moves.collect() })
}

fn leave(leave: &Leave) -> wire::PlannedLeave {
    wire::PlannedLeave {
        task: leave.task.to_string(),
        to: leave.to.as_ref().map(ToString::to_string),
        note: leave.forced.as_ref().map(ToString::to_string).unwrap_or_default(),
        forced: leave.forced.is_some(),
        from: leave.from.to_string(),
        after_ms: leave.after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
    }
}
