//! What a container of the profile `strict` has to be before it is made. The coordinator has refused what the spec alone tells; the image is known
//! only here, and an agent does not start what it was not to be given.

use agent_core::action::{Fault, FaultKind, Launch};
use model::policy::{Profile, never_strict, not_root};
use model::spec::ContainerSpec;

use crate::runtime::Docker;
use crate::runtime::ask::fault;

/// Refuses a container that would be root, or anything else that its profile is not.
pub(super) async fn check(
    docker: &Docker,
    launch: &Launch,
    spec: &ContainerSpec,
    image: &str,
) -> Result<(), Fault> {
    if launch.spec.profile == Profile::Default {
        return Ok(());
    }
    if let Some(why) = never_strict(&launch.spec) {
        return Err(refused(&why));
    }
    if spec.process.user.is_some() {
        return Ok(());
    }
    let seen = docker.image(image).await;
    let seen = seen.map_err(|trouble| trouble.into_fault("look at the user of the image"))?;
    let seen = seen.ok_or_else(|| {
        let message = format!("image {} is not on this engine: it has to be pulled", spec.image);
        fault(FaultKind::ImageMissing, message)
    })?;
    let user = seen.config.and_then(|config| config.user).unwrap_or_default();
    let named = format!("container {} is of an image that", spec.name);
    not_root(&user).map_err(|why| {
        let hint =
            "give the service a `user` that is a number other than 0, or have the image say one";
        refused(&format!("{named} {why}: {hint}"))
    })
}

fn refused(why: &str) -> Fault {
    fault(FaultKind::Refused, format!("the profile is strict, but {why}"))
}
