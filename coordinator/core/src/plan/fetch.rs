//! Has images fetched before what runs is stopped for what comes next: otherwise nothing serves for as long as a pull takes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use model::id::{NodeId, Slot};
use model::image::{Image, Pin};
use model::service::Service;
use model::task::Task;

use crate::cluster::Cluster;
use crate::draft::Draft;

/// What is still missing is asked for again after so long: the agent may have been told in vain.
const AGAIN: Duration = Duration::from_secs(30);

/// Says whether every node on which one of these tasks serves has the images of the target, and has them fetched otherwise.
pub(super) fn is_done(draft: &mut Draft<'_>, service: &Service, old: &[&Arc<Task>]) -> bool {
    let serving = old.iter().filter(|task| task.serving_since().is_some());
    let nodes: BTreeSet<NodeId> = serving.filter_map(|task| task.node.clone()).collect();
    let mut is_done = true;
    for node in nodes {
        match missing(draft, service, &node) {
            Some(images) if images.is_empty() => {}
            Some(images) => {
                is_done = false;
                draft.fetches.entry(node).or_default().extend(images);
            }
            // Its agent says it as soon as it is connected.
            None => is_done = false,
        }
    }
    if !is_done {
        draft.cluster.fetching.insert(service.id.clone());
        draft.wake(&service.id, draft.now + AGAIN);
    }
    is_done
}

/// Has images fetched for slots whose turn has not come.
pub(super) fn ahead(draft: &mut Draft<'_>, service: &Service, slots: &[Slot]) {
    let tasks = slots.iter().flat_map(|slot| draft.cluster.tasks_in(&service.id, slot));
    let serving = tasks.filter(|task| task.serving_since().is_some());
    let nodes: BTreeSet<NodeId> = serving.filter_map(|task| task.node.clone()).collect();
    for node in nodes {
        let images = missing(draft, service, &node).unwrap_or_default();
        if !images.is_empty() {
            draft.fetches.entry(node).or_default().extend(images);
        }
    }
}

/// The images of the target that the node has to fetch: none when it can not be asked, and nothing when it has not said
/// yet which it has.
fn missing(draft: &Draft<'_>, service: &Service, id: &NodeId) -> Option<BTreeSet<Image>> {
    let cluster = &*draft.cluster;
    let node = cluster.nodes().get(id).filter(|node| cluster.takes_work(node, draft.now));
    if node.is_none() {
        return Some(BTreeSet::new());
    }
    lacking(cluster, service, id)
}

/// The images of the target that the node does not have, if it has said which it has. What was built on an engine can not be
/// fetched.
pub(crate) fn lacking(
    cluster: &Cluster,
    service: &Service,
    id: &NodeId,
) -> Option<BTreeSet<Image>> {
    let there = cluster.images(id)?;
    let images = service.target.spec.task.containers.iter().map(|container| &container.image);
    let lacks = |image: &&Image| match &image.pin {
        Pin::Manifest(digest) => !there.contains(digest),
        Pin::Local(_) => false,
    };
    Some(images.filter(lacks).cloned().collect())
}
