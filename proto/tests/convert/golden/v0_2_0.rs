//! What the records of 0.2.0 say: those of 0.1.0, and what can be said since.

use std::sync::Arc;

use model::budget::{Amount, Budget};
use model::node::{Drain, DrainCause, DrainPhase, Node};
use model::service::{Generation, Service};
use model::time::Timestamp;

use super::stored::Stored;
use super::v0_1_0;

pub(crate) fn records() -> super::Records {
    let known = v0_1_0::records();
    let added: super::Records =
        known.iter().flat_map(|(name, record)| grown(name, record)).collect();
    known.into_iter().chain(added).collect()
}

/// The records that are like this one, and say more.
fn grown(name: &str, record: &Stored) -> super::Records {
    match record {
        Stored::Node(node) if name == "node-cordoned" => drained(node),
        Stored::Service(service) if name == "service-steady" => budgeted(service),
        Stored::Node(_)
        | Stored::Service(_)
        | Stored::Task(_)
        | Stored::Counters(_)
        | Stored::Identity(_)
        | Stored::Journal(_) => Vec::new(),
    }
}

/// A node that is being emptied, in each phase.
fn drained(node: &Node) -> super::Records {
    const NOON: u64 = 1_795_435_200_000;
    let at = |seconds: u64| Timestamp::from_millis(NOON + seconds * 1_000);
    let phases = [
        ("node-draining", DrainPhase::Moving),
        ("node-draining-forced", DrainPhase::Forced { since: at(900) }),
        ("node-drained", DrainPhase::Drained { since: at(901) }),
    ];
    let record = |(name, phase)| {
        let cause = DrainCause::Operator;
        let drain = Some(Drain { cause, since: at(0), deadline: at(900), phase });
        (name, Stored::Node(Node { drain, ..node.clone() }))
    };
    phases.map(record).into()
}

/// A service that says what it can spare, in either word.
fn budgeted(service: &Service) -> super::Records {
    let budgets = [
        ("service-min-available", Budget::MinAvailable(Amount::Count(2))),
        ("service-max-unavailable", Budget::MaxUnavailable(Amount::Percent(25))),
    ];
    let record = |(name, budget)| {
        let mut target: Generation = (*service.target).clone();
        target.spec.budget = budget;
        (name, Stored::Service(Service { target: Arc::new(target), ..service.clone() }))
    };
    budgets.map(record).into()
}
