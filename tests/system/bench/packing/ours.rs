//! The coordinator's core as it is, with services of one task each that come one after the other.

use std::time::Instant;

use coordinator_core::cluster::Cluster;
use coordinator_core::event::Event;
use coordinator_core::{Step, step};
use model::id::NodeId;
use model::node::{Availability, Node};
use model::resources::Resources;
use model::spec::{ServiceSpec, Strategy};
use model::time::Timestamp;
use proto::convert::spec_from_wire;
use system_tests::puppet::pinned_service;

use super::Packed;
use super::fleet::{Amounts, Fleet};

const BEGINNING: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// So many services are deployed with one request, and planned in the order of their names: that of the tasks.
const AT_ONCE: usize = 100;

/// Zones as EC2 has them: a service of one task may be in any.
const ZONES: usize = 3;

/// Places tasks in their order until one does not fit.
pub(crate) fn place(fleet: &Fleet, strategy: Strategy) -> Packed {
    let mut cluster = joined(fleet);
    let usual = spec_from_wire(&pinned_service("usual", 1)).unwrap();
    let mut packed = Packed::default();
    let specs = fleet.tasks.iter().enumerate();
    let specs: Vec<_> =
        specs.map(|(number, asked)| spec(&usual, number, *asked, strategy)).collect();
    for specs in specs.chunks(AT_ONCE) {
        let event = Event::Deploy { specs: specs.to_vec(), remove: Vec::new(), expect: Vec::new() };
        let began = Instant::now();
        step(&mut cluster, &[event], BEGINNING);
        packed.took += began.elapsed();
        for spec in specs {
            if cluster.tasks_of(&spec.id).all(|task| task.node.is_none()) {
                return packed;
            }
            packed.held += fleet.tasks[packed.tasks][fleet.counted];
            packed.tasks += 1;
        }
    }
    packed
}

/// Places large services at once, each of tasks that are alike, and gives how many tasks a second that were.
#[allow(clippy::cast_precision_loss, reason = "a rate of some thousands")]
pub(crate) fn place_services(fleet: &Fleet, replicas: u32, strategy: Strategy) -> f64 {
    let mut cluster = joined(fleet);
    let usual = spec_from_wire(&pinned_service("usual", replicas)).unwrap();
    let tasks = fleet.tasks.iter().take(AT_ONCE).enumerate();
    let specs = tasks.map(|(number, asked)| spec(&usual, number, *asked, strategy)).collect();
    let began = Instant::now();
    hear(&mut cluster, &[Event::Deploy { specs, remove: Vec::new(), expect: Vec::new() }]);
    let took = began.elapsed();
    let placed = cluster.tasks().values().filter(|task| task.node.is_some()).count();
    assert_eq!(placed, AT_ONCE * replicas as usize, "there is room for all");
    placed as f64 / took.as_secs_f64()
}

fn joined(fleet: &Fleet) -> Cluster {
    let mut cluster = Cluster::default();
    let nodes = fleet.nodes.iter().enumerate();
    let nodes = nodes.map(|(number, all)| Event::Joined(Box::new(node(number, *all))));
    hear(&mut cluster, &nodes.collect::<Vec<_>>());
    cluster
}

/// Has the core decide until nothing is left to do at once.
fn hear(cluster: &mut Cluster, events: &[Event]) {
    let mut rest = events;
    loop {
        let Step { replies, wake_at, .. } = step(cluster, rest, BEGINNING);
        rest = rest.get(replies.len()..).unwrap_or_default();
        if rest.is_empty() && wake_at.is_none_or(|at| at > BEGINNING) {
            return;
        }
    }
}

fn node(number: usize, [cpu_millis, memory_mib, gpus]: Amounts) -> Node {
    let id: NodeId = format!("i-{number:08}").parse().unwrap();
    Node {
        hostname: id.to_string(),
        engine: id.to_string(),
        id,
        zone: format!("zone-{}", number % ZONES),
        arch: "amd64".to_owned(),
        labels: Default::default(),
        // Here a GPU is a thousand small ones, so that the shares of the trace are whole numbers. Wharf itself gives away
        // devices: the core does not know the difference.
        capacity: Resources {
            cpu_millis,
            memory_bytes: memory_mib << 20,
            gpus,
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

fn spec(
    usual: &ServiceSpec,
    number: usize,
    [cpu_millis, memory_mib, gpus]: Amounts,
    strategy: Strategy,
) -> ServiceSpec {
    let mut spec = usual.clone();
    spec.id.name = format!("service-{number:06}").parse().unwrap();
    spec.strategy = strategy;
    for container in &mut spec.task.containers {
        container.reservation =
            Resources { cpu_millis, memory_bytes: memory_mib << 20, gpus, ..Resources::default() };
    }
    spec
}
