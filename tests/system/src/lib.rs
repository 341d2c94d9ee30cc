//! A cluster of real programs on a real Docker engine, for tests and benchmarks.
//!
//! ```text
//!  Cluster ─▶ Program (wharf-coordinator, wharf-agent, …)
//!     └─────▶ Docker  (what the engine says, asked through its own command line)
//! ```
//!
//! Absent: anything that looks into the programs. A test sees what an operator sees.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that can not set up its world has failed, and shows why"
)]

pub mod cluster;
pub mod docker;
pub mod engine;
pub mod fleet;
pub mod kernel;
pub mod machine;
pub mod packages;
pub mod program;
pub mod puppet;
pub mod region;
pub mod registry;
pub mod release;
pub mod scratch;
pub mod site;
pub mod templates;
pub mod terminal;
pub mod wait;

pub use cluster::{Cluster, Options, Protection, Remains};
pub use docker::{Container, Docker};
pub use engine::Engine;
pub use kernel::Kernel;
pub use machine::Machine;
pub use packages::Packages;
pub use program::{Program, Said};
pub use region::Region;
pub use scratch::Scratch;
pub use wait::{SOON, until};
