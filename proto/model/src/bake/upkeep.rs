//! When bakes of a recipe begin by themselves, and what is known of those that did.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Recipe;
use crate::id::{AmiId, BakeId};
use crate::schedule::Schedule;
use crate::time::Timestamp;

/// So many recipes are kept up at most: an account has a handful of kinds of machines, and each of them is looked after.
pub const UPKEEPS_LIMIT: usize = 50;
/// Bakes that begin by themselves are so far apart when it is not said.
pub const APART_USUAL: Duration = Duration::from_secs(3_600);
/// What can be a reason is looked at so often when it is not said.
pub const LOOK_USUAL: Duration = Duration::from_secs(15 * 60);
/// Neither is shorter than this: a bake takes longer, and SSM is asked by others too.
pub const SHORTEST: Duration = Duration::from_secs(60);
/// After bakes that failed the next one begins no later than this, however many they were: a recipe that always fails launches
/// one builder a day, and one that only met a bad week is not forgotten.
pub const LATEST_RETRY: Duration = Duration::from_secs(24 * 3_600);

/// When a bake of a recipe begins by itself: each of these is enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Triggers {
    /// At these times. Of those that passed while nobody could look the newest has its bake late.
    pub schedule: Option<Schedule>,
    /// The base is another image than the one that the newest published image began with.
    pub base_moved: bool,
    /// Of the bytes of container images that would go in now the newest published image lacks so many in a hundred.
    pub images_percent: Option<u32>,
    /// The agent of the newest published image is older than the coordinator.
    pub agent_newer: bool,
    /// The newest published image is so old.
    pub age: Option<Duration>,
    /// From one that begins by itself to the next it takes at least so long.
    pub apart: Duration,
    /// So often it is looked at what can be a reason.
    pub look: Duration,
    /// Whether the pools that it publishes for are refreshed with what comes of it.
    pub then_refresh: bool,
}

impl Default for Triggers {
    fn default() -> Self {
        Self {
            schedule: None,
            base_moved: false,
            images_percent: None,
            agent_newer: false,
            age: None,
            apart: APART_USUAL,
            look: LOOK_USUAL,
            then_refresh: false,
        }
    }
}

impl Triggers {
    /// Says whether there is no reason for which a bake would begin by itself.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.schedule.is_none() && !self.wants_image()
    }

    /// Says whether an image has to be there: what it lacks, or how old it is, is a reason for another.
    #[must_use]
    pub const fn wants_image(&self) -> bool {
        self.base_moved || self.images_percent.is_some() || self.agent_newer || self.age.is_some()
    }
}

/// Why a bake has begun.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Cause {
    /// An operator wanted it.
    #[default]
    Asked,
    /// There was no image of the recipe yet.
    First,
    /// This time of its schedule had come.
    Due(Timestamp),
    /// The base was another image by then.
    Base {
        /// What the newest published image began with.
        from: AmiId,
        /// What it was found to be.
        to: AmiId,
    },
    /// So many in a hundred of the bytes that would go in were not in the newest published image.
    Images(u32),
    /// The agent of the newest published image was older than the coordinator.
    Agent {
        /// Of the image.
        from: String,
        /// Of the coordinator.
        to: String,
    },
    /// The newest published image was published then, and that was too long ago.
    Age(Timestamp),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked => f.write_str("an operator wanted it"),
            Self::First => f.write_str("there is no image of it yet"),
            Self::Due(at) => write!(f, "its time has come: {at}"),
            Self::Base { from, to } => write!(f, "its base has moved from {from} to {to}"),
            Self::Images(percent) => write!(
                f,
                "{percent} % of the bytes of images that would go in are not in the newest image"
            ),
            Self::Agent { from, to } => {
                write!(f, "the agent of the newest image is {from}, and the coordinator {to}")
            }
            Self::Age(at) => write!(f, "the newest image is of {at}, and too old"),
        }
    }
}

/// A recipe of which bakes begin by themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upkeep {
    /// How, and when.
    pub recipe: Arc<Recipe>,
    /// Since when.
    pub since: Timestamp,
    /// Whether an operator has it stand still.
    pub is_paused: bool,
    /// Times of its schedule up to here are dealt with.
    pub dealt_until: Timestamp,
    /// The time of its schedule that still has to have its bake.
    pub due: Option<Timestamp>,
    /// The bake that is to begin, and will whoever leads.
    pub begins: Option<Begins>,
    /// The last one that has.
    pub last: Option<Begun>,
    /// How many have failed since one was published.
    pub failures: u32,
    /// What is still to be refreshed with what came of the last.
    pub spreads: Option<Spread>,
}

/// A bake that is to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begins {
    /// Which.
    pub bake: BakeId,
    /// Why.
    pub cause: Cause,
}

/// A bake that has begun by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// Which.
    pub bake: BakeId,
    /// Why.
    pub cause: Cause,
    /// When.
    pub at: Timestamp,
    /// Of what release the coordinator was then; empty when that was not known.
    pub release: String,
    /// How it has ended, once it has.
    pub outcome: Option<Outcome>,
}

/// How a bake has ended that began by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// There is an image.
    Published,
    /// There is none.
    Failed,
    /// An operator has ended it.
    Removed,
}

impl Outcome {
    /// The word for it that operators see.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Failed => "failed",
            Self::Removed => "removed",
        }
    }
}

/// Pools that are to be refreshed with an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spread {
    /// Which image.
    pub ami: AmiId,
    /// The pools, each with the number of its refresh once that is decided.
    pub pools: BTreeMap<String, Option<u64>>,
}

impl Upkeep {
    /// The first instant at which another bake may begin by itself: after failures later each time.
    #[must_use]
    pub fn not_before(&self) -> Timestamp {
        let Some(last) = &self.last else { return self.since };
        let apart = self.recipe.triggers.apart;
        let longer = apart.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX));
        last.at + longer.min(LATEST_RETRY.max(apart))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]
mod tests {
    use super::*;
    use crate::bake::{Architecture, BaseSource, ImageSet, Launch, Publish, Trial};

    fn upkeep(failures: u32, apart: Duration) -> Upkeep {
        let recipe = Recipe {
            name: "web".parse().unwrap(),
            base: BaseSource::Parameter("/base".to_owned()),
            architecture: Architecture::X86_64,
            launch: Launch {
                instance_type: "m7i.large".to_owned(),
                subnet: None,
                security_groups: Vec::new(),
                profile: None,
                coordinator: "10.0.0.1:7421".to_owned(),
                agent: None,
            },
            steps: Vec::new(),
            images: ImageSet { what_runs: false, extra: Vec::new(), budget_bytes: 0 },
            trial: Trial { scripts: Vec::new(), within: Duration::from_secs(60) },
            publish: Publish::default(),
            triggers: Triggers { apart, ..Triggers::default() },
        };
        Upkeep {
            recipe: Arc::new(recipe),
            since: Timestamp::from_millis(0),
            is_paused: false,
            dealt_until: Timestamp::from_millis(0),
            due: None,
            begins: None,
            last: Some(Begun {
                bake: "web-1".parse().unwrap(),
                cause: Cause::First,
                at: Timestamp::from_millis(0),
                release: String::new(),
                outcome: None,
            }),
            failures,
            spreads: None,
        }
    }

    #[test]
    fn each_failure_doubles_the_distance_up_to_a_day_and_never_halves_it() {
        let hour = Duration::from_secs(3_600);
        let hours =
            |failures, apart| upkeep(failures, hour * apart).not_before().as_millis() / 3_600_000;
        assert_eq!([0, 1, 2, 4, 5, 40].map(|failures| hours(failures, 1)), [1, 2, 4, 16, 24, 24]);
        assert_eq!([0, 1, 40].map(|failures| hours(failures, 48)), [48, 48, 48]);
        assert_eq!(Upkeep { last: None, ..upkeep(9, hour) }.not_before().as_millis(), 0);
    }
}
