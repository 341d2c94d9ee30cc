//! What the records of 0.2.0 say: those of 0.1.0, and what can be said since.

mod bake;
mod fleet;
mod job;
mod refresh;
mod secret;
mod traffic;
mod trust;
mod upkeep;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::budget::{Amount, Budget};
use model::constraint::Attribute;
use model::lease::LeasePolicy;
use model::node::{Drain, DrainCause, DrainPhase, Node};
use model::preference::{Preference, Preferred, Spread};
use model::priority::Priority;
use model::resources::Resources;
use model::rollout::{BlueGreen, Canary, Pace, Promotion, Rollout, Stage, Tolerance, Trial};
use model::service::{Generation, Past, Service, ServicePhase, Verdict};
use model::spec::{Mount, MountSource, Strategy};
use model::task::{DesiredState, StopCause, Task, TaskState};
use model::time::Timestamp;

use super::stored::{Journal, Stored};
use super::v0_1_0;

pub(crate) fn records() -> super::Records {
    let grown = |(name, record)| match record {
        Stored::Node(node) => (name, Stored::Node(launched(node))),
        Stored::Service(service) if name == "service-rolling" => {
            (name, Stored::Service(constrained(service)))
        }
        Stored::Journal(journal) => (name, Stored::Journal(balanced(job::journal(journal)))),
        Stored::Service(_)
        | Stored::Task(_)
        | Stored::Counters(_)
        | Stored::Identity(_)
        | Stored::Authority(_)
        | Stored::Token(_)
        | Stored::Admission(_)
        | Stored::Pool(_)
        | Stored::Hook(_)
        | Stored::Refresh(_)
        | Stored::Freeze(_)
        | Stored::Registration(_)
        | Stored::Operator(_)
        | Stored::Act(..)
        | Stored::AuditRecord(_)
        | Stored::AuditMark(_)
        | Stored::Permit(_)
        | Stored::ImagePolicy(_)
        | Stored::Allowance(_)
        | Stored::Bake(_)
        | Stored::Secret(_)
        | Stored::Upkeep(_)
        | Stored::Ami(_) => (name, record),
    };
    let known: super::Records = v0_1_0::records().into_iter().map(grown).collect();
    let added: super::Records =
        known.iter().flat_map(|(name, record)| more(name, record)).collect();
    let own = trust::records().into_iter().chain(fleet::records()).chain(bake::records());
    let own = own.chain(upkeep::records());
    let own = own.chain(refresh::records()).chain(secret::records()).chain(traffic::records());
    known.into_iter().chain(added).chain(own).collect()
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
        capacity: Resources { gpus: 4, disk_bytes: 80 << 30, pids: 32_768, ..node.capacity },
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
        Stored::Node(node) if name == "node-active" => {
            let node = Node { preparing_until: Some(at(300)), ..node.clone() };
            vec![("node-preparing", Stored::Node(node))]
        }
        Stored::Service(service) if name == "service-rolling" => steered(service),
        Stored::Task(task) if name == "task-assigned" => {
            let clock_since = Some(at(3));
            let fetching = Task { state: TaskState::Fetching, ..task.clone() };
            vec![
                ("task-placed", Stored::Task(Task { clock_since, ..task.clone() })),
                ("task-fetching", Stored::Task(fetching)),
                ("task-moving", Stored::Task(moving(task))),
                ("task-moved", Stored::Task(moved(task))),
                ("task-patient", Stored::Task(patient(task))),
            ]
            .into_iter()
            .chain(room(task))
            .chain(traffic::tasks(task))
            .chain(secret::tasks(task))
            .collect()
        }
        Stored::Service(service) if name == "service-steady" => {
            let packed = vec![("service-binpack", packed(service))];
            [budgeted(service), ranked(service), packed, job::services(service)].concat()
        }
        Stored::Task(task) if name == "task-failed-application" => job::tasks(task),
        Stored::Node(_)
        | Stored::Service(_)
        | Stored::Task(_)
        | Stored::Counters(_)
        | Stored::Identity(_)
        | Stored::Journal(_)
        | Stored::Authority(_)
        | Stored::Token(_)
        | Stored::Admission(_)
        | Stored::Pool(_)
        | Stored::Hook(_)
        | Stored::Refresh(_)
        | Stored::Freeze(_)
        | Stored::Registration(_)
        | Stored::Operator(_)
        | Stored::Act(..)
        | Stored::AuditRecord(_)
        | Stored::AuditMark(_)
        | Stored::Permit(_)
        | Stored::ImagePolicy(_)
        | Stored::Allowance(_)
        | Stored::Bake(_)
        | Stored::Secret(_)
        | Stored::Upkeep(_)
        | Stored::Ami(_) => Vec::new(),
    }
}

/// So many seconds after noon.
fn at(seconds: u64) -> Timestamp {
    const NOON: u64 = 1_795_435_200_000;
    Timestamp::from_millis(NOON + seconds * 1_000)
}

/// With a task that another has taken the place of, and one that gave way.
fn balanced(mut journal: Journal) -> Journal {
    let (spec, last) = journal.tasks.last().unwrap().clone();
    for (task, cause) in
        [("shop.web.8.8", StopCause::Balance), ("shop.web.8.9", StopCause::Preemption)]
    {
        let mut kept = last.clone();
        kept.assignment.task = task.parse().unwrap();
        kept.assignment.desired = DesiredState::stop(cause);
        kept.assignment.secrets = secret::pins();
        journal.tasks.push((spec, kept));
    }
    let mut patient = last;
    patient.assignment.task = "shop.web.8.10".parse().unwrap();
    let patience = Some(at(1_200));
    patient.assignment.desired = DesiredState::Stop { cause: StopCause::Drain, patience };
    patient.lease = Some(at(900));
    journal.tasks.push((spec, patient));
    journal
}

/// A task that is to move, and one that another has taken the place of.
fn moving(task: &Task) -> Task {
    Task { moving_since: Some(at(60)), desired: DesiredState::Run, ..task.clone() }
}

fn moved(task: &Task) -> Task {
    let desired = DesiredState::stop(StopCause::Balance);
    Task { desired, ..moving(task) }
}

/// A rollout at each stage, one of them held, with all that can be said of how it is to go.
fn steered(service: &Service) -> super::Records {
    let going = Pace::Going { since: at(60) };
    let stages = [
        ("service-canary", Stage::Trial, going, Promotion::Manual),
        ("service-canary-holding", Stage::Holding { since: at(90) }, going, Promotion::Automatic),
        ("service-switching", Stage::Switching { since: at(90) }, going, Promotion::Manual),
        ("service-keeping", Stage::Keeping { since: at(95) }, going, Promotion::Automatic),
        (
            "service-paused",
            Stage::Everywhere,
            Pace::Paused { since: at(120) },
            Promotion::Automatic,
        ),
    ];
    let record = |(name, stage, pace, promotion)| {
        let mut target: Generation = (*service.target).clone();
        target.spec.update.delay = Duration::from_secs(10);
        target.spec.update.tolerance = Tolerance { at_least: 1, at_most: Some(5) };
        let (slots, hold) = (Amount::Percent(10), Duration::from_secs(300));
        target.spec.update.trial = Some(match stage {
            Stage::Switching { .. } | Stage::Keeping { .. } => {
                Trial::BlueGreen(BlueGreen { hold, promotion, keep: Duration::from_secs(600) })
            }
            Stage::Trial | Stage::Holding { .. } | Stage::Everywhere => {
                Trial::Canary(Canary { slots, hold, promotion })
            }
        });
        let abort = |past: &Past| Past { verdict: Verdict::Aborted, ..past.clone() };
        let history = service.history.iter().map(abort).collect();
        let phase = ServicePhase::Rolling(Rollout { since: at(0), stage, pace });
        let service = Service { target: Arc::new(target), history, phase, ..service.clone() };
        (name, Stored::Service(service))
    };
    let halted = |(name, stage)| {
        let phase = ServicePhase::Halted { reason: "3 new tasks failed".to_owned(), stage };
        (name, Stored::Service(Service { phase, ..service.clone() }))
    };
    let halts = [
        ("service-halted-canary", Stage::Trial),
        ("service-halted-holding", Stage::Holding { since: at(90) }),
        ("service-halted-switching", Stage::Switching { since: at(90) }),
        ("service-halted-keeping", Stage::Keeping { since: at(95) }),
    ];
    stages.map(record).into_iter().chain(halts.map(halted)).collect()
}

/// A node that is being emptied, in each phase.
fn drained(node: &Node) -> super::Records {
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

/// Services of each class, and one whose tasks stay where they are.
fn ranked(service: &Service) -> super::Records {
    let record = |(name, priority)| {
        let mut target: Generation = (*service.target).clone();
        target.spec.priority = priority;
        target.spec.is_left_in_place = priority == Priority::Low;
        (name, Stored::Service(Service { target: Arc::new(target), ..service.clone() }))
    };
    let classes = [
        ("service-low", Priority::Low),
        ("service-high", Priority::High),
        ("service-critical", Priority::Critical),
    ];
    classes.map(record).into()
}

/// A task for which room is being made, and one that gives way.
fn room(task: &Task) -> super::Records {
    let on = task.node.clone();
    let (desired, state) = (DesiredState::Run, TaskState::Pending);
    let waits = Task { room_on: on, node: None, desired, state, ..task.clone() };
    let desired = DesiredState::stop(StopCause::Preemption);
    let goes = Task { desired, ..task.clone() };
    vec![("task-room", Stored::Task(waits)), ("task-preempted", Stored::Task(goes))]
}

/// A service whose tasks need GPUs and are put close together.
fn packed(service: &Service) -> Stored {
    let mut target: Generation = (*service.target).clone();
    target.spec.strategy = Strategy::Binpack;
    target.spec.preferences = preferences();
    for container in &mut target.spec.task.containers {
        let held = &mut container.reservation;
        (held.gpus, held.disk_bytes, held.pids) = (2, 10 << 30, 200);
        let source = MountSource::HostVolume { name: "models-v3".to_owned() };
        container.mounts.push(Mount { source, target: "/models".to_owned(), is_read_only: true });
    }
    Stored::Service(Service { target: Arc::new(target), ..service.clone() })
}

/// What a service would rather have.
fn preferences() -> Vec<Preference> {
    let shares = BTreeMap::from([("r1".to_owned(), 70), ("r2".to_owned(), 20)]);
    let over = Attribute::Label("rack".to_owned());
    vec![
        Preference { of: Preferred::Nodes("node.labels.disk == ssd".parse().unwrap()), weight: 50 },
        Preference { of: Preferred::Spread(Spread { over, shares }), weight: 10 },
    ]
}

/// A task whose spec lets it take leases, and whose stop waits for the one that it holds.
fn patient(task: &Task) -> Task {
    let mut generation = (*task.generation).clone();
    generation.spec.task.lease = Some(LeasePolicy { cap: Duration::from_secs(900) });
    let desired = DesiredState::Stop { cause: StopCause::Update, patience: Some(at(1_200)) };
    Task { desired, generation: Arc::new(generation), ..task.clone() }
}
