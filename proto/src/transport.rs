//! How programs reach each other: one value for each listener and each dialler, so that what protects a connection is
//! configured in one place.

use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;
use tonic::transport::{Channel, Endpoint};

/// What protects a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Security {
    /// Nothing: only between programs of one machine.
    #[default]
    LoopbackOnly,
}

/// Where a program listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen {
    /// Address and port.
    pub address: SocketAddr,
    /// What protects the connections.
    pub security: Security,
}

/// Where a program dials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dial {
    /// `HOST:PORT`
    pub address: String,
    /// What protects the connection.
    pub security: Security,
}

/// Why a transport can not be used.
#[derive(Debug, Error)]
pub enum TransportError {
    /// Without protection only loopback is allowed.
    #[error(
        "{0} is not a loopback address, and connections are not encrypted yet: use 127.0.0.1:PORT or [::1]:PORT"
    )]
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
/// Connecting takes no longer.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

impl Listen {
    /// Says whether this may be listened on.
    ///
    /// # Errors
    /// When the address can be reached from other machines and nothing protects it.
    pub fn check(&self) -> Result<(), TransportError> {
        match self.security {
            Security::LoopbackOnly if !self.address.ip().is_loopback() => {
                Err(TransportError::NotLoopback(self.address.to_string()))
            }
            Security::LoopbackOnly => Ok(()),
        }
    }
}

impl Dial {
    /// Makes a channel that connects when it is first used.
    ///
    /// # Errors
    /// When the address is malformed, or is another machine's and nothing protects the connection.
    pub fn channel(&self) -> Result<Channel, TransportError> {
        let malformed = || TransportError::Malformed(self.address.clone());
        let (host, port) = self.address.rsplit_once(':').ok_or_else(malformed)?;
        port.parse::<u16>().map_err(|_| malformed())?;
        let is_loopback = host == "localhost"
            || host
                .trim_matches(['[', ']'])
                .parse()
                .is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
        match self.security {
            Security::LoopbackOnly if !is_loopback => {
                return Err(TransportError::NotLoopback(self.address.clone()));
            }
            Security::LoopbackOnly => {}
        }
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address));
        let endpoint = endpoint.map_err(|_| malformed())?;
        Ok(endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .connect_lazy())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_unprotected_leaves_the_machine() {
        for (address, is_fine) in [("127.0.0.1:1", true), ("[::1]:1", true), ("0.0.0.0:1", false)] {
            let listen =
                Listen { address: address.parse().unwrap(), security: Security::default() };
            assert_eq!(listen.check().is_ok(), is_fine, "{address}");
        }
        for address in ["10.0.0.1:7", "example.org:7", "127.0.0.1", "127.0.0.1:x", "", ":"] {
            let dial = Dial { address: address.to_owned(), security: Security::default() };
            assert!(dial.channel().is_err(), "{address}");
        }
    }
}
