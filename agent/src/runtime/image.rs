//! Where on the engine an image is, by its pin.

use bollard::models::ImageInspect;
use bollard::query_parameters::ListImagesOptions;
use model::image::{Image, Pin};

use super::ask::{Trouble, ask};
use super::{Docker, limit};

impl Docker {
    /// Finds a name under which the engine knows the image: its repository with the digest, or its id when it came in
    /// under another name. Nothing when it is not there.
    pub(super) async fn find_image(&self, image: &Image) -> Result<Option<String>, Trouble> {
        match &image.pin {
            Pin::Local(id) => Ok(self.image(&id.to_string()).await?.and_then(|found| found.id)),
            Pin::Manifest(digest) => {
                let name = format!("{}@{digest}", image.reference.repository());
                if self.image(&name).await?.is_some() {
                    return Ok(Some(name));
                }
                // With the containerd store an image's id is the digest of its manifest.
                if let Some(found) = self.image(&digest.to_string()).await? {
                    return Ok(found.id);
                }
                self.image_with_digest(&format!("@{digest}")).await
            }
        }
    }

    async fn image_with_digest(&self, ending: &str) -> Result<Option<String>, Trouble> {
        let options = ListImagesOptions { all: true, digests: true, ..Default::default() };
        let images = ask(limit::IMAGES, self.client().list_images(Some(options))).await?;
        let carries = |digests: &[String]| digests.iter().any(|digest| digest.ends_with(ending));
        Ok(images.into_iter().find(|image| carries(&image.repo_digests)).map(|image| image.id))
    }

    /// Looks at an image by name or id.
    pub(super) async fn image(&self, name: &str) -> Result<Option<ImageInspect>, Trouble> {
        match ask(limit::INSPECT, self.client().inspect_image(name)).await {
            Ok(image) => Ok(Some(image)),
            Err(trouble) if trouble.is_missing() => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }
}
