//! The servers: for those with a certificate, for those without one, and for root of this machine.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use proto::wire::bakes_server::BakesServer;
use proto::wire::control_server::ControlServer;
use proto::wire::dispatcher_server::DispatcherServer;
use proto::wire::enrolment_server::EnrolmentServer;
use proto::wire::fleet_server::FleetServer;
use proto::wire::refreshes_server::RefreshesServer;
use proto::wire::releases_server::ReleasesServer;
use proto::wire::secrets_server::SecretsServer;
use proto::wire::trust_server::TrustServer;
use proto::{DESCRIPTORS, MESSAGE_LIMIT};
use tokio::net::{TcpListener, UnixListener};
use tonic::transport::Server;
use tonic::transport::server::Router;
use tower_layer::Stack;
use trust::incoming::{Accepted, Incoming, accept, accept_local, accept_plain};
use trust::transport::{KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT};

use crate::Shared;
use crate::api::access::Access;
use crate::api::bake::Images;
use crate::api::control::Control;
use crate::api::dispatcher::Dispatcher;
use crate::api::enrolment::Enrolment;
use crate::api::fleet::Pools;
use crate::api::refresh::Refreshes;
use crate::api::release::Releases;
use crate::api::secret::Secrets;
use crate::api::trust::Trust;

/// The socket of administrators, in the data directory.
pub const SOCKET: &str = "admin.sock";
/// Calls over one connection at the same time. An agent has its session and a stream for each log or exec that somebody
/// reads; `wharf logs` of a service with many tasks has one per task of a node.
const STREAMS: u32 = 256;
/// A stranger sends one request.
const STREAMS_OF_STRANGERS: u32 = 2;
/// That request is no longer than this, in bytes.
const STRANGER_MESSAGE_LIMIT: usize = 16 << 10;
/// Its headers are no longer than this, in bytes.
const HEADERS_LIMIT: u32 = 16 << 10;
/// A stranger waits no longer for an answer.
const STRANGER_TIMEOUT: Duration = Duration::from_secs(10);

type Guarded = Router<Stack<Access, tower_layer::Identity>>;

/// Serves until it fails.
///
/// # Errors
/// When it does.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    listener: TcpListener,
    data: &Path,
) -> anyhow::Result<()> {
    let Some(trusted) = &shared.trusted else {
        return run(known(&shared).await?, accept_plain(listener)).await;
    };
    let cluster = shared.identity.cluster.clone();
    let connections = Arc::clone(&trusted.connections);
    let Accepted { known: incoming, strangers: unknown } =
        accept(listener, trusted.server.clone(), cluster, connections);
    let administrators = known(&shared).await?;
    tokio::try_join!(
        run(known(&shared).await?, incoming),
        run(strangers(&shared), unknown),
        run(administrators, accept_local(socket(&data.join(SOCKET))?)),
        async {
            trusted.renew_own().await;
            Ok(())
        },
    )?;
    Ok(())
}

async fn run(router: Guarded, incoming: Incoming) -> anyhow::Result<()> {
    router.serve_with_incoming(incoming).await.context("the server failed")
}

/// Opens the socket. Whoever opens it is asked by the system who they are, so the moment before its mode is set is no gap.
fn socket(path: &Path) -> anyhow::Result<UnixListener> {
    // Of a coordinator that was killed: two are never here at once, because the store is locked.
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => {
            return Err(error).with_context(|| format!("can not remove {}", path.display()));
        }
    }
    let open = || -> std::io::Result<UnixListener> {
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Ok(listener)
    };
    open().with_context(|| format!("can not listen on {}", path.display()))
}

fn builder(shared: &Shared) -> Server<Stack<Access, tower_layer::Identity>> {
    Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .http2_max_header_list_size(HEADERS_LIMIT)
        .layer(Access { ledgers: Arc::clone(&shared.ledgers), watch: shared.watch.clone() })
}

/// Everything, for those of whom the table says what they may.
async fn known(shared: &Arc<Shared>) -> anyhow::Result<Guarded> {
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<ControlServer<Control>>().await;
    health.set_serving::<DispatcherServer<Dispatcher>>().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .build_v1()
        .context("the descriptors are not sound")?;
    let control = ControlServer::new(Control { shared: Arc::clone(shared) })
        .max_decoding_message_size(MESSAGE_LIMIT)
        .max_encoding_message_size(MESSAGE_LIMIT);
    let dispatcher = DispatcherServer::new(Dispatcher { shared: Arc::clone(shared) })
        .max_decoding_message_size(MESSAGE_LIMIT)
        .max_encoding_message_size(MESSAGE_LIMIT);
    Ok(builder(shared)
        .max_concurrent_streams(STREAMS)
        .add_service(health_service)
        .add_service(reflection)
        .add_service(control)
        .add_service(dispatcher)
        .add_service(
            BakesServer::new(Images { shared: Arc::clone(shared) })
                .max_decoding_message_size(MESSAGE_LIMIT)
                .max_encoding_message_size(MESSAGE_LIMIT),
        )
        .add_service(FleetServer::new(Pools { shared: Arc::clone(shared) }))
        .add_service(RefreshesServer::new(Refreshes { shared: Arc::clone(shared) }))
        .add_service(ReleasesServer::new(Releases { shared: Arc::clone(shared) }))
        .add_service(SecretsServer::new(Secrets { shared: Arc::clone(shared) }))
        .add_service(EnrolmentServer::new(Enrolment { shared: Arc::clone(shared) }))
        .add_service(TrustServer::new(Trust { shared: Arc::clone(shared) })))
}

/// One call, for those of whom nothing is known: whatever else there is, is not there for them.
fn strangers(shared: &Arc<Shared>) -> Guarded {
    let enrolment = EnrolmentServer::new(Enrolment { shared: Arc::clone(shared) });
    builder(shared)
        .max_concurrent_streams(STREAMS_OF_STRANGERS)
        .timeout(STRANGER_TIMEOUT)
        .add_service(enrolment.max_decoding_message_size(STRANGER_MESSAGE_LIMIT))
}
