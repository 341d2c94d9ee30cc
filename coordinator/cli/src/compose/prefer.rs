//! What a service would rather have of the nodes of its tasks: `deploy.placement.preferences` and `prefer` of `x-wharf`.

use std::collections::BTreeMap;

use model::constraint::Attribute;
use model::preference::{PREFERENCES_LIMIT, SHARES_LIMIT, WEIGHT, WEIGHT_LIMIT};
use model::suggest;
use proto::wire::preference::Of;
use proto::wire::service_spec::Mode;
use proto::wire::{Preference, SpreadOver};

use super::keys::{PREFERENCE, WISH};
use super::node::Node;
use super::placement::constraint;
use super::problems::Problems;
use super::section::Section;
use super::values;

/// In Compose the first spread decides, and the next ones where it does not: each weighs a tenth of the one before.
const IN_ORDER: [u32; 3] = [100, 10, 1];

/// Reads all preferences of a service.
pub(super) fn read(
    problems: &mut Problems,
    (service, placement): (&Section<'_>, &Section<'_>),
    mode: Mode,
) -> Vec<Preference> {
    let wharf = service.section(problems, "x-wharf");
    let mut all = in_order(problems, placement);
    let wishes = wharf.read(problems, "prefer", values::list).unwrap_or_default();
    all.extend(wishes.iter().filter_map(|item| wish(problems, item)));
    let node = wharf.node("prefer").or_else(|| placement.node("preferences"));
    let Some(node) = node.filter(|_| !all.is_empty()) else { return all };
    if let Mode::Global(_) = mode {
        let message = "a global service has a task on each node, whatever it would rather have";
        problems.error(node.place, message).hint("use `deploy.placement.constraints`");
    }
    if all.len() > PREFERENCES_LIMIT {
        let message =
            format!("{} preferences are more than the {PREFERENCES_LIMIT} allowed", all.len());
        problems.error(node.place, message).hint("keep those that matter most");
    }
    all
}

/// Reads `preferences`, as Swarm has them. That tasks are spread over zones needs no saying.
fn in_order(problems: &mut Problems, placement: &Section<'_>) -> Vec<Preference> {
    let items = placement.read(problems, "preferences", values::list).unwrap_or_default();
    let mut spreads = Vec::new();
    for item in items {
        let section = Section::new(problems, item, PREFERENCE);
        spreads.extend(section.read(problems, "spread", attribute));
    }
    let is_usual = |over: &Attribute| match over {
        Attribute::Zone => true,
        Attribute::Label(key) => key == "zone",
        _ => false,
    };
    if spreads.len() == 1 && spreads.first().is_some_and(is_usual) {
        return Vec::new();
    }
    if let Some(node) = placement.node("preferences").filter(|_| spreads.len() > IN_ORDER.len()) {
        let message = format!("more than {} spreads, one within the other", IN_ORDER.len());
        problems.error(node.place, message).hint("give each a weight: `x-wharf.prefer`");
    }
    let spread = |(over, weight): (Attribute, u32)| {
        let of = SpreadOver { attribute: name(&over), shares: BTreeMap::new() };
        Preference { weight, of: Some(Of::Spread(of)) }
    };
    spreads.into_iter().zip(IN_ORDER).map(spread).collect()
}

fn wish(problems: &mut Problems, item: &Node) -> Option<Preference> {
    let section = Section::new(problems, item, WISH);
    let weight = section.read(problems, "weight", |problems, node| {
        values::whole(problems, node, 1..=i64::from(WEIGHT_LIMIT))
    });
    let weight = weight.and_then(|weight| u32::try_from(weight).ok()).unwrap_or(WEIGHT);
    let of = match (section.node("nodes"), section.node("spread")) {
        (Some(nodes), None) => {
            let (wish, place) = constraint(problems, nodes)?;
            if let Some(shares) = section.node("shares") {
                let message = "shares are of a spread";
                problems.error(shares.place, message).hint("take `shares` out");
            }
            if wish.needs_images() {
                let message = "nodes that have the images already are preferred anyway";
                problems.error(place, message).hint("take `image.present` out");
                return None;
            }
            Of::Nodes(wish.to_string())
        }
        (None, Some(over)) => {
            let over = attribute(problems, over)?;
            Of::Spread(SpreadOver { attribute: name(&over), shares: shares(problems, &section) })
        }
        (None, None) | (Some(_), Some(_)) => {
            let message = "a preference says either which nodes, or over what tasks are spread";
            let hint = "write `nodes: node.labels.disk == ssd` or `spread: node.labels.rack`";
            problems.error(item.place, message).hint(hint);
            return None;
        }
    };
    Some(Preference { weight, of: Some(of) })
}

/// Reads `shares`: percent of the tasks by value.
fn shares(problems: &mut Problems, section: &Section<'_>) -> BTreeMap<String, u32> {
    let Some(node) = section.node("shares") else { return BTreeMap::new() };
    let mut shares = BTreeMap::new();
    for entry in node.entries() {
        let text = values::text(problems, &entry.value).unwrap_or_default();
        let number = text.strip_suffix('%').unwrap_or(text).trim_end();
        match number.parse::<u32>().ok().filter(|share| *share <= 100) {
            Some(share) => drop(shares.insert(entry.key.clone(), share)),
            None => {
                let message = format!("`{text}` is no share");
                problems.error(entry.value.place, message).hint("write it as in `70%`");
            }
        }
    }
    let all: u32 = shares.values().sum();
    if all > 100 {
        let message = format!("the shares are {all} percent together, and 100 are all");
        problems.error(node.place, message).hint("what they leave is for all other values");
    }
    if shares.len() > SHARES_LIMIT {
        let message = format!("{} shares are more than the {SHARES_LIMIT} allowed", shares.len());
        problems.error(node.place, message).hint("what they leave is for all other values");
    }
    shares
}

fn attribute(problems: &mut Problems, node: &Node) -> Option<Attribute> {
    let text = values::text(problems, node)?;
    let found = Attribute::named(text);
    if found.is_none() {
        let hint = match suggest::nearest(text, Attribute::names()) {
            Some(known) => format!("did you mean `{known}`?"),
            None => "write it as in `node.labels.rack` or `node.instance_type`".to_owned(),
        };
        problems.error(node.place, format!("`{text}` is no attribute of a node")).hint(hint);
    }
    found
}

/// As the contract has it: whatever is in the key of a label stands there as it is.
fn name(attribute: &Attribute) -> String {
    match attribute {
        Attribute::Label(key) => format!("node.labels.{key}"),
        other => other.to_string(),
    }
}
