//! Load balancers by the SDK.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use aws_sdk_elasticloadbalancingv2::Client;
use aws_sdk_elasticloadbalancingv2::types::{
    TargetDescription, TargetHealthDescription, TargetHealthReasonEnum, TargetHealthStateEnum,
    TargetTypeEnum,
};
use model::traffic::{
    LEAVE_USUALLY, Look, RegistrationPhase, Shown, Target, TargetGroup, TargetHealth, Unseen,
};

use super::{Aws, failed};
use crate::{Balancers, CloudError};

/// What a group is and how long it waits changes rarely: it is asked so often.
const FACTS_FOR: Duration = Duration::from_secs(120);
const DELAY: &str = "deregistration_delay.timeout_seconds";

/// What is asked less often than who is registered.
#[derive(Debug, Clone)]
struct Facts {
    arn: String,
    delay: Duration,
    at: Instant,
}

/// What is known of target groups.
#[derive(Debug, Default)]
pub(super) struct Groups(Mutex<BTreeMap<TargetGroup, Facts>>);

impl Groups {
    fn known(&self, group: &TargetGroup) -> Option<Facts> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(group).filter(|facts| facts.at.elapsed() < FACTS_FOR).cloned()
    }

    fn keep(&self, group: &TargetGroup, facts: Facts) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(group.clone(), facts);
    }

    fn forget(&self, group: &TargetGroup) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(group);
    }
}

impl Aws {
    async fn facts(&self, group: &TargetGroup) -> Result<Facts, CloudError> {
        if let Some(known) = self.target_groups.known(group) {
            return Ok(known);
        }
        let client = &self.balancers;
        let arn = arn_of(client, group).await?;
        let request = client.describe_target_group_attributes().target_group_arn(&arn);
        let found = request.send().await;
        let found = found.map_err(|error| failed("DescribeTargetGroupAttributes", &error))?;
        let delay = found.attributes().iter().find(|one| one.key() == Some(DELAY));
        let delay = delay.and_then(|one| one.value()?.parse().ok()).map(Duration::from_secs);
        let facts = Facts { arn, delay: delay.unwrap_or(LEAVE_USUALLY), at: Instant::now() };
        self.target_groups.keep(group, facts.clone());
        Ok(facts)
    }

    async fn shown(&self, group: &TargetGroup) -> Result<Shown, CloudError> {
        let Facts { arn, delay, .. } = self.facts(group).await?;
        let request = self.balancers.describe_target_health().target_group_arn(&arn);
        let found = request.send().await.map_err(|error| failed("DescribeTargetHealth", &error))?;
        let targets = found.target_health_descriptions().iter().filter_map(target_of).collect();
        Ok(Shown { delay, targets })
    }
}

/// A group is asked for by its ARN alone.
async fn arn_of(client: &Client, group: &TargetGroup) -> Result<String, CloudError> {
    const REQUEST: &str = "DescribeTargetGroups";
    let request = client.describe_target_groups();
    let request = if group.as_str().starts_with("arn:") {
        request.target_group_arns(group.as_str())
    } else {
        request.names(group.as_str())
    };
    let found = request.send().await.map_err(|error| failed(REQUEST, &error))?;
    let found = found.target_groups().first();
    let refused = |code: &str, why: String| CloudError::Refused {
        request: REQUEST,
        code: code.to_owned(),
        why,
    };
    let found = found
        .ok_or_else(|| refused("TargetGroupNotFound", format!("there is no group {group}")))?;
    if let Some(kind) = found.target_type().filter(|kind| **kind != TargetTypeEnum::Instance) {
        let why = format!("{group} has targets of type {kind}, and ours are instances");
        return Err(refused("TargetType", why));
    }
    let arn = found.target_group_arn().map(str::to_owned);
    arn.ok_or_else(|| refused("TargetGroupNotFound", format!("{group} has no ARN")))
}

fn target_of(from: &TargetHealthDescription) -> Option<(Target, TargetHealth)> {
    let target = from.target()?;
    let port = u16::try_from(target.port()?).ok()?;
    let health = from.target_health()?;
    let why = || {
        let words = health.reason().map(TargetHealthReasonEnum::as_str);
        let more = health.description().unwrap_or_default();
        let words = words.unwrap_or("it does not say why");
        // It is shown on one line.
        format!("{words} {more}").trim().replace(char::is_control, " ")
    };
    let state = match health.state()? {
        TargetHealthStateEnum::Healthy => TargetHealth::Healthy,
        TargetHealthStateEnum::Initial => TargetHealth::Initial,
        TargetHealthStateEnum::Unhealthy | TargetHealthStateEnum::UnhealthyDraining => {
            TargetHealth::Unhealthy { why: why() }
        }
        TargetHealthStateEnum::Draining => TargetHealth::Draining,
        TargetHealthStateEnum::Unavailable => TargetHealth::Unchecked,
        // Of a group that no load balancer uses each target is said to be unused; so is one that is not registered.
        TargetHealthStateEnum::Unused => match health.reason() {
            Some(TargetHealthReasonEnum::NotInUse) => TargetHealth::Unchecked,
            Some(_) | None => return None,
        },
        other => TargetHealth::Unhealthy { why: format!("a state without a word here: {other}") },
    };
    let node = target.id()?.parse().ok()?;
    Some((Target { node, port }, state))
}

fn is_gone(error: &CloudError) -> bool {
    match error {
        CloudError::Refused { code, .. } => {
            code == "TargetGroupNotFound" || code == "TargetGroupNotFoundException"
        }
        CloudError::Denied { .. }
        | CloudError::Throttled { .. }
        | CloudError::Unanswered { .. } => false,
    }
}

#[async_trait]
impl Balancers for Aws {
    async fn look(&self, group: &TargetGroup) -> Look {
        let shown = self.shown(group).await.map_err(|error| {
            self.target_groups.forget(group);
            let why = error.to_string().replace(char::is_control, " ");
            Unseen { why, is_gone: is_gone(&error) }
        });
        Look { group: group.clone(), shown }
    }

    async fn tell(
        &self,
        group: &TargetGroup,
        phase: RegistrationPhase,
        targets: &[Target],
    ) -> Result<(), CloudError> {
        let arn = self.facts(group).await?.arn;
        let described = targets.iter().map(|target| {
            let port = i32::from(target.port);
            TargetDescription::builder().id(target.node.as_str()).port(port).build()
        });
        let described = Some(described.collect());
        match phase {
            RegistrationPhase::Entering => {
                let request = self.balancers.register_targets().target_group_arn(arn);
                let done = request.set_targets(described).send().await;
                done.map_err(|error| failed("RegisterTargets", &error)).map(|_| ())
            }
            RegistrationPhase::Leaving => {
                let request = self.balancers.deregister_targets().target_group_arn(arn);
                let done = request.set_targets(described).send().await;
                done.map_err(|error| failed("DeregisterTargets", &error)).map(|_| ())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_elasticloadbalancingv2::types::TargetHealth as Said;

    use super::*;

    fn shown(
        state: TargetHealthStateEnum,
        reason: Option<TargetHealthReasonEnum>,
    ) -> Option<TargetHealth> {
        let target = TargetDescription::builder().id("i-1").port(80).build();
        let health = Said::builder().state(state).set_reason(reason).build();
        let said = TargetHealthDescription::builder().target(target).target_health(health);
        target_of(&said.build()).map(|(_, health)| health)
    }

    #[test]
    fn what_is_not_registered_is_told_from_what_no_load_balancer_uses() {
        let not_used = Some(TargetHealthReasonEnum::NotInUse);
        let unused = TargetHealthStateEnum::Unused;
        assert_eq!(shown(unused.clone(), not_used), Some(TargetHealth::Unchecked));
        let gone = Some(TargetHealthReasonEnum::NotRegistered);
        assert_eq!(shown(unused, gone), None);
        let why = Some(TargetHealthReasonEnum::Timeout);
        let sick = shown(TargetHealthStateEnum::Unhealthy, why);
        assert_eq!(sick, Some(TargetHealth::Unhealthy { why: "Target.Timeout".to_owned() }));
    }
}
