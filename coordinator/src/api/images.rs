//! Images of what is to be deployed: from where they may come, whoever deploys.

use model::image::ImageReference;
use model::policy::images::ImagePolicy;
use model::spec::ServiceSpec;
use proto::wire;
use tonic::Status;

use crate::Shared;
use crate::api::hinted;

const HINT: &str = "from where images may come is in `wharf policy show` and docs/policy.md; an administrator says it with `wharf policy set`";

/// Refuses names of images that may not run, before anybody asks a registry for them. What is no name is refused later, with the spec that
/// it is part of.
///
/// # Errors
/// Names the first one, and what may run.
pub(crate) fn check_names(shared: &Shared, services: &[wire::ServiceSpec]) -> Result<(), Status> {
    let ledger = shared.ledgers.read();
    let Some(policy) = ledger.images() else { return Ok(()) };
    for service in services {
        for container in service.task.iter().flat_map(|task| &task.containers) {
            let Some(image) = &container.image else { continue };
            let Ok(reference) = image.reference.parse::<ImageReference>() else { continue };
            let Err(repository) = policy.check_reference(&reference) else { continue };
            let why = format!(
                "container {} of {}/{} has the image {}, which is {repository}: {}",
                container.name,
                service.project,
                service.name,
                image.reference,
                allowed(policy)
            );
            return Err(hinted(Status::failed_precondition(why), HINT));
        }
    }
    Ok(())
}

/// Refuses what the specs would run in truth, as far as nobody can know from where it has come.
///
/// # Errors
/// Names the first one, and what may run.
pub(crate) fn check_pins(shared: &Shared, specs: &[ServiceSpec]) -> Result<(), Status> {
    let ledger = shared.ledgers.read();
    let Some(policy) = ledger.images() else { return Ok(()) };
    for spec in specs {
        for container in &spec.task.containers {
            let image = &container.image;
            let is_fine =
                policy.takes_pin(image) && policy.check_reference(&image.reference).is_ok();
            if !is_fine {
                let why = format!(
                    "container {} of {} has the image {image}, which only an engine has, under a name that says nothing of where it has come from: {}",
                    container.name,
                    spec.id,
                    allowed(policy)
                );
                return Err(hinted(Status::failed_precondition(why), HINT));
            }
        }
    }
    Ok(())
}

fn allowed(policy: &ImagePolicy) -> String {
    let patterns: Vec<String> = policy.patterns.iter().map(ToString::to_string).collect();
    format!("images may come from {} only", patterns.join(", "))
}
