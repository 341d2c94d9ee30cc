//! Who is on the other end of a connection: keys, certificates, join tokens, and TLS 1.3 in both directions.
//!
//! ```text
//!  JoinToken ─▶ Dial (pinned) ─▶ join ─▶ Bundle ─▶ Dial (mutual) ═▶ Incoming ─▶ Peer
//! ```
//!
//! A crate of its own, so that neither the contract nor a core is compiled with cryptography. Absent: the authority itself,
//! which only the coordinator has, and what anybody may do, which it decides.

pub mod attest;
pub mod audit;
pub mod bundle;
pub mod certificate;
pub mod clock;
mod connection;
pub mod connections;
pub mod digest;
pub mod failure;
#[cfg(test)]
mod fuzz;
pub mod http;
pub mod incoming;
pub mod join_token;
pub mod key;
pub mod name;
pub mod tls;
pub mod transport;

pub use bundle::Bundle;
pub use certificate::Certificate;
pub use clock::now;
pub use connection::{Connection, Peer, Who};
pub use failure::DialError;
pub use join_token::JoinToken;
pub use name::Name;
