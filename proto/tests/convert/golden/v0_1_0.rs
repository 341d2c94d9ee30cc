//! What the records of 0.1.0 say. They are out: a field that the model gains gets here the value that it has in records
//! which know nothing of it, and nothing else changes.

mod spec;

use std::collections::BTreeMap;
use std::sync::Arc;

use model::id::{ServiceId, Slot, TaskId};
use model::job::Runs;
use model::node::{Availability, Node};
use model::resources::Resources;
use model::rollout::{Rollout, Stage};
use model::service::{Generation, Origin, Past, Service, ServicePhase, Verdict};
use model::spec::{Mode, Network, Protocol, ServiceSpec};
use model::task::{
    ContainerStatus, DesiredState, Exit, FailureKind, Health, PublishedPort, StopCause, Task,
    TaskState,
};
use model::time::Timestamp;
use model::traffic::Traffic;
use proto::convert::WireAssignment;
use proto::wire;

use super::stored::{Journal, Kept, Stored};

/// 2026-11-23T12:00:00Z.
const NOON: Timestamp = Timestamp::from_millis(1_795_435_200_000);

pub(crate) fn records() -> super::Records {
    let services = [
        ("service-rolling", rolling()),
        ("service-steady", at_rest("agent", Mode::Global, Network::Host, ServicePhase::Steady)),
        ("service-halted", at_rest("migrate", Mode::Once, Network::None, halted())),
        ("service-removing", removing()),
    ];
    let services = services.map(|(name, service)| (name, Stored::Service(service)));
    let nodes = [
        ("node-active", Availability::Active),
        ("node-cordoned", Availability::Cordoned),
        ("node-dead", Availability::Dead),
    ];
    let nodes = nodes.map(|(name, availability)| (name, Stored::Node(node(availability))));
    let counters = wire::Counters { next_task: 28_209_600_043 };
    let identity =
        wire::Identity { cluster: "0a1b2c3d4e5f".to_owned(), incarnation: u64::MAX >> 1, epoch: 3 };
    let rest = [
        ("counters", Stored::Counters(counters)),
        ("identity", Stored::Identity(identity)),
        ("journal", Stored::Journal(journal())),
    ];
    let tasks = tasks().into_iter().map(|(name, task)| (name, Stored::Task(task)));
    services.into_iter().chain(tasks).chain(nodes).chain(rest).collect()
}

fn generation(number: u64, origin: Origin, spec: ServiceSpec) -> Arc<Generation> {
    let accepted_at = Timestamp::from_millis(NOON.as_millis() + number);
    Arc::new(Generation { number, template: number.min(3), origin, accepted_at, spec })
}

/// Everything that a spec can say, and generations of every origin behind it.
fn rolling() -> Service {
    let full = spec::full();
    let small = |number, origin| {
        let mode = Mode::Replicated { replicas: 2 };
        generation(number, origin, spec::small("web", mode, Network::Host))
    };
    let past = |number, origin, verdict| Past { generation: small(number, origin), verdict };
    Service {
        id: full.id.clone(),
        target: generation(5, Origin::RolledBack { to: 3 }, full),
        stable: Some(small(3, Origin::Restarted)),
        history: vec![
            past(1, Origin::Deployed, Verdict::Superseded),
            past(2, Origin::Scaled, Verdict::Superseded),
            past(3, Origin::Restarted, Verdict::Stable),
            past(4, Origin::Deployed, Verdict::Failed),
        ],
        phase: ServicePhase::Rolling(Rollout::new(NOON)),
        runs: Runs::default(),
    }
}

fn at_rest(name: &str, mode: Mode, network: Network, phase: ServicePhase) -> Service {
    let target = generation(1, Origin::Deployed, spec::small(name, mode, network));
    let stable = (phase == ServicePhase::Steady).then(|| Arc::clone(&target));
    let (id, history, runs) = (target.spec.id.clone(), Vec::new(), Runs::default());
    Service { id, target, stable, history, phase, runs }
}

fn halted() -> ServicePhase {
    ServicePhase::Halted { reason: "2 new tasks failed".to_owned(), stage: Stage::Everywhere }
}

fn removing() -> Service {
    at_rest("web", Mode::Replicated { replicas: 0 }, Network::Host, ServicePhase::Removing)
}

fn tasks() -> Vec<(&'static str, Task)> {
    let stop = DesiredState::stop;
    let running = |health| TaskState::Running { since: NOON, health };
    let failed = |kind| TaskState::Failed { kind, reason: "web: exit code 1".to_owned() };
    vec![
        ("task-pending", unplaced(TaskState::Pending)),
        ("task-assigned", task(stop(StopCause::Operator), TaskState::Assigned)),
        ("task-preparing", preparing()),
        ("task-running-unchecked", task(stop(StopCause::Drain), running(Health::Unchecked))),
        ("task-running-starting", task(DesiredState::Run, running(Health::Starting))),
        ("task-running-healthy", seen(task(DesiredState::Run, running(Health::Healthy)))),
        ("task-running-unhealthy", task(stop(StopCause::Update), running(Health::Unhealthy))),
        ("task-running-missed", missed(task(DesiredState::Run, running(Health::Healthy)))),
        ("task-completed", task(stop(StopCause::Ended), TaskState::Completed)),
        ("task-failed-application", task(stop(StopCause::Ended), failed(FailureKind::Application))),
        ("task-failed-image", task(stop(StopCause::Duplicate), failed(FailureKind::Image))),
        ("task-failed-host", task(DesiredState::Run, failed(FailureKind::Host))),
        ("task-lost", task(stop(StopCause::NodeDead), TaskState::Lost)),
    ]
}

fn unplaced(state: TaskState) -> Task {
    Task { node: None, ..task(DesiredState::Run, state) }
}

fn missed(task: Task) -> Task {
    Task { missed_at: Some(NOON), ..task }
}

fn preparing() -> Task {
    let task = task(DesiredState::Run, TaskState::Preparing);
    let slot = Slot::Node("i-0123456789abcdef0".parse().unwrap());
    let id = TaskId::new(&task.service, &slot, 43);
    Task { id, slot, note: "fetches nginx:1.29".to_owned(), ..task }
}

fn task(desired: DesiredState, state: TaskState) -> Task {
    let mode = Mode::Replicated { replicas: 2 };
    let generation = generation(1, Origin::Deployed, spec::small("web", mode, Network::None));
    let service = ServiceId { project: "shop".parse().unwrap(), name: "web".parse().unwrap() };
    let slot = Slot::Replica(2);
    Task {
        id: TaskId::new(&service, &slot, 42),
        service,
        slot,
        generation,
        node: Some("i-0123456789abcdef0".parse().unwrap()),
        desired,
        state,
        restarts: 0,
        note: String::new(),
        containers: Vec::new(),
        created_at: NOON,
        clock_since: None,
        moving_since: None,
        room_on: None,
        missed_at: None,
        ended_at: None,
        failures: 0,
        traffic: Traffic::Out,
        secrets: BTreeMap::new(),
    }
}

/// With everything that can be seen of containers.
fn seen(task: Task) -> Task {
    let container = |name: &str, health| ContainerStatus {
        name: name.parse().unwrap(),
        container_id: String::new(),
        attempt: 0,
        started_at: None,
        exit: None,
        health,
        ports: Vec::new(),
    };
    let exit = Exit { code: -1, is_oom: true, error: "killed".to_owned(), at: NOON };
    let port = |container, host, protocol| PublishedPort { container, host, protocol };
    let web = ContainerStatus {
        container_id: "c0ffee".repeat(10),
        attempt: 2,
        started_at: Some(NOON),
        ports: vec![port(80, 8080, Protocol::Tcp), port(53, 65535, Protocol::Udp)],
        ..container("web", Health::Healthy)
    };
    let side = ContainerStatus { exit: Some(exit), ..container("side", Health::Unhealthy) };
    let others = [container("one", Health::Unchecked), container("two", Health::Starting)];
    Task { restarts: 1, containers: [web, side].into_iter().chain(others).collect(), ..task }
}

fn node(availability: Availability) -> Node {
    Node {
        id: "i-0123456789abcdef0".parse().unwrap(),
        hostname: "ip-10-0-0-1.ec2.internal".to_owned(),
        engine: "7TFW:5VZL".to_owned(),
        zone: "eu-central-1a".to_owned(),
        arch: "arm64".to_owned(),
        labels: BTreeMap::from([("disk".to_owned(), "ssd".to_owned())]),
        capacity: Resources { cpu_millis: 4_000, memory_bytes: 16 << 30, ..Resources::default() },
        availability,
        pool: None,
        ami: None,
        instance_type: None,
        os: None,
        engine_version: None,
        kernel_version: None,
        preparing_until: None,
        drain: None,
    }
}

/// Tasks that share their spec, one for each thing that can be wanted.
fn journal() -> Journal {
    let specs = [Network::None, Network::Host].map(|network| {
        Arc::new(spec::small("web", Mode::Replicated { replicas: 2 }, network).task)
    });
    let causes = [
        StopCause::Operator,
        StopCause::Update,
        StopCause::Duplicate,
        StopCause::Ended,
        StopCause::NodeDead,
        StopCause::Drain,
    ];
    let wanted = causes.map(DesiredState::stop);
    let wanted = [DesiredState::Run].into_iter().chain(wanted);
    let tasks = wanted.zip(1_u32..).map(|(desired, number)| {
        let index = usize::from(number == 7);
        let kept = Kept {
            assignment: WireAssignment {
                task: format!("shop.web.{number}.{number}").parse().unwrap(),
                project: "shop".parse().unwrap(),
                service: "web".parse().unwrap(),
                generation: 1,
                spec: Arc::clone(&specs[index]),
                desired,
                is_once: number == 7,
                secrets: BTreeMap::new(),
            },
            state: TaskState::Running { since: NOON, health: Health::Healthy },
            parts: vec![("web".parse().unwrap(), number, number > 1)],
            lease: None,
        };
        (index, kept)
    });
    Journal {
        cluster: "0a1b2c3d4e5f".parse().unwrap(),
        node: "i-0123456789abcdef0".parse().unwrap(),
        fence: wire::Fence { incarnation: u64::MAX >> 1, epoch: 3, revision: 9 },
        tasks: tasks.collect(),
        specs: specs.to_vec(),
    }
}
