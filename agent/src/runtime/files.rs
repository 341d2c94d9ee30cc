//! The files of a spec, as the archive that the engine unpacks into a container.

use std::io;

use agent_core::action::{Fault, FaultKind};
use bollard::query_parameters::UploadToContainerOptions;
use model::spec::{ContainerSpec, FileSpec};

use super::ask::{ask, fault};
use super::{Docker, limit};

impl Docker {
    /// Writes the files of the spec into a container that has not started yet.
    pub(super) async fn upload(&self, id: &str, spec: &ContainerSpec) -> Result<(), Fault> {
        if spec.files.is_empty() {
            return Ok(());
        }
        let archive = archive(&spec.files).map_err(|error| {
            fault(
                FaultKind::Refused,
                format!("the files of {} can not be packed: {error}", spec.name),
            )
        })?;
        let options = UploadToContainerOptions { path: "/".into(), ..Default::default() };
        let body = bollard::body_full(archive.into());
        let sent = ask(limit::UPLOAD, self.client().upload_to_container(id, Some(options), body));
        sent.await.map_err(|trouble| {
            if trouble.mentions("read-only") {
                let message = "Docker can not write configs and secrets into a container whose root file system is \
                               read-only: mount a volume where they go, or leave out read_only";
                return fault(FaultKind::Refused, message);
            }
            trouble.into_fault("write files into the container")
        })
    }
}

/// Packs the files with their owner and mode. Missing folders are made by the engine.
fn archive(files: &[FileSpec]) -> io::Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for file in files {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_size(file.content.len().try_into().unwrap_or(u64::MAX));
        header.set_mode(file.mode);
        header.set_uid(file.owner.0.into());
        header.set_gid(file.owner.1.into());
        header.set_mtime(0);
        builder.append_data(&mut header, file.target.trim_start_matches('/'), &*file.content)?;
    }
    builder.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_keeps_owner_mode_and_long_paths() {
        let target = format!("/{}/app.conf", "deep".repeat(40));
        let file =
            FileSpec { target: target.clone(), content: b"x=1".into(), mode: 0o640, owner: (7, 8) };
        let packed = archive(&[file]).unwrap();
        let mut archive = tar::Archive::new(&*packed);
        let entry = archive.entries().unwrap().next().unwrap().unwrap();
        let header = entry.header();
        assert_eq!(format!("/{}", entry.path().unwrap().display()), target);
        assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (7, 8));
        assert_eq!(header.mode().unwrap(), 0o640);
    }
}
