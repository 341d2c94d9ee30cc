//! Which services matter more than others, and the room that is being made for them.

use std::sync::Arc;

use model::id::{NodeId, ServiceId};
use model::priority::Priority;
use model::service::Service;
use model::task::Task;

use super::Cluster;

/// How many services there are of each class: mostly there is one class, and nobody needs to look for room to take.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Priorities([usize; Priority::ALL.len()]);

impl Priorities {
    /// A service has come, changed or gone.
    pub(super) fn put(&mut self, before: Option<&Service>, after: Option<&Service>) {
        for (class, count) in Priority::ALL.iter().zip(&mut self.0) {
            let is_of = |service: &&Service| service.target.spec.priority == *class;
            *count += usize::from(after.filter(is_of).is_some());
            *count -= usize::from(before.filter(is_of).is_some());
        }
    }

    fn present(&self) -> [bool; Priority::ALL.len()] {
        self.0.map(|count| count > 0)
    }

    fn has_below(&self, priority: Priority) -> bool {
        let below = Priority::ALL.iter().zip(&self.0).filter(|(class, _)| **class < priority);
        below.into_iter().any(|(_, count)| *count > 0)
    }
}

impl Cluster {
    /// The class of a service. What is left of one that is gone is of the lowest.
    pub(crate) fn priority(&self, service: &ServiceId) -> Priority {
        let service = self.services.get(service);
        service.map_or(Priority::Low, |service| service.target.spec.priority)
    }

    /// Says whether there is a service of a lower class.
    pub(crate) fn has_below(&self, priority: Priority) -> bool {
        self.priorities.has_below(priority)
    }

    /// Says of each class whether there are services of it.
    pub(crate) fn classes_present(&self) -> [bool; Priority::ALL.len()] {
        self.priorities.present()
    }

    /// Says whether there are services of several classes.
    pub(crate) fn has_classes(&self) -> bool {
        self.classes_present().iter().filter(|is_there| **is_there).count() > 1
    }

    /// The tasks for which room is being made on the node, by id.
    pub fn promised_on(&self, node: &NodeId) -> impl Iterator<Item = &Arc<Task>> {
        let promised = self.ledger(node).map(|ledger| &ledger.promised);
        promised.into_iter().flatten().filter_map(|id| self.tasks.get(id))
    }
}
