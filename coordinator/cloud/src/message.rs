//! What the cloud tells through a queue: events of EventBridge, and what Auto Scaling writes there by itself.
//!
//! Anybody who may write to the queue can write anything. So a message is a hint and no more: it names a machine, and what
//! follows is checked against what the cloud says when it is asked.

use std::time::Duration;

use model::fleet::{HookCall, HookId, LAUNCHING_HOOK, TERMINATING_HOOK, Transition};
use model::id::NodeId;
use serde::Deserialize;
use thiserror::Error;

/// The longest message that is read: EventBridge sends at most 256 KiB, and what concerns us is a hundredth of that.
const LIMIT: usize = 256 << 10;
/// A token is a UUID, and is no longer than this. It is stored, and must never be what can not be read again.
const TOKEN_LIMIT: usize = 64;
/// EC2 gives so much notice before it takes a machine back.
pub(crate) const SPOT_NOTICE: Duration = Duration::from_secs(120);

/// The words of Auto Scaling for when a hook is called.
pub(crate) const LAUNCHING: &str = "autoscaling:EC2_INSTANCE_LAUNCHING";
/// See [`LAUNCHING`].
pub(crate) const TERMINATING: &str = "autoscaling:EC2_INSTANCE_TERMINATING";

pub(crate) fn transition(word: &str) -> Option<Transition> {
    match word {
        LAUNCHING => Some(Transition::Launching),
        TERMINATING => Some(Transition::Terminating),
        _ => None,
    }
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A group waits for an answer of ours.
    Hooked(HookCall),
    /// A machine is taken back.
    Interrupted {
        /// Which.
        instance: NodeId,
        /// When that was said, in seconds since the Unix epoch.
        said_at: i64,
        /// So long after.
        notice: Duration,
    },
    /// A machine is more likely than others to be taken back.
    AtRisk {
        /// Which.
        instance: NodeId,
    },
    /// Something has happened to a group: it is worth a look.
    Changed {
        /// Which.
        pool: String,
    },
    /// Nothing that concerns us: a test, or a hook of somebody else.
    Other,
}

/// Why a message can not be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a message that can not be read: {0}")]
pub struct Unreadable(pub String);

/// The outside of an event of EventBridge.
#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "detail-type")]
    detail_type: Option<String>,
    source: Option<String>,
    time: Option<String>,
    detail: Option<serde_json::Value>,
}

/// A lifecycle action: the same fields in an event's detail and in what Auto Scaling writes itself.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Action {
    lifecycle_action_token: Option<String>,
    auto_scaling_group_name: Option<String>,
    lifecycle_hook_name: Option<String>,
    #[serde(rename = "EC2InstanceId")]
    instance: Option<String>,
    lifecycle_transition: Option<String>,
    origin: Option<String>,
    destination: Option<String>,
}

#[derive(Deserialize)]
struct OfInstance {
    #[serde(rename = "instance-id")]
    instance: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OfGroup {
    auto_scaling_group_name: String,
}

impl Message {
    /// Reads a message.
    ///
    /// # Errors
    /// When it is not JSON, too long, or says half of something.
    pub fn read(body: &str) -> Result<Self, Unreadable> {
        if body.len() > LIMIT {
            return Err(Unreadable(format!("it has {} bytes of {LIMIT} allowed", body.len())));
        }
        let envelope: Envelope = parse(body)?;
        let Some(detail) = envelope.detail else { return Self::from_action(parse(body)?) };
        let kind = envelope.detail_type.unwrap_or_default();
        match (envelope.source.as_deref(), kind.as_str()) {
            (
                Some("aws.autoscaling"),
                "EC2 Instance-launch Lifecycle Action" | "EC2 Instance-terminate Lifecycle Action",
            ) => Self::from_action(value(detail)?),
            (Some("aws.autoscaling"), _) => match serde_json::from_value::<OfGroup>(detail) {
                Ok(of) => Ok(Self::Changed { pool: of.auto_scaling_group_name }),
                Err(_) => Ok(Self::Other),
            },
            (Some("aws.ec2"), "EC2 Spot Instance Interruption Warning") => {
                let instance = instance(&value::<OfInstance>(detail)?.instance)?;
                let said_at = seconds(&envelope.time.unwrap_or_default())?;
                Ok(Self::Interrupted { instance, said_at, notice: SPOT_NOTICE })
            }
            (Some("aws.ec2"), "EC2 Instance Rebalance Recommendation") => {
                Ok(Self::AtRisk { instance: instance(&value::<OfInstance>(detail)?.instance)? })
            }
            _ => Ok(Self::Other),
        }
    }

    fn from_action(action: Action) -> Result<Self, Unreadable> {
        let Some(name) = action.lifecycle_hook_name else { return Ok(Self::Other) };
        // What goes into a warm pool or is kept there never was a node of ours.
        let is_stored = [&action.origin, &action.destination];
        let is_stored = is_stored.into_iter().any(|place| place.as_deref() == Some("WarmPool"));
        if !matches!(name.as_str(), LAUNCHING_HOOK | TERMINATING_HOOK) || is_stored {
            return Ok(Self::Other);
        }
        let lacks = |what: &str| Unreadable(format!("a lifecycle action without its {what}"));
        let word = action.lifecycle_transition.ok_or_else(|| lacks("transition"))?;
        let transition =
            transition(&word).ok_or_else(|| Unreadable(format!("a transition {word:?}")))?;
        let id = action.instance.ok_or_else(|| lacks("instance"))?;
        let pool = action.auto_scaling_group_name.ok_or_else(|| lacks("group"))?;
        let id = HookId { instance: instance(&id)?, transition };
        let is_token = |token: &String| {
            let is_plain = token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            is_plain && (1..=TOKEN_LIMIT).contains(&token.len())
        };
        if action.lifecycle_action_token.as_ref().is_some_and(|token| !is_token(token)) {
            return Err(Unreadable("a token that is none of Auto Scaling's".to_owned()));
        }
        Ok(Self::Hooked(HookCall { id, pool, token: action.lifecycle_action_token }))
    }
}

fn parse<'a, T: Deserialize<'a>>(body: &'a str) -> Result<T, Unreadable> {
    serde_json::from_str(body).map_err(|error| Unreadable(error.to_string()))
}

fn value<T: for<'a> Deserialize<'a>>(detail: serde_json::Value) -> Result<T, Unreadable> {
    serde_json::from_value(detail).map_err(|error| Unreadable(error.to_string()))
}

fn instance(id: &str) -> Result<NodeId, Unreadable> {
    id.parse().map_err(|error| Unreadable(format!("{error}")))
}

fn seconds(time: &str) -> Result<i64, Unreadable> {
    let read: Result<jiff::Timestamp, _> = time.parse();
    read.map(|time| time.as_second()).map_err(|error| Unreadable(error.to_string()))
}

#[cfg(test)]
#[path = "../../../tests/fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::*;

    fn event(source: &str, kind: &str, detail: &str) -> String {
        format!(
            r#"{{"version":"0","id":"1","detail-type":"{kind}","source":"{source}","account":"123456789012",
                "time":"2026-11-23T08:00:00Z","region":"eu-west-1","resources":[],"detail":{detail}}}"#
        )
    }

    const ACTION: &str = r#"{"LifecycleActionToken":"t-1","AutoScalingGroupName":"web","LifecycleHookName":"wharf-terminating",
        "EC2InstanceId":"i-1","LifecycleTransition":"autoscaling:EC2_INSTANCE_TERMINATING"}"#;

    #[test]
    fn both_ways_in_which_a_hook_is_told_say_the_same() {
        let told = event("aws.autoscaling", "EC2 Instance-terminate Lifecycle Action", ACTION);
        let written =
            ACTION.replacen('{', r#"{"Service":"AWS Auto Scaling","Time":"x","RequestId":"r","#, 1);
        for body in [told, written] {
            let Message::Hooked(call) = Message::read(&body).unwrap() else { panic!("{body}") };
            assert_eq!((call.pool.as_str(), call.token.as_deref()), ("web", Some("t-1")));
            assert_eq!(call.id.instance.as_str(), "i-1");
            assert_eq!(call.id.transition, Transition::Terminating);
        }
    }

    #[test]
    fn hooks_of_others_tests_and_warm_pools_do_not_concern_us() {
        let foreign = ACTION.replace("wharf-terminating", "drain-elb");
        let stored = ACTION.replacen('{', r#"{"Destination":"WarmPool","#, 1);
        let test = r#"{"Event":"autoscaling:TEST_NOTIFICATION","AutoScalingGroupName":"web"}"#;
        for body in [foreign.as_str(), stored.as_str(), test, "{}"] {
            assert_eq!(Message::read(body), Ok(Message::Other), "{body}");
        }
    }

    #[test]
    fn an_interruption_counts_from_when_it_was_said() {
        let body = event(
            "aws.ec2",
            "EC2 Spot Instance Interruption Warning",
            r#"{"instance-id":"i-2","instance-action":"terminate"}"#,
        );
        let instance = "i-2".parse().unwrap();
        let expected =
            Message::Interrupted { instance, said_at: 1_795_420_800, notice: SPOT_NOTICE };
        assert_eq!(Message::read(&body), Ok(expected));
    }

    #[test]
    fn other_news_of_a_group_are_worth_a_look() {
        let body = event(
            "aws.autoscaling",
            "EC2 Instance Launch Unsuccessful",
            r#"{"AutoScalingGroupName":"web","StatusCode":"Failed"}"#,
        );
        assert_eq!(Message::read(&body), Ok(Message::Changed { pool: "web".to_owned() }));
    }

    #[test]
    fn what_says_half_of_something_is_not_read() {
        let cases = [
            "",
            "nonsense",
            "[]",
            &ACTION.replace("\"EC2InstanceId\":\"i-1\",", ""),
            &ACTION.replace("i-1", "../../etc"),
            &ACTION.replace("t-1", ""),
            &ACTION.replace("t-1", &"t".repeat(TOKEN_LIMIT + 1)),
            &ACTION.replace("t-1", "\u{202e}"),
            &ACTION.replace("EC2_INSTANCE_TERMINATING", "EC2_INSTANCE_DANCING"),
            &event("aws.ec2", "EC2 Spot Instance Interruption Warning", "{}"),
            &" ".repeat(LIMIT + 1),
        ];
        for body in cases {
            assert!(Message::read(body).is_err(), "{:.80}", body);
        }
    }

    #[test]
    fn t14_a_message_that_was_changed_is_unreadable_or_names_what_can_be_named() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fuzz/corpus/hook");
        let read = |bytes: &[u8]| {
            let Ok(text) = std::str::from_utf8(bytes) else { return };
            match Message::read(text) {
                Ok(Message::Hooked(call)) => {
                    let token = call.token.unwrap_or_default();
                    assert!(token.len() <= TOKEN_LIMIT && token.is_ascii(), "{token:?}");
                }
                Ok(_) => {}
                Err(error) => assert!(!error.0.is_empty()),
            }
        };
        let inputs = replay::corpus(std::path::Path::new(folder));
        replay::replay("messages", &inputs, (20_000, &read));
    }
}
