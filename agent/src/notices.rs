//! Asks the metadata service of this machine what it has to expect, for as long as there is such a service.
//!
//! Elsewhere than on EC2 nobody answers: then it is asked more and more seldom, and nothing is said of it.

use std::time::Duration;

use anyhow::Context;
use jiff::fmt::rfc2822;
use model::fleet::Outlook;
use model::time::Timestamp;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::imds::Imds;

/// AWS recommends to ask for interruptions every five seconds.
const EVERY: Duration = Duration::from_secs(5);
/// What leaves more time is asked in each third round, and maintenance, which is announced days ahead, once a minute.
const SELDOM: u64 = 3;
const RARELY: u64 = 12;
/// A service that has answered once is not left alone for longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);
/// A machine that has none has none for good, unless its network is late.
const LONGEST_WAIT: Duration = Duration::from_secs(600);
/// A token holds for so long; another is drawn when it is refused.
const TOKEN_SECONDS: u64 = 21_600;

const LIFE_CYCLE: &str = "/latest/meta-data/instance-life-cycle";
const INTERRUPTION: &str = "/latest/meta-data/spot/instance-action";
const RECOMMENDATION: &str = "/latest/meta-data/events/recommendations/rebalance";
const MAINTENANCE: &str = "/latest/meta-data/events/maintenance/scheduled";
const TARGET: &str = "/latest/meta-data/autoscaling/target-lifecycle-state";

/// Asks again and again, and never ends. What is heard is told with each round that brings something else. Without a place nobody
/// is asked.
pub(crate) async fn watch(url: Option<String>, heard: mpsc::Sender<Outlook>) {
    let Some(url) = url else { return std::future::pending().await };
    let mut watch = Watch { heard, told: Outlook::default(), failures: 1, complaint: None };
    let mut was_there = false;
    loop {
        if let Err(error) = watch.converse(&url).await {
            was_there |= watch.failures == 0;
            watch.failures = watch.failures.saturating_add(1);
            if was_there {
                watch.complain(&error);
            }
            let longest = if was_there { LONGEST_PAUSE } else { LONGEST_WAIT };
            let doubled = 2_u32.saturating_pow(watch.failures.saturating_sub(2).min(10));
            tokio::time::sleep(EVERY.saturating_mul(doubled).min(longest)).await;
        }
    }
}

struct Watch {
    heard: mpsc::Sender<Outlook>,
    told: Outlook,
    /// Since the last round that went well, and at least one before the first.
    failures: u32,
    /// Said when it changes.
    complaint: Option<String>,
}

impl Watch {
    /// Asks for as long as everything is answered, and ends with its token at the latest.
    async fn converse(&mut self, url: &str) -> anyhow::Result<()> {
        let imds = Imds::begin_for(url, TOKEN_SECONDS).await?;
        // Only a machine that can be interrupted is asked whether it is.
        let is_spot = imds.get(LIFE_CYCLE).await?.is_none_or(|cycle| cycle.trim() != "on-demand");
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for round in 0_u64.. {
            ticks.tick().await;
            let outlook = self.ask(&imds, is_spot, round).await?;
            self.failures = 0;
            if outlook != self.told {
                self.told = outlook;
                // The loop is gone only when the agent is.
                let _gone = self.heard.send(outlook).await;
            }
        }
        Ok(())
    }

    /// What is not asked in this round, or can not be read, is as it was heard last.
    async fn ask(&mut self, imds: &Imds, is_spot: bool, round: u64) -> anyhow::Result<Outlook> {
        let mut outlook = self.told;
        if is_spot {
            let text = imds.get(INTERRUPTION).await?;
            let read = interruption(text.as_deref());
            outlook.interrupted_at = self.understood(read, outlook.interrupted_at);
        }
        if round.is_multiple_of(SELDOM) {
            let target = imds.get(TARGET).await?;
            outlook.is_leaving = target.is_some_and(|target| target.trim() == "Terminated");
            outlook.is_at_risk = is_spot && imds.get(RECOMMENDATION).await?.is_some();
        }
        if round.is_multiple_of(RARELY) {
            let text = imds.get(MAINTENANCE).await?;
            outlook.maintained_at =
                self.understood(maintenance(text.as_deref()), outlook.maintained_at);
        }
        Ok(outlook)
    }

    fn understood<T>(&mut self, read: anyhow::Result<T>, otherwise: T) -> T {
        read.unwrap_or_else(|error| {
            self.complain(&error);
            otherwise
        })
    }

    fn complain(&mut self, error: &anyhow::Error) {
        let complaint = format!("{error:#}");
        if self.complaint.as_ref() != Some(&complaint) {
            tracing::warn!(
                why = complaint,
                "what this machine has to expect can not be asked; it is tried again"
            );
            self.complaint = Some(complaint);
        }
    }
}

/// When the machine is taken back, whether it is terminated, stopped or hibernated then.
fn interruption(text: Option<&str>) -> anyhow::Result<Option<Timestamp>> {
    let Some(text) = text else { return Ok(None) };
    let wrong = || format!("{INTERRUPTION} says {text:?}");
    let said: Value = serde_json::from_str(text).with_context(wrong)?;
    let at = said.get("time").and_then(Value::as_str).with_context(wrong)?;
    Ok(Some(timestamp(at.parse().with_context(wrong)?)))
}

/// When the first of what is announced begins, of what is neither over nor called off.
fn maintenance(text: Option<&str>) -> anyhow::Result<Option<Timestamp>> {
    let Some(text) = text.filter(|text| !text.trim().is_empty()) else { return Ok(None) };
    let wrong = || format!("{MAINTENANCE} says {text:?}");
    let announced: Vec<Value> = serde_json::from_str(text).with_context(wrong)?;
    let mut first: Option<Timestamp> = None;
    for one in announced.iter().filter(|one| one.get("State") == Some(&Value::from("active"))) {
        let at = one.get("NotBefore").and_then(Value::as_str).with_context(wrong)?;
        let at = timestamp(rfc2822::parse(at).with_context(wrong)?.timestamp());
        first = Some(first.map_or(at, |first| first.min(at)));
    }
    Ok(first)
}

fn timestamp(at: jiff::Timestamp) -> Timestamp {
    Timestamp::from_millis(u64::try_from(at.as_millisecond()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the user guide of EC2 shows it.
    #[test]
    fn what_aws_says_is_read() {
        let text = r#"{"action": "terminate", "time": "2017-09-18T08:22:00Z"}"#;
        let at = Timestamp::from_millis(1_505_722_920_000);
        assert_eq!(interruption(Some(text)).ok(), Some(Some(at)));
        assert_eq!(interruption(None).ok(), Some(None));
        assert!(interruption(Some("{}")).is_err());
        assert!(interruption(Some(r#"{"time": "soon"}"#)).is_err());
        let text = r#"[
            {"NotBefore": "21 Jan 2019 09:00:43 GMT", "Code": "system-reboot", "Description": "scheduled reboot",
             "EventId": "instance-event-0d59937288b749b32", "NotAfter": "21 Jan 2019 09:17:23 GMT", "State": "active"},
            {"NotBefore": "2 Jan 2019 09:00:43 GMT", "Code": "instance-stop", "Description": "x", "State": "active"},
            {"NotBefore": "1 Jan 2019 09:00:43 GMT", "Code": "instance-stop", "Description": "[Canceled] x",
             "State": "canceled"}
        ]"#;
        let at = Timestamp::from_millis(1_546_419_643_000);
        assert_eq!(maintenance(Some(text)).ok(), Some(Some(at)));
        for nothing in [None, Some(""), Some("[]")] {
            assert_eq!(maintenance(nothing).ok(), Some(None));
        }
        assert!(maintenance(Some("<html>")).is_err());
    }
}
