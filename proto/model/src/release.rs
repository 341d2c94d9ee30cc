//! Going back to what ran at a time.

use crate::id::ServiceId;
use crate::refresh::Blueprint;
use crate::time::Timestamp;

/// An operator wants services and machines as they were: all that is named, or nothing is changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoBack {
    /// When they were so. It is only told: what that means for each stands below.
    pub then: Timestamp,
    /// Services, each once.
    pub services: Vec<ServiceBack>,
    /// Pools, each once.
    pub pools: Vec<PoolBack>,
}

/// A service that goes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceBack {
    /// Which.
    pub service: ServiceId,
    /// Its target, as the operator has seen it: with another one nothing is done.
    pub from: u64,
    /// The generation that it goes back to.
    pub to: u64,
}

/// A pool that goes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolBack {
    /// Its name.
    pub pool: String,
    /// What its group launches, as the operator has seen it: with another nothing is done.
    pub from: Blueprint,
    /// What its machines are to be launched from.
    pub to: Blueprint,
}
