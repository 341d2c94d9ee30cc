//! A node whose engine and coordinator the test plays itself: short words for what they say, and for what is asked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use agent_core::action::{Action, Fault, FaultKind, Launch, Outcome};
use agent_core::assignment::{Assignment, Assignments, Fence};
use agent_core::event::{Event, OrderKind};
use agent_core::observed::{Container, Status};
use agent_core::workload::{Saved, Workload};
use agent_core::{Order, Step, step};
use model::image::{Image, Pin};
use model::policy::Profile;
use model::resources::Resources;
use model::secret::{Rotation, SecretUses};
use model::spec::{
    ContainerSpec, Dependency, DependencyCondition, HealthCheck, Network, Probe, ProcessSpec,
    RestartCondition, RestartPolicy, SecuritySpec, TaskSpec,
};
use model::task::{DesiredState, Exit, Health, StopCause, TaskState};
use model::time::Timestamp;

/// When the tests begin; containers were started before.
pub(crate) const BEGINNING: Timestamp = Timestamp::from_millis(1_000_000);

pub(crate) const A: &str = "lab.app.1.1";
pub(crate) const B: &str = "lab.app.2.2";
pub(crate) const C: &str = "lab.app.3.3";

/// An agent's knowledge and its clock.
pub(crate) struct Node {
    pub(crate) workload: Workload,
    pub(crate) now: Timestamp,
}

impl Node {
    /// An agent that knows nothing.
    pub(crate) fn new() -> Self {
        Self { workload: Workload::default(), now: BEGINNING }
    }

    /// An agent whose tasks all run, each in one container.
    pub(crate) fn running(tasks: &[&str]) -> Self {
        let mut node = Self::new();
        node.hears(listed(BEGINNING, &[]));
        node.hears(assigned(1, tasks.iter().map(|task| run(task))));
        for task in tasks {
            node.hears(now_is(container(task, 1, Status::Running)));
        }
        assert!(node.later(1).orders.is_empty(), "all is as it should be");
        node
    }

    /// The same node after its agent has ended and begun again.
    pub(crate) fn restarted(&self) -> Self {
        let saved: Vec<Saved> = self.workload.saved().collect();
        let workload = Workload::restore(self.workload.fence(), saved);
        Self { workload, now: self.now + Duration::from_secs(1) }
    }

    pub(crate) fn hears(&mut self, event: Event) -> Step {
        step(&mut self.workload, &[event], self.now)
    }

    /// Lets time pass, and looks what it brings.
    pub(crate) fn later(&mut self, seconds: u64) -> Step {
        self.now = self.now + Duration::from_secs(seconds);
        step(&mut self.workload, &[], self.now)
    }

    /// Hears that exactly these containers are there now.
    pub(crate) fn lists(&mut self, containers: &[Container]) -> Step {
        self.hears(listed(self.now, containers))
    }

    pub(crate) fn state(&self, task: &str) -> TaskState {
        let saved = self.workload.saved().find(|saved| saved.assignment.task.as_str() == task);
        saved.expect("the task is known").state
    }

    pub(crate) fn is_running(&self, task: &str) -> bool {
        matches!(self.state(task), TaskState::Running { .. })
    }

    /// The attempt that the first container of a task has come to.
    pub(crate) fn attempt(&self, task: &str) -> u32 {
        let saved = self.workload.saved().find(|saved| saved.assignment.task.as_str() == task);
        saved.expect("the task is known").parts[0].attempt
    }
}

/// The kind of the one probe that the step orders.
pub(crate) fn probe_of(step: &Step) -> OrderKind {
    let mut probes = step.orders.iter().filter_map(|order| match order.action {
        Action::Probe { number, .. } => Some(OrderKind::Probe { number }),
        _ => None,
    });
    let probe = probes.next().expect("there is a probe");
    assert_eq!(probes.next(), None, "one at a time");
    probe
}

/// A node with one task that its own checks find healthy.
pub(crate) fn checked() -> Node {
    let mut node = Node::new();
    node.lists(&[]);
    node.hears(assigned(1, [Assignment { spec: Arc::new(checked_spec()), ..run(A) }]));
    let step = node.hears(now_is(container(A, 1, Status::Running)));
    node.hears(done(A, probe_of(&step), Outcome::Done));
    assert_eq!(health(&node), Health::Healthy);
    node
}

pub(crate) fn health(node: &Node) -> Health {
    match node.state(A) {
        TaskState::Running { health, .. } => health,
        other => panic!("it does not run: {other:?}"),
    }
}

/// A spec of one container that is always started again.
pub(crate) fn spec() -> TaskSpec {
    TaskSpec {
        containers: vec![container_spec("app")],
        network: Network::None,
        constraints: Vec::new(),
        max_per_node: None,
        restart: RestartPolicy {
            condition: RestartCondition::Any,
            max_attempts: None,
            delay: Duration::from_secs(10),
        },
        restarts_asked: 0,
        lease: None,
        routes: Vec::new(),
        rotation: Rotation::None,
        profile: Profile::Default,
    }
}

/// The same, with a check that the agent makes itself.
pub(crate) fn checked_spec() -> TaskSpec {
    let mut spec = spec();
    spec.containers[0].health = Some(HealthCheck {
        probe: Probe::Tcp { port: 80 },
        interval: Duration::from_secs(5),
        timeout: Duration::from_secs(1),
        retries: 2,
        start_period: Duration::ZERO,
    });
    spec
}

/// `app` begins when `init` has done its work.
pub(crate) fn prepared_spec() -> TaskSpec {
    let mut spec = spec();
    let mut app = container_spec("app");
    let on = "init".parse().unwrap();
    app.after.push(Dependency { on, condition: DependencyCondition::Completed });
    spec.containers = vec![app, container_spec("init")];
    spec
}

pub(crate) fn container_spec(name: &str) -> ContainerSpec {
    let digest = format!("sha256:{}", "ab".repeat(32)).parse().unwrap();
    ContainerSpec {
        name: name.parse().unwrap(),
        image: Image { reference: "app".parse().unwrap(), pin: Pin::Manifest(digest) },
        process: ProcessSpec::default(),
        reservation: Resources::default(),
        limit: Resources::default(),
        ports: Vec::new(),
        mounts: Vec::new(),
        files: Vec::new(),
        health: None,
        after: Vec::new(),
        stop_signal: None,
        stop_grace: Duration::from_secs(10),
        labels: BTreeMap::new(),
        security: SecuritySpec::default(),
        secrets: SecretUses::default(),
    }
}

/// A task to run.
pub(crate) fn run(task: &str) -> Assignment {
    Assignment {
        task: task.parse().unwrap(),
        project: "lab".parse().unwrap(),
        service: "app".parse().unwrap(),
        generation: 1,
        spec: Arc::new(spec()),
        desired: DesiredState::Run,
        is_once: false,
        secrets: BTreeMap::new(),
    }
}

/// A tombstone.
pub(crate) fn stop(task: &str, cause: StopCause) -> Assignment {
    Assignment { desired: DesiredState::stop(cause), ..run(task) }
}

/// What the coordinator of the first epoch says at a revision.
pub(crate) fn assigned(revision: u64, tasks: impl IntoIterator<Item = Assignment>) -> Event {
    assigned_at((1, 1, revision), tasks)
}

/// What a coordinator says at an incarnation, an epoch and a revision.
pub(crate) fn assigned_at(
    (incarnation, epoch, revision): (u64, u64, u64),
    tasks: impl IntoIterator<Item = Assignment>,
) -> Event {
    let fence = Fence { incarnation, epoch, revision };
    Event::Assigned(Assignments { fence, tasks: tasks.into_iter().collect() })
}

/// The container of an attempt, as the engine shows it.
pub(crate) fn container(task: &str, attempt: u32, status: Status) -> Container {
    let started = status != Status::Created;
    Container {
        id: format!("id-of-{task}-{attempt}"),
        name: format!("wharf-{task}-app-{attempt}"),
        task: task.parse().unwrap(),
        container: "app".parse().unwrap(),
        attempt,
        status,
        started_at: started.then_some(BEGINNING),
        health: None,
        ports: Vec::new(),
        network_of: None,
    }
}

/// That a container ended at the beginning, as soon as it was started.
pub(crate) fn exited(code: i64) -> Status {
    Status::Exited(Exit { code, is_oom: false, error: String::new(), at: BEGINNING })
}

pub(crate) fn listed(asked_at: Timestamp, containers: &[Container]) -> Event {
    Event::Listed { asked_at, containers: containers.to_vec() }
}

pub(crate) fn seen(container: Container) -> Event {
    Event::Seen(Box::new(container))
}

pub(crate) fn engine_down() -> Event {
    Event::EngineDown { why: "connection refused".to_owned() }
}

/// That a change is done, and what the container is now.
pub(crate) fn now_is(container: Container) -> Event {
    let (task, name) = (container.task.clone(), container.container.clone());
    let outcome = Outcome::Now(Box::new(container));
    Event::Done { task, container: name, kind: OrderKind::Change, outcome }
}

/// What came of an order for the container `app` of a task.
pub(crate) fn done(task: &str, kind: OrderKind, outcome: Outcome) -> Event {
    Event::Done { task: task.parse().unwrap(), container: "app".parse().unwrap(), kind, outcome }
}

pub(crate) fn failed(kind: FaultKind) -> Outcome {
    Outcome::Failed(Fault { kind, message: "the engine's words".to_owned() })
}

/// The tasks that are launched, each with its attempt.
pub(crate) fn launches(step: &Step) -> Vec<(&str, u32)> {
    let launch = |order: &Order| match &order.action {
        Action::Launch(launch) => Some(launch.attempt),
        _ => None,
    };
    step.orders.iter().filter_map(|order| Some((order.task.as_str(), launch(order)?))).collect()
}

/// The whole of the only order, which is a launch.
pub(crate) fn only_launch(step: &Step) -> &Launch {
    match step.orders.as_slice() {
        [Order { action: Action::Launch(launch), .. }] => launch,
        other => panic!("not one launch: {other:?}"),
    }
}

/// The engine's ids of the containers that are stopped.
pub(crate) fn stops(step: &Step) -> Vec<&str> {
    let stopped = step.orders.iter().filter_map(|order| match &order.action {
        Action::Stop { id, .. } => Some(id.as_str()),
        _ => None,
    });
    stopped.collect()
}

/// The engine's ids of the containers that are removed.
pub(crate) fn removals(step: &Step) -> Vec<&str> {
    let removed = step.orders.iter().filter_map(|order| match &order.action {
        Action::Remove { id } => Some(id.as_str()),
        _ => None,
    });
    removed.collect()
}
