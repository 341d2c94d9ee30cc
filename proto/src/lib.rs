//! The contract: generated messages and services, and the one place where they become the model.
//!
//! ```text
//!  v1/*.proto ─▶ wire (generated) ◀─ convert ─▶ model
//! ```
//!
//! Absent: servers and clients themselves. What they say, and over what, is all that is here.

pub mod convert;

/// The generated messages and services.
#[allow(
    missing_debug_implementations,
    unused_qualifications,
    unreachable_pub,
    clippy::all,
    clippy::too_many_lines,
    clippy::allow_attributes_without_reason,
    clippy::unwrap_used,
    clippy::large_futures,
    reason = "generated code"
)]
pub mod wire {
    tonic::include_proto!("wharf.v1");
}

impl std::fmt::Debug for wire::SecretValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretValue")
    }
}

/// The descriptors of all files, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The longest message that either side takes, in bytes. The largest honest one is the complete assignments of a node:
/// 1,000 tasks of specs with files still fit.
pub const MESSAGE_LIMIT: usize = 16 << 20;

/// Beside a status: what to do next, for people.
pub const HINT: &str = "wharf-hint";

/// Beside a request: what tells it from every other, when whoever sends it has something.
pub const REQUEST: &str = "wharf-request";

/// Beside a request: why it is made, for the record. In UTF-8, as the ending says.
pub const REASON: &str = "wharf-reason-bin";
