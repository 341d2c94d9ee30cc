//! What is known here, as messages.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use agent_core::event::Report;
use agent_core::workload::{Engine as EngineState, Workload};
use model::id::{ClusterId, NodeId};
use model::image::{Digest, Stock};
use model::resources::Resources;
use model::time::Timestamp;
use proto::convert::{
    LAYERS_LIMIT, STOCK_LIMIT, containers_to_wire, image_to_wire, resources_to_wire, state_to_wire,
    stock_to_wire,
};
use proto::wire;

use crate::run::Config;
use crate::runtime::{Docker, Engine, ResolveFault, Shelf, StoredImage};

/// How much a report says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// What is new.
    News,
    /// All there is.
    Everything,
}

pub(crate) fn to_wire(reports: &[Report], workload: &Workload, extent: Extent) -> wire::Report {
    let task = |report: &Report| wire::TaskReport {
        task: report.task.to_string(),
        state: Some(state_to_wire(&report.state)),
        restarts: report.restarts,
        note: report.note.clone(),
        containers: containers_to_wire(&report.containers),
        lease_until_ms: report.lease.map(Timestamp::as_millis),
    };
    let orphans = workload.orphans().into_iter().map(|orphan| wire::Orphan {
        task: orphan.task.to_string(),
        container_id: orphan.container_id,
        name: orphan.name,
    });
    let engine_note = match workload.engine() {
        EngineState::Down { why } => why.clone(),
        EngineState::Unasked | EngineState::Ready => String::new(),
    };
    wire::Report {
        tasks: reports.iter().map(task).collect(),
        complete: extent == Extent::Everything,
        orphans: orphans.collect(),
        engine_ready: *workload.engine() == EngineState::Ready,
        engine_note,
    }
}

/// What is on the disk of the engine, in a fixed order: images by what the coordinator knows them, and volumes.
pub(crate) fn stock(shelf: &Shelf) -> wire::Images {
    let (digests, bytes) = image_digests(&shelf.images);
    let told: BTreeSet<&str> = digests.iter().map(String::as_str).collect();
    let mut layers = BTreeMap::new();
    let mut listed = 0;
    for image in shelf.images.iter().filter(|image| !image.layers.is_empty()) {
        listed += image.layers.len();
        if listed > LAYERS_LIMIT {
            break;
        }
        let manifests = image.digests.iter().filter_map(|name| Some(name.rsplit_once('@')?.1));
        let names = manifests.chain([image.id.as_str()]).filter(|name| told.contains(name));
        let digests = names.filter_map(|name| name.parse::<Digest>().ok());
        layers.extend(digests.map(|digest| (digest, Arc::clone(&image.layers))));
    }
    let volumes = shelf.volumes.clone();
    wire::Images { digests, bytes, ..stock_to_wire(&Stock { layers, volumes, ..Stock::default() }) }
}

/// By what the coordinator knows these images, in a fixed order, and how large each is.
fn image_digests(images: &[StoredImage]) -> (Vec<String>, Vec<u64>) {
    let manifests = images.iter().flat_map(|image| {
        let digests = image.digests.iter().filter_map(|name| name.rsplit_once('@'));
        digests.map(|(_, digest)| (digest, image.size_bytes))
    });
    let all = images.iter().map(|image| (image.id.as_str(), image.size_bytes)).chain(manifests);
    let all: BTreeMap<&str, u64> = all.collect();
    all.into_iter().take(STOCK_LIMIT).map(|(digest, bytes)| (digest.to_owned(), bytes)).unzip()
}

/// Introduces this node. Until the engine was asked it has nothing to give.
pub(crate) fn hello(
    config: &Config,
    node: &NodeId,
    cluster: Option<&ClusterId>,
    engine: Option<&Engine>,
) -> wire::Hello {
    let of_machine = engine.map(|engine| Resources {
        cpu_millis: u64::from(engine.cpus) * 1_000,
        memory_bytes: engine.memory_bytes,
        gpus: engine.gpus,
        // Beyond that images are removed to make room.
        disk_bytes: engine.disk_bytes / 100 * config.garbage.disk_percent.min(100),
        pids: engine.pids,
    });
    let capacity = of_machine.map(|machine| config.capacity.unwrap_or(machine)).unwrap_or_default();
    let unknown = || node.to_string();
    wire::Hello {
        node: Some(wire::Node {
            id: node.to_string(),
            hostname: engine.map_or_else(unknown, |engine| engine.hostname.clone()),
            engine: engine.map_or_else(unknown, |engine| engine.id.clone()),
            zone: config.zone.clone(),
            arch: engine.map(|engine| engine.arch.clone()).unwrap_or_default(),
            labels: config.labels.clone(),
            capacity: Some(resources_to_wire(&capacity)),
            availability: wire::Availability::Active.into(),
            pool: config.origin.pool.clone(),
            ami: config.origin.ami.clone(),
            instance_type: config.origin.instance_type.clone(),
            os: engine.map(|engine| engine.os.clone()),
            engine_version: engine.map(|engine| engine.version.clone()),
            kernel_version: engine.map(|engine| engine.kernel.clone()),
            preparing_until_ms: None,
            drain: None,
        }),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        cluster: cluster.map(ToString::to_string),
        fence: None,
        engine_ready: engine.is_some(),
        engine_version: engine.map(|engine| engine.version.clone()).unwrap_or_default(),
        builder: config.builder,
    }
}

/// Finds out what a reference means.
pub(crate) async fn resolve(docker: Option<Docker>, ask: wire::Resolve) -> wire::Resolved {
    use wire::ResolveErrorKind as Kind;
    let error = |kind: Kind, message: String| {
        wire::resolved::Answer::Error(wire::ResolveError { kind: kind.into(), message })
    };
    let answer = match (ask.reference.parse(), docker) {
        (Err(why), _) => error(Kind::NotFound, format!("{why}")),
        (Ok(_), None) => error(Kind::Unavailable, "the engine does not answer".to_owned()),
        (Ok(reference), Some(docker)) => match docker.resolve(&reference).await {
            Ok(image) => wire::resolved::Answer::Image(image_to_wire(&image)),
            Err(fault) => {
                let kind = match fault {
                    ResolveFault::NotFound { .. } => Kind::NotFound,
                    ResolveFault::Unauthorized { .. } => Kind::Unauthorized,
                    ResolveFault::Unavailable { .. } => Kind::Unavailable,
                };
                error(kind, fault.to_string())
            }
        },
    };
    wire::Resolved { request: ask.request, answer: Some(answer) }
}
