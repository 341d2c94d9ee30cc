//! Keeps a new node to the services of every node until they serve there: a log shipper that comes after what it is to ship
//! has missed the beginning, and one that finds the node full never comes.
//!
//! Kubernetes leaves this to taints that each such service has to lift by itself, and Karpenter counts their room in advance.

use std::sync::Arc;
use std::time::Duration;

use model::id::{NodeId, Slot};
use model::node::Node;
use model::service::{Service, ServicePhase};
use model::spec::Mode;
use model::task::Task;

use crate::cluster::{Change, Cluster};
use crate::draft::Draft;
use crate::plan::{depend, slot};

/// So long a node waits for them. One that never comes up must not keep all new nodes closed: in a shortage that would be worse
/// than a gap in the logs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// Says whether a node that comes now has something to wait for.
pub(crate) fn has_any(cluster: &Cluster) -> bool {
    everywhere(cluster).next().is_some()
}

/// Opens nodes that have waited for long enough, or for nothing any more. One write for a node is made also when the step
/// is full.
pub(crate) fn pass(draft: &mut Draft<'_>) {
    let ids: Vec<NodeId> = draft.cluster.preparing().cloned().collect();
    for id in ids {
        let Some(node) = draft.cluster.nodes().get(&id).cloned() else { continue };
        let is_late = node.preparing_until.is_some_and(|until| until <= draft.now);
        if is_late || missing(draft.cluster, &node).next().is_none() {
            let node = Node { preparing_until: None, ..(*node).clone() };
            draft.write(Change::PutNode(Arc::new(node)));
            draft.touch_waiting();
            draft.cluster.round.begin(draft.now);
        }
    }
}

/// The services that the node waits for.
pub(crate) fn missing<'a>(
    cluster: &'a Cluster,
    node: &'a Node,
) -> impl Iterator<Item = &'a Arc<Service>> {
    let here = Slot::Node(node.id.clone());
    everywhere(cluster).filter(move |service| {
        let serves = |task: &Arc<Task>| task.is_wanted() && task.serving_since().is_some();
        // What waits for another service may wait for one that needs this node.
        slot::wants(cluster, service, &here)
            && depend::is_free(cluster, service)
            && !cluster.tasks_in(&service.id, &here).iter().any(serves)
    })
}

fn everywhere(cluster: &Cluster) -> impl Iterator<Item = &Arc<Service>> {
    let services = cluster.globals().iter().filter_map(|id| cluster.services().get(id));
    services.filter(|service| {
        service.target.spec.mode == Mode::Global && service.phase != ServicePhase::Removing
    })
}
