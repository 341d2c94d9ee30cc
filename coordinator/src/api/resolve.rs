//! What a tag means now: asked of an agent, because agents have the registries and their passwords.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use coordinator_core::view::{self, NodeState};
use model::id::NodeId;
use model::image::ImageReference;
use proto::wire;
use proto::wire::coordinator_message::Message as Down;
use tonic::Status;

use crate::Shared;
use crate::api::hinted;
use crate::sessions::Agent;

/// So many agents are asked, one after the other, before nobody knows: each may be the one whose link or engine fails.
const AGENTS: usize = 3;
/// A registry has so long to say what a tag means, through one agent.
const TIMEOUT: Duration = Duration::from_secs(15);
/// As long as agents wait at most before they dial again.
const AGENT_TIMEOUT: Duration = Duration::from_secs(11);
const AGENT_LOOK: Duration = Duration::from_millis(100);

/// Finds out what the reference means.
pub(super) async fn resolve(shared: &Shared, reference: &str) -> Result<wire::Image, Status> {
    let parsed: Result<ImageReference, _> = reference.parse();
    parsed.map_err(|error| Status::invalid_argument(error.to_string()))?;
    let mut asked = BTreeSet::new();
    let mut failed = None;
    while asked.len() < AGENTS {
        let Some((node, agent)) = next_agent(shared, &asked).await else { break };
        match ask(shared, (&node, &agent), reference).await {
            Some(wire::resolved::Answer::Image(image)) => return Ok(image),
            Some(wire::resolved::Answer::Error(error)) => {
                let is_certain = error.kind() != wire::ResolveErrorKind::Unavailable;
                failed = Some(read_error(reference, &error));
                if is_certain {
                    break;
                }
            }
            None => {
                let why = format!("node {node} did not say in time what {reference} means");
                failed = Some(Status::unavailable(why));
            }
        }
        asked.insert(node);
    }
    Err(failed.unwrap_or_else(|| {
        let message = format!("no node is connected that could look up {reference}");
        hinted(Status::unavailable(message), "start an agent first, or name the image by digest")
    }))
}

async fn ask(
    shared: &Shared,
    (node, agent): (&NodeId, &Agent),
    reference: &str,
) -> Option<wire::resolved::Answer> {
    let (request, answer) = shared.sessions.expect_resolved(node);
    let message = Down::Resolve(wire::Resolve { request, reference: reference.to_owned() });
    let asked = agent.outbox.try_send(wire::CoordinatorMessage { message: Some(message) });
    let answer = match asked {
        Ok(()) => tokio::time::timeout(TIMEOUT, answer).await.ok().and_then(Result::ok),
        Err(_) => None,
    };
    shared.sessions.forget_resolved(request);
    answer.and_then(|answer| answer.answer)
}

/// An agent that was not asked yet. One whose engine answers is waited for: after our own start, or that of the agents,
/// they are on their way. When there is none, any that is connected may say why.
async fn next_agent(shared: &Shared, asked: &BTreeSet<NodeId>) -> Option<(NodeId, Arc<Agent>)> {
    let waits = asked.is_empty() && !shared.published.read().cluster.nodes().is_empty();
    let waiting = async {
        loop {
            let ready = connected(shared, asked)
                .into_iter()
                .find(|(node, agent)| agent.hello().engine_ready && is_ready(shared, node));
            if ready.is_some() || !waits {
                return ready;
            }
            tokio::time::sleep(AGENT_LOOK).await;
        }
    };
    let ready = tokio::time::timeout(AGENT_TIMEOUT, waiting).await.ok().flatten();
    ready.or_else(|| connected(shared, asked).into_iter().next())
}

fn connected(shared: &Shared, asked: &BTreeSet<NodeId>) -> Vec<(NodeId, Arc<Agent>)> {
    let agents = shared.sessions.agents().into_iter();
    agents.filter(|(node, agent)| !agent.outbox.is_closed() && !asked.contains(node)).collect()
}

fn is_ready(shared: &Shared, node: &NodeId) -> bool {
    let (state, now) = (shared.published.read(), shared.clock.now());
    let known = state.cluster.nodes().get(node);
    known.is_some_and(|node| view::node_state(&state.cluster, node, now) == NodeState::Ready)
}

fn read_error(reference: &str, error: &wire::ResolveError) -> Status {
    use wire::ResolveErrorKind as Kind;
    let message = format!("image {reference}: {}", error.message);
    let (status, hint) = match error.kind() {
        Kind::NotFound => (
            Status::not_found(message),
            "is the name right, and was the image pushed? A name without a registry is looked for on docker.io",
        ),
        // Not the caller's own credentials: those of the node.
        Kind::Unauthorized => (
            Status::failed_precondition(message),
            "nodes log in with the credentials of their own config.json: see --docker-config of wharf-agent",
        ),
        Kind::Unavailable | Kind::Unspecified => (
            Status::unavailable(message),
            "is the registry's name right, can the nodes reach it, and do their engines answer (`wharf node ls`)? Nothing was changed",
        ),
    };
    hinted(status, hint)
}
