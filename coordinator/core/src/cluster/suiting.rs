//! Which nodes meet which constraints and take which profile: asked once for each of these, and again when what is said of a node
//! or a pool has changed.

use std::sync::Arc;

use model::constraint::Constraint;
use model::node::Node;
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

    /// What was asked, and the answers.
    pub(super) fn answers(
        &self,
    ) -> impl Iterator<Item = ((&[Constraint], Profile), &Arc<Vec<bool>>)> {
        self.all.iter().map(|one| ((one.constraints.as_slice(), one.profile), &one.suits))
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

/// Says whether constraints and preferences find the same node in both: what it has room for, who may use it and whether it is
/// being emptied is not theirs to ask.
pub(super) fn is_described_alike(before: &Node, after: &Node) -> bool {
    let Node {
        id,
        hostname,
        engine: _,
        zone,
        arch,
        labels,
        capacity: _,
        availability: _,
        pool,
        ami,
        instance_type,
        os,
        engine_version,
        kernel_version,
        preparing_until: _,
        drain: _,
    } = before;
    (id, hostname, zone, arch, labels, pool, ami)
        == (
            &after.id,
            &after.hostname,
            &after.zone,
            &after.arch,
            &after.labels,
            &after.pool,
            &after.ami,
        )
        && (instance_type, os) == (&after.instance_type, &after.os)
        && (engine_version, kernel_version) == (&after.engine_version, &after.kernel_version)
}
