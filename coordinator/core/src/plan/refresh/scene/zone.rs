//! A refresh that takes machines zone by zone, and a stage that ends when all machines of one zone are new.

use std::collections::BTreeSet;

use model::refresh::{RefreshPhase, Stage};

use super::{Member, Scene};

impl<'a> Scene<'a> {
    /// Says whether the stage is one that ends when all machines of one zone are new.
    pub(super) fn is_zone_stage(&self) -> bool {
        match self.refresh.phase {
            RefreshPhase::Rolling { stage, .. } => {
                self.refresh.policy.stages.get(stage) == Some(&Stage::Zone)
            }
            RefreshPhase::Making { .. }
            | RefreshPhase::RollingBack { .. }
            | RefreshPhase::Restoring { .. }
            | RefreshPhase::Done { .. } => false,
        }
    }

    /// The one zone of which machines may be taken in this stage: the first by name in which there is an old one that can be
    /// replaced. None where they may be taken of all.
    pub(super) fn scope(&self) -> Option<&'a str> {
        let zones = self.replaceable().map(|member| member.instance.zone.as_str());
        self.is_zone_stage().then(|| zones.min()).flatten()
    }

    /// Where a machine stands in the order of zones: all alike where that does not matter. On the way back it does not.
    pub(super) fn zone_rank(&self, member: &Member<'a>) -> &'a str {
        let is_rolling = matches!(self.refresh.phase, RefreshPhase::Rolling { .. });
        let matters = is_rolling && self.refresh.policy.goes_by_zone();
        if matters { member.instance.zone.as_str() } else { "" }
    }

    /// How many machines are to be replaced before all of one zone are new.
    pub(super) fn left_in_zone(&self) -> usize {
        let zones = |members: &mut dyn Iterator<Item = &Member<'a>>| -> BTreeSet<&'a str> {
            members.map(|member| member.instance.zone.as_str()).collect()
        };
        let old = zones(&mut self.replaceable());
        let new = zones(&mut self.members.iter().filter(|member| member.is_new));
        if new.difference(&old).next().is_some() {
            return 0;
        }
        let zone = old.first().copied();
        self.replaceable().filter(|member| Some(member.instance.zone.as_str()) == zone).count()
    }
}
