//! What the records of 0.2.0 say: those of 0.1.0, and what can be said since.

mod job;

use std::sync::Arc;

use model::budget::{Amount, Budget};
use model::node::{Drain, DrainCause, DrainPhase, Node};
use model::service::{Generation, Service};
use model::time::Timestamp;

use super::stored::Stored;
use super::v0_1_0;

pub(crate) fn records() -> super::Records {
    let grown = |(name, record)| match record {
        Stored::Node(node) => (name, Stored::Node(launched(node))),
        Stored::Service(service) if name == "service-rolling" => {
            (name, Stored::Service(constrained(service)))
        }
        Stored::Journal(journal) => (name, Stored::Journal(job::journal(journal))),
        Stored::Service(_) | Stored::Task(_) | Stored::Counters(_) | Stored::Identity(_) => {
            (name, record)
        }
    };
    let known: super::Records = v0_1_0::records().into_iter().map(grown).collect();
    let added: super::Records =
        known.iter().flat_map(|(name, record)| more(name, record)).collect();
    known.into_iter().chain(added).collect()
}

/// A node whose agent knows what it runs on.
fn launched(node: Node) -> Node {
    let said = |text: &str| Some(text.to_owned());
    Node {
        pool: said("web"),
        ami: said("ami-0123456789abcdef0"),
        instance_type: said("m7g.xlarge"),
        os: said("linux"),
        engine_version: said("28.2.2"),
        kernel_version: said("6.1.102-111.182.amzn2023.aarch64"),
        ..node
    }
}

/// A service that asks for what only a text can say.
fn constrained(service: Service) -> Service {
    let texts = [
        "node.pool == web",
        "not (node.zone in [a, \"b c\"] or node.ami !~ \"^ami-\\\\d+$\")",
        "node.kernel.version >= 6.1 and image.present(\"nginx:1.29\")",
    ];
    let mut target: Generation = (*service.target).clone();
    target.spec.task.constraints.extend(texts.iter().map(|text| text.parse().unwrap()));
    Service { target: Arc::new(target), ..service }
}

/// The records that are like this one, and say more.
fn more(name: &str, record: &Stored) -> super::Records {
    match record {
        Stored::Node(node) if name == "node-cordoned" => drained(node),
        Stored::Service(service) if name == "service-steady" => {
            budgeted(service).into_iter().chain(job::services(service)).collect()
        }
        Stored::Task(task) if name == "task-failed-application" => job::tasks(task),
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
