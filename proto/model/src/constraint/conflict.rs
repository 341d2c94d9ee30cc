//! Constraints that no node can meet, whatever it is.

use super::{Constraint, Order, Test};

/// Two constraints of a list of which no node can meet both, by their places. Both are the same when one alone is too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conflict {
    /// The earlier one.
    pub first: usize,
    /// The later one.
    pub second: usize,
}

/// Finds constraints that contradict each other: values that exclude each other, versions that leave nothing between, or
/// the same with `not`. It does not see everything, and what it sees is certain.
#[must_use]
pub fn conflict(all: &[&Constraint]) -> Option<Conflict> {
    let mut parts = Vec::new();
    all.iter().enumerate().for_each(|(index, one)| flatten(index, one, &mut parts));
    let later = |at: usize| parts.get(at + 1..).unwrap_or_default();
    parts.iter().enumerate().find_map(|(at, (first, one))| {
        let found = later(at).iter().find(|(_, other)| excludes(one, other));
        found.map(|(second, _)| Conflict { first: *first, second: *second })
    })
}

fn flatten<'a>(index: usize, one: &'a Constraint, parts: &mut Vec<(usize, &'a Constraint)>) {
    match one {
        Constraint::All(inner) => inner.iter().for_each(|part| flatten(index, part, parts)),
        Constraint::Of(..)
        | Constraint::ImagePresent(_)
        | Constraint::Not(_)
        | Constraint::Any(_) => parts.push((index, one)),
    }
}

fn excludes(one: &Constraint, other: &Constraint) -> bool {
    let is_not = |one: &Constraint, other: &Constraint| matches!(one, Constraint::Not(inner) if **inner == *other);
    if is_not(one, other) || is_not(other, one) {
        return true;
    }
    match (one, other) {
        (Constraint::Of(attribute, one), Constraint::Of(same, other)) => {
            attribute == same
                && (refuses_all(one, other)
                    || refuses_all(other, one)
                    || leaves_nothing(one, other))
        }
        (_, _) => false,
    }
}

/// The attribute has one of a few values, and none of them is as the other wants it.
fn refuses_all(one: &Test, other: &Test) -> bool {
    let values = match one {
        Test::Equal(value) => std::slice::from_ref(value),
        Test::In(values) => values.as_slice(),
        Test::NotEqual(_)
        | Test::NotIn(_)
        | Test::Matches(_)
        | Test::NotMatches(_)
        | Test::Compares(..) => return false,
    };
    !values.iter().any(|value| other.accepts(Some(value)))
}

/// The one wants less than the other wants at least.
fn leaves_nothing(one: &Test, other: &Test) -> bool {
    let (Test::Compares(one_way, one), Test::Compares(other_way, other)) = (one, other) else {
        return false;
    };
    let is_upper = |order: &Order| matches!(order, Order::Less | Order::AtMost);
    let (upper, most, lower, least) = match (is_upper(one_way), is_upper(other_way)) {
        (true, false) => (one_way, one, other_way, other),
        (false, true) => (other_way, other, one_way, one),
        (true, true) | (false, false) => return false,
    };
    let is_open = *upper == Order::Less || *lower == Order::Greater;
    let order = least.order(most);
    order.is_gt() || is_open && order.is_eq()
}
