//! An agent without an engine: it says to a coordinator what a test or a benchmark tells it to say.

use proto::wire;
use proto::wire::agent_message::Message as Up;
use proto::wire::coordinator_message::Message as Down;
use proto::wire::dispatcher_client::DispatcherClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};
use trust::transport::Dial;

use crate::Cluster;

/// One session.
#[derive(Debug)]
pub struct Puppet {
    sender: mpsc::Sender<wire::AgentMessage>,
    incoming: Streaming<wire::CoordinatorMessage>,
}

/// A connection to the coordinator of a cluster as root of its machine, made when it is first used.
///
/// # Panics
/// When there can be none.
#[must_use]
pub fn local(cluster: &Cluster) -> Channel {
    Dial::Local { path: cluster.administrators() }.channel().unwrap()
}

/// A connection to a coordinator on this machine that protects nothing, made when it is first used.
///
/// # Panics
/// When the address is malformed.
#[must_use]
pub fn channel(address: &str) -> Channel {
    let dial = Dial::Plaintext { address: address.to_owned() };
    dial.channel().unwrap()
}

/// A node of that name with room for much.
#[must_use]
pub fn node(name: &str) -> wire::Node {
    wire::Node {
        id: name.to_owned(),
        hostname: name.to_owned(),
        engine: name.to_owned(),
        zone: "zone".to_owned(),
        capacity: Some(wire::Resources {
            cpu_millis: 64_000,
            memory_bytes: 1 << 40,
            ..wire::Resources::default()
        }),
        ..wire::Node::default()
    }
}

/// How the agent of a node introduces itself.
#[must_use]
pub fn hello(node: wire::Node) -> Up {
    Up::Hello(wire::Hello { node: Some(node), engine_ready: true, ..wire::Hello::default() })
}

/// A sign of life.
#[must_use]
pub fn heartbeat() -> Up {
    Up::Heartbeat(wire::Heartbeat { engine_ready: true, ..wire::Heartbeat::default() })
}

impl Puppet {
    /// Opens a session whose first message this is.
    ///
    /// # Errors
    /// When the coordinator turns it away.
    pub async fn open(channel: Channel, first: Up) -> Result<Self, Status> {
        let (sender, messages) = mpsc::channel(16);
        let first = wire::AgentMessage { message: Some(first) };
        sender.try_send(first).map_err(|_| Status::internal("a new channel has room"))?;
        let mut client = DispatcherClient::new(channel);
        let incoming = client.session(ReceiverStream::new(messages)).await?.into_inner();
        Ok(Self { sender, incoming })
    }

    /// Joins as a node that takes work, and takes in the welcome.
    ///
    /// # Errors
    /// When the coordinator turns it away.
    pub async fn join(channel: Channel, node: wire::Node) -> Result<Self, Status> {
        let mut puppet = Self::open(channel, hello(node)).await?;
        puppet.say(heartbeat()).await?;
        match puppet.hear().await? {
            Down::Welcome(_) => Ok(puppet),
            other => Err(Status::internal(format!("no welcome but {other:?}"))),
        }
    }

    /// Says something.
    ///
    /// # Errors
    /// When the session has ended.
    pub async fn say(&self, message: Up) -> Result<(), Status> {
        let message = wire::AgentMessage { message: Some(message) };
        self.sender.send(message).await.map_err(|_| Status::aborted("the session has ended"))
    }

    /// What the coordinator says next.
    ///
    /// # Errors
    /// When the session has ended.
    pub async fn hear(&mut self) -> Result<Down, Status> {
        let message = self.incoming.message().await?;
        message
            .and_then(|message| message.message)
            .ok_or_else(|| Status::aborted("the session has ended"))
    }

    /// The next assignments; whatever else is said before them is passed over.
    ///
    /// # Errors
    /// When the session has ended.
    pub async fn assignments(&mut self) -> Result<wire::Assignments, Status> {
        loop {
            if let Down::Assignments(assignments) = self.hear().await? {
                return Ok(assignments);
            }
        }
    }
}

/// A service of one container that no registry has to be asked about.
#[must_use]
pub fn pinned_service(name: &str, replicas: u32) -> wire::ServiceSpec {
    let image = wire::Image {
        reference: "bench:1".to_owned(),
        pin: Some(wire::image::Pin::Manifest(format!("sha256:{}", "ab".repeat(32)))),
    };
    let container = wire::ContainerSpec {
        name: "app".to_owned(),
        image: Some(image),
        process: Some(wire::ProcessSpec::default()),
        security: Some(wire::SecuritySpec::default()),
        stop_grace_ms: 10_000,
        ..wire::ContainerSpec::default()
    };
    let network = wire::network::Kind::Host(wire::HostNetwork {});
    let restart = wire::RestartPolicy {
        condition: wire::RestartCondition::Any.into(),
        max_attempts: None,
        delay_ms: 10_000,
    };
    let task = wire::TaskSpec {
        containers: vec![container],
        network: Some(wire::Network { kind: Some(network) }),
        restart: Some(restart),
        ..wire::TaskSpec::default()
    };
    let update = wire::UpdatePolicy {
        parallelism: 1,
        order: wire::UpdateOrder::Auto.into(),
        monitor_ms: 5_000,
        max_failure_permille: 0,
        on_failure: wire::FailureAction::Rollback.into(),
        progress_deadline_ms: 600_000,
        ..wire::UpdatePolicy::default()
    };
    wire::ServiceSpec {
        project: "bench".to_owned(),
        name: name.to_owned(),
        mode: Some(wire::service_spec::Mode::Replicated(wire::Replicated { replicas })),
        task: Some(task),
        update: Some(update),
        after: Vec::new(),
        budget: None,
        strategy: None,
        priority: None,
        is_left_in_place: false,
        preferences: Vec::new(),
        schedule: None,
    }
}
