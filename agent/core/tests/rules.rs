//! The rules that keep an agent from doing harm. Each test bears the name of its rule:
//!
//! - R1 what is there is compared with what is wanted each time anew, and events only wake;
//! - R2 who spoke last is obeyed, and nobody who spoke before;
//! - R3 absence is never an order to stop, and a sudden mass of stops is held back;
//! - R4 names are deterministic, and written down before they are used;
//! - R6 an engine that can not be asked says nothing of its containers;
//! - R12 what is over stays over when the agent begins again;
//! - R14 a container is known by the engine's id and when it was started, and by nothing else;
//! - R15 what an earlier agent has left behind is found and cleared away;
//! - R20 nobody waits for what does not end.
#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

#[path = "rules/coordinator.rs"]
mod coordinator;
#[path = "rules/engine.rs"]
mod engine;
#[path = "rules/leases.rs"]
mod leases;
#[path = "rules/leftovers.rs"]
mod leftovers;
#[path = "rules/outlook.rs"]
mod outlook;
#[path = "rules/secrets.rs"]
mod secrets;
#[path = "rules/world.rs"]
mod world;
