//! Starts a container by its image alone, to see whether the image is whole and does what its own healthcheck asks.

use std::time::Duration;

use agent_core::action::{Fault, FaultKind};
use bollard::models::{ContainerCreateBody, HealthStatusEnum};
use bollard::query_parameters::{
    CreateContainerOptions, InspectContainerOptions, RemoveContainerOptions, StartContainerOptions,
};
use model::image::Image;

use super::ask::{Trouble, ask, fault};
use super::{Docker, limit};

/// How often it is asked whether a container is healthy.
const LOOK: Duration = Duration::from_millis(500);

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tried {
    /// It has a healthcheck, which it passes.
    Healthy,
    /// It has none, and the engine can make a container of it.
    Made,
}

impl Docker {
    /// Makes a container of an image that has to be there, and where the image has a healthcheck starts it and waits until it
    /// is healthy. The container is gone afterwards.
    ///
    /// # Errors
    /// When the image is not there, or its container does not start or does not become healthy in time.
    pub async fn try_out(&self, image: &Image, within: Duration) -> Result<Tried, Fault> {
        let told = |trouble: Trouble| trouble.into_fault("try out an image");
        let found = self.find_image(image).await.map_err(told)?;
        let name = found.ok_or_else(|| {
            fault(FaultKind::ImageMissing, "it is not on this machine".to_owned())
        })?;
        let about = self.image(&name).await.map_err(told)?;
        let check = about.and_then(|about| about.config).and_then(|config| config.healthcheck);
        let has_check = check.and_then(|check| check.test).is_some_and(|test| {
            test.first().is_some_and(|first| first != "NONE" && !first.is_empty())
        });
        let body = ContainerCreateBody { image: Some(name), ..Default::default() };
        let creating = self.client().create_container(None::<CreateContainerOptions>, body);
        let container = ask(limit::CREATE, creating).await.map_err(told)?.id;
        let tried = match has_check {
            true => self.becomes_healthy(&container, within).await.map(|()| Tried::Healthy),
            false => Ok(Tried::Made),
        };
        let options = RemoveContainerOptions { v: true, force: true, link: false };
        let removing = self.client().remove_container(&container, Some(options));
        ask(limit::REMOVE, removing).await.map_err(told)?;
        tried
    }

    async fn becomes_healthy(&self, id: &str, within: Duration) -> Result<(), Fault> {
        let told = |trouble: Trouble| trouble.into_fault("try out an image");
        let starting = self.client().start_container(id, None::<StartContainerOptions>);
        ask(limit::START, starting).await.map_err(told)?;
        let deadline = tokio::time::Instant::now() + within;
        loop {
            let looking = self.client().inspect_container(id, None::<InspectContainerOptions>);
            let state = ask(limit::INSPECT, looking).await.map_err(told)?.state.unwrap_or_default();
            let health = state.health.and_then(|health| health.status);
            if health == Some(HealthStatusEnum::HEALTHY) {
                return Ok(());
            }
            let why = if state.running == Some(false) {
                format!("it has ended with {}", state.exit_code.unwrap_or_default())
            } else if health == Some(HealthStatusEnum::UNHEALTHY) {
                "its healthcheck fails".to_owned()
            } else if tokio::time::Instant::now() >= deadline {
                format!("it is not healthy after {} s", within.as_secs())
            } else {
                tokio::time::sleep(LOOK).await;
                continue;
            };
            return Err(fault(FaultKind::Engine, why));
        }
    }
}
