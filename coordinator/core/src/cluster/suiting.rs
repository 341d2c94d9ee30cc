//! Which nodes meet which constraints: asked once for each list of constraints, and again when a node has changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::id::NodeId;
use model::node::Node;
use model::spec::Constraint;

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

    /// Says of each node, in the order of their ids, whether it meets these constraints.
    pub(super) fn ask(
        &mut self,
        constraints: &[Constraint],
        nodes: &BTreeMap<NodeId, Arc<Node>>,
    ) -> Arc<Vec<bool>> {
        if let Some((_, suits)) = self.all.iter().find(|(known, _)| known == constraints) {
            return Arc::clone(suits);
        }
        let suits = |node: &Arc<Node>| constraints.iter().all(|constraint| constraint.is_met(node));
        let suits: Arc<Vec<bool>> = Arc::new(nodes.values().map(suits).collect());
        if self.all.len() == LISTS {
            self.all.remove(0);
        }
        self.all.push((constraints.to_vec(), Arc::clone(&suits)));
        suits
    }
}
