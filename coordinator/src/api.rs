//! What others may say to the coordinator. It sends events and reads what is published; it decides nothing.

pub(crate) mod access;
mod audit;
pub(crate) mod bake;
mod builder;
pub(crate) mod control;
mod deploy;
mod differences;
pub(crate) mod dispatcher;
mod drain;
pub(crate) mod enrolment;
mod explain;
pub(crate) mod fleet;
mod images;
mod job;
mod pages;
mod references;
pub(crate) mod refresh;
mod relay;
pub(crate) mod release;
mod resolve;
mod rollout;
pub(crate) mod secret;
pub(crate) mod trust;
mod views;

use coordinator_core::event::{
    BakeRefusal, NoOrder, PoolRefusal, Refusal, Reply, SecretRefusal, TrialRefusal,
};
use proto::convert::Invalid;
use tonic::Status;

use crate::run::RunError;

/// The one place where what went wrong becomes a status.
pub(crate) fn status(error: &RunError) -> Status {
    match error {
        RunError::Busy => Status::resource_exhausted(error.to_string()),
        RunError::Stopped => Status::unavailable(error.to_string()),
        RunError::Store(_) => hinted(
            Status::unavailable(error.to_string()),
            "nothing was changed, and what runs goes on; try again when the store can be written",
        ),
    }
}

pub(crate) fn invalid(error: &Invalid) -> Status {
    Status::invalid_argument(error.to_string())
}

pub(crate) fn refused(refusal: &Refusal) -> Status {
    let message = refusal.to_string();
    match refusal {
        Refusal::Overtaken { .. } | Refusal::Pool(PoolRefusal::Overtaken(_)) => {
            Status::aborted(refusal.to_string())
        }
        Refusal::Secret(why) => refused_secret(why, message),
        Refusal::NoService(_)
        | Refusal::NoNode(_)
        | Refusal::NoGeneration(..)
        | Refusal::Bake(
            BakeRefusal::None(_)
            | BakeRefusal::NoAmi(_)
            | BakeRefusal::NoPool(_)
            | BakeRefusal::NoRecipe(_),
        )
        | Refusal::Pool(PoolRefusal::None(_)) => Status::not_found(message),
        Refusal::TooManyReplicas(_)
        | Refusal::LongDrain(_)
        | Refusal::Pool(
            PoolRefusal::Wait(_)
            | PoolRefusal::Policy(_)
            | PoolRefusal::OtherTemplates(..)
            | PoolRefusal::After(_, _, NoOrder::Itself)
            | PoolRefusal::FreezeOver(_),
        )
        | Refusal::DependencyCycle(_)
        | Refusal::NoDependency { .. }
        | Refusal::Trial(_, TrialRefusal::NotBlueGreen(_))
        | Refusal::Bake(BakeRefusal::NoTrigger(_))
        | Refusal::NamedTwice(_) => Status::invalid_argument(message),
        Refusal::RunInProgress(..) => hinted(
            Status::failed_precondition(message),
            "`wharf job history` shows it, and `wharf job stop` ends it",
        ),
        Refusal::NotJob(_) => hinted(
            Status::failed_precondition(message),
            "`wharf job ls` shows what has runs; `wharf run` runs a command in the image of any service",
        ),
        Refusal::Removing(_)
        | Refusal::NoSchedule(_)
        | Refusal::NoRun(_)
        | Refusal::NotReplicated(_)
        | Refusal::NothingToRollBackTo(_)
        | Refusal::NothingElseRan(_)
        | Refusal::NoRollout(_)
        | Refusal::RunsToEnd(_)
        | Refusal::Trial(_, TrialRefusal::Nothing | TrialRefusal::Moves | TrialRefusal::Switches)
        | Refusal::Pool(
            PoolRefusal::Waits(..)
            | PoolRefusal::Ends(..)
            | PoolRefusal::Leaving(_)
            | PoolRefusal::Refreshing(_)
            | PoolRefusal::NotRefreshing(_)
            | PoolRefusal::NoBlueprint(_)
            | PoolRefusal::Foreign(..)
            | PoolRefusal::Fresh(_)
            | PoolRefusal::After(_, _, NoOrder::None | NoOrder::Failed(_))
            | PoolRefusal::NothingBefore(_)
            | PoolRefusal::NothingToPromote(_),
        )
        | Refusal::Bake(
            BakeRefusal::NotKept(..)
            | BakeRefusal::Busy(_)
            | BakeRefusal::Needed(..)
            | BakeRefusal::TooManyRecipes,
        )
        | Refusal::DeadNode(_) => Status::failed_precondition(message),
    }
}

fn refused_secret(why: &SecretRefusal, message: String) -> Status {
    match why {
        SecretRefusal::None(_) => {
            hinted(Status::not_found(message), "`wharf secret ls` shows those that there are")
        }
        SecretRefusal::Missing { secret, .. } if secret.reference().is_some() => hinted(
            Status::failed_precondition(message),
            "AWS keeps it: deploy what names it again, and it is read",
        ),
        SecretRefusal::Missing { .. } => hinted(
            Status::failed_precondition(message),
            "set it first: `wharf secret set NAME` reads its value from standard input or --file",
        ),
        SecretRefusal::Used(..) => hinted(
            Status::failed_precondition(message),
            "deploy these services without it, or remove them, and then remove the secret",
        ),
        SecretRefusal::Overtaken(_) => Status::aborted(message),
        SecretRefusal::TooMany => hinted(
            Status::resource_exhausted(message),
            "`wharf secret ls` shows those that no service needs; `wharf secret rm` removes them",
        ),
    }
}

/// An answer that is not a refusal.
pub(crate) fn accepted(answer: Result<Reply, RunError>) -> Result<Reply, Status> {
    match answer.map_err(|error| status(&error))? {
        Reply::Refused(refusal) => Err(refused(&refusal)),
        reply @ (Reply::Noted
        | Reply::Accepted { .. }
        | Reply::Run { .. }
        | Reply::Baking(_)
        | Reply::SecretSet(_)
        | Reply::Deployed(_)) => Ok(reply),
    }
}

/// Adds what the operator can do next.
fn hinted(mut status: Status, hint: &'static str) -> Status {
    let hint = tonic::metadata::MetadataValue::from_static(hint);
    status.metadata_mut().insert(proto::HINT, hint);
    status
}
