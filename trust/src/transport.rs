//! How programs reach each other: one value for each listener and each dialler, so that what protects a connection is
//! configured in one place.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use thiserror::Error;
use tokio::io::AsyncBufReadExt;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Endpoint};

use crate::clock::now;
use crate::failure::{DialError, explain};
use crate::incoming::at_once;
use crate::tls::Client;

/// Where a program listens without protection: only on this machine, for development and for measuring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plaintext(SocketAddr);

/// What begins an address that is a socket in the file system.
const LOCAL: &str = "unix:";

/// Where a program dials, and what protects the connection.
#[derive(Debug, Clone)]
pub enum Dial {
    /// `HOST:PORT` over TLS.
    Tls {
        /// `HOST:PORT`
        address: String,
        /// What is shown there, and who is trusted.
        client: Client,
    },
    /// `HOST:PORT` of this machine, and nothing protects the connection.
    Plaintext {
        /// `HOST:PORT`
        address: String,
    },
    /// A socket in the file system, which the system protects.
    Local {
        /// Where.
        path: PathBuf,
    },
}

/// Why a transport can not be used.
#[derive(Debug, Error)]
pub enum TransportError {
    /// Without protection only loopback is allowed.
    #[error("{0} is not a loopback address, and nothing leaves this machine without encryption")]
    NotLoopback(String),
    /// Not `HOST:PORT`.
    #[error("{0:?} is not an address of the form HOST:PORT")]
    Malformed(String),
}

/// A connection that is quiet for so long is asked whether it is still there; a half-open one (the other machine lost its
/// power) is noticed in no other way.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// So long it has for the answer.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Connecting takes no longer, the handshake included: under the storm of a fleet that comes back it waits for its turn.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

impl Plaintext {
    /// Says whether this may be listened on.
    ///
    /// # Errors
    /// When the address can be reached from other machines.
    pub fn on(address: SocketAddr) -> Result<Self, TransportError> {
        if address.ip().is_loopback() {
            Ok(Self(address))
        } else {
            Err(TransportError::NotLoopback(address.to_string()))
        }
    }

    /// The address.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.0
    }
}

/// Takes an address apart: the host, without the brackets of IPv6, and the port.
fn host_and_port(address: &str) -> Result<(&str, u16), TransportError> {
    let malformed = || TransportError::Malformed(address.to_owned());
    let (host, port) = address.rsplit_once(':').ok_or_else(malformed)?;
    let port = port.parse().map_err(|_| malformed())?;
    let host = host.trim_matches(['[', ']']);
    if host.is_empty() { Err(malformed()) } else { Ok((host, port)) }
}

/// Says whether it is a host and a port, which can be dialled over TLS.
///
/// # Errors
/// When it is not.
pub fn check_address(address: &str) -> Result<(), TransportError> {
    let (host, _) = host_and_port(address)?;
    let name = ServerName::try_from(host);
    name.map(drop).map_err(|_| TransportError::Malformed(address.to_owned()))
}

/// The path in an address that is a socket in the file system.
#[must_use]
pub fn local_path(address: &str) -> Option<PathBuf> {
    address.strip_prefix(LOCAL).map(PathBuf::from)
}

impl Dial {
    /// What is dialled, for people.
    #[must_use]
    pub fn address(&self) -> String {
        match self {
            Self::Tls { address, .. } | Self::Plaintext { address } => address.clone(),
            Self::Local { path } => format!("{LOCAL}{}", path.display()),
        }
    }

    /// Makes a channel that connects when it is first used.
    ///
    /// # Errors
    /// When the address is malformed, or is another machine's and nothing protects the connection.
    pub fn channel(&self) -> Result<Channel, TransportError> {
        let way = match self {
            Self::Tls { address, client } => {
                let (host, _) = host_and_port(address)?;
                let malformed = |_| TransportError::Malformed(address.clone());
                let name = ServerName::try_from(host.to_owned()).map_err(malformed)?;
                Way::Tls { address: address.clone(), name, client: client.clone() }
            }
            Self::Plaintext { address } => {
                let (host, _) = host_and_port(address)?;
                let is_loopback = host == "localhost"
                    || host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
                if !is_loopback {
                    return Err(TransportError::NotLoopback(address.clone()));
                }
                Way::Plaintext { address: address.clone() }
            }
            Self::Local { path } => Way::Local { path: path.clone() },
        };
        // Only what is sent inside: where to is known by the way.
        Ok(Endpoint::from_static("http://wharf")
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .connect_with_connector_lazy(Connector(Arc::new(way))))
    }
}

/// What a connector has to know.
#[derive(Debug)]
enum Way {
    Tls { address: String, name: ServerName<'static>, client: Client },
    Plaintext { address: String },
    Local { path: PathBuf },
}

/// Connects each time anew.
#[derive(Debug, Clone)]
struct Connector(Arc<Way>);

type Connecting = Pin<Box<dyn Future<Output = Result<TokioIo<Box<dyn Stream>>, DialError>> + Send>>;

/// Bytes in both directions.
trait Stream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}

impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Stream for T {}

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<Box<dyn Stream>>;
    type Error = DialError;
    type Future = Connecting;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _uri: Uri) -> Connecting {
        let way = Arc::clone(&self.0);
        Box::pin(async move { way.connect().await.map(TokioIo::new) })
    }
}

impl Way {
    async fn connect(&self) -> Result<Box<dyn Stream>, DialError> {
        match self {
            Self::Plaintext { address } => match TcpStream::connect(address).await {
                Ok(stream) => {
                    at_once(&stream);
                    Ok(Box::new(stream))
                }
                Err(error) => Err(explain(&error, address, None, now())),
            },
            Self::Local { path } => match UnixStream::connect(path).await {
                Ok(stream) => Ok(Box::new(stream)),
                Err(error) => Err(unreachable_locally(&error, path)),
            },
            Self::Tls { address, name, client } => {
                let connected = connect_tls(address, name.clone(), client).await;
                let connected = connected
                    .map_err(|error| explain(&error, address, client.shown.as_deref(), now()));
                Ok(Box::new(connected?))
            }
        }
    }
}

fn unreachable_locally(error: &std::io::Error, path: &std::path::Path) -> DialError {
    let is_denied = error.kind() == std::io::ErrorKind::PermissionDenied;
    let hint = if is_denied {
        "only root, and the user that the coordinator runs as, may open this socket: use sudo"
    } else {
        "is the coordinator running on this machine?"
    };
    let message = format!("{} can not be opened: {error}", path.display());
    DialError { message, hint: hint.to_owned(), is_denied }
}

async fn connect_tls(
    address: &str,
    name: ServerName<'static>,
    client: &Client,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    at_once(&stream);
    let connector = TlsConnector::from(Arc::clone(&client.config));
    let mut stream = connector.connect(name, stream).await?;
    // In TLS 1.3 a client is done before the server has looked at its certificate, and would learn from whatever it says
    // next that it is refused. The server speaks first in HTTP/2 (RFC 9113, 3.4): its settings, or why it does not.
    if stream.fill_buf().await?.is_empty() {
        let closed = std::io::ErrorKind::ConnectionAborted;
        return Err(std::io::Error::new(closed, "it closes the connection without a word"));
    }
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_unprotected_leaves_the_machine() {
        for (address, is_fine) in [("127.0.0.1:1", true), ("[::1]:1", true), ("0.0.0.0:1", false)] {
            assert_eq!(Plaintext::on(address.parse().unwrap()).is_ok(), is_fine, "{address}");
        }
        for address in ["10.0.0.1:7", "example.org:7", "127.0.0.1", "127.0.0.1:x", "", ":"] {
            let dial = Dial::Plaintext { address: address.to_owned() };
            assert!(dial.channel().is_err(), "{address}");
        }
        for address in ["127.0.0.1:1", "[::1]:1", "localhost:1"] {
            let dial = Dial::Plaintext { address: address.to_owned() };
            assert!(dial.channel().is_ok(), "{address}");
        }
    }
}
