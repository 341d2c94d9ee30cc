//! Room that is about to come free: what was told to stop holds it for a moment longer, and no machine is launched for that moment.

use std::sync::Arc;
use std::time::Duration;

use model::node::Node;
use model::resources::Resources;
use model::task::{DesiredState, Task};
use model::time::Timestamp;

use super::growing::takes_any;
use super::machine::Machine;
use crate::cluster::{Cluster, Ledger};
use crate::plan::place::Counts;
use crate::plan::place::filter::{Refusal, refusals};

/// What may take longer than this to stop is not waited for: a machine is there sooner.
const MOMENT: Duration = Duration::from_secs(30);

/// A node with tasks that stop, what will be free there, and what is to go there.
type Seat<'a> = ((&'a Arc<Node>, &'a Ledger), Resources, Machine);

/// See the module.
pub(super) struct Soon<'a> {
    cluster: &'a Cluster,
    now: Timestamp,
    seats: Vec<Seat<'a>>,
}

impl<'a> Soon<'a> {
    pub(super) fn of(cluster: &'a Cluster, now: Timestamp) -> Self {
        let open = cluster.nodes_with_ledgers().filter(|(node, _)| takes_any(cluster, node, now));
        let seats = open.filter_map(|(node, ledger)| {
            let stopping = cluster.tasks_on(&node.id).filter(|task| stops(task));
            let freed: Resources =
                stopping.map(|task| task.generation.spec.task.reservation()).sum();
            let is_any = freed != Resources::default();
            is_any.then(|| ((node, ledger), ledger.free() + freed, Machine::default()))
        });
        Self { cluster, now, seats: seats.collect() }
    }

    /// Puts the task there, if there will be room.
    pub(super) fn takes(&mut self, task: &Task) -> bool {
        let (cluster, now) = (self.cluster, self.now);
        let counts = Counts::beside(cluster, task);
        let seat = self.seats.iter_mut().find(|((node, ledger), free, machine)| {
            machine.fits(task, free, counts.present(ledger.number))
                && refusals(cluster, (task, counts), (node, ledger), now)
                    .all(|refusal| matches!(refusal, Refusal::Full(_)))
        });
        seat.map(|(_, _, machine)| machine.take(task)).is_some()
    }
}

/// Says whether the task will have ended in a moment.
fn stops(task: &Task) -> bool {
    let is_told = matches!(task.desired, DesiredState::Stop { patience: None, .. });
    let mut containers = task.generation.spec.task.containers.iter();
    is_told && !task.state.is_final() && containers.all(|one| one.stop_grace <= MOMENT)
}
