//! Messages become the model and back: the only place. What comes out of here towards the model is valid.

mod assignment;
mod audit;
mod bake;
mod checks;
mod constraint;
mod container;
mod fleet;
mod history;
mod images;
mod job;
mod outlook;
mod policy;
mod preference;
mod refresh;
mod release;
mod rollout;
mod secret;
mod spec;
mod status;
mod stock;
mod task;
mod traffic;
mod trust;
mod unreachable;

use std::str::FromStr;

use model::id::NameError;
use model::image::ImageError;
use thiserror::Error;

pub use assignment::{
    WireAssignment, assignment_from_wire, assignment_to_journal, assignments_from_wire,
    assignments_to_wire,
};
pub use audit::{act_from_wire, act_to_wire};
pub use bake::{
    ami_from_wire, ami_to_wire, bake_base_from_wire, bake_from_wire, bake_to_wire, base_to_wire,
    chosen_from_wire, chosen_to_wire, facts_from_wire, facts_to_wire, recipe_from_wire,
    recipe_to_wire, script_to_wire, step_to_wire, upkeep_from_wire, upkeep_to_wire,
};
pub use constraint::{constraint_from_wire, constraint_to_wire};
pub use fleet::{
    group_to_wire, headroom_from_wire, hook_call_from_wire, hook_call_to_wire, hook_from_wire,
    hook_id_from_wire, hook_to_wire, instance_to_wire, notice_from_wire, notice_to_wire,
    pool_from_wire, pool_name_from_wire, pool_policy_from_wire, pool_policy_to_wire, pool_to_wire,
    survey_from_wire, survey_to_wire, transition_from_wire, transition_to_wire, windows_from_wire,
    windows_to_wire,
};
pub use history::{generation_from_wire, generation_to_wire, service_from_wire, service_to_wire};
pub use history::{task_from_wire, task_to_wire};
pub use images::{image_policy_from_wire, image_policy_to_wire};
pub use outlook::{
    outlook_from_agent, outlook_from_wire, outlook_to_agent, outlook_to_wire, precaution_from_wire,
    precaution_to_wire,
};
pub use policy::{permit_from_wire, permit_to_wire, profile_from_wire, profile_to_wire};
pub use refresh::{
    blueprint_from_wire, blueprint_to_wire, freeze_from_wire, freeze_to_wire, reason_from_wire,
    refresh_from_wire, refresh_id_from_wire, refresh_policy_from_wire, refresh_policy_to_wire,
    refresh_to_wire,
};
pub use release::{go_back_from_wire, go_back_to_wire};
pub use rollout::{steering_from_wire, steering_to_wire};
pub use secret::{
    allowance_from_wire, allowance_to_wire, owners_from_wire, secret_from_wire, secret_to_wire,
    secret_version_from_wire, secret_version_to_wire,
};
pub use spec::{image_from_wire, image_to_wire, resources_to_wire, spec_from_wire, spec_to_wire};
pub use status::{
    containers_from_wire, containers_to_wire, drain_cause_from_wire, drain_cause_to_wire,
    node_from_wire, node_to_wire, state_from_wire, state_to_wire,
};
pub use stock::{LAYERS_LIMIT, STOCK_LIMIT, stock_from_wire, stock_to_wire};
pub use task::{task_spec_from_wire, task_spec_to_wire};
pub use traffic::{
    look_from_wire, look_to_wire, registration_from_wire, registration_to_wire, target_from_wire,
    target_health_to_wire,
};
pub use trust::{
    admission_from_wire, admission_to_wire, operator_from_wire, operator_to_wire, role_from_wire,
    token_from_wire, token_to_wire,
};
pub use unreachable::{unreachable_from_wire, unreachable_to_wire};

/// Why a message is not a valid value: where in it, and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{path}: {why}")]
pub struct Invalid {
    /// From the outside in, dots between: `task.containers.web.ports`.
    pub path: String,
    /// What is wrong there, and what would be right.
    pub why: String,
}

impl Invalid {
    pub(crate) fn new(path: &str, why: impl Into<String>) -> Self {
        Self { path: path.to_owned(), why: why.into() }
    }

    pub(crate) fn within(self, outer: &str) -> Self {
        Self { path: format!("{outer}.{}", self.path), why: self.why }
    }
}

pub(crate) type Valid<T> = Result<T, Invalid>;

/// Adds where it is to an error that only says what is wrong.
pub(crate) trait At<T> {
    fn at(self, path: &str) -> Valid<T>;
}

/// Reads a name.
pub(crate) trait Named {
    fn named<T: FromStr<Err = NameError>>(&self, path: &str) -> Valid<T>;
}

impl Named for str {
    fn named<T: FromStr<Err = NameError>>(&self, path: &str) -> Valid<T> {
        self.parse().map_err(|error: NameError| Invalid::new(path, error.to_string()))
    }
}

impl<T> At<T> for Result<T, ImageError> {
    fn at(self, path: &str) -> Valid<T> {
        self.map_err(|error| Invalid::new(path, error.to_string()))
    }
}

/// A part that a message of its kind always has.
impl<T> At<T> for Option<T> {
    fn at(self, path: &str) -> Valid<T> {
        self.ok_or_else(|| {
            Invalid::new(path, "is missing, or has a value that this version does not know")
        })
    }
}
