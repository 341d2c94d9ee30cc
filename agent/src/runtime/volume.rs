//! Volumes of a project. Made before the container, so that they carry our labels and a teardown finds them.

use agent_core::action::{Fault, FaultKind, Launch};
use bollard::models::VolumeCreateRequest;
use model::id::ServiceName;
use model::spec::{ContainerSpec, MountSource};

use super::ask::{ask, fault};
use super::{Docker, label, limit};

impl Docker {
    /// Has every volume that the container mounts. One that is there is kept, if it is ours.
    pub(super) async fn have_volumes(
        &self,
        launch: &Launch,
        spec: &ContainerSpec,
    ) -> Result<(), Fault> {
        for mount in &spec.mounts {
            if let MountSource::Volume { name } = &mount.source {
                self.have_volume(launch, name).await?;
            }
        }
        Ok(())
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
        Ok(())
    }
}
