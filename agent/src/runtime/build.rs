//! An image built by the engine out of a directory that was packed.

use std::collections::HashMap;

use agent_core::action::{Fault, FaultKind};
use bollard::query_parameters::BuildImageOptions;
use bytes::Bytes;
use futures_util::StreamExt;

use super::Docker;
use super::ask::fault;

/// What to build.
#[derive(Debug, Clone)]
pub struct BuildRequest {
    /// What to name it.
    pub image: String,
    /// The directory, as a tar archive.
    pub context: Vec<u8>,
    /// The Dockerfile's path in it.
    pub dockerfile: String,
    /// Build arguments.
    pub args: HashMap<String, String>,
    /// The stage; the last one when there is none.
    pub target: Option<String>,
}

impl Docker {
    /// Builds an image, and passes on what the builder says. Takes as long as it takes: who had enough drops it.
    ///
    /// # Errors
    /// When the engine does not take it or a step fails.
    pub async fn build(
        &self,
        request: BuildRequest,
        mut say: impl FnMut(&str),
    ) -> Result<(), Fault> {
        let image = request.image;
        let options = BuildImageOptions {
            t: Some(image.clone()),
            dockerfile: request.dockerfile,
            buildargs: Some(request.args),
            target: request.target.unwrap_or_default(),
            rm: true,
            forcerm: true,
            ..BuildImageOptions::default()
        };
        let context = bollard::body_full(Bytes::from(request.context));
        let failed =
            |why: String| fault(FaultKind::Refused, format!("image {image} is not built: {why}"));
        let mut building = self.client().build_image(options, None, Some(context));
        while let Some(told) = building.next().await {
            let told = told.map_err(|error| failed(error.to_string()))?;
            if let Some(detail) = told.error_detail {
                return Err(failed(detail.message.unwrap_or_default()));
            }
            if let Some(line) = told.stream {
                say(&line);
            }
        }
        Ok(())
    }
}
