//! What must hold of a node.
//!
//! One comparison with `==` or `!=` is written as 0.1 wrote it, and so is read by every release. Everything else is a text.

use model::constraint::{Attribute, Constraint, Test};

use crate::convert::checks::{quoted, word};
use crate::convert::{At, Invalid, Valid};
use crate::wire;

/// Reads a constraint.
///
/// # Errors
/// When it is none that this version knows.
pub fn constraint_from_wire(from: &wire::Constraint) -> Valid<Constraint> {
    use wire::ConstraintOperator as Wire;
    if !from.text.is_empty() {
        return constraint_from_text("task.constraints", &from.text);
    }
    let attribute = match Attribute::named(&from.attribute) {
        Some(Attribute::Label(key)) => Attribute::Label(word("task.constraints", &key)?),
        Some(attribute) => attribute,
        None => {
            let why = format!("{} is no attribute of a node", quoted(&from.attribute));
            return Err(Invalid::new("task.constraints", why));
        }
    };
    let value = word("task.constraints", &from.value)?;
    let test = match from.operator() {
        Wire::Equal => Test::Equal(value),
        Wire::NotEqual => Test::NotEqual(value),
        Wire::Unspecified => return None.at("task.constraints.operator"),
    };
    Ok(Constraint::Of(attribute, test))
}

/// Reads a constraint that is a text.
pub(crate) fn constraint_from_text(path: &str, text: &str) -> Valid<Constraint> {
    let text = word(path, text)?;
    text.parse().map_err(|error: model::constraint::ParseError| {
        let why = format!("at character {}: {error}; {}", error.position + 1, error.hint);
        Invalid::new(path, why)
    })
}

/// Writes a constraint.
#[must_use]
pub fn constraint_to_wire(constraint: &Constraint) -> wire::Constraint {
    use wire::ConstraintOperator as Wire;
    let text = || wire::Constraint { text: constraint.to_string(), ..wire::Constraint::default() };
    let Constraint::Of(attribute, test) = constraint else { return text() };
    let (operator, value) = match test {
        Test::Equal(value) => (Wire::Equal, value),
        Test::NotEqual(value) => (Wire::NotEqual, value),
        Test::In(_)
        | Test::NotIn(_)
        | Test::Matches(_)
        | Test::NotMatches(_)
        | Test::Compares(..) => return text(),
    };
    let name = match attribute {
        Attribute::Id => "node.id".to_owned(),
        Attribute::Hostname => "node.hostname".to_owned(),
        Attribute::Zone => "node.zone".to_owned(),
        Attribute::Arch => "node.platform.arch".to_owned(),
        Attribute::Label(key) => format!("node.labels.{key}"),
        // Unknown to 0.1, which says so of a text just as well.
        Attribute::Pool
        | Attribute::Ami
        | Attribute::InstanceType
        | Attribute::Os
        | Attribute::EngineVersion
        | Attribute::KernelVersion => return text(),
    };
    // Nothing is written there that 0.1 did not take: a label may have no value, and then there is only the text.
    if value.is_empty() {
        return text();
    }
    wire::Constraint {
        attribute: name,
        operator: operator.into(),
        value: value.clone(),
        text: String::new(),
    }
}
