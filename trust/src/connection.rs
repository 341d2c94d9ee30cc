//! A connection that was accepted: bytes, who is on the other end, and when it has to end.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use crate::certificate::Certificate;
use crate::connections::Listed;

/// Who is on the other end, and from where. In the extensions of every request.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Who.
    pub who: Who,
    /// From where, for people.
    pub address: Arc<str>,
}

/// Who is on the other end.
#[derive(Debug, Clone)]
pub enum Who {
    /// Somebody with a certificate of our authority.
    Certified(Arc<Certificate>),
    /// Somebody who has shown none.
    Stranger,
    /// Root of this machine, or the user that this program runs as, over the socket in the file system.
    Local {
        /// Their user number.
        user: u32,
    },
    /// Somebody of this machine, on a listener without protection: whoever they say they are.
    Unprotected,
}

/// The bytes.
#[derive(Debug)]
pub(crate) enum Bytes {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Local(UnixStream),
}

/// A connection that was accepted.
pub struct Connection {
    pub(crate) bytes: Bytes,
    pub(crate) peer: Peer,
    /// Done when it has to end: it is revoked, or its certificate does not hold any more.
    pub(crate) end: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    pub(crate) _listed: Option<Listed>,
    /// Counts those without a certificate.
    pub(crate) _permit: Option<OwnedSemaphorePermit>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl Connection {
    fn poll_end(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let Some(end) = &mut self.end else { return Ok(()) };
        if end.as_mut().poll(context).is_pending() {
            return Ok(());
        }
        // A future that is done is not asked again: from now on there is nothing but this error.
        self.end = Some(Box::pin(std::future::ready(())));
        Err(io::Error::new(io::ErrorKind::ConnectionAborted, "cut off by the coordinator"))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Whoever serves a connection always waits for its next bytes, so it is woken here.
        self.poll_end(context)?;
        match &mut self.bytes {
            Bytes::Plain(bytes) => Pin::new(bytes).poll_read(context, buffer),
            Bytes::Tls(bytes) => Pin::new(bytes).poll_read(context, buffer),
            Bytes::Local(bytes) => Pin::new(bytes).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.bytes {
            Bytes::Plain(bytes) => Pin::new(bytes).poll_write(context, buffer),
            Bytes::Tls(bytes) => Pin::new(bytes).poll_write(context, buffer),
            Bytes::Local(bytes) => Pin::new(bytes).poll_write(context, buffer),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.bytes {
            Bytes::Plain(bytes) => Pin::new(bytes).poll_write_vectored(context, buffers),
            Bytes::Tls(bytes) => Pin::new(bytes).poll_write_vectored(context, buffers),
            Bytes::Local(bytes) => Pin::new(bytes).poll_write_vectored(context, buffers),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.bytes {
            Bytes::Plain(bytes) => bytes.is_write_vectored(),
            Bytes::Tls(bytes) => bytes.is_write_vectored(),
            Bytes::Local(bytes) => bytes.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.bytes {
            Bytes::Plain(bytes) => Pin::new(bytes).poll_flush(context),
            Bytes::Tls(bytes) => Pin::new(bytes).poll_flush(context),
            Bytes::Local(bytes) => Pin::new(bytes).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.bytes {
            Bytes::Plain(bytes) => Pin::new(bytes).poll_shutdown(context),
            Bytes::Tls(bytes) => Pin::new(bytes).poll_shutdown(context),
            Bytes::Local(bytes) => Pin::new(bytes).poll_shutdown(context),
        }
    }
}
