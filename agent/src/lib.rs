//! One node: keeps its containers running and reports what it sees.
//!
//! ```text
//!  session ─┐                                        ┌─▶ journal (first)
//!  runtime ─┼─ Event ─▶ run ─▶ agent-core::step ─▶ ──┼─▶ runtime (orders)
//!  time ────┘                                        └─▶ session (reports)
//! ```
//!
//! Only [`run`] knows all of them. It decides nothing: what is done is what the core says.

mod bake;
mod clock;
mod credentials;
mod engine;
mod firewall;
mod housekeeping;
mod identity;
mod imds;
mod journal;
mod leases;
mod leaving;
mod notices;
mod relay;
mod report;
pub mod run;
pub mod runtime;
mod secrets;
mod session;

pub use agent_core::garbage::Limits;
pub use credentials::{AwsJoin, AwsProof, JOIN_TOKEN, Joining, TokenSource};
pub use firewall::Wish;
pub use imds::DEFAULT as DEFAULT_IMDS;
pub use run::{Config, Origin, Security, run};
pub use secrets::{DEFAULT_DIRECTORY as SECRETS_DIRECTORY, Memory, Owners};
