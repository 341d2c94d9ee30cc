//! Why what a rollout tries can not be had.

use std::fmt;

use model::id::ServiceId;

/// Why what a rollout tries can not be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrialRefusal {
    /// Nothing is tried, or no more.
    Nothing,
    /// What is tried is not known to be good yet.
    Moves,
    /// What was promoted does not have all requests yet.
    Switches,
    /// Two generations of the service can not be up as a whole.
    NotBlueGreen(&'static str),
}

impl TrialRefusal {
    pub(super) fn say(self, f: &mut fmt::Formatter<'_>, id: &ServiceId) -> fmt::Result {
        match self {
            Self::Nothing => write!(f, "{id} tries nothing that waits to be promoted"),
            Self::Moves => write!(
                f,
                "what is new of {id} has not settled yet: wait until it has, or abort the rollout"
            ),
            Self::Switches => write!(
                f,
                "{id} is being switched already: wait until its load balancers send requests to all new tasks, or abort the rollout"
            ),
            Self::NotBlueGreen(why) => {
                write!(f, "{id} can not have `x-wharf.blue_green`: {why}")
            }
        }
    }
}
