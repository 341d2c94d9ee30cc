//! Reads what begins a bake by itself.

use model::bake::{APART_USUAL, LOOK_USUAL, SHORTEST};
use model::schedule::Zone;
use proto::wire;

use super::super::job;
use super::super::node::{Node, Value};
use super::super::problems::Problems;
use super::super::values;
use super::{given, only};

const TRIGGERS: &[&str] = &["schedule", "base", "images", "agent", "age", "apart", "look", "then"];
const SCHEDULE: &[&str] = &["cron", "time_zone"];
/// The longest age that can be waited for, in days: longer is a slip of the hand.
const DAYS_MOST: u64 = 365;

pub(super) fn read(problems: &mut Problems, node: &Node) -> Option<wire::BakeTriggers> {
    only(problems, node, TRIGGERS)?;
    let begins = ["schedule", "base", "images", "agent", "age"];
    if begins.iter().all(|name| given(node, name).is_none()) {
        let message = "nothing here begins a bake";
        problems.error(node.place, message).hint(format!("add one of {}", begins.join(", ")));
    }
    let (recurrence, time_zone) =
        given(node, "schedule").and_then(|node| schedule(problems, node)).unwrap_or_default();
    let millis =
        |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let long = |problems: &mut Problems, name: &str| {
        given(node, name).and_then(|node| long(problems, node))
    };
    Some(wire::BakeTriggers {
        recurrence,
        time_zone,
        base_moved: is(problems, node, ("base", "moved")),
        images_percent: given(node, "images")
            .and_then(|node| percent(problems, node))
            .unwrap_or_default(),
        agent_newer: is(problems, node, ("agent", "newer")),
        age_ms: long(problems, "age").unwrap_or_default(),
        apart_ms: long(problems, "apart").unwrap_or_else(|| millis(APART_USUAL)),
        look_ms: long(problems, "look").unwrap_or_else(|| millis(LOOK_USUAL)),
        then_refresh: is(problems, node, ("then", "refresh")),
    })
}

/// Whether a key is there and says the one word that it can say.
fn is(problems: &mut Problems, node: &Node, (name, word): (&str, &str)) -> bool {
    let Some(node) = given(node, name) else { return false };
    match values::text(problems, node) {
        Some(text) if text == word => true,
        Some(text) => {
            let message = format!("`{name}` is `{word}` or left out, and not `{text}`");
            problems.error(node.place, message).hint(format!("write `{name}: {word}`"));
            false
        }
        None => false,
    }
}

fn schedule(problems: &mut Problems, node: &Node) -> Option<(String, String)> {
    let utc = Zone::utc().to_string();
    if let Value::Scalar(_) = &node.value {
        return Some((job::recurrence(problems, node)?.to_string(), utc));
    }
    only(problems, node, SCHEDULE)?;
    let Some(cron) = given(node, "cron") else {
        let message = "a schedule without `cron`";
        problems.error(node.place, message).hint("add when it bakes, as in `cron: 30 3 * * sun`");
        return None;
    };
    let cron = job::recurrence(problems, cron)?.to_string();
    let zone = given(node, "time_zone").map(|node| job::zone(problems, node));
    match zone {
        None => Some((cron, utc)),
        Some(zone) => Some((cron, zone?.to_string())),
    }
}

fn percent(problems: &mut Problems, node: &Node) -> Option<u32> {
    let text = values::text(problems, node)?;
    let number = text.strip_suffix('%').and_then(|digits| digits.parse::<u32>().ok());
    let number = number.filter(|number| (1..=100).contains(number));
    if number.is_none() {
        let message = format!("`{text}` is not from 1% to 100%");
        problems.error(node.place, message).hint("write `images: 20%`");
    }
    number
}

/// A time like `15m`, or days like `7d`.
fn long(problems: &mut Problems, node: &Node) -> Option<u64> {
    let text = values::text(problems, node)?;
    let days = text.strip_suffix('d').and_then(|digits| digits.parse::<u64>().ok());
    let millis = match days {
        Some(days) if days <= DAYS_MOST => days * 24 * 3_600_000,
        Some(_) => {
            problems
                .error(node.place, format!("`{text}` is longer than a year"))
                .hint("write `7d`");
            return None;
        }
        None => values::some_duration_ms(problems, node)?,
    };
    if millis < u64::try_from(SHORTEST.as_millis()).unwrap_or(u64::MAX) {
        let message = format!("`{text}` is shorter than {} s", SHORTEST.as_secs());
        problems.error(node.place, message).hint("write `15m` or `7d`");
        return None;
    }
    Some(millis)
}
