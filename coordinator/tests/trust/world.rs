//! A coordinator in this process, and whoever calls it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use coordinator::seal::Passphrase;
use coordinator::{Audit, Aws, Config, Coordinator, SOCKET, Security, Tls};
use proto::wire;
use proto::wire::control_client::ControlClient;
use proto::wire::dispatcher_client::DispatcherClient;
use proto::wire::enrolment_client::EnrolmentClient;
use proto::wire::trust_client::TrustClient;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};
use trust::key::Key;
use trust::tls::Client;
use trust::transport::Dial;
use trust::{Bundle, JoinToken};

/// Whatever is waited for comes by then, on a machine that does much else.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A coordinator whose store is in a folder of its own, gone at the end.
pub(crate) struct World {
    folder: PathBuf,
    pub(crate) address: String,
    running: Option<(oneshot::Sender<()>, tokio::task::JoinHandle<anyhow::Result<()>>)>,
    node_life: Duration,
    pub(crate) audit: Audit,
    pub(crate) aws: Option<Aws>,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with_node_life(Duration::from_secs(86_400)).await
    }

    pub(crate) async fn with_node_life(node_life: Duration) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder =
            std::env::temp_dir().join(format!("wharf-trust-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("passphrase"), "correct horse battery").unwrap();
        let mut world = Self {
            folder,
            address: "127.0.0.1:0".to_owned(),
            running: None,
            node_life,
            audit: Audit::default(),
            aws: None,
        };
        world.begin().await;
        world
    }

    /// Starts the coordinator, at the address that it had before.
    pub(crate) async fn begin(&mut self) {
        let sealer = Arc::new(Passphrase { file: self.folder.join("passphrase") });
        let (names, node_life) = (vec!["wharf.test".to_owned()], self.node_life);
        let tls = Tls { sealer, names, node_life, aws: self.aws.clone() };
        let config = Config {
            listen: self.address.parse().unwrap(),
            data: self.data(),
            security: Security::Tls(tls),
            cloud: None,
            reread: coordinator::REREAD,
            audit: self.audit.clone(),
        };
        let coordinator = Coordinator::start(&config).await.unwrap();
        self.address = coordinator.address().unwrap().to_string();
        let (stop, stopped) = oneshot::channel();
        self.running = Some((stop, tokio::spawn(coordinator.serve(stopped))));
        let mut local = ControlClient::new(self.local());
        while local.get_status(wire::GetStatusRequest {}).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Ends it; what it has acknowledged stays.
    pub(crate) async fn end(&mut self) {
        let (stop, running) = self.running.take().unwrap();
        stop.send(()).unwrap();
        running.await.unwrap().unwrap();
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.data().join(SOCKET)
    }

    /// As root of the coordinator's machine.
    pub(crate) fn local(&self) -> Channel {
        Dial::Local { path: self.socket() }.channel().unwrap()
    }

    pub(crate) fn admin(&self) -> TrustClient<Channel> {
        TrustClient::new(self.local())
    }

    pub(crate) fn dial(&self, client: Client) -> Channel {
        Dial::Tls { address: self.address.clone(), client }.channel().unwrap()
    }

    pub(crate) async fn token(&self) -> JoinToken {
        self.token_for(wire::CreateTokenRequest { valid_ms: 3_600_000, ..Default::default() }).await
    }

    pub(crate) async fn token_for(&self, request: wire::CreateTokenRequest) -> JoinToken {
        self.admin().create_token(request).await.unwrap().into_inner().token.parse().unwrap()
    }

    pub(crate) async fn join(
        &self,
        token: &JoinToken,
        node: &str,
        key: &Key,
    ) -> Result<wire::JoinResponse, Status> {
        let request = wire::JoinRequest {
            node: node.to_owned(),
            request: key.request().unwrap(),
            token: token.secret().to_owned(),
            ..Default::default()
        };
        let channel = self.dial(Client::pinned(token.authority).unwrap());
        Ok(EnrolmentClient::new(channel).join(request).await?.into_inner())
    }

    /// A node that has joined.
    pub(crate) async fn node(&self, name: &str) -> Bundle {
        let (token, key) = (self.token().await, Key::generate().unwrap());
        let answer = self.join(&token, name, &key).await.unwrap();
        Bundle::new(key, answer.certificate, answer.authority).unwrap()
    }

    pub(crate) async fn operator(
        &self,
        name: &str,
        role: wire::OperatorRole,
        services: &[&str],
    ) -> Bundle {
        let key = Key::generate().unwrap();
        let request = wire::AddOperatorRequest {
            name: name.to_owned(),
            role: role.into(),
            services: services.iter().map(ToString::to_string).collect(),
            valid_ms: 3_600_000,
            request: key.request().unwrap(),
        };
        let added = self.admin().add_operator(request).await.unwrap().into_inner();
        Bundle::new(key, added.certificate, added.authority).unwrap()
    }

    pub(crate) fn channel(&self, bundle: &Bundle) -> Channel {
        self.dial(Client::mutual(bundle).unwrap())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.folder));
    }
}

/// A session of a node, whatever it says of itself.
pub(crate) struct Session {
    pub(crate) outbox: mpsc::Sender<wire::AgentMessage>,
    pub(crate) incoming: Streaming<wire::CoordinatorMessage>,
}

pub(crate) fn hello(node: wire::Node) -> wire::Hello {
    wire::Hello { node: Some(node), engine_ready: true, ..wire::Hello::default() }
}

pub(crate) fn machine(name: &str) -> wire::Node {
    wire::Node {
        id: name.to_owned(),
        hostname: name.to_owned(),
        engine: name.to_owned(),
        capacity: Some(wire::Resources {
            cpu_millis: 64_000,
            memory_bytes: 1 << 40,
            ..wire::Resources::default()
        }),
        ..wire::Node::default()
    }
}

impl Session {
    pub(crate) async fn open(channel: Channel, node: wire::Node) -> Result<Self, Status> {
        let (outbox, messages) = mpsc::channel(8);
        let message = Some(wire::agent_message::Message::Hello(hello(node)));
        outbox.try_send(wire::AgentMessage { message }).unwrap();
        let mut client = DispatcherClient::new(channel);
        let mut incoming = client.session(ReceiverStream::new(messages)).await?.into_inner();
        let welcome = incoming.message().await?.and_then(|message| message.message);
        assert!(matches!(welcome, Some(wire::coordinator_message::Message::Welcome(_))));
        Ok(Self { outbox, incoming })
    }

    /// Waits until the coordinator ends it.
    pub(crate) async fn ended(mut self) {
        let all = async { while let Ok(Some(_)) = self.incoming.message().await {} };
        tokio::time::timeout(SOON, all).await.expect("the session is ended");
    }
}

pub(crate) async fn nodes(channel: Channel) -> Vec<wire::Node> {
    let mut control = ControlClient::new(channel);
    let listed = control.list_nodes(wire::ListNodesRequest::default()).await.unwrap();
    listed.into_inner().nodes.into_iter().filter_map(|view| view.node).collect()
}

/// All files below a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let all = entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] });
    all.collect()
}
