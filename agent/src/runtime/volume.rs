//! Volumes of a project, made before the container, so that they carry our labels and a teardown finds them; and those that
//! somebody else has made, which have to be there.

use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use agent_core::action::{Fault, FaultKind, Launch};
use bollard::models::VolumeCreateRequest;
use bollard::query_parameters::ListVolumesOptions;
use model::id::ServiceName;
use model::image::is_volume_name;
use model::spec::{ContainerSpec, MountSource};
use proto::convert::STOCK_LIMIT;

use super::ask::{Trouble, ask, fault};
use super::{Docker, label, limit};

impl Docker {
    /// Has every volume that the container mounts. One of the project that is there is kept, if it is ours; one of the host
    /// must be there, and must not be any cluster's.
    pub(super) async fn have_volumes(
        &self,
        launch: &Launch,
        spec: &ContainerSpec,
    ) -> Result<(), Fault> {
        for mount in &spec.mounts {
            match &mount.source {
                MountSource::Volume { name } => self.have_volume(launch, name).await?,
                MountSource::HostVolume { name } => self.find_volume(name).await?,
                MountSource::Bind { .. } | MountSource::Tmpfs { .. } => {}
            }
        }
        Ok(())
    }

    /// The engine would make one that is not there, and the task would run without its data.
    async fn find_volume(&self, name: &str) -> Result<(), Fault> {
        let volume = match ask(limit::NETWORK, self.client().inspect_volume(name)).await {
            Ok(volume) => volume,
            Err(trouble) if trouble.is_missing() => {
                let message = format!(
                    "the volume {name} is not on this node: `docker volume create {name}` makes it"
                );
                return Err(fault(FaultKind::Engine, message));
            }
            Err(trouble) => return Err(trouble.into_fault("look for a volume")),
        };
        if label::owner(&volume.labels).is_some() {
            let message =
                format!("the volume {name} belongs to a project: only its services have it");
            return Err(fault(FaultKind::Refused, message));
        }
        Ok(())
    }

    /// The volumes of the engine as the coordinator knows them: those of its own cluster by project and name, those of others not
    /// at all.
    pub(super) async fn volumes(&self) -> Result<BTreeSet<String>, Trouble> {
        let listing = self.client().list_volumes(None::<ListVolumesOptions>);
        let volumes = ask(limit::NETWORK, listing).await?.volumes.unwrap_or_default();
        let own = self.settings().cluster.to_string();
        let names = volumes.into_iter().filter_map(|volume| match label::owner(&volume.labels) {
            Some(owner) if owner.cluster == own => {
                Some(format!("{}/{}", owner.project, owner.name))
            }
            Some(_) => None,
            None => is_volume_name(&volume.name).then_some(volume.name),
        });
        Ok(names.take(STOCK_LIMIT).collect())
    }

    async fn have_volume(&self, launch: &Launch, name: &ServiceName) -> Result<(), Fault> {
        let cluster = &self.settings().cluster;
        let full = label::belonging_name(cluster, &launch.project, name);
        let labels = label::belonging(cluster, &launch.project, name);
        let request = VolumeCreateRequest {
            name: Some(full.clone()),
            labels: Some(labels.clone()),
            ..VolumeCreateRequest::default()
        };
        // The engine answers with the volume that is there if the name is taken, whatever its labels.
        let volume = ask(limit::NETWORK, self.client().create_volume(request)).await;
        let volume = volume.map_err(|trouble| trouble.into_fault("make a volume"))?;
        if labels.iter().any(|(key, value)| volume.labels.get(key) != Some(value)) {
            let message = format!(
                "volume {full} is there already but does not belong to {name} of project {}: rename one of the two",
                launch.project
            );
            return Err(fault(FaultKind::Refused, message));
        }
        if self.shared.known_volumes.lock().unwrap_or_else(PoisonError::into_inner).insert(full) {
            self.shared.has_news.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}
