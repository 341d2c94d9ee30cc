//! Networks of a project. Docker lets two of one name exist; whoever sees that settles on the oldest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{MutexGuard, PoisonError};

use agent_core::action::{Fault, FaultKind};
use bollard::models::{EndpointSettings, Network, NetworkConnectRequest};
use bollard::query_parameters::ListNetworksOptions;
use model::id::{ProjectName, ServiceName};
use model::spec::Attachment;

use super::ask::{Trouble, ask, fault};
use super::{Docker, label, limit};

/// So often a network may be made by others and vanish again before we give up: twice is a coincidence already.
const TRIES: u32 = 4;

/// The networks of projects that were on the engine when they were looked for last.
pub(super) type KnownNetworks = BTreeMap<ProjectName, BTreeSet<ServiceName>>;

impl Docker {
    /// Has the network of the project on the engine, and gives its name there. One that was there a while ago is not
    /// looked for again, as many containers of a project begin together: whoever finds that it has gone says so with
    /// [`Docker::forget_networks`].
    pub(super) async fn have_network(
        &self,
        project: &ProjectName,
        name: &ServiceName,
    ) -> Result<String, Fault> {
        if self.networks_known().get(project).is_some_and(|known| known.contains(name)) {
            return Ok(label::belonging_name(&self.settings().cluster, project, name));
        }
        let full = self.make_sure_of_network(project, name).await?;
        self.networks_known().entry(project.clone()).or_default().insert(name.clone());
        Ok(full)
    }

    /// Takes back that the networks of a project are there.
    pub(super) fn forget_networks(&self, project: &ProjectName) {
        self.networks_known().remove(project);
    }

    fn networks_known(&self) -> MutexGuard<'_, KnownNetworks> {
        self.shared.known_networks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn make_sure_of_network(
        &self,
        project: &ProjectName,
        name: &ServiceName,
    ) -> Result<String, Fault> {
        let full = label::belonging_name(&self.settings().cluster, project, name);
        if self.networks(project, name, &full).await?.len() == 1 {
            return Ok(full);
        }
        // Of all who find it missing at the same time one makes it.
        let _turn = self.shared.networks.lock().await;
        for _ in 0..TRIES {
            if !self.settle(project, name, &full).await?.is_empty() {
                return Ok(full);
            }
            let made = self.make_network(project, name, &full).await;
            match made {
                // Another agent may have made one in the same instant: looked at again.
                Ok(()) => {}
                Err(trouble) if trouble.is_conflict() => {}
                Err(trouble) => return Err(trouble.into_fault("make a network")),
            }
        }
        let message = format!(
            "network {full} is there already but does not belong to {name} of project {project}: remove it, or rename one"
        );
        Err(fault(FaultKind::Refused, message))
    }

    /// Finds our networks of that name, and removes all but one of several: the oldest stays, unless a younger one is
    /// in use already.
    async fn settle(
        &self,
        project: &ProjectName,
        name: &ServiceName,
        full: &str,
    ) -> Result<Vec<Network>, Fault> {
        let mut found = self.networks(project, name, full).await?;
        if found.len() < 2 {
            return Ok(found);
        }
        found.sort_unstable_by(|one, other| {
            (&one.created, &one.id).cmp(&(&other.created, &other.id))
        });
        let younger = found.split_off(1);
        let mut is_other_in_use = false;
        for network in younger {
            is_other_in_use |= self.remove_network(&network).await.is_err();
        }
        if is_other_in_use && let Some(oldest) = found.first() {
            let removed = self.remove_network(oldest).await;
            removed.map_err(|trouble| trouble.into_fault("settle on one of two equal networks"))?;
        }
        self.networks(project, name, full).await
    }

    async fn networks(
        &self,
        project: &ProjectName,
        name: &ServiceName,
        full: &str,
    ) -> Result<Vec<Network>, Fault> {
        let filters = Some(label::of_project(&self.settings().cluster, project));
        let listing = self.client().list_networks(Some(ListNetworksOptions { filters }));
        let listed = ask(limit::NETWORK, listing).await;
        let mut networks = listed.map_err(|trouble| trouble.into_fault("list the networks"))?;
        let named = Some(name.as_str());
        networks.retain(|network| {
            let labels = network.labels.as_ref();
            let own = labels.and_then(|labels| labels.get(label::NAME)).map(String::as_str);
            network.name.as_deref() == Some(full) && own == named
        });
        Ok(networks)
    }

    /// Bollard's request lacks `CheckDuplicate`, without which engines before 25.0 make a second network of the name.
    async fn make_network(
        &self,
        project: &ProjectName,
        name: &ServiceName,
        full: &str,
    ) -> Result<(), Trouble> {
        let labels = label::belonging(&self.settings().cluster, project, name);
        let body = serde_json::json!({
            "Name": full, "CheckDuplicate": true, "Driver": "bridge", "Labels": labels,
        });
        self.shared.wire.post(limit::NETWORK, "/networks/create", &body).await.map(drop)
    }

    /// Removes a network that nobody uses. One that is gone is fine.
    pub(super) async fn remove_network(&self, network: &Network) -> Result<(), Trouble> {
        let id = network.id.as_deref().unwrap_or_default();
        match ask(limit::NETWORK, self.client().remove_network(id)).await {
            Err(trouble) if !trouble.is_missing() => Err(trouble),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Connects a container that has not started to one more network.
    pub(super) async fn connect_network(
        &self,
        network: &str,
        id: &str,
        attachment: &Attachment,
    ) -> Result<(), Fault> {
        let request = NetworkConnectRequest {
            container: id.to_owned(),
            endpoint_config: Some(endpoint(attachment)),
        };
        let connected = ask(limit::NETWORK, self.client().connect_network(network, request)).await;
        connected.map_err(|trouble| {
            if trouble.is_missing() {
                let message =
                    format!("network {network} was removed meanwhile: made again next time");
                return fault(FaultKind::Engine, message);
            }
            trouble.into_fault("connect the container to a network")
        })
    }

    /// The projects of this cluster that have networks on the engine.
    ///
    /// # Errors
    /// When the engine could not be asked.
    pub async fn projects(&self) -> Result<BTreeSet<ProjectName>, Fault> {
        let filters = Some(label::of_cluster(&self.settings().cluster));
        let listing = self.client().list_networks(Some(ListNetworksOptions { filters }));
        let listed = ask(limit::NETWORK, listing).await;
        let networks = listed.map_err(|trouble| trouble.into_fault("list the networks"))?;
        let of = |network: Network| network.labels?.get(label::PROJECT)?.parse().ok();
        Ok(networks.into_iter().filter_map(of).collect())
    }

    /// Removes the networks of a project that nobody uses any more, and says whether all are gone.
    ///
    /// # Errors
    /// When the engine could not be asked. A network that is still in use is left and is no error.
    pub async fn remove_project_networks(&self, project: &ProjectName) -> Result<bool, Fault> {
        self.forget_networks(project);
        let filters = Some(label::of_project(&self.settings().cluster, project));
        let listing = self.client().list_networks(Some(ListNetworksOptions { filters }));
        let listed = ask(limit::NETWORK, listing).await;
        let mut all_are_gone = true;
        for network in listed.map_err(|trouble| trouble.into_fault("list the networks"))? {
            match self.remove_network(&network).await {
                Err(trouble) if trouble.mentions("active endpoints") => all_are_gone = false,
                removed => removed.map_err(|trouble| trouble.into_fault("remove a network"))?,
            }
        }
        Ok(all_are_gone)
    }
}

/// Under which names a container is found in a network.
pub(super) fn endpoint(attachment: &Attachment) -> EndpointSettings {
    EndpointSettings { aliases: Some(attachment.aliases.clone()), ..EndpointSettings::default() }
}
