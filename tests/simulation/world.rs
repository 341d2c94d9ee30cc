//! The world around the coordinator's core: agents, operators, a store that keeps prefixes, and a clock.

use std::collections::BTreeMap;
use std::time::Duration;

use coordinator_core::cluster::{Change, Cluster};
use coordinator_core::event::{Event, Report};
use coordinator_core::{Step, invariant, step};
use model::id::{NodeId, ServiceId, TaskId};
use model::node::{Availability, Node};
use model::resources::Resources;
use model::service::ServicePhase;
use model::spec::{
    ContainerSpec, FailureAction, HostPort, Mode, PortSpec, Protocol, RestartCondition,
    RestartPolicy, ServiceSpec, TaskSpec, UpdateOrder, UpdatePolicy,
};
use model::task::{DesiredState, Health, StopCause, Task, TaskState};
use model::time::Timestamp;

use crate::chance::Chance;

const NODES: u32 = 4;
const TICK: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(crate) struct World {
    seed: u64,
    chance: Chance,
    now: Timestamp,
    cluster: Cluster,
    /// What was committed.
    stored: Vec<Change>,
    inbox: Vec<Event>,
    /// Nodes that run, and their tasks as they truly are.
    agents: BTreeMap<NodeId, BTreeMap<TaskId, TaskState>>,
    born: u32,
    images: u32,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut world = Self {
            seed,
            chance: Chance(seed),
            now: Timestamp::from_millis(1_000_000),
            cluster: Cluster::default(),
            stored: Vec::new(),
            inbox: Vec::new(),
            agents: BTreeMap::new(),
            born: 0,
            images: 0,
        };
        (0..NODES).for_each(|_| world.boot());
        world
    }

    /// Does something that an operator or fate might do.
    pub(crate) fn disturb(&mut self) {
        let service = self.some_service();
        match self.chance.below(12) {
            0 | 1 => {
                let spec = self.some_spec();
                self.inbox.push(Event::Deploy(Box::new(spec)));
            }
            2 => {
                let replicas = self.chance.below(6);
                self.inbox.push(Event::Scale { service, replicas });
            }
            3 => self.inbox.push(Event::Rollback(service)),
            4 if self.chance.percent(40) => self.inbox.push(Event::Remove(service)),
            5 if self.agents.len() > 2 => self.kill_a_node(),
            6 if self.agents.len() < NODES as usize => self.boot(),
            _ => {}
        }
    }

    pub(crate) fn step(&mut self) {
        self.now = self.now + TICK;
        self.agents_act();
        let events = std::mem::take(&mut self.inbox);
        let known = self.cluster.clone();
        let done = step(&mut self.cluster, &events, self.now);
        self.check(&known, &done);
        if self.chance.percent(5) {
            let kept = self.chance.below(u32::try_from(done.changes.len() + 1).unwrap());
            self.stored.extend(done.changes.into_iter().take(kept as usize));
            self.cluster = Cluster::load(&self.stored, self.now);
            self.assert_invariants("after a crash");
            self.announce();
        } else {
            self.stored.extend(done.changes);
        }
    }

    /// Ends all faults and gives the cluster time: every backoff is at most five minutes.
    pub(crate) fn heal(&mut self) {
        while self.agents.len() < NODES as usize {
            self.boot();
        }
        // Room for everybody and no bad images: now it must come to rest.
        let names: Vec<ServiceId> = self.cluster.services().keys().cloned().collect();
        for id in names {
            let spec = spec_of(&id, 0, 2);
            self.inbox.push(Event::Deploy(Box::new(spec)));
        }
        for _ in 0..400 {
            self.now = self.now + TICK;
            self.agents_act();
            let events = std::mem::take(&mut self.inbox);
            let known = self.cluster.clone();
            let done = step(&mut self.cluster, &events, self.now);
            self.check(&known, &done);
            self.stored.extend(done.changes);
        }
    }

    pub(crate) fn assert_converged(&self) {
        for service in self.cluster.services().values() {
            let seed = self.seed;
            assert_eq!(
                service.phase,
                ServicePhase::Steady,
                "SEED={seed}: {} came not to rest",
                service.id
            );
            let Mode::Replicated { replicas } = service.target.spec.mode else { continue };
            let serving = |task: &&std::sync::Arc<Task>| {
                task.desired == DesiredState::Run && task.state.serving_since().is_some()
            };
            let serving = self.cluster.tasks_of(&service.id).filter(serving).count();
            assert_eq!(serving, replicas as usize, "SEED={seed}: tasks of {}", service.id);
        }
        for (node, tasks) in &self.agents {
            for (task, state) in tasks {
                let known = self.cluster.tasks().get(task).map(|task| &task.state);
                assert!(
                    known.is_none_or(|known| known == state),
                    "SEED={}: {task} on {node}",
                    self.seed
                );
            }
        }
    }

    fn check(&mut self, before: &Cluster, done: &Step) {
        self.assert_invariants("after a step");
        let seed = self.seed;
        let mut replayed = before.clone();
        done.changes.iter().for_each(|change| replayed.apply(change));
        let same = replayed.tasks() == self.cluster.tasks()
            && replayed.services() == self.cluster.services()
            && replayed.nodes() == self.cluster.nodes();
        assert!(same, "SEED={seed}: the changes of a step do not rebuild what it left");
        let again = step(&mut self.cluster.clone(), &[], self.now);
        assert!(again.changes.is_empty(), "SEED={seed}: a second step wrote {:?}", again.changes);
        let mut full = Cluster::load(&all_of(&self.cluster), self.now);
        let planned = step(&mut full, &[], self.now);
        let silent = self.cluster.nodes().values().any(|node| {
            node.availability == Availability::Active && !self.cluster.is_heard(node, self.now)
        });
        assert!(
            silent || planned.changes.is_empty(),
            "SEED={seed}: a full plan adds {:?}",
            planned.changes
        );
        for (id, task) in self.cluster.tasks() {
            let was = before.tasks().get(id).map_or(&DesiredState::Run, |task| &task.desired);
            if task.desired != *was {
                self.assert_stop_is_justified(task, before);
            }
        }
    }

    /// Never below what runs through our own action: a start-first update stops a task only beside one that serves.
    fn assert_stop_is_justified(&self, task: &Task, before: &Cluster) {
        let DesiredState::Stop { cause: StopCause::Update } = task.desired else { return };
        let service = &self.cluster.services()[&task.service];
        let stops_first = service.target.spec.task.fixed_ports().next().is_some();
        let beside = before.tasks_of(&task.service).chain(self.cluster.tasks_of(&task.service));
        let mut beside = beside.filter(|other| other.slot == task.slot && other.id != task.id);
        let has_successor = beside.any(|other| other.state.serving_since().is_some());
        assert!(
            stops_first || has_successor,
            "SEED={}: {} stopped with nobody in its place",
            self.seed,
            task.id
        );
    }

    fn assert_invariants(&self, when: &str) {
        let broken = invariant::check(&self.cluster);
        assert!(broken.is_empty(), "SEED={} {when}: {broken:?}", self.seed);
    }

    /// Each agent looks at its assignments, moves its tasks on by one, and reports, unless the message is lost.
    fn agents_act(&mut self) {
        let nodes: Vec<NodeId> = self.agents.keys().cloned().collect();
        for node in nodes {
            let assigned: Vec<_> = self.cluster.tasks_on(&node).cloned().collect();
            let mut truth = self.agents.remove(&node).unwrap();
            for task in &assigned {
                let state = truth.get(&task.id).cloned().unwrap_or(TaskState::Assigned);
                let next = self.next_state(task, state);
                truth.insert(task.id.clone(), next);
            }
            let reports = truth.iter().map(|(task, state)| Report {
                task: task.clone(),
                state: state.clone(),
                restarts: 0,
            });
            if self.chance.percent(80) {
                self.inbox.push(Event::Reported { node: node.clone(), tasks: reports.collect() });
            }
            self.agents.insert(node, truth);
        }
    }

    fn next_state(&mut self, task: &Task, state: TaskState) -> TaskState {
        if state.is_final() {
            return state;
        }
        if task.desired != DesiredState::Run {
            return if self.chance.percent(50) { TaskState::Completed } else { state };
        }
        let is_bad = task.generation.spec.task.restarts_asked % 5 == 4;
        match state {
            TaskState::Assigned => TaskState::Preparing,
            TaskState::Preparing if is_bad => {
                TaskState::Failed { reason: "exit code 1".to_owned() }
            }
            TaskState::Preparing => {
                TaskState::Running { since: self.now, health: Health::Unchecked }
            }
            other => other,
        }
    }

    /// After a crash each agent connects anew, and the cloud is asked again who is gone.
    fn announce(&mut self) {
        for number in 1..=self.born {
            let node = machine(number);
            self.inbox.push(if self.agents.contains_key(&node.id) {
                Event::Joined(Box::new(node))
            } else {
                Event::Died(node.id)
            });
        }
    }

    fn boot(&mut self) {
        self.born += 1;
        let node = machine(self.born);
        self.agents.insert(node.id.clone(), BTreeMap::new());
        self.inbox.push(Event::Joined(Box::new(node)));
    }

    fn kill_a_node(&mut self) {
        let index = self.chance.below(u32::try_from(self.agents.len()).unwrap());
        let node = self.agents.keys().nth(index as usize).unwrap().clone();
        self.agents.remove(&node);
        self.inbox.push(Event::Died(node));
    }

    fn some_service(&mut self) -> ServiceId {
        ["shop/web", "shop/db", "mail/front"][self.chance.below(3) as usize].parse().unwrap()
    }

    fn some_spec(&mut self) -> ServiceSpec {
        self.images += 1;
        let id = self.some_service();
        spec_of(&id, self.images, self.chance.below(5))
    }
}

fn machine(number: u32) -> Node {
    let id: NodeId = format!("i-{number:04}").parse().unwrap();
    Node {
        id: id.clone(),
        hostname: id.to_string(),
        engine: id.to_string(),
        zone: format!("zone-{}", number % 2),
        labels: BTreeMap::new(),
        capacity: Resources { cpu_millis: 4_000, memory_bytes: 8 << 30 },
        availability: Availability::Active,
    }
}

fn all_of(cluster: &Cluster) -> Vec<Change> {
    let services = cluster.services().values().cloned().map(Change::PutService);
    let tasks = cluster.tasks().values().cloned().map(Change::PutTask);
    let nodes = cluster.nodes().values().cloned().map(Change::PutNode);
    let next = Change::PutNextTask(cluster.next_task());
    services.chain(tasks).chain(nodes).chain([next]).collect()
}

/// `shop/db` has a fixed port, so it stops first; every fifth image is bad.
fn spec_of(id: &ServiceId, image: u32, replicas: u32) -> ServiceSpec {
    let port = HostPort { number: 5432, protocol: Protocol::Tcp };
    let host = (id.name.as_str() == "db").then_some(port.number);
    let container = ContainerSpec {
        name: id.name.as_str().parse().unwrap(),
        image: model::image::Image {
            reference: "app".parse().unwrap(),
            pin: model::image::Pin::Manifest(format!("sha256:{}", "0".repeat(64)).parse().unwrap()),
        },
        entrypoint: None,
        command: None,
        environment: BTreeMap::new(),
        reservation: Resources { cpu_millis: 500, memory_bytes: 1 << 30 },
        limit: Resources::default(),
        ports: vec![PortSpec { container: port.number, host, protocol: port.protocol }],
        stop_grace: Duration::from_secs(10),
    };
    let task = TaskSpec {
        containers: vec![container],
        constraints: Vec::new(),
        max_per_node: None,
        restart: RestartPolicy { condition: RestartCondition::Any, max_attempts: None },
        restarts_asked: u64::from(image),
    };
    let update = UpdatePolicy {
        parallelism: 1,
        order: UpdateOrder::Auto,
        monitor: Duration::from_secs(5),
        max_failure_permille: 0,
        on_failure: FailureAction::Rollback,
    };
    ServiceSpec { id: id.clone(), mode: Mode::Replicated { replicas }, task, update }
}
