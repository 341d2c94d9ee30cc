//! On which nodes a service can run.

use proto::wire::{Constraint, ConstraintOperator};

use super::keys::PREFERENCE;
use super::node::Node;
use super::problems::Problems;
use super::section::Section;
use super::values;

/// Reads `constraints`.
pub(super) fn constraints(problems: &mut Problems, placement: &Section<'_>) -> Vec<Constraint> {
    let items = placement.read(problems, "constraints", values::list).unwrap_or_default();
    items.iter().filter_map(|item| constraint(problems, item)).collect()
}

/// Checks `preferences`: only what happens anyway can be asked for.
pub(super) fn check_preferences(problems: &mut Problems, placement: &Section<'_>) {
    let items = placement.read(problems, "preferences", values::list).unwrap_or_default();
    for item in items {
        let section = Section::new(problems, item, PREFERENCE);
        let spread = section.read(problems, "spread", values::text);
        if !matches!(spread, None | Some("node.zone" | "node.labels.zone")) {
            let message = "only a spread over `node.zone` is supported, and it is done anyway";
            let hint = "leave it out, or divide the service into several with `constraints`";
            problems.error(item.place, message).hint(hint);
        }
    }
}

fn constraint(problems: &mut Problems, item: &Node) -> Option<Constraint> {
    let text = values::text(problems, item)?;
    let (attribute, operator, value) = match (text.split_once("=="), text.split_once("!=")) {
        (Some((attribute, value)), None) => (attribute, ConstraintOperator::Equal, value),
        (None, Some((attribute, value))) => (attribute, ConstraintOperator::NotEqual, value),
        (Some(_), Some(_)) | (None, None) => {
            let message = format!("`{text}` is not a constraint");
            problems.error(item.place, message).hint("write it as in `node.labels.disk == ssd`");
            return None;
        }
    };
    let (attribute, value) = (attribute.trim(), value.trim());
    if let Err(hint) = check_attribute(attribute) {
        let message = format!("`{attribute}` can not be a constraint");
        problems.error(item.place, message).hint(hint);
        return None;
    }
    if value.is_empty() {
        let message = format!("`{attribute}` is compared with nothing");
        problems.error(item.place, message).hint("write it as in `node.labels.disk == ssd`");
        return None;
    }
    Some(Constraint {
        attribute: attribute.to_owned(),
        operator: operator.into(),
        value: value.to_owned(),
    })
}

fn check_attribute(attribute: &str) -> Result<(), &'static str> {
    match attribute {
        "node.id" | "node.hostname" | "node.zone" | "node.platform.arch" => Ok(()),
        "node.role" => Err("leave it out; every node can run services"),
        "node.platform.os" => Err("leave it out; every node runs Linux"),
        _ => match attribute.strip_prefix("node.labels.") {
            Some(label) if !label.is_empty() && !label.contains(char::is_whitespace) => Ok(()),
            Some(_) | None => Err(
                "use `node.id`, `node.hostname`, `node.zone`, `node.platform.arch` or `node.labels.KEY`",
            ),
        },
    }
}
