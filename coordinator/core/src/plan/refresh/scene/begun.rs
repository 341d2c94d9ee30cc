//! Which machines are under way already: old ones that the refresh takes away, and new ones that came to nothing.

use std::collections::BTreeSet;

use model::fleet::{Answer, HookId, HookPhase, Transition};
use model::id::NodeId;
use model::node::DrainCause;
use model::refresh::RefreshPhase;

use super::{Member, Scene};

impl Scene<'_> {
    /// Says whether the refresh is what the machine leaves for. One that is ended by others is replaced by its group, and nothing is
    /// launched for it before (simulation, seed 684); nor for one of which its group has said that it ends it, also while what the
    /// cloud shows lags behind that (seed 1143).
    pub(super) fn is_begun(&self, member: &Member<'_>) -> bool {
        let is_asked = self.refresh.ending.contains(&member.instance.id);
        match member.node.and_then(|node| node.drain).map(|drain| drain.cause) {
            Some(DrainCause::Refresh) => true,
            Some(DrainCause::ScaleIn | DrainCause::Operator | DrainCause::AtRisk) | None => {
                is_asked
            }
            Some(DrainCause::Terminating | DrainCause::Interrupted) => false,
        }
    }

    /// Machines that were launched from the new versions and given back because they never became nodes.
    pub(crate) fn failed_to_join(&self) -> BTreeSet<NodeId> {
        let is_given_back = |id: &NodeId| {
            let hook = HookId { instance: id.clone(), transition: Transition::Launching };
            self.cluster.hooks().get(&hook).is_some_and(|hook| match &hook.phase {
                HookPhase::Answered { answer: Answer::Abandon, .. }
                | HookPhase::Done { answer: Some(Answer::Abandon), .. } => true,
                HookPhase::Waiting | HookPhase::Answered { .. } | HookPhase::Done { .. } => false,
            })
        };
        let rolling = matches!(self.refresh.phase, RefreshPhase::Rolling { .. });
        let instances = self.cluster.instances().values().filter(|_| rolling);
        let of_pool = instances.filter(|one| one.pool.as_ref() == Some(&self.refresh.id.pool));
        let new = of_pool.filter(|one| self.refresh.to.made(one));
        new.filter(|one| is_given_back(&one.id)).map(|one| one.id.clone()).collect()
    }
}
