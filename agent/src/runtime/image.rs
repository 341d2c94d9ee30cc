//! Where on the engine an image is, by its pin.

use std::collections::BTreeMap;
use std::sync::{MutexGuard, PoisonError};

use bollard::models::ImageInspect;
use bollard::query_parameters::ListImagesOptions;
use model::image::{Image, Pin};

use super::ask::{Trouble, ask};
use super::{Docker, limit};

/// More images than run on one node; when there are more all the same, the next launches look again.
const KNOWN: usize = 256;

/// The repository and the name under which the engine had an image when it was looked for last. A pin says what an image is, so only whether it
/// is there can change; and if it went, the engine says so to whoever asks for a container of it.
pub(super) type KnownImages = BTreeMap<Pin, (String, String)>;

impl Docker {
    /// Finds an image as [`Docker::find_image`] does, or knows it from a while ago: many containers of one image begin
    /// together. Whoever finds that it has gone says so with [`Docker::forget_image`].
    pub(super) async fn known_image(&self, image: &Image) -> Result<Option<String>, Trouble> {
        let repository = image.reference.repository();
        if let Some((of, name)) = self.images_known().get(&image.pin)
            && of == repository
        {
            return Ok(Some(name.clone()));
        }
        let found = self.find_image(image).await?;
        if let Some(name) = &found {
            let mut known = self.images_known();
            if known.len() >= KNOWN {
                known.clear();
            }
            known.insert(image.pin.clone(), (repository.to_owned(), name.clone()));
        }
        Ok(found)
    }

    /// Takes back that the image is on the engine.
    pub(super) fn forget_image(&self, image: &Image) {
        self.images_known().remove(&image.pin);
    }

    fn images_known(&self) -> MutexGuard<'_, KnownImages> {
        self.shared.known_images.lock().unwrap_or_else(PoisonError::into_inner)
    }

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
