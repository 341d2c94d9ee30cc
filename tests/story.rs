//! The coordinator's core, told a story: nodes join, services run, time passes.

#[path = "simulation/specs.rs"]
#[allow(dead_code, reason = "made for the simulation, which needs more of it")]
pub(crate) mod specs;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use coordinator_core::cluster::Cluster;
use coordinator_core::event::{EngineState, Event, Report};
use coordinator_core::{invariant, step};
use model::fleet::{Instance, Lifecycle, Power};
use model::id::NodeId;
use model::node::{Availability, Node};
use model::resources::Resources;
use model::task::{DesiredState, Health, Task, TaskState};
use model::time::Timestamp;

const HEARTBEAT: u64 = 10;

/// A cluster whose nodes are as healthy as their heartbeats.
pub(crate) struct Story {
    pub(crate) cluster: Cluster,
    pub(crate) now: Timestamp,
}

impl Story {
    /// Begins with nodes of these names in these zones.
    pub(crate) fn new(nodes: &[(&str, &str)]) -> Self {
        let now = Timestamp::from_millis(1_800_000_000_000);
        let mut story = Self { cluster: Cluster::default(), now };
        for (name, zone) in nodes {
            story.hear(&[Event::Joined(Box::new(node(name, zone)))]);
            // What it is to run is there.
            let digests = (0..6).map(|number| specs::image(number).digest().clone());
            let stock = digests.collect::<BTreeSet<_>>().into();
            story.hear(&[Event::Images { node: id(name), stock }]);
        }
        story
    }

    pub(crate) fn hear(&mut self, events: &[Event]) {
        step(&mut self.cluster, events, self.now);
        let broken = invariant::check(&self.cluster);
        assert!(broken.is_empty(), "{broken:?}");
    }

    /// Deploys a service and has all its tasks run.
    pub(crate) fn run(&mut self, service: &str, replicas: u32) {
        let spec = specs::spec_of(&service.parse().unwrap(), 0, replicas);
        self.hear(&[Event::Deploy { specs: vec![spec], remove: Vec::new(), expect: Vec::new() }]);
        self.start_all();
    }

    /// Every task that has a node is reported as running and healthy.
    pub(crate) fn start_all(&mut self) {
        let since = self.now;
        let waits = |task: &&Task| task.state == TaskState::Assigned;
        let tasks: Vec<Task> = self.cluster.tasks().values().map(|task| (**task).clone()).collect();
        for task in tasks.iter().filter(waits) {
            let report = Report {
                task: task.id.clone(),
                state: TaskState::Running { since, health: Health::Healthy },
                restarts: 0,
                note: String::new(),
                containers: Vec::new(),
                lease: None,
            };
            let node = task.node.clone().unwrap();
            self.hear(&[Event::Reported { node, tasks: vec![report], is_complete: false }]);
        }
    }

    /// Every task that was told to stop is reported as ended.
    pub(crate) fn stop_all(&mut self) {
        let stopping = |task: &&Arc<Task>| {
            task.desired != DesiredState::Run && !task.state.is_final() && task.node.is_some()
        };
        let tasks: Vec<_> = self.cluster.tasks().values().filter(stopping).cloned().collect();
        for task in tasks {
            let report = Report {
                task: task.id.clone(),
                state: TaskState::Completed,
                restarts: 0,
                note: String::new(),
                containers: Vec::new(),
                lease: None,
            };
            let node = task.node.clone().unwrap();
            self.hear(&[Event::Reported { node, tasks: vec![report], is_complete: false }]);
        }
    }

    /// Time passes, and only these nodes are heard.
    pub(crate) fn pass(&mut self, seconds: u64, heard: &[&str]) {
        for _ in 0..seconds / HEARTBEAT {
            self.now = self.now + Duration::from_secs(HEARTBEAT);
            let beat = |name: &&str| Event::Heard { node: id(name), engine: EngineState::Ready };
            let beats: Vec<Event> = heard.iter().map(beat).collect();
            self.hear(&beats);
        }
    }

    /// A node says how all of its tasks are: healthy, or not.
    pub(crate) fn report_all(&mut self, name: &str, is_healthy: bool) {
        let health = if is_healthy { Health::Healthy } else { Health::Unhealthy };
        let (node, since) = (id(name), self.now);
        let report = |task: &Arc<Task>| Report {
            task: task.id.clone(),
            state: TaskState::Running { since, health },
            restarts: 0,
            note: String::new(),
            containers: Vec::new(),
            lease: None,
        };
        let live = self.cluster.tasks_on(&node).filter(|task| !task.state.is_final());
        let tasks = live.map(report).collect();
        self.hear(&[Event::Reported { node, tasks, is_complete: true }]);
    }

    /// How many tasks the node is to run.
    pub(crate) fn wanted_on(&self, name: &str) -> usize {
        self.running().get(name).copied().unwrap_or_default()
    }

    /// How many tasks of each node are to run, without those that are missed.
    pub(crate) fn running(&self) -> BTreeMap<String, usize> {
        let mut running = BTreeMap::new();
        for task in self.cluster.tasks().values() {
            if let Some(node) = task.node.as_ref().filter(|_| task.is_wanted()) {
                *running.entry(node.to_string()).or_default() += 1;
            }
        }
        running
    }
}

pub(crate) fn id(name: &str) -> NodeId {
    name.parse().unwrap()
}

pub(crate) fn node(name: &str, zone: &str) -> Node {
    Node {
        id: id(name),
        hostname: name.to_owned(),
        engine: name.to_owned(),
        zone: zone.to_owned(),
        arch: "amd64".to_owned(),
        labels: BTreeMap::new(),
        capacity: Resources { cpu_millis: 64_000, memory_bytes: 64 << 30, ..Resources::default() },
        availability: Availability::Active,
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

/// A machine of a pool that was launched from a version of its template.
pub(crate) fn machine(pool: &str, name: &str, version: u64) -> Instance {
    Instance {
        id: id(name),
        pool: Some(pool.to_owned()),
        lifecycle: Lifecycle::InService,
        power: Power::Running,
        zone: "z".to_owned(),
        instance_type: None,
        ami: None,
        template_id: Some("lt-1".to_owned()),
        template_version: Some(version.to_string()),
        is_spot: false,
        is_protected: false,
    }
}
