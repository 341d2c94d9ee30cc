//! An image out of a single program, made on the engine without a registry.

use agent_core::action::{Fault, FaultKind};
use bollard::query_parameters::{CreateImageOptions, RemoveImageOptions};
use bytes::Bytes;
use futures_util::StreamExt;

use super::ask::ask;
use super::{Docker, limit};

/// On such an image: what it was made of.
const MADE_OF: &str = "wharf.made-of";

impl Docker {
    /// Has an image of that name whose only file is the program, which is also its entrypoint. One that was made
    /// of the same program is left as it is, so that its id stays.
    ///
    /// # Errors
    /// When the engine does not take it.
    pub async fn import_program(
        &self,
        program_name: &str,
        name: &str,
        program: &[u8],
    ) -> Result<(), Fault> {
        let made_of = format!("{:08x}", crc32fast::hash(program));
        if self.image_label(name, MADE_OF).await.as_ref() == Some(&made_of) {
            return Ok(());
        }
        let broken = |error: std::io::Error| Fault {
            kind: FaultKind::Engine,
            message: format!("the image {name} can not be packed: {error}"),
        };
        let layer = pack(program_name, program).map_err(broken)?;
        let options = CreateImageOptions {
            from_src: Some("-".to_owned()),
            repo: Some(name.to_owned()),
            tag: Some("latest".to_owned()),
            changes: vec![
                format!("ENTRYPOINT [\"/{program_name}\"]"),
                format!("LABEL {MADE_OF}={made_of}"),
            ],
            ..CreateImageOptions::default()
        };
        let body = bollard::body_full(Bytes::from(layer));
        let mut importing = self.client().create_image(Some(options), Some(body), None);
        let importing = async {
            while let Some(told) = importing.next().await {
                told.map_err(|error| Fault {
                    kind: FaultKind::Engine,
                    message: format!("the engine does not take the image {name}: {error}"),
                })?;
            }
            Ok(())
        };
        let late = |_| Fault {
            kind: FaultKind::Unknown,
            message: format!("the engine did not take the image {name} in time"),
        };
        tokio::time::timeout(limit::IMAGES, importing).await.map_err(late)?
    }

    /// Removes an image that [`Self::import_program`] has made. One that others use, or have made, stays.
    ///
    /// # Errors
    /// When the engine could not be asked.
    pub async fn remove_program(&self, name: &str) -> Result<(), Fault> {
        if self.image_label(name, MADE_OF).await.is_none() {
            return Ok(());
        }
        let removing = self.client().remove_image(name, None::<RemoveImageOptions>, None);
        match ask(limit::IMAGES, removing).await {
            Err(trouble) if !trouble.is_missing() && !trouble.is_conflict() => {
                Err(trouble.into_fault("remove the image of the example"))
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    async fn image_label(&self, name: &str, label: &str) -> Option<String> {
        let inspecting = self.client().inspect_image(name);
        let inspected = tokio::time::timeout(limit::IMAGES, inspecting).await.ok()?.ok()?;
        inspected.config?.labels?.remove(label)
    }
}

fn pack(name: &str, program: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut layer = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(program.len() as u64);
    header.set_mode(0o755);
    layer.append_data(&mut header, name, program)?;
    layer.into_inner()
}
