//! Who dials: handshakes, bounded in number and in time, and what becomes of them.
//!
//! ```text
//!  TcpListener ─▶ handshake ─┬─▶ known     (a certificate of our authority)
//!                            └─▶ strangers (none: they can only join)
//! ```

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::id::ClusterId;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;

use crate::certificate::Certificate;
use crate::clock::now;
use crate::connection::{Bytes, Connection, Peer, Who};
use crate::connections::Connections;
use crate::name::Name;
use crate::tls::Server;

/// Who has not finished a handshake by then is not waited for.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Handshakes at the same time: two cores do some 3,000 of them in a second.
pub const HANDSHAKES: usize = 256;
/// Of these from one address, so that one machine does not keep out all others.
pub const HANDSHAKES_OF_ONE: usize = 64;
/// Connections without a certificate at the same time.
pub const STRANGERS: usize = 256;
/// To join takes less than a second; a stranger is shown out after this.
pub const STRANGER_TIME: Duration = Duration::from_secs(30);
/// Connections that wait to be served.
const QUEUE: usize = 64;
/// When no connection can be accepted, because there are no descriptors left, it is tried again after this.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Connections as they come.
pub type Incoming = ReceiverStream<std::io::Result<Connection>>;

/// Connections of a listener with TLS.
#[derive(Debug)]
pub struct Accepted {
    /// Of somebody with a certificate of our authority. What it lets them do is not decided here.
    pub known: Incoming,
    /// Of somebody without one.
    pub strangers: Incoming,
}

struct Door {
    server: Server,
    cluster: ClusterId,
    connections: Arc<Connections>,
    handshakes: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
    /// Handshakes by address.
    shaking: Mutex<HashMap<IpAddr, usize>>,
    known: mpsc::Sender<std::io::Result<Connection>>,
    unknown: mpsc::Sender<std::io::Result<Connection>>,
}

/// Accepts over TLS until nobody takes the connections any more.
#[must_use]
pub fn accept(
    listener: TcpListener,
    server: Server,
    cluster: ClusterId,
    connections: Arc<Connections>,
) -> Accepted {
    let (known, known_incoming) = mpsc::channel(QUEUE);
    let (unknown, unknown_incoming) = mpsc::channel(QUEUE);
    let door = Arc::new(Door {
        server,
        cluster,
        connections,
        handshakes: Arc::new(Semaphore::new(HANDSHAKES)),
        strangers: Arc::new(Semaphore::new(STRANGERS)),
        shaking: Mutex::default(),
        known,
        unknown,
    });
    tokio::spawn(open(listener, door));
    let (known, strangers) = (known_incoming.into(), unknown_incoming.into());
    Accepted { known, strangers }
}

async fn open(listener: TcpListener, door: Arc<Door>) {
    loop {
        let handshakes = Arc::clone(&door.handshakes);
        let permit = tokio::select! {
            permit = handshakes.acquire_owned() => permit,
            () = door.known.closed() => return,
        };
        let Ok(permit) = permit else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = door.known.closed() => return,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted");
                tokio::time::sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        let Some(turn) = Turn::of(&door, address.ip()) else {
            tracing::debug!(%address, "too many handshakes from one address");
            continue;
        };
        tokio::spawn(async move {
            let welcomed = turn.door.welcome(stream, address);
            let connection = tokio::time::timeout(HANDSHAKE_TIMEOUT, welcomed).await;
            let door = Arc::clone(&turn.door);
            drop((turn, permit));
            match connection {
                Ok(Ok(connection)) => door.hand_over(connection).await,
                Ok(Err(error)) => tracing::info!(%address, %error, "a connection is refused"),
                Err(_) => tracing::info!(%address, "a handshake takes too long"),
            }
        });
    }
}

/// One of the handshakes that an address may have at a time.
struct Turn {
    door: Arc<Door>,
    address: IpAddr,
}

impl Turn {
    fn of(door: &Arc<Door>, address: IpAddr) -> Option<Self> {
        let mut shaking = door.shaking.lock().unwrap_or_else(PoisonError::into_inner);
        let count = shaking.entry(address).or_default();
        // Whoever is on this machine needs no handshakes to keep it busy, and many agents may be.
        if *count >= HANDSHAKES_OF_ONE && !address.is_loopback() {
            return None;
        }
        *count += 1;
        Some(Self { door: Arc::clone(door), address })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut shaking = self.door.shaking.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = shaking.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                shaking.remove(&self.address);
            }
        }
    }
}

impl Door {
    async fn welcome(&self, stream: TcpStream, address: SocketAddr) -> anyhow::Result<Connection> {
        at_once(&stream);
        let acceptor = TlsAcceptor::from(Arc::clone(&self.server.config));
        let stream = acceptor.accept(stream).await?;
        let address: Arc<str> = address.to_string().into();
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let Some(shown) = shown else {
            let permit = Arc::clone(&self.strangers).try_acquire_owned();
            let permit = permit.map_err(|_| anyhow::anyhow!("too many strangers"))?;
            return Ok(Connection {
                bytes: Bytes::Tls(Box::new(stream)),
                peer: Peer { who: Who::Stranger, address },
                end: Some(Box::pin(tokio::time::sleep(STRANGER_TIME))),
                _listed: None,
                _permit: Some(permit),
            });
        };
        let certificate = Certificate::read(shown)?;
        anyhow::ensure!(
            certificate.cluster == self.cluster && certificate.name != Name::Coordinator,
            "a certificate of {} in cluster {} opens nothing here",
            certificate.name,
            certificate.cluster
        );
        let listed = self.connections.list(&certificate.name);
        let (listed, cut) = listed
            .ok_or_else(|| anyhow::anyhow!("{} has too many connections", certificate.name))?;
        // A certificate that is renewed is shown in a new connection.
        let holds = certificate.not_after.since(now());
        let end = async move {
            tokio::select! {
                () = cut.cancelled_owned() => {}
                () = tokio::time::sleep(holds) => {}
            }
        };
        Ok(Connection {
            bytes: Bytes::Tls(Box::new(stream)),
            peer: Peer { who: Who::Certified(Arc::new(certificate)), address },
            end: Some(Box::pin(end)),
            _listed: Some(listed),
            _permit: None,
        })
    }

    async fn hand_over(&self, connection: Connection) {
        let is_stranger = matches!(connection.peer.who, Who::Stranger);
        let queue = if is_stranger { &self.unknown } else { &self.known };
        // Nobody takes connections any more when the program is ending.
        drop(queue.send(Ok(connection)).await);
    }
}

/// Has what is written sent at once. Otherwise the system holds a small message back until the one before is
/// acknowledged, which the other side does 40 ms later: an agent would be told everything so much too late.
pub(crate) fn at_once(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection sends when it likes");
    }
}

/// Accepts without protection, on this machine's own address only: see [`crate::transport::Listen`].
pub fn accept_plain(listener: TcpListener) -> Incoming {
    let (sender, incoming) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = sender.closed() => return,
            };
            let Ok((stream, address)) = accepted else {
                tokio::time::sleep(ACCEPT_RETRY).await;
                continue;
            };
            at_once(&stream);
            let peer = Peer { who: Who::Unprotected, address: address.to_string().into() };
            let bytes = Bytes::Plain(stream);
            let connection = Connection { bytes, peer, end: None, _listed: None, _permit: None };
            if sender.send(Ok(connection)).await.is_err() {
                return;
            }
        }
    });
    incoming.into()
}

/// Accepts over a socket in the file system whose mode lets only its owner and root in; who is let in all the same,
/// because somebody has changed the mode, is turned away.
pub fn accept_local(listener: UnixListener) -> Incoming {
    let (sender, incoming) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = sender.closed() => return,
            };
            let Ok((stream, _)) = accepted else {
                tokio::time::sleep(ACCEPT_RETRY).await;
                continue;
            };
            let Some(peer) = local(&stream) else { continue };
            let bytes = Bytes::Local(stream);
            let connection = Connection { bytes, peer, end: None, _listed: None, _permit: None };
            if sender.send(Ok(connection)).await.is_err() {
                return;
            }
        }
    });
    incoming.into()
}

/// Says who is on the other end, when that may be.
fn local(stream: &UnixStream) -> Option<Peer> {
    let user = stream.peer_cred().ok()?.uid();
    let is_let_in = user == 0 || user == rustix::process::geteuid().as_raw();
    if !is_let_in {
        tracing::warn!(user, "somebody else than root has opened the socket of administrators");
        return None;
    }
    Some(Peer { who: Who::Local { user }, address: format!("this machine, user {user}").into() })
}
