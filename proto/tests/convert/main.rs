//! What becomes of messages: records of every release, whatever can be sent, and what the rest could not bear.
#![allow(clippy::unwrap_used, reason = "a test that can not read its sample has failed")]

mod fuzz;
mod golden;
mod jobs;
mod random;
mod recipes;
mod recorded;
mod refused;
mod sample;
mod schema;
