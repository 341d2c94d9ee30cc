//! Which nodes meet which constraints and take which profile: asked once for each of these, and again when a node or a pool has changed.

use std::sync::Arc;

use model::constraint::Constraint;
use model::policy::Profile;

/// So many lists of constraints are kept. More kinds are rare, and only cost the time to ask anew.
const LISTS: usize = 32;

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct Suiting {
    all: Vec<Answer>,
}

#[derive(Debug, Clone)]
struct Answer {
    constraints: Vec<Constraint>,
    profile: Profile,
    suits: Arc<Vec<bool>>,
}

impl Suiting {
    /// A node or a pool has changed.
    pub(super) fn forget(&mut self) {
        self.all.clear();
    }

    /// Other images are on the engine of a node.
    pub(super) fn forget_images(&mut self) {
        self.all.retain(|answer| !answer.constraints.iter().any(Constraint::needs_images));
    }

    /// Says of each node, in the order of their ids, whether it takes what asks for this, if that was asked before.
    pub(super) fn known(&self, asked: (&[Constraint], Profile)) -> Option<Arc<Vec<bool>>> {
        let is_asked = |answer: &&Answer| (answer.constraints.as_slice(), answer.profile) == asked;
        self.all.iter().find(is_asked).map(|answer| Arc::clone(&answer.suits))
    }

    /// Keeps the answer.
    pub(super) fn keep(
        &mut self,
        (constraints, profile): (&[Constraint], Profile),
        suits: Vec<bool>,
    ) -> Arc<Vec<bool>> {
        if self.all.len() == LISTS {
            self.all.remove(0);
        }
        let suits = Arc::new(suits);
        let constraints = constraints.to_vec();
        self.all.push(Answer { constraints, profile, suits: Arc::clone(&suits) });
        suits
    }
}
