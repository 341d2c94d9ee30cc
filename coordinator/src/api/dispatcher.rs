//! Agents: one session each, and the streams that they open because we asked.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use coordinator_core::event::{EngineState, Event, FleetEvent, Report};
use coordinator_core::trust::Asked;
use coordinator_core::view;
use futures_util::Stream;
use model::audit::{Object, Verdict};
use model::id::NodeId;
use model::node::Node;
use model::time::Timestamp;
use model::trust::Machine;
use proto::convert::{
    assignments_to_wire, containers_from_wire, node_from_wire, outlook_from_agent, state_from_wire,
    stock_from_wire,
};
use proto::wire;
use proto::wire::agent_message::Message as Up;
use proto::wire::coordinator_message::Message as Down;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use trust::Peer;

use crate::Shared;
use crate::api::access::{Caller, by, caller};
use crate::api::builder::Builder;
use crate::api::enrolment::refused;
use crate::api::secret::give;
use crate::api::{accepted, hinted, invalid, status};
use crate::sessions::{Agent, OUTBOX};

/// How often an agent gives a sign of life. Suspect, unreachable and the rest are multiples of it.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(10);
/// A session that is not introduced by then is closed.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// The service that agents call.
#[derive(Debug, Clone)]
pub(crate) struct Dispatcher {
    pub(crate) shared: Arc<Shared>,
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl wire::dispatcher_server::Dispatcher for Dispatcher {
    type SessionStream = Answers<wire::CoordinatorMessage>;
    type RelayStream = Answers<wire::RelayDown>;

    async fn session(
        &self,
        request: Request<Streaming<wire::AgentMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let (caller, by) = (caller(&request)?, by(&request)?);
        let peer = request.extensions().get::<Peer>();
        let address = peer.map(|peer| peer.address.to_string()).unwrap_or_default();
        let mut messages = request.into_inner();
        let hello = introduced(&mut messages).await?;
        let node = check(&self.shared, &caller, &hello)?;
        self.shown(&caller).await?;
        self.may_begin(&node.id)?;
        let (sender, receiver) = mpsc::channel(OUTBOX);
        let id = node.id.clone();
        if hello.builder && !Builder::is_one(&self.shared, &id) {
            return Err(Status::failed_precondition(format!(
                "machine {id} is of no bake under way"
            )));
        }
        if Builder::is_one(&self.shared, &id) {
            let (agent, _) = self.shared.sessions.join(&id, hello, address, sender);
            let builder = Builder { shared: Arc::clone(&self.shared), machine: id, agent };
            tokio::spawn(builder.serve(messages));
            let messages = tokio_stream::StreamExt::map(ReceiverStream::new(receiver), Ok);
            return Ok(Response::new(Box::pin(messages)));
        }
        accepted(self.shared.door.ask(Event::Joined(Box::new(node))).await)?;
        let (agent, before) = self.shared.sessions.join(&id, hello, address, sender);
        if let Some(before) = before.filter(|before| is_elsewhere(before, &agent.address)) {
            // An agent that comes back from where it was is nothing that anybody has to look at.
            let note = format!("takes the place of a session from {before}");
            tracing::warn!(node = %id, before, now = agent.address, "a node speaks from two machines");
            let node = Object::named(format!("node {id}"));
            self.shared.watch.note(by.act(vec![node], Verdict::Done, &note));
        }
        let session = Session { shared: Arc::clone(&self.shared), node: id, caller, agent };
        tokio::spawn(session.serve(messages));
        Ok(Response::new(Box::pin(tokio_stream::StreamExt::map(ReceiverStream::new(receiver), Ok))))
    }

    async fn secrets(
        &self,
        request: Request<wire::SecretsWanted>,
    ) -> Result<Response<wire::SecretsGiven>, Status> {
        let caller = caller(&request)?;
        give(&self.shared, &caller, request.get_ref()).map(Response::new)
    }

    async fn relay(
        &self,
        request: Request<Streaming<wire::RelayUp>>,
    ) -> Result<Response<Self::RelayStream>, Status> {
        let caller = caller(&request)?;
        let mut up = request.into_inner();
        let first = tokio::time::timeout(HELLO_TIMEOUT, up.message()).await;
        let first =
            first.map_err(|_| Status::deadline_exceeded("the stream was not named in time"))??;
        let Some(wire::relay_up::Message::Relay(number)) = first.and_then(|first| first.message)
        else {
            return Err(Status::invalid_argument("the first message names the stream"));
        };
        let is_asked = |node: &NodeId| caller.is_node(node).is_ok();
        let down = self.shared.sessions.open_relay(number, up, is_asked);
        let down = down.ok_or_else(|| Status::not_found("nobody waits for this stream"))?;
        Ok(Response::new(Box::pin(down)))
    }
}

impl Dispatcher {
    /// Counts the sessions of a node: each is told all that the node should run, and one that comes back without end would have us do nothing else.
    fn may_begin(&self, node: &NodeId) -> Result<(), Status> {
        self.shared.rates.sessions.count(node.clone(), Instant::now()).map_err(|wait| {
            let seconds = wait.as_secs() + 1;
            let why =
                format!("node {node} has begun too many sessions lately: come again in {seconds} s");
            hinted(
                Status::resource_exhausted(why),
                "a node may begin eight at once and then two in five seconds: is its state in use on two machines?",
            )
        })
    }

    /// A certificate that a node shows for the first time takes the place of the one before.
    async fn shown(&self, caller: &Caller) -> Result<(), Status> {
        let Caller::Node(node, shown) = caller else { return Ok(()) };
        if !self.shared.ledgers.read().is_next(node, shown) {
            return Ok(());
        }
        let shown = Asked::Shown { node: node.clone(), shown: shown.clone() };
        let decided = self.shared.door.trust(shown, None).await.map_err(|error| status(&error))?;
        decided.map_err(|refusal| refused(&refusal))
    }
}

/// Whether two addresses are of different machines.
fn is_elsewhere(one: &str, other: &str) -> bool {
    let host = |address: &str| {
        address.rsplit_once(':').map_or_else(|| address.to_owned(), |(host, _)| host.to_owned())
    };
    host(one) != host(other)
}

async fn introduced(messages: &mut Streaming<wire::AgentMessage>) -> Result<wire::Hello, Status> {
    let first = tokio::time::timeout(HELLO_TIMEOUT, messages.message()).await;
    let first = first.map_err(|_| Status::deadline_exceeded("no Hello in time"))??;
    match first.and_then(|first| first.message) {
        Some(Up::Hello(hello)) => Ok(hello),
        Some(
            Up::Report(_)
            | Up::Heartbeat(_)
            | Up::Resolved(_)
            | Up::Images(_)
            | Up::Foreseen(_)
            | Up::BakeReport(_)
            | Up::BakeLog(_),
        )
        | None => Err(Status::invalid_argument("the first message of a session is a Hello")),
    }
}

/// Reads who it is, and puts in place of what it says of itself what it was given when it joined. An agent of another
/// cluster is turned away: its containers are not ours.
fn check(shared: &Shared, caller: &Caller, hello: &wire::Hello) -> Result<Node, Status> {
    let ours = &shared.identity.cluster;
    if let Some(theirs) = hello.cluster.as_deref().filter(|theirs| *theirs != ours.as_str()) {
        return Err(Status::failed_precondition(format!(
            "this is cluster {ours}, and the agent belongs to {theirs}: point it at its own coordinator, or give it a new state directory"
        )));
    }
    let mut node = hello.node.clone().unwrap_or_default();
    // Not the agent's to say.
    node.availability = wire::Availability::Active.into();
    if let Caller::Node(known, _) = caller {
        let grant = shared.ledgers.read().grant(known).cloned().unwrap_or_default();
        (node.pool, node.labels) = (grant.pool, grant.labels);
        let Machine { zone, ami, instance_type } = grant.machine;
        node.zone = zone.unwrap_or(node.zone);
        node.ami = ami.or(node.ami);
        node.instance_type = instance_type.or(node.instance_type);
    }
    let node = node_from_wire(&node).map_err(|error| invalid(&error))?;
    caller.is_node(&node.id)?;
    Ok(node)
}

struct Session {
    shared: Arc<Shared>,
    node: NodeId,
    caller: Caller,
    agent: Arc<Agent>,
}

impl Session {
    async fn serve(self, mut messages: Streaming<wire::AgentMessage>) {
        tracing::info!(node = %self.node, address = self.agent.address, "an agent is connected");
        let ended = self.converse(&mut messages).await;
        let why = ended.err().map(|status| status.message().to_owned()).unwrap_or_default();
        tracing::info!(node = %self.node, why, "an agent is gone");
        self.shared.sessions.leave(&self.node, self.agent.number);
    }

    async fn converse(&self, messages: &mut Streaming<wire::AgentMessage>) -> Result<(), Status> {
        let welcome = wire::Welcome {
            cluster: self.shared.identity.cluster.to_string(),
            heartbeat_ms: u64::try_from(HEARTBEAT.as_millis()).unwrap_or(u64::MAX),
            now_ms: trust::now().as_millis(),
        };
        self.send(Down::Welcome(welcome)).await?;
        self.agent.stale.notify_one();
        loop {
            tokio::select! {
                () = self.agent.closed.notified() => return Err(Status::aborted("closed by the coordinator")),
                () = self.agent.stale.notified() => self.assign().await?,
                message = messages.message() => match message? {
                    Some(message) => self.hear(message.message).await?,
                    None => return Ok(()),
                },
            }
        }
    }

    /// Sends all of the node's assignments as they are now. While an invariant is broken nothing new is given out.
    async fn assign(&self) -> Result<(), Status> {
        let assignments = {
            let state = self.shared.published.read();
            if !state.alarms.is_empty() {
                return Ok(());
            }
            let identity = &self.shared.identity;
            let (incarnation, epoch) = (identity.incarnation, identity.epoch);
            let fence = wire::Fence { incarnation, epoch, revision: state.revision };
            let tasks: Vec<_> = view::assignments(&state.cluster, &self.node).cloned().collect();
            assignments_to_wire(fence, &tasks)
        };
        self.send(Down::Assignments(assignments)).await
    }

    async fn send(&self, message: Down) -> Result<(), Status> {
        let message = wire::CoordinatorMessage { message: Some(message) };
        let sent = self.agent.outbox.send_timeout(message, HEARTBEAT).await;
        sent.map_err(|_| Status::resource_exhausted("the agent does not read what it is sent"))
    }

    async fn hear(&self, message: Option<Up>) -> Result<(), Status> {
        match message {
            Some(Up::Report(report)) => self.report(report).await,
            Some(Up::Heartbeat(heartbeat)) => {
                let engine = engine(heartbeat.engine_ready);
                self.shared.sessions.keep_usage(&self.node, heartbeat);
                self.tell(Event::Heard { node: self.node.clone(), engine })
            }
            Some(Up::Resolved(resolved)) => {
                self.shared.sessions.resolved(&self.node, resolved);
                Ok(())
            }
            Some(Up::Hello(hello)) => self.introduce_again(hello).await,
            Some(Up::Images(images)) => {
                let stock = stock_from_wire(&images)
                    .map_err(|error| Status::invalid_argument(error.to_string()))?;
                self.shared.sessions.keep_sizes(&images);
                self.tell(Event::Images { node: self.node.clone(), stock })
            }
            Some(Up::Foreseen(foreseen)) => {
                let outlook = outlook_from_agent(&foreseen, trust::now());
                let foreseen = FleetEvent::Foreseen { node: self.node.clone(), outlook };
                self.tell(Event::Fleet(foreseen))
            }
            Some(Up::BakeReport(_) | Up::BakeLog(_)) => {
                Err(Status::failed_precondition("this machine is a node, and of no bake"))
            }
            None => Err(Status::invalid_argument("a message that this version does not know")),
        }
    }

    /// Takes in what an agent has found out about its node since it joined.
    async fn introduce_again(&self, hello: wire::Hello) -> Result<(), Status> {
        let node = check(&self.shared, &self.caller, &hello)?;
        if node.id != self.node {
            return Err(Status::invalid_argument(format!(
                "this is the session of node {}, and node {} speaks: each has its own",
                self.node, node.id
            )));
        }
        self.agent.introduce(hello);
        accepted(self.shared.door.ask(Event::Joined(Box::new(node))).await)?;
        Ok(())
    }

    async fn report(&self, report: wire::Report) -> Result<(), Status> {
        let node = self.node.clone();
        self.tell(Event::Heard { node: node.clone(), engine: engine(report.engine_ready) })?;
        let tasks: Result<Vec<Report>, Status> = report.tasks.iter().map(read_report).collect();
        let is_complete = report.complete;
        self.tell(Event::Reported { node, tasks: tasks?, is_complete })?;
        self.disown(&report.orphans).await
    }

    fn tell(&self, event: Event) -> Result<(), Status> {
        self.shared.door.tell(event).map_err(|error| status(&error))
    }

    /// Confirms which of the agent's orphans nobody knows here either.
    async fn disown(&self, orphans: &[wire::Orphan]) -> Result<(), Status> {
        let unknown: Vec<String> = {
            let state = self.shared.published.read();
            let is_unknown = |orphan: &&wire::Orphan| {
                let task = orphan.task.parse();
                task.is_ok_and(|task| view::disowns(&state.cluster, &self.node, &task))
            };
            let unknown = orphans.iter().filter(is_unknown);
            unknown.map(|orphan| orphan.container_id.clone()).collect()
        };
        if unknown.is_empty() {
            return Ok(());
        }
        self.send(Down::RemoveOrphans(wire::RemoveOrphans { container_ids: unknown })).await
    }
}

const fn engine(is_ready: bool) -> EngineState {
    if is_ready { EngineState::Ready } else { EngineState::Silent }
}

fn read_report(from: &wire::TaskReport) -> Result<Report, Status> {
    let task = from.task.parse().map_err(|_| Status::invalid_argument("a report names no task"))?;
    Ok(Report {
        task,
        state: state_from_wire(from.state.as_ref()).map_err(|error| invalid(&error))?,
        restarts: from.restarts,
        note: from.note.clone(),
        containers: containers_from_wire(&from.containers).map_err(|error| invalid(&error))?,
        lease: from.lease_until_ms.map(Timestamp::from_millis),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t3_a_node_that_speaks_from_two_machines_is_told_from_one_that_comes_back() {
        assert!(is_elsewhere("10.0.0.1:4000", "10.0.0.2:4000"));
        assert!(is_elsewhere("[fd00::1]:4000", "[fd00::2]:4000"));
        assert!(!is_elsewhere("10.0.0.1:4000", "10.0.0.1:4001"));
        assert!(!is_elsewhere("[fd00::1]:4000", "[fd00::1]:9"));
    }
}
