//! A coordinator with TLS, from outside: who is let in, by what, and who is not.
#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

mod attest;
mod audit;
mod calls;
mod handshake;
mod join;
mod policy;
mod rates;
mod world;
