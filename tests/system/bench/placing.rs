//! How fast the coordinator decides where tasks go: its core as it is, with everything that it writes down, on one core.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use coordinator_core::cluster::Cluster;
use coordinator_core::event::{EngineState, Event, Report};
use coordinator_core::{Step, explain, foresee, step, view};
use model::constraint::{Attribute, Constraint, Test};
use model::id::NodeId;
use model::image::Pin;
use model::node::{Availability, Node};
use model::preference::{Preference, Preferred, Spread};
use model::resources::Resources;
use model::spec::ServiceSpec;
use model::task::{Health, Task, TaskState};
use model::time::Timestamp;
use proto::convert::spec_from_wire;
use system_tests::puppet::pinned_service;

use crate::process::resident_kib;
use crate::result::{Goal, Line, print};

/// Nodes, tasks and services, and how many placements a second are wanted of them.
const SIZES: [(u32, u32, u32, f64); 3] = [
    (1_000, 10_000, 100, 500_000.0),
    (10_000, 100_000, 100, 500_000.0),
    (10_000, 1_000_000, 1_000, 1_000_000.0),
];
const ZONES: u32 = 3;
const BEGINNING: Timestamp = Timestamp::from_millis(1_800_000_000_000);
/// How often each small thing is measured.
const TIMES: usize = 200;

pub(crate) fn run(largest: bool) -> anyhow::Result<()> {
    let mut lines = Vec::new();
    for (nodes, tasks, services, goal) in SIZES {
        if tasks > 100_000 && !largest {
            continue;
        }
        let before = resident_kib(std::process::id());
        let mut world = World::new(nodes, tasks / nodes);
        let placed = world.deploy(services, tasks / services);
        anyhow::ensure!(world.placed() == tasks as usize, "only {} were placed", world.placed());
        let grown = resident_kib(std::process::id()).saturating_sub(before);
        let per_task = grown * 1_024 / u64::from(tasks);
        let rate = f64::from(tasks) / placed.as_secs_f64();
        println!(
            "{nodes} nodes, {tasks} tasks of {services} services: {placed:.2?}, {per_task} bytes a task"
        );
        lines.push(Line {
            name: if tasks == 10_000 {
                "placed a second, 1,000 nodes × 10,000 tasks"
            } else if tasks == 100_000 {
                "placed a second, 10,000 × 100,000"
            } else {
                "placed a second, 10,000 × 1,000,000"
            },
            shown: format!("{rate:.0}"),
            value: rate,
            goal: Goal::AtLeast(goal),
        });
        if tasks == 100_000 {
            #[allow(clippy::cast_precision_loss, reason = "a few kilobytes")]
            let value = per_task as f64;
            let shown = format!("{per_task} B");
            let goal = Goal::AtMost(1_024.0);
            lines.push(Line { name: "memory of a task", shown, value, goal });
            lines.extend(world.steady()?);
            lines.push(preferring(nodes, tasks, services));
        }
        // The largest size that is asked for.
        if tasks > 100_000 || tasks == 100_000 && !largest {
            world.run_all();
            lines.extend(world.previews()?);
        }
    }
    print("placing", &lines);
    Ok(())
}

struct World {
    cluster: Cluster,
    now: Timestamp,
}

impl World {
    /// A fleet with room for half as much again as it is to hold, in three zones; half of it has fast disks.
    fn new(nodes: u32, tasks_each: u32) -> Self {
        let mut world = Self { cluster: Cluster::default(), now: BEGINNING };
        let room = u64::from(tasks_each) * 3 / 2 + 1;
        let joined = (0..nodes).map(|number| Event::Joined(Box::new(node(number, room))));
        world.hear(&joined.collect::<Vec<_>>());
        world
    }

    /// Has the core decide until nothing is left to do, and gives the time that took.
    fn hear(&mut self, events: &[Event]) -> Duration {
        let began = Instant::now();
        let mut rest = events;
        loop {
            let Step { replies, wake_at, .. } = step(&mut self.cluster, rest, self.now);
            rest = rest.get(replies.len()..).unwrap_or_default();
            if rest.is_empty() && wake_at.is_none_or(|at| at > self.now) {
                return began.elapsed();
            }
        }
    }

    fn deploy(&mut self, services: u32, replicas: u32) -> Duration {
        let specs = (0..services).map(|number| spec(number, replicas)).collect();
        self.hear(&[Event::Deploy { specs, remove: Vec::new(), expect: Vec::new() }])
    }

    fn placed(&self) -> usize {
        self.cluster.tasks().values().filter(|task| task.node.is_some()).count()
    }

    fn run_all(&mut self) {
        let tasks: Vec<Task> = self.cluster.tasks().values().map(|task| (**task).clone()).collect();
        let mut by_node: BTreeMap<NodeId, Vec<Report>> = BTreeMap::new();
        for task in tasks {
            if let Some(node) = task.node.clone() {
                by_node.entry(node).or_default().push(report(&task, self.now, Health::Unchecked));
            }
        }
        let events: Vec<Event> = by_node
            .into_iter()
            .map(|(node, tasks)| Event::Reported { node, tasks, is_complete: true })
            .collect();
        self.hear(&events);
    }

    /// A task that no node can take.
    fn waiting(&self) -> Task {
        let mut task = self.cluster.tasks().values().next().map(|task| (**task).clone()).unwrap();
        let mut generation = (*task.generation).clone();
        generation.spec.task.containers[0].reservation.memory_bytes = 1 << 50;
        let text = "node.labels.disk =~ \"^s.d$\" and node.engine.version >= 28";
        generation.spec.task.constraints.push(text.parse().unwrap());
        task.generation = generation.into();
        task
    }

    /// What everyday life costs in a full cluster.
    fn steady(&mut self) -> anyhow::Result<Vec<Line>> {
        self.run_all();
        self.now = self.now + Duration::from_secs(10);
        self.hear(&[]);
        let ids: Vec<NodeId> = self.cluster.nodes().keys().cloned().collect();
        let idle = (0..TIMES).map(|_| self.hear(&[])).collect();
        let mut reports = Vec::new();
        let mut deaths = Vec::new();
        let beat = |node: &NodeId| Event::Heard { node: node.clone(), engine: EngineState::Ready };
        for node in ids.iter().step_by(ids.len() / TIMES).take(TIMES) {
            let task = self.cluster.tasks_on(node).next().context("a node has nothing to do")?;
            let report = report(task, self.now, Health::Healthy);
            let (node, tasks) = (node.clone(), vec![report]);
            reports.push(self.hear(&[Event::Reported { node, tasks, is_complete: false }]));
        }
        let beats: Vec<Duration> =
            ids.iter().take(TIMES).map(|id| self.hear(&[beat(id)])).collect();
        for node in ids.into_iter().step_by(23).take(2 * TIMES) {
            deaths.push(self.hear(&[Event::Died(node)]));
        }
        Ok(vec![
            at_most("a node of 10,000 dies, p99", deaths, 5_000.0),
            at_most("one task reports, p99", reports, 50.0),
            at_most("one sign of life, p99", beats, 50.0),
            at_most("nothing happens, p99", idle, 10.0),
        ])
    }

    /// What an operator waits for who asks before something is done: the copies of the cluster that this takes are part of it.
    fn previews(&mut self) -> anyhow::Result<Vec<Line>> {
        self.now = self.now + Duration::from_secs(10);
        self.hear(&[]);
        let full = self.waiting();
        let accounts = few(|| {
            let account = explain::account(&self.cluster, &full, self.now);
            anyhow::ensure!(account.takers == 0, "a task that is too large would be taken");
            Ok(())
        })?;
        let is_alive = |id: &NodeId| {
            let node = self.cluster.nodes().get(id);
            node.is_some_and(|node| node.availability == Availability::Active)
        };
        let is_placed = |task: &&Arc<Task>| task.node.as_ref().is_some_and(is_alive);
        let placed = self.cluster.tasks().values().find(is_placed).cloned();
        let placed = placed.context("no task is on a node")?;
        let verdicts = few(|| {
            let verdicts = view::ask_nodes(&self.cluster, &placed, self.now);
            anyhow::ensure!(verdicts.len() == self.cluster.nodes().len(), "a node was not asked");
            Ok(())
        })?;
        let scales = few(|| {
            let before = self.cluster.clone();
            let mut after = before.clone();
            after.bound(usize::MAX);
            let wanted = before.tasks_of(&placed.service).filter(|task| task.is_wanted());
            let replicas = u32::try_from(wanted.count())? + 10;
            let service = placed.service.clone();
            step(&mut after, &[Event::Scale { service, replicas }], self.now);
            let count = |cluster: &Cluster| cluster.tasks_of(&placed.service).count();
            let more = count(&after) - count(&before);
            anyhow::ensure!(more == 10, "{more} tasks more are foreseen, and not 10");
            Ok(())
        })?;
        let node = placed.node.clone().context("it is on no node")?;
        let on_it = self.cluster.tasks_on(&node).count();
        let drains = few(|| {
            let within = Duration::from_secs(900);
            let left = foresee::drain(&self.cluster, std::slice::from_ref(&node), within, self.now);
            let left = left.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))?.len();
            anyhow::ensure!(left == on_it, "{left} of {on_it} tasks would leave");
            Ok(())
        })?;
        Ok(vec![
            at_most("why a task waits, p99", accounts, 200_000.0),
            at_most("why a task is where it is, p99", verdicts, 200_000.0),
            at_most("what ten replicas more would do, p99", scales, 200_000.0),
            at_most("what a drain would do, p99", drains, 200_000.0),
        ])
    }
}

/// How long each of a few takes.
fn few(mut one: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<Vec<Duration>> {
    let timed = (0..TIMES / 10).map(|_| {
        let began = Instant::now();
        one()?;
        Ok(began.elapsed())
    });
    timed.collect()
}

/// The same tasks, of services that would rather have fast disks and be spread over hundred racks.
fn preferring(nodes: u32, tasks: u32, services: u32) -> Line {
    let mut world = World::new(nodes, tasks / nodes);
    let specs = (0..services).map(|number| {
        let mut spec = spec(number, tasks / services);
        let fast = Preferred::Nodes("node.labels.disk == ssd".parse().unwrap());
        let over = Attribute::Label("rack".to_owned());
        let racks = Preferred::Spread(Spread { over, shares: BTreeMap::new() });
        spec.preferences =
            [(fast, 30), (racks, 10)].map(|(of, weight)| Preference { of, weight }).into();
        spec
    });
    let specs = specs.collect();
    let placed = world.hear(&[Event::Deploy { specs, remove: Vec::new(), expect: Vec::new() }]);
    let rate = f64::from(tasks) / placed.as_secs_f64();
    let name = "placed a second with preferences, 10,000 × 100,000";
    Line { name, shown: format!("{rate:.0}"), value: rate, goal: Goal::AtLeast(500_000.0) }
}

fn at_most(name: &'static str, mut times: Vec<Duration>, goal_us: f64) -> Line {
    times.sort_unstable();
    let p99 = times.get(times.len() * 99 / 100).copied().unwrap_or_default();
    let value = p99.as_secs_f64() * 1e6;
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    let most = times.last().copied().unwrap_or_default();
    println!("{name}: median {median:.1?}, at most {most:.1?}");
    Line { name, shown: format!("{value:.1} µs"), value, goal: Goal::AtMost(goal_us) }
}

fn report(task: &Task, since: Timestamp, health: Health) -> Report {
    Report {
        task: task.id.clone(),
        state: TaskState::Running { since, health },
        restarts: 0,
        note: String::new(),
        containers: Vec::new(),
        lease: None,
    }
}

fn node(number: u32, room: u64) -> Node {
    let id: NodeId = format!("i-{number:08}").parse().unwrap();
    let disk = if number.is_multiple_of(2) { "ssd" } else { "hdd" };
    let rack = format!("r{:02}", number / 7 % 100);
    Node {
        hostname: id.to_string(),
        engine: id.to_string(),
        id,
        zone: format!("zone-{}", number % ZONES),
        arch: "amd64".to_owned(),
        labels: [("disk".to_owned(), disk.to_owned()), ("rack".to_owned(), rack)].into(),
        capacity: Resources {
            cpu_millis: room * 250,
            memory_bytes: room * (512 << 20),
            ..Resources::default()
        },
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

/// Every third service needs a fast disk, every third anything but that, and the rest takes what there is.
fn spec(number: u32, replicas: u32) -> ServiceSpec {
    let wish = |test: fn(String) -> Test| {
        Constraint::Of(Attribute::Label("disk".to_owned()), test("ssd".to_owned()))
    };
    let constraints = match number % 3 {
        0 => vec![wish(Test::Equal)],
        1 => vec![wish(Test::NotEqual)],
        _ => Vec::new(),
    };
    let mut spec =
        spec_from_wire(&pinned_service(&format!("service-{number:04}"), replicas)).unwrap();
    spec.task.constraints = constraints;
    for container in &mut spec.task.containers {
        container.image.pin = Pin::Manifest(format!("sha256:{number:064x}").parse().unwrap());
        container.reservation =
            Resources { cpu_millis: 250, memory_bytes: 512 << 20, ..Resources::default() };
    }
    spec
}
