//! The nouns of Wharf, shared by everything else.
//!
//! ```text
//!  Service ── Generation ── ServiceSpec ── TaskSpec ── ContainerSpec
//!     │                                        │
//!    Slot ───────────── Task ── Placement ─── Node ── Resources
//! ```
//!
//! What is absent: no wire format (messages are turned into these types in one place of `proto`), no clock, no
//! randomness, no I/O. A value of one of these types has been validated: behind the door nothing is checked twice.
#![deny(missing_docs)]

pub mod audit;
pub mod bake;
pub mod budget;
pub mod constraint;
pub mod fleet;
pub mod id;
pub mod image;
pub mod job;
pub mod lease;
pub mod node;
pub mod policy;
pub mod preference;
pub mod priority;
pub mod refresh;
pub mod release;
pub mod resources;
pub mod rollout;
pub mod schedule;
pub mod secret;
pub mod service;
pub mod spec;
pub mod suggest;
pub mod task;
pub mod time;
pub mod traffic;
pub mod trust;
