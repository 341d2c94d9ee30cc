//! Everything of ours that the engine has, or nothing at all: a list is never shorter than the truth.

use agent_core::action::Fault;
use agent_core::observed::Container;
use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::{InspectContainerOptions, ListContainersOptions};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::ask::{Trouble, ask};
use super::{Docker, container, label, limit};

impl Docker {
    /// Lists all containers of our cluster and node in any state. One that vanishes meanwhile is left out; one with
    /// labels that can not be read is left out with a warning.
    ///
    /// # Errors
    /// When the engine could not be asked about any of them.
    pub async fn list(&self) -> Result<Vec<Container>, Fault> {
        let listed = tokio::time::timeout(limit::LIST, self.list_all()).await;
        let listed = listed.unwrap_or_else(|_| Err(Trouble::late(limit::LIST)));
        let inspects = listed.map_err(|trouble| trouble.into_fault("list the containers"))?;
        let mut containers: Vec<Container> = inspects.into_iter().filter_map(readable).collect();
        containers.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(containers)
    }

    /// Looks at one container. None when it is not there, is not readable, or the engine could not be asked: only a
    /// list tells these apart.
    pub async fn glance(&self, id: &str) -> Option<Container> {
        self.inspect(id).await.ok().and_then(readable)
    }

    async fn list_all(&self) -> Result<Vec<ContainerInspectResponse>, Trouble> {
        let settings = self.settings();
        let filters = Some(label::of_node(&settings.cluster, &settings.node));
        let options = ListContainersOptions { all: true, filters, ..Default::default() };
        let list = ask(limit::LIST, self.client().list_containers(Some(options))).await?;
        let ids: Vec<String> = list.into_iter().filter_map(|summary| summary.id).collect();
        let inspect = |id: String| async move { self.inspect_if_there(&id).await };
        let inspects = stream::iter(ids.into_iter().map(inspect));
        let found: Vec<_> = inspects.buffer_unordered(limit::AT_ONCE).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn inspect_if_there(
        &self,
        id: &str,
    ) -> Result<Option<ContainerInspectResponse>, Trouble> {
        match self.inspect(id).await {
            Ok(inspect) => Ok(Some(inspect)),
            Err(trouble) if trouble.is_missing() => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    pub(super) async fn inspect(&self, id: &str) -> Result<ContainerInspectResponse, Trouble> {
        let inspecting = self.client().inspect_container(id, None::<InspectContainerOptions>);
        ask(limit::INSPECT, inspecting).await
    }
}

fn readable(inspect: ContainerInspectResponse) -> Option<Container> {
    let name = inspect.name.clone().unwrap_or_default();
    container::read(inspect)
        .inspect_err(|why| tracing::warn!(name, why, "a container of ours is left out"))
        .ok()
}
