//! What a service would rather have of the nodes of its tasks, and what that is worth to it.
//!
//! Each preference has a price. A node that lacks what is wished for costs the weight of the wish. A spread costs its
//! weight for each task that is there already and has the same value of the attribute, so that a task more on one value than
//! on another is worth as much as its weight says. A task goes where that is least in all.

use std::collections::BTreeMap;

use crate::constraint::{Attribute, Constraint};

/// One thing that a service would rather have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preference {
    /// What.
    pub of: Preferred,
    /// From 1 to [`WEIGHT_LIMIT`].
    pub weight: u32,
}

/// What a service would rather have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Preferred {
    /// Nodes of which this holds. It asks for no images: nodes that have them are preferred anyway.
    Nodes(Constraint),
    /// Tasks on nodes of each value of an attribute, in proportion.
    Spread(Spread),
}

/// How tasks are divided among the values of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spread {
    /// Nodes that do not have it are those of one more value.
    pub over: Attribute,
    /// How many percent of the tasks go to each value, 100 at most in all. The other values have what is left, together. None:
    /// as many to each.
    pub shares: BTreeMap<String, u32>,
}

/// So many preferences a service has at most: what nobody can reckon in his head nobody can expect either.
pub const PREFERENCES_LIMIT: usize = 8;
/// The most that a preference weighs, as with Nomad's affinities.
pub const WEIGHT_LIMIT: u32 = 100;
/// What it weighs when nothing is said.
pub const WEIGHT: u32 = 50;
/// So many values have shares at most: a percent is the least of them.
pub const SHARES_LIMIT: usize = 100;

impl Preference {
    /// Says whether it can be followed.
    ///
    /// # Errors
    /// With a sentence about what is wrong.
    pub fn check(&self) -> Result<(), String> {
        if self.weight == 0 || self.weight > WEIGHT_LIMIT {
            return Err(format!("a weight is from 1 to {WEIGHT_LIMIT}"));
        }
        match &self.of {
            Preferred::Nodes(nodes) if nodes.needs_images() => {
                let why = "nodes that have the images already are preferred anyway";
                Err(format!("a preference does not ask for images: {why}"))
            }
            Preferred::Nodes(_) => Ok(()),
            Preferred::Spread(Spread { shares, .. }) => {
                let all = shares.values().map(|share| u64::from(*share)).sum::<u64>();
                if shares.len() > SHARES_LIMIT {
                    return Err(format!("{} shares are more than {SHARES_LIMIT}", shares.len()));
                }
                if all > 100 {
                    return Err(format!("the shares are {all} percent together, and 100 are all"));
                }
                Ok(())
            }
        }
    }
}

impl Spread {
    /// What a task of each value costs, as a multiple of what one of the largest share does; `None` for the values that
    /// are not named. What has no share is not refused: it costs a hundred times as much as a percent.
    #[must_use]
    pub fn price(&self, value: Option<&str>) -> Price {
        /// Hundredths of a percent, so that no share is not nothing.
        const FINE: u64 = 100;
        let named = || self.shares.values().map(|share| u64::from(*share));
        let rest = 100_u64.saturating_sub(named().sum());
        if self.shares.is_empty() {
            return Price { most: 1, own: 1 };
        }
        let own = value.and_then(|value| self.shares.get(value)).map(|share| u64::from(*share));
        let most = named().chain([rest]).max().unwrap_or(rest);
        Price { most: most * FINE, own: (own.unwrap_or(rest) * FINE).max(1) }
    }

    /// The value that a node counts for: those without a share are one.
    #[must_use]
    pub fn value<'a>(&self, value: Option<&'a str>) -> Option<&'a str> {
        value.filter(|value| self.shares.is_empty() || self.shares.contains_key(*value))
    }
}

/// The largest share and one's own: a task costs their quotient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Price {
    most: u64,
    own: u64,
}

impl Price {
    /// What the next of so many tasks costs, with this weight, in hundredths.
    #[must_use]
    pub const fn of(&self, weight: u32, tasks: u64) -> u64 {
        /// So fine are differences told apart.
        const HUNDREDTHS: u64 = 100;
        let all = (weight as u64 * HUNDREDTHS).saturating_mul(tasks.saturating_add(1));
        all.saturating_mul(self.most) / self.own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(shares: &[(&str, u32)]) -> Spread {
        let shares = shares.iter().map(|(value, share)| ((*value).to_owned(), *share)).collect();
        Spread { over: Attribute::Label("rack".to_owned()), shares }
    }

    /// Where ten tasks go, one after the other, each to the least price.
    fn dealt(spread: &Spread, values: &[Option<&'static str>]) -> Vec<usize> {
        let mut tasks = vec![0_usize; values.len()];
        for _ in 0..10 {
            let price = |at: &usize| spread.price(values[*at]).of(1, tasks[*at] as u64);
            let least = (0..values.len()).min_by_key(price).unwrap();
            tasks[least] += 1;
        }
        tasks
    }

    #[test]
    fn tasks_are_dealt_in_proportion() {
        let two = [Some("a"), Some("b")];
        assert_eq!(dealt(&spread(&[]), &two), [5, 5]);
        assert_eq!(dealt(&spread(&[("a", 70), ("b", 30)]), &two), [7, 3]);
        assert_eq!(dealt(&spread(&[("a", 80)]), &[Some("a"), None]), [8, 2]);
    }

    #[test]
    fn what_has_no_share_is_the_last_resort_and_nothing_overflows() {
        let all = spread(&[("a", 100), ("b", 0)]);
        assert_eq!(dealt(&all, &[Some("b"), Some("a"), None]), [0, 10, 0]);
        let price = all.price(Some("b"));
        assert!(price.of(WEIGHT_LIMIT, u64::MAX) > price.of(WEIGHT_LIMIT, 1 << 20));
    }

    #[test]
    fn values_without_a_share_are_one() {
        assert_eq!(spread(&[("a", 70)]).value(Some("c")), None);
        assert_eq!(spread(&[("a", 70)]).value(Some("a")), Some("a"));
        assert_eq!(spread(&[]).value(Some("c")), Some("c"));
    }

    #[test]
    fn what_nobody_can_follow_is_refused() {
        let check = |of, weight| Preference { of, weight }.check().map_err(|why| why.to_string());
        let ssd = || Preferred::Nodes("node.labels.disk == ssd".parse().unwrap());
        assert_eq!(check(ssd(), WEIGHT_LIMIT), Ok(()));
        assert!(check(ssd(), 0).is_err() && check(ssd(), WEIGHT_LIMIT + 1).is_err());
        let present = "node.zone == a and image.present(nginx)".parse().unwrap();
        assert!(check(Preferred::Nodes(present), 1).unwrap_err().contains("anyway"));
        let much = Preferred::Spread(spread(&[("a", 60), ("b", 41)]));
        assert!(check(much, 1).unwrap_err().contains("101 percent"));
    }
}
