//! The agents that are connected, and what they said that is never stored.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::id::NodeId;
use model::image::{Digest, Image};
use proto::convert::image_to_wire;
use proto::wire;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

/// Messages that wait for one agent besides its assignments. An agent that does not read is disconnected.
pub(crate) const OUTBOX: usize = 64;
/// Pieces of a log or an exec that wait for the other side.
pub(crate) const RELAY_QUEUE: usize = 16;

/// Of so many images it is kept how large they are.
const SIZES: usize = 100_000;

/// Everybody who is connected.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    inner: Mutex<Inner>,
    random: RandomState,
}

#[derive(Debug, Default)]
struct Inner {
    agents: HashMap<NodeId, Arc<Agent>>,
    /// What each node's agent said last about use, kept after it left.
    usage: HashMap<NodeId, wire::Heartbeat>,
    /// How large images are, by digest, as agents have said.
    sizes: HashMap<String, u64>,
    /// By number: the node that was asked, and who waits.
    relays: HashMap<u64, (NodeId, oneshot::Sender<Relay>)>,
    resolving: HashMap<u64, (NodeId, oneshot::Sender<wire::Resolved>)>,
    last_number: u64,
    /// Sessions that have ended since somebody asked.
    left: usize,
}

/// One connected agent.
#[derive(Debug)]
pub(crate) struct Agent {
    /// Counts connections: a newer one of the same node takes its place.
    pub(crate) number: u64,
    /// Its assignments are not what it was told last.
    pub(crate) stale: Notify,
    /// It is to go.
    pub(crate) closed: Notify,
    /// What else is to be told.
    pub(crate) outbox: mpsc::Sender<wire::CoordinatorMessage>,
    /// What it said of itself.
    hello: Mutex<wire::Hello>,
    /// Where it called from.
    pub(crate) address: String,
}

/// Both ends of a stream that an agent opened because we asked for it.
#[derive(Debug)]
pub(crate) struct Relay {
    /// What the agent sends.
    pub(crate) up: Streaming<wire::RelayUp>,
    /// What it is sent.
    pub(crate) down: mpsc::Sender<Result<wire::RelayDown, Status>>,
}

impl Agent {
    /// What it said of itself last.
    pub(crate) fn hello(&self) -> wire::Hello {
        self.hello.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps what it says of itself now.
    pub(crate) fn introduce(&self, hello: wire::Hello) {
        *self.hello.lock().unwrap_or_else(PoisonError::into_inner) = hello;
    }
}

impl Sessions {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in an agent, and ends the session that its node had before, whose address is given back.
    pub(crate) fn join(
        &self,
        node: &NodeId,
        hello: wire::Hello,
        address: String,
        outbox: mpsc::Sender<wire::CoordinatorMessage>,
    ) -> (Arc<Agent>, Option<String>) {
        let mut inner = self.inner();
        inner.last_number += 1;
        let number = inner.last_number;
        let (stale, closed) = (Notify::new(), Notify::new());
        let hello = Mutex::new(hello);
        let agent = Arc::new(Agent { number, stale, closed, outbox, hello, address });
        let before = inner.agents.insert(node.clone(), Arc::clone(&agent));
        let before = before.map(|before| {
            before.closed.notify_one();
            before.address.clone()
        });
        (agent, before)
    }

    /// Forgets an agent, unless its node is connected anew.
    pub(crate) fn leave(&self, node: &NodeId, number: u64) {
        let mut inner = self.inner();
        inner.left += 1;
        if inner.agents.get(node).is_some_and(|agent| agent.number == number) {
            inner.agents.remove(node);
        }
    }

    /// How many sessions have ended since this was asked last.
    pub(crate) fn take_left(&self) -> usize {
        std::mem::take(&mut self.inner().left)
    }

    /// The agent of a node, if it is connected.
    pub(crate) fn agent(&self, node: &NodeId) -> Option<Arc<Agent>> {
        self.inner().agents.get(node).cloned()
    }

    /// Every connected agent.
    pub(crate) fn agents(&self) -> BTreeMap<NodeId, Arc<Agent>> {
        let inner = self.inner();
        inner.agents.iter().map(|(node, agent)| (node.clone(), Arc::clone(agent))).collect()
    }

    /// Has the assignments of these nodes sent again.
    pub(crate) fn notify(&self, nodes: &BTreeSet<NodeId>) {
        if nodes.is_empty() {
            return;
        }
        let inner = self.inner();
        nodes
            .iter()
            .filter_map(|node| inner.agents.get(node))
            .for_each(|agent| agent.stale.notify_one());
    }

    /// Has nodes fetch images. Who does not read is asked again by a later step.
    pub(crate) fn fetch(&self, fetches: &BTreeMap<NodeId, BTreeSet<Image>>) {
        if fetches.is_empty() {
            return;
        }
        let inner = self.inner();
        for (node, images) in fetches {
            let Some(agent) = inner.agents.get(node) else { continue };
            let fetch = wire::Fetch { images: images.iter().map(image_to_wire).collect() };
            let message = wire::coordinator_message::Message::Fetch(fetch);
            let sent = agent.outbox.try_send(wire::CoordinatorMessage { message: Some(message) });
            if let Err(error) = sent {
                tracing::debug!(%node, %error, "an agent was not told what to fetch");
            }
        }
    }

    /// Ends every session: all agents connect anew and say everything again.
    pub(crate) fn close_all(&self) {
        self.inner().agents.values().for_each(|agent| agent.closed.notify_one());
    }

    /// Keeps what an agent said about use.
    pub(crate) fn keep_usage(&self, node: &NodeId, heartbeat: wire::Heartbeat) {
        self.inner().usage.insert(node.clone(), heartbeat);
    }

    /// What a node's agent said last about use.
    pub(crate) fn usage(&self, node: &NodeId) -> Option<wire::Heartbeat> {
        self.inner().usage.get(node).cloned()
    }

    /// Keeps how large images are.
    pub(crate) fn keep_sizes(&self, images: &wire::Images) {
        let mut inner = self.inner();
        for (digest, bytes) in images.digests.iter().zip(&images.bytes) {
            if inner.sizes.len() < SIZES || inner.sizes.contains_key(digest) {
                inner.sizes.insert(digest.clone(), *bytes);
            }
        }
    }

    /// How large images are, as far as agents have said.
    pub(crate) fn image_sizes(&self) -> BTreeMap<Digest, u64> {
        let inner = self.inner();
        let sizes = inner.sizes.iter();
        sizes.filter_map(|(digest, bytes)| Some((digest.parse().ok()?, *bytes))).collect()
    }

    /// A number that nobody guesses, under which the agent of this node is to open a stream.
    pub(crate) fn expect_relay(&self, node: &NodeId) -> (u64, oneshot::Receiver<Relay>) {
        let (sender, receiver) = oneshot::channel();
        let mut inner = self.inner();
        inner.last_number += 1;
        let number = self.random.hash_one(inner.last_number) | 1;
        inner.relays.insert(number, (node.clone(), sender));
        (number, receiver)
    }

    /// Hands over a stream that an agent opened. None when nobody waits for it, or another node was asked.
    pub(crate) fn open_relay(
        &self,
        number: u64,
        up: Streaming<wire::RelayUp>,
        is_asked: impl FnOnce(&NodeId) -> bool,
    ) -> Option<ReceiverStream<Result<wire::RelayDown, Status>>> {
        let waiting = {
            let mut inner = self.inner();
            // Somebody else who guesses the number takes it from nobody.
            if !is_asked(&inner.relays.get(&number)?.0) {
                return None;
            }
            inner.relays.remove(&number)?.1
        };
        let (down, receiver) = mpsc::channel(RELAY_QUEUE);
        waiting.send(Relay { up, down }).ok()?;
        Some(ReceiverStream::new(receiver))
    }

    /// Nobody waits for that stream any more.
    pub(crate) fn forget_relay(&self, number: u64) {
        self.inner().relays.remove(&number);
    }

    /// A number under which the agent of this node is to answer what a reference means.
    pub(crate) fn expect_resolved(
        &self,
        node: &NodeId,
    ) -> (u64, oneshot::Receiver<wire::Resolved>) {
        let (sender, receiver) = oneshot::channel();
        let mut inner = self.inner();
        inner.last_number += 1;
        let number = inner.last_number;
        inner.resolving.insert(number, (node.clone(), sender));
        (number, receiver)
    }

    /// Hands over what the agent of a node found out. What another node was asked is not its to answer: it would say which
    /// image runs.
    pub(crate) fn resolved(&self, node: &NodeId, resolved: wire::Resolved) {
        let mut inner = self.inner();
        let is_asked =
            inner.resolving.get(&resolved.request).is_some_and(|(asked, _)| asked == node);
        if is_asked && let Some((_, waiting)) = inner.resolving.remove(&resolved.request) {
            // Who asked may have given up.
            drop(waiting.send(resolved));
        }
    }

    /// Nobody waits for that answer any more.
    pub(crate) fn forget_resolved(&self, number: u64) {
        self.inner().resolving.remove(&number);
    }
}
