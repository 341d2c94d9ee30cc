//! What a service waits for.

use proto::wire::DependencyCondition;

use super::keys::DEPENDENCY;
use super::node::{Node, Value};
use super::place::Place;
use super::problems::Problems;
use super::section::Section;
use super::values;

/// A service that another one waits for.
#[derive(Debug)]
pub(super) struct Wait {
    pub on: String,
    pub condition: DependencyCondition,
    /// Whether the other service has to be part of the project.
    pub is_required: bool,
    pub place: Place,
}

/// Reads `depends_on`.
pub(super) fn read(problems: &mut Problems, node: &Node) -> Option<Vec<Wait>> {
    match &node.value {
        Value::Sequence(items) => {
            let names =
                items.iter().filter_map(|item| Some((values::text(problems, item)?, item.place)));
            let waits = names.map(|(name, place)| Wait {
                on: name.to_owned(),
                condition: DependencyCondition::Started,
                is_required: true,
                place,
            });
            Some(waits.collect())
        }
        Value::Mapping(entries) => {
            let waits = entries.iter().map(|entry| {
                let section = Section::new(problems, &entry.value, DEPENDENCY);
                let condition = section.read(problems, "condition", condition);
                Wait {
                    on: entry.key.clone(),
                    condition: condition.unwrap_or(DependencyCondition::Started),
                    is_required: section.flag(problems, "required").unwrap_or(true),
                    place: entry.key_place,
                }
            });
            Some(waits.collect())
        }
        Value::Scalar(_) => {
            values::expected(problems, node, "a list or a mapping");
            None
        }
    }
}

fn condition(problems: &mut Problems, node: &Node) -> Option<DependencyCondition> {
    match values::text(problems, node)? {
        "service_started" => Some(DependencyCondition::Started),
        "service_healthy" => Some(DependencyCondition::Healthy),
        "service_completed_successfully" => Some(DependencyCondition::Completed),
        other => {
            let message = format!("`{other}` is not a condition");
            let hint =
                "write `service_started`, `service_healthy` or `service_completed_successfully`";
            problems.error(node.place, message).hint(hint);
            None
        }
    }
}
