//! Takes away everything that carries the label of our cluster, and nothing else.

use agent_core::action::Fault;
use bollard::query_parameters::{
    ListContainersOptions, ListNetworksOptions, ListVolumesOptions, RemoveContainerOptions,
    RemoveVolumeOptions,
};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::ask::{Trouble, ask};
use super::{Docker, label, limit};

impl Docker {
    /// Removes every container, network and volume of this cluster from the engine, whichever node made it.
    ///
    /// # Errors
    /// The first thing that could not be removed; then nothing that others may still use was tried.
    pub async fn teardown(&self) -> Result<(), Fault> {
        let told = |trouble: Trouble| trouble.into_fault("take the cluster away");
        self.remove_containers().await.map_err(told)?;
        self.remove_networks().await.map_err(told)?;
        self.remove_volumes().await.map_err(told)
    }

    async fn remove_containers(&self) -> Result<(), Trouble> {
        let filters = Some(label::of_cluster(&self.settings().cluster));
        let options = ListContainersOptions { all: true, filters, ..Default::default() };
        let found = ask(limit::LIST, self.client().list_containers(Some(options))).await?;
        let ids: Vec<String> = found.into_iter().filter_map(|container| container.id).collect();
        let removals = stream::iter(ids.iter().map(|id| self.remove_by_force(id)));
        removals.buffer_unordered(limit::AT_ONCE).try_collect().await
    }

    async fn remove_by_force(&self, id: &str) -> Result<(), Trouble> {
        let options = RemoveContainerOptions { v: true, force: true, link: false };
        match ask(limit::REMOVE, self.client().remove_container(id, Some(options))).await {
            Err(trouble) if trouble.mentions("already in progress") => Ok(()),
            done => unless_gone(done),
        }
    }

    async fn remove_networks(&self) -> Result<(), Trouble> {
        let filters = Some(label::of_cluster(&self.settings().cluster));
        let listing = self.client().list_networks(Some(ListNetworksOptions { filters }));
        for network in ask(limit::NETWORK, listing).await? {
            self.remove_network(&network).await?;
        }
        Ok(())
    }

    async fn remove_volumes(&self) -> Result<(), Trouble> {
        let filters = Some(label::of_cluster(&self.settings().cluster));
        let listing = self.client().list_volumes(Some(ListVolumesOptions { filters }));
        for volume in ask(limit::NETWORK, listing).await?.volumes.unwrap_or_default() {
            let options = Some(RemoveVolumeOptions { force: false });
            let removing = self.client().remove_volume(&volume.name, options);
            unless_gone(ask(limit::REMOVE, removing).await)?;
        }
        Ok(())
    }
}

fn unless_gone(done: Result<(), Trouble>) -> Result<(), Trouble> {
    match done {
        Err(trouble) if !trouble.is_missing() => Err(trouble),
        Ok(()) | Err(_) => Ok(()),
    }
}
