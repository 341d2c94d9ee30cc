//! What the coordinator decides.
//!
//! ```text
//!  Event ─▶ absorb (writes down) ─▶ plan: liveness → condemn → balance → drain → preparing → hooks → rollout → reconcile → place → collect → capacity ─▶ Step
//! ```
//!
//! [`step`] is the only door. What is absent: I/O, clocks, randomness, retries other than planning again.
#![deny(missing_docs, clippy::wildcard_enum_match_arm, clippy::indexing_slicing)]

mod absorb;
pub mod cluster;
pub mod command;
mod draft;
pub mod event;
pub mod explain;
pub mod foresee;
pub mod image_set;
pub mod invariant;
pub mod narrate;
mod plan;
mod request;
pub mod trust;
pub mod view;

use std::collections::{BTreeMap, BTreeSet};

use model::id::{NodeId, TaskId};
use model::image::Image;
use model::time::Timestamp;

use crate::cluster::{Change, Cluster};
use crate::command::Command;
use crate::draft::Draft;
use crate::event::{Event, Reply};

/// What came of a batch of events.
#[derive(Debug, Default)]
pub struct Step {
    /// To be stored, in this order, before anybody is told. Each prefix of it is a good state.
    pub changes: Vec<Change>,
    /// One for each event that was heard, in the order of the events. Those after them are to be heard by the next step:
    /// this one was full.
    pub replies: Vec<Reply>,
    /// When time alone will change something, if ever.
    pub wake_at: Option<Timestamp>,
    /// Images that nodes are to fetch for tasks to come. Whoever does not hear of it is asked again by a later step.
    pub fetches: BTreeMap<NodeId, BTreeSet<Image>>,
    /// What the cloud is to be asked. Whatever comes of it is heard as an event; until then the same follows from each step.
    pub commands: Vec<Command>,
    /// Why tasks wait, in the operator's words.
    pub notes: BTreeMap<TaskId, String>,
}

/// Hears `events`, then plans every service that they or due timers touched.
///
/// A second step at the same instant without events changes nothing, unless the first one was full: then its `wake_at` is
/// not later than `now`, and the rest follows. A step is full when it has made as many changes as
/// [`Cluster::bound`] says; what belongs together, such as a request, is not taken apart.
pub fn step(cluster: &mut Cluster, events: &[Event], now: Timestamp) -> Step {
    let mut draft = Draft::new(cluster, now);
    let mut replies = Vec::new();
    for event in events {
        if draft.is_full() {
            break;
        }
        replies.push(absorb::absorb(&mut draft, event));
    }
    plan::plan(&mut draft);
    Step { replies, ..draft.into_step() }
}
