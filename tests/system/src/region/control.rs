//! What no API of AWS has: faults, the clock, notices, and what is behind an instance.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::Region;
use super::http::ask;

/// An instance as the region knows it, which may be newer than what a describe says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// `i-…`.
    pub id: String,
    /// `pending`, `running`, `shutting-down`, `terminated`, `stopping`, `stopped`.
    pub state: String,
    /// Its zone.
    pub zone: String,
    /// Its image.
    pub image: String,
    /// `on-demand` or `spot`.
    pub market: String,
    /// The group that it is a member of; none once it has left.
    pub group: Option<String>,
    /// `Pending:Wait`, `InService`, …; empty without a group.
    pub lifecycle_state: String,
    /// The version of the launch template that it was launched from; empty without a group.
    pub template_version: String,
    /// The tokens of the lifecycle actions that somebody has to complete, by hook.
    pub waits: BTreeMap<String, String>,
}

/// The machine behind an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its instance.
    pub instance: String,
    /// The process of its agent, when one runs.
    pub pid: Option<u64>,
    /// How often its agent has ended by itself and was started again.
    pub restarts: u64,
    /// What its agent has written.
    pub log: String,
    /// Where it has its metadata service, without a path, as an instance has it.
    pub metadata: String,
}

/// What can happen to the machine behind an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeOrder {
    /// Its agent dies, and is started again.
    Crash,
    /// Nothing is heard of its agent.
    Hang,
    /// It is heard of again.
    Wake,
    /// The machine fails: its instance is terminated without anybody asking.
    Die,
}

/// What can happen to a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ZoneOrder {
    /// All that is in it is gone, and nothing can be launched there.
    Dark,
    /// Nothing is heard of it, and EC2 says that all is running.
    Silent,
    /// It is as it should be.
    Well,
}

impl Region {
    /// Says something to the control endpoint.
    ///
    /// # Panics
    /// When it is refused.
    #[track_caller]
    #[expect(clippy::must_use_candidate, reason = "most is said for what it does")]
    pub fn control(&self, method: &str, path: &str, body: &Value) -> Value {
        let url = format!("{}/control/{path}", self.endpoint());
        let answer = ask(method, &url, &[], &body.to_string());
        let answer = answer.unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        serde_json::from_str(&answer.body).unwrap_or(Value::String(answer.body))
    }

    /// Moves the region's clock ahead: time-outs of hooks, of messages and of notices pass. That of programs stays.
    pub fn advance(&self, by: Duration) {
        self.control("POST", "clock", &json!({ "advance_s": by.as_secs_f64() }));
    }

    /// Changes settings: `boot_s`, `snapshot_s`, `root_volume_s`, `spot_notice_s`, `target_initial_s`, `target_check_s`, `health_s`, `retry_s`.
    pub fn set(&self, settings: &Value) {
        self.control("POST", "settings", settings);
    }

    /// Orders something to go wrong, and gives the number of the order. `docs/region.md` has what there is.
    ///
    /// # Panics
    /// When there is no such fault.
    #[expect(clippy::must_use_candidate, reason = "faults are often left until all are cleared")]
    pub fn fault(&self, fault: &Value) -> u64 {
        let ordered = self.control("POST", "faults", fault);
        ordered["number"].as_u64().expect("a fault has a number")
    }

    /// Takes an order back.
    pub fn clear_fault(&self, number: u64) {
        self.control("DELETE", &format!("faults/{number}"), &json!({}));
    }

    /// Takes all orders back.
    pub fn clear_faults(&self) {
        self.control("DELETE", "faults", &json!({}));
    }

    /// Tells a Spot instance that it is taken away in two minutes of the region's clock, and does so then.
    pub fn interrupt_spot(&self, instance: &str) {
        self.control("POST", &format!("instances/{instance}/spot-interruption"), &json!({}));
    }

    /// Tells an instance that it had better be replaced.
    pub fn recommend_rebalance(&self, instance: &str) {
        self.control("POST", &format!("instances/{instance}/rebalance"), &json!({}));
    }

    /// Announces maintenance of an instance: `instance-retirement`, `system-reboot`, …
    pub fn schedule_event(&self, instance: &str, code: &str, within: Duration) {
        let body = json!({ "code": code, "in_s": within.as_secs_f64() });
        self.control("POST", &format!("instances/{instance}/scheduled-event"), &body);
    }

    /// Has something happen to the machine behind an instance.
    pub fn order(&self, instance: &str, order: NodeOrder) {
        let what = match order {
            NodeOrder::Crash => "crash",
            NodeOrder::Hang => "hang",
            NodeOrder::Wake => "wake",
            NodeOrder::Die => "die",
        };
        self.control("POST", &format!("instances/{instance}/{what}"), &json!({}));
    }

    /// Has something happen to a zone, and gives the instances that it hit.
    #[expect(clippy::must_use_candidate, reason = "it is said for what it does")]
    pub fn zone(&self, zone: &str, order: ZoneOrder) -> Vec<String> {
        let what = match order {
            ZoneOrder::Dark => "dark",
            ZoneOrder::Silent => "silent",
            ZoneOrder::Well => "well",
        };
        let hit = self.control("POST", &format!("zones/{zone}/{what}"), &json!({}));
        texts(&hit["instances"])
    }

    /// Decides the health of a target, by the name of its group; as it is by itself again without a state.
    pub fn decide_target(&self, group: &str, instance: &str, state: Option<&str>) {
        let body = json!({ "group": group, "id": instance, "state": state });
        self.control("POST", "targets", &body);
    }

    /// Every instance that there was, in the order in which they were launched.
    #[must_use]
    pub fn instances(&self) -> Vec<Instance> {
        let all = self.control("GET", "instances", &json!({}));
        all.as_array().into_iter().flatten().map(Instance::read).collect()
    }

    /// The members of a group, those that end included.
    #[must_use]
    pub fn members(&self, group: &str) -> Vec<Instance> {
        let is_member = |one: &Instance| one.group.as_deref() == Some(group);
        self.instances().into_iter().filter(is_member).collect()
    }

    /// One instance.
    ///
    /// # Panics
    /// When there never was one.
    #[must_use]
    pub fn instance(&self, id: &str) -> Instance {
        let found = self.instances().into_iter().find(|one| one.id == id);
        found.unwrap_or_else(|| panic!("there is no instance {id}"))
    }

    /// The machines that there are.
    #[must_use]
    pub fn nodes(&self) -> Vec<Node> {
        let all = self.control("GET", "nodes", &json!({}));
        all.as_array().into_iter().flatten().map(Node::read).collect()
    }

    /// How often each action was called since the region began or [`Self::forget_calls`]: `ec2.DescribeInstances` and so on.
    #[must_use]
    pub fn calls(&self) -> BTreeMap<String, u64> {
        let all = self.control("GET", "calls", &json!({}));
        let counts = all.as_object().into_iter().flatten();
        counts.map(|(name, count)| (name.clone(), count.as_u64().unwrap_or_default())).collect()
    }

    /// Begins to count anew.
    pub fn forget_calls(&self) {
        self.control("DELETE", "calls", &json!({}));
    }

    /// The certificate (PEM) with which identity documents of this region are verified.
    #[must_use]
    pub fn identity_certificate(&self) -> String {
        text(&self.control("GET", "identity-certificate", &json!({})))
    }
}

impl Instance {
    fn read(value: &Value) -> Self {
        let waits = value["waits"].as_object().into_iter().flatten();
        Self {
            id: text(&value["id"]),
            state: text(&value["state"]),
            zone: text(&value["zone"]),
            image: text(&value["image"]),
            market: text(&value["market"]),
            group: value["group"].as_str().map(ToOwned::to_owned),
            lifecycle_state: text(&value["lifecycle_state"]),
            template_version: text(&value["template_version"]),
            waits: waits.map(|(hook, token)| (hook.clone(), text(token))).collect(),
        }
    }
}

impl Node {
    fn read(value: &Value) -> Self {
        Self {
            instance: text(&value["instance"]),
            pid: value["pid"].as_u64(),
            restarts: value["restarts"].as_u64().unwrap_or_default(),
            log: std::fs::read_to_string(text(&value["log"])).unwrap_or_default(),
            metadata: text(&value["metadata"]),
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(text).collect()
}
