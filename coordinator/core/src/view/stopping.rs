//! Whether the tasks of a service can stop in the time that machines are given to leave.

use std::time::Duration;

use model::fleet::Pool;
use model::spec::ServiceSpec;

use crate::absorb::BEFORE_INTERRUPTION;
use crate::cluster::Cluster;

/// The notice that EC2 gives before it takes a Spot machine back.
const NOTICE: Duration = Duration::from_secs(120);

/// What of a service takes longer to stop than a machine that leaves is waited for: for each pool that its tasks can come to, in an
/// operator's words.
#[must_use]
pub fn slow_stops(cluster: &Cluster, spec: &ServiceSpec) -> Vec<String> {
    if spec.mode.runs_to_end() {
        return Vec::new();
    }
    let routes = spec.task.routes.iter().map(|route| cluster.leaves_within(route));
    let leaves = routes.max().unwrap_or_default();
    // Its containers are stopped one after the other.
    let grace = spec.task.containers.iter().map(|container| container.stop_grace).sum();
    let pools = cluster.pools().values().filter(|pool| could_come_to(cluster, pool, spec));
    pools.filter_map(|pool| warning(cluster, pool, (leaves, grace))).collect()
}

/// Says whether a node of the pool could have such a task, or it has none that tells.
fn could_come_to(cluster: &Cluster, pool: &Pool, spec: &ServiceSpec) -> bool {
    let is_of_pool = |node: &model::node::Node| node.pool.as_ref() == Some(&pool.name);
    let mut seats = cluster.nodes_with_ledgers().filter(|(node, _)| is_of_pool(node)).peekable();
    seats.peek().is_none() || seats.any(|(node, ledger)| ledger.meets(node, spec.task.of_node()))
}

fn warning(
    cluster: &Cluster,
    pool: &Pool,
    (leaves, grace): (Duration, Duration),
) -> Option<String> {
    let (name, most) = (&pool.name, pool.policy.drain_within);
    let takes = || {
        let grace = format!("{} s of grace", grace.as_secs());
        if leaves.is_zero() {
            return grace;
        }
        format!("{} s to leave its target groups and {grace}", leaves.as_secs())
    };
    if leaves + grace > most {
        let (takes, most) = (takes(), most.as_secs());
        return Some(format!(
            "a task may take {takes} to stop, and a machine of pool {name} that leaves is waited for {most} s: `wharf pool set {name} --drain-within` gives it more"
        ));
    }
    let mut machines = cluster.instances().values();
    let has_spot = machines.any(|one| one.is_spot && one.pool.as_ref() == Some(name));
    let is_slow =
        leaves > NOTICE.saturating_sub(BEFORE_INTERRUPTION) || grace > BEFORE_INTERRUPTION;
    (has_spot && is_slow).then(|| {
        let (takes, notice) = (takes(), NOTICE.as_secs());
        format!(
            "a task may take {takes} to stop, and a Spot machine of pool {name} is gone {notice} s after its notice: what still runs is cut off"
        )
    })
}
