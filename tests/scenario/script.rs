//! The words of a script.

use std::collections::BTreeMap;
use std::time::Duration;

use model::budget::{Amount, Budget};
use model::id::ServiceId;
use model::rollout::{Canary, Promotion, Steering, Tolerance};
use model::spec::{FailureAction, Mode, ServiceSpec, UpdateOrder};

use super::specs;

/// A line that counts: what else a script has follows from these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    /// For the reader; empty lines too.
    Comment(String),
    /// Without the `$`.
    Command(String),
}

pub(crate) fn lines(text: &str) -> Vec<Line> {
    let read = |line: &str| match line.strip_prefix("$ ") {
        Some(command) => Some(Line::Command(command.to_owned())),
        None if line.is_empty() || line.starts_with('#') => Some(Line::Comment(line.to_owned())),
        None => None,
    };
    text.lines().filter_map(read).collect()
}

/// 90s, 5m, 1h.
pub(crate) fn duration(text: &str) -> Duration {
    let (number, unit) = text.split_at(text.len() - 1);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => panic!("{text} is not a time: 90s, 5m, 1h, 2d"),
    };
    Duration::from_secs(number.parse::<u64>().unwrap() * seconds)
}

fn amount(text: &str) -> Amount {
    match text.strip_suffix('%') {
        Some(percent) => Amount::Percent(percent.parse().unwrap()),
        None => Amount::Count(text.parse().unwrap()),
    }
}

pub(crate) fn steering(word: &str) -> Steering {
    match word {
        "pause" => Steering::Pause,
        "resume" => Steering::Resume,
        "promote" => Steering::Promote,
        "abort" => Steering::Abort,
        _ => panic!("{word} is nothing that a rollout can be told"),
    }
}

/// The settings of a command: KEY=VALUE.
pub(crate) fn settings<'a>(words: &[&'a str]) -> BTreeMap<&'a str, &'a str> {
    words.iter().map(|word| word.split_once('=').unwrap_or((word, ""))).collect()
}

/// What `deploy NAME KEY=VALUE…` asks for.
pub(crate) fn spec(id: &ServiceId, settings: &BTreeMap<&str, &str>) -> ServiceSpec {
    let image = settings.get("image").map_or(1, |number| number.parse().unwrap());
    let mut spec = specs::spec_of(&"ops/plain".parse().unwrap(), image, 1);
    spec.id = id.clone();
    spec.budget = Budget::Usual;
    spec.update.parallelism = 1;
    spec.update.tolerance = Tolerance::default();
    spec.mode = Mode::Replicated { replicas: 1 };
    let mut canary = None;
    let (mut hold, mut promotion) = (Duration::from_secs(300), Promotion::Automatic);
    for (key, value) in settings {
        match *key {
            "image" => {}
            "replicas" => spec.mode = Mode::Replicated { replicas: value.parse().unwrap() },
            "global" => spec.mode = Mode::Global,
            "order" if *value == "stop-first" => spec.update.order = UpdateOrder::StopFirst,
            "parallelism" => spec.update.parallelism = value.parse().unwrap(),
            "monitor" => spec.update.monitor = duration(value),
            "delay" => spec.update.delay = duration(value),
            "deadline" => spec.update.progress_deadline = duration(value),
            "ratio" => spec.update.max_failure_permille = value.parse::<u32>().unwrap() * 10,
            "at-least" => {
                let tolerance = spec.update.tolerance;
                spec.update.tolerance = Tolerance { at_least: value.parse().unwrap(), ..tolerance };
            }
            "at-most" => {
                let at_most = Some(value.parse().unwrap());
                spec.update.tolerance = Tolerance { at_most, ..spec.update.tolerance };
            }
            "failing" if *value == "pauses" => spec.update.on_failure = FailureAction::Pause,
            "failing" if *value == "continues" => spec.update.on_failure = FailureAction::Continue,
            "canary" => canary = Some(amount(value)),
            "hold" => hold = duration(value),
            "promote" if *value == "manual" => promotion = Promotion::Manual,
            "min-available" => spec.budget = Budget::MinAvailable(amount(value)),
            "max-unavailable" => spec.budget = Budget::MaxUnavailable(amount(value)),
            "cpus" => {
                let millis = value.parse::<u64>().unwrap() * 1_000;
                spec.task.containers[0].reservation.cpu_millis = millis;
            }
            "on" => {
                spec.task.constraints.push(format!("node.id == {value}").parse().unwrap());
            }
            _ => panic!("{key}={value} is nothing that a service can be"),
        }
    }
    spec.update.canary = canary.map(|slots| Canary { slots, hold, promotion });
    spec
}
