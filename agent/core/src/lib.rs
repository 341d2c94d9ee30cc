//! What an agent decides.
//!
//! ```text
//!  Event ─▶ hear (writes down) ─▶ decide: for each unit one next action ─▶ Step { orders, reports }
//! ```
//!
//! [`step`] is the only door. What runs is compared with what is wanted each time anew; events only wake. What is absent:
//! I/O, clocks, randomness, and any rule that stops a container because nobody speaks of it.
#![deny(missing_docs, clippy::wildcard_enum_match_arm, clippy::indexing_slicing)]

pub mod action;
pub mod ahead;
pub mod assignment;
mod brake;
mod decide;
pub mod event;
pub mod firewall;
pub mod garbage;
mod health;
mod hear;
pub mod lease;
pub mod observed;
mod orphan;
pub mod outlook;
mod report;
mod restart;
pub mod secret;
mod unit;
pub mod workload;

use model::id::{ContainerName, TaskId};
use model::time::Timestamp;

use crate::action::Action;
use crate::event::{Event, Report};
use crate::workload::Workload;

/// What came of a batch of events.
#[derive(Debug, Default)]
pub struct Step {
    /// The journal differs from the disk: it has to be written before the orders are carried out.
    pub must_persist: bool,
    /// To be carried out, each answered with [`Event::Done`].
    pub orders: Vec<Order>,
    /// Tasks of which there is more to say than was said last; once a minute all of them.
    pub reports: Vec<Report>,
    /// When time alone will change something, if ever.
    pub wake_at: Option<Timestamp>,
}

/// An action and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Of which task.
    pub task: TaskId,
    /// Of which container of the task.
    pub container: ContainerName,
    /// What is asked.
    pub action: Action,
}

/// Hears `events`, then decides what to ask of the engine.
///
/// A second step at the same instant without events orders nothing new.
pub fn step(workload: &mut Workload, events: &[Event], now: Timestamp) -> Step {
    events.iter().for_each(|event| hear::hear(workload, event, now));
    lease::expire(workload, now);
    let orders = decide::decide(workload, now);
    let reports = report::news(workload, now);
    let must_persist = workload.must_persist();
    let wake_at = decide::wake_at(workload, now);
    Step { must_persist, orders, reports, wake_at }
}
