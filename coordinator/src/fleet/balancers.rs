//! Looks at load balancers, and tells them who is to get requests.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use cloud::{Balancers, CloudError};
use coordinator_core::command::{Command, Key};
use coordinator_core::event::{Event, TrafficEvent};
use futures_util::future::join_all;
use model::traffic::{Look, RegistrationPhase, Target, TargetGroup, Unseen};

use super::Fleet;

/// How often it is seen whether there is something to look at.
const GLANCE: Duration = Duration::from_secs(2);
/// How often load balancers are looked at while nothing moves: a target that falls sick is known by then.
const LOOK: Duration = Duration::from_secs(15);

impl Fleet {
    /// Looks at one target group now, whether a service names it or not.
    pub(crate) async fn look_at_group(&self, group: &TargetGroup) -> Look {
        match self.cloud.balancers() {
            Some(balancers) => balancers.look(group).await,
            None => {
                let why = format!("{} has no load balancers", self.cloud.describe());
                Look { group: group.clone(), shown: Err(Unseen { why, is_gone: false }) }
            }
        }
    }

    /// Looks at all that are used. Never ends where there are load balancers.
    pub(super) async fn watch_balancers(&self) {
        let Some(balancers) = self.cloud.balancers() else { return };
        let (mut looked_at, mut known) = (Instant::now(), BTreeSet::new());
        loop {
            tokio::time::sleep(GLANCE).await;
            let (groups, moves) = {
                let state = self.published.read();
                (state.cluster.target_groups(), state.cluster.traffic_moves())
            };
            let is_due = moves || groups != known || looked_at.elapsed() >= LOOK;
            if groups.is_empty() || !is_due {
                known = groups;
                continue;
            }
            self.look_at_groups(balancers, &groups).await;
            (looked_at, known) = (Instant::now(), groups);
        }
    }

    async fn look_at_groups(&self, balancers: &dyn Balancers, groups: &BTreeSet<TargetGroup>) {
        // Nobody is told anything meanwhile: what is shown is of after what was told last, and of before what comes.
        let _quiet = self.balancing.lock().await;
        let looks = join_all(groups.iter().map(|group| balancers.look(group))).await;
        for look in &looks {
            if let Err(unseen) = &look.shown {
                tracing::debug!(group = %look.group, why = unseen.why, "a target group can not be seen");
            }
        }
        let heard = self.door.ask(Event::Traffic(TrafficEvent::Looked(looks))).await;
        if let Err(error) = heard {
            tracing::warn!(%error, "what load balancers have shown was not taken in");
        }
    }

    /// Tells a target group who is to get requests, or not any more.
    pub(super) async fn balance(&self, command: Command, key: &Key) {
        let Command::Balance { group, phase, targets } = command else { return };
        {
            let _quiet = self.balancing.lock().await;
            for (targets, failure) in self.tell_group(&group, phase, targets).await {
                let group = group.clone();
                let told = TrafficEvent::Told { group, phase, targets, failure };
                if let Err(error) = self.door.ask(Event::Traffic(told)).await {
                    tracing::warn!(%error, "what a load balancer was told was not written down: it is told again");
                }
            }
        }
        self.asked(key);
    }

    /// One target that can not be told, such as an instance that is gone, does not hold up the others.
    async fn tell_group(
        &self,
        group: &TargetGroup,
        phase: RegistrationPhase,
        targets: Vec<Target>,
    ) -> Vec<(Vec<Target>, Option<String>)> {
        let Some(balancers) = self.cloud.balancers() else { return Vec::new() };
        let first = balancers.tell(group, phase, &targets).await;
        let failure = match first {
            Ok(()) => return vec![(targets, None)],
            Err(CloudError::Refused { .. }) if targets.len() > 1 => None,
            Err(error) => Some(error),
        };
        if let Some(error) = failure {
            tracing::warn!(%error, hint = error.hint(), %group, "a load balancer was not told; it is told again");
            return vec![(targets, Some(error.to_string()))];
        }
        let (mut told, mut failed) = (Vec::new(), Vec::new());
        let mut why = String::new();
        for target in targets {
            match balancers.tell(group, phase, std::slice::from_ref(&target)).await {
                Ok(()) => told.push(target),
                Err(error) => {
                    tracing::warn!(%error, hint = error.hint(), %group, %target, "a load balancer was not told; it is told again");
                    why = format!("{target}: {error}");
                    failed.push(target);
                }
            }
        }
        // What failed is said last: it has its group wait for a while.
        let failed = (!failed.is_empty()).then_some((failed, Some(why)));
        [(told, None)].into_iter().chain(failed).collect()
    }
}
