//! Which nodes meet which constraints: asked once for each list of constraints, and again when a node has changed.

use std::sync::Arc;

use model::constraint::Constraint;

/// So many lists of constraints are kept. More kinds are rare, and only cost the time to ask anew.
const LISTS: usize = 32;

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct Suiting {
    all: Vec<(Vec<Constraint>, Arc<Vec<bool>>)>,
}

impl Suiting {
    /// A node has changed.
    pub(super) fn forget(&mut self) {
        self.all.clear();
    }

    /// Other images are on the engine of a node.
    pub(super) fn forget_images(&mut self) {
        self.all.retain(|(constraints, _)| !constraints.iter().any(Constraint::needs_images));
    }

    /// Says of each node, in the order of their ids, whether it meets these constraints, if that was asked before.
    pub(super) fn known(&self, constraints: &[Constraint]) -> Option<Arc<Vec<bool>>> {
        let known = self.all.iter().find(|(known, _)| known == constraints);
        known.map(|(_, suits)| Arc::clone(suits))
    }

    /// Keeps the answer.
    pub(super) fn keep(&mut self, constraints: &[Constraint], suits: Vec<bool>) -> Arc<Vec<bool>> {
        if self.all.len() == LISTS {
            self.all.remove(0);
        }
        let suits = Arc::new(suits);
        self.all.push((constraints.to_vec(), Arc::clone(&suits)));
        suits
    }
}
