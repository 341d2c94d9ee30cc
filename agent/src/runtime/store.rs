//! The images that the engine keeps, for whoever has to make room.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};

use agent_core::action::{Fault, FaultKind};
use bollard::models::ImageSummary;
use bollard::query_parameters::{ListContainersOptions, ListImagesOptions, RemoveImageOptions};
use model::image::Layer;
use model::time::Timestamp;

use super::ask::{Trouble, ask, fault};
use super::{Docker, limit};

/// An image on the engine's disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredImage {
    /// The engine's id.
    pub id: String,
    /// Names with a tag.
    pub tags: Vec<String>,
    /// Names with a digest.
    pub digests: Vec<String>,
    /// Bytes on the disk; layers that images share are counted with each.
    pub size_bytes: u64,
    /// When it was built.
    pub created_at: Timestamp,
    /// Whether a container in any state, ours or not, was made from it.
    pub is_used: bool,
    /// What it is made of; nothing when the engine does not say.
    pub layers: Arc<[Layer]>,
}

/// What images are made of, by their ids: it never changes.
pub(super) type KnownLayers = BTreeMap<String, Arc<[Layer]>>;

/// All that is on the disk of an engine.
#[derive(Debug)]
pub struct Shelf {
    /// Its images.
    pub images: Vec<StoredImage>,
    /// Its volumes, as [`model::image::Stock`] names them.
    pub volumes: BTreeSet<String>,
}

impl Docker {
    /// Lists the images of the engine, whoever brought them.
    ///
    /// # Errors
    /// When the engine could not be asked.
    pub async fn images(&self) -> Result<Vec<StoredImage>, Fault> {
        let told = |trouble: Trouble| trouble.into_fault("list the images");
        let used = self.used_images().await.map_err(told)?;
        let options = ListImagesOptions { digests: true, ..Default::default() };
        let images = ask(limit::IMAGES, self.client().list_images(Some(options))).await;
        let images = images.map_err(told)?.into_iter().map(|image| stored(image, &used));
        Ok(images.collect())
    }

    /// Lists what is on the disk of the engine: images with what they are made of, and volumes.
    ///
    /// # Errors
    /// When the engine could not be asked.
    pub async fn shelf(&self) -> Result<Shelf, Fault> {
        self.shared.has_news.store(false, Ordering::Relaxed);
        let volumes = self.volumes().await;
        let volumes = volumes.map_err(|trouble| trouble.into_fault("list the volumes"))?;
        let mut images = self.images().await?;
        let ids: BTreeSet<&str> = images.iter().map(|image| image.id.as_str()).collect();
        self.layers_known().retain(|id, _| ids.contains(id.as_str()));
        for image in &mut images {
            let known = self.layers_known().get(&image.id).cloned();
            image.layers = match known {
                Some(known) => known,
                None => self.learn_layers(&image.id).await,
            };
        }
        Ok(Shelf { images, volumes })
    }

    /// Whether a volume was made since everything was listed last.
    #[must_use]
    pub fn has_news(&self) -> bool {
        self.shared.has_news.load(Ordering::Relaxed)
    }

    fn layers_known(&self) -> MutexGuard<'_, KnownLayers> {
        self.shared.known_layers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An image that goes while it is looked at has no layers.
    async fn learn_layers(&self, id: &str) -> Arc<[Layer]> {
        let Ok(Some(image)) = self.image(id).await else { return Arc::default() };
        let Ok(history) = ask(limit::INSPECT, self.client().image_history(id)).await else {
            return Arc::default();
        };
        // The newest comes first there, and what only changes settings is in it too.
        let sizes = history.iter().rev().map(|step| u64::try_from(step.size).unwrap_or_default());
        let sizes: Vec<u64> = sizes.filter(|size| *size > 0).collect();
        let names = image.root_fs.and_then(|files| files.layers).unwrap_or_default();
        let whole = image.size.and_then(|size| u64::try_from(size).ok()).unwrap_or_default();
        let layers: Arc<[Layer]> = layers(&names, &sizes, whole).into();
        self.layers_known().insert(id.to_owned(), Arc::clone(&layers));
        layers
    }

    async fn used_images(&self) -> Result<BTreeSet<String>, Trouble> {
        let options = ListContainersOptions { all: true, ..Default::default() };
        let containers = ask(limit::LIST, self.client().list_containers(Some(options))).await?;
        Ok(containers.into_iter().filter_map(|container| container.image_id).collect())
    }

    /// Removes an image under all of its names, unless a container was made from it. One that is gone is fine.
    ///
    /// # Errors
    /// When a container needs it, or the engine could not do it.
    pub async fn remove_image(&self, id: &str) -> Result<(), Fault> {
        let told = |trouble: Trouble| trouble.into_fault("remove an image");
        let Some(image) = self.image(id).await.map_err(told)? else { return Ok(()) };
        if self.used_images().await.map_err(told)?.contains(id) {
            let message = format!("image {id} is needed by a container: remove that first");
            return Err(fault(FaultKind::Refused, message));
        }
        let tags = image.repo_tags.unwrap_or_default();
        let digests = image.repo_digests.unwrap_or_default();
        // The engine removes the image itself with its last name; the id is for one that has none.
        let names = named(tags).into_iter().chain(named(digests)).chain([id.to_owned()]);
        for name in names {
            let options = RemoveImageOptions::default();
            let removing = self.client().remove_image(&name, Some(options), None);
            match ask(limit::IMAGES, removing).await {
                Err(trouble) if !trouble.is_missing() => return Err(told(trouble)),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }
}

/// The layers of an image, the lowest first. Where empty ones make it unclear how large each is, all count alike.
fn layers(names: &[String], sizes: &[u64], whole: u64) -> Vec<Layer> {
    let alike = whole / (names.len() as u64).max(1);
    let is_clear = names.len() == sizes.len();
    let size = |at: usize| sizes.get(at).copied().filter(|_| is_clear).unwrap_or(alike);
    let named = names.iter().enumerate();
    named.filter_map(|(at, name)| Some(Layer { id: beginning(name)?, bytes: size(at) })).collect()
}

/// The first eight bytes of `sha256:…`.
fn beginning(digest: &str) -> Option<u64> {
    u64::from_str_radix(digest.split_once(':')?.1.get(..16)?, 16).ok()
}

fn stored(image: ImageSummary, used: &BTreeSet<String>) -> StoredImage {
    StoredImage {
        is_used: used.contains(&image.id),
        id: image.id,
        tags: named(image.repo_tags),
        digests: named(image.repo_digests),
        size_bytes: u64::try_from(image.size).unwrap_or_default(),
        created_at: Timestamp::from_millis(
            u64::try_from(image.created).unwrap_or_default().saturating_mul(1_000),
        ),
        layers: Arc::default(),
    }
}

/// Engines before 24 write `<none>:<none>` for no name.
fn named(names: Vec<String>) -> Vec<String> {
    names.into_iter().filter(|name| !name.contains("<none>")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(told: &str) -> StoredImage {
        stored(serde_json::from_str(told).unwrap(), &BTreeSet::from(["sha256:419a".to_owned()]))
    }

    #[test]
    fn layers_have_the_sizes_that_the_history_tells_or_count_alike() {
        let names = ["sha256:00000000000000aaff", "sha256:00000000000000bbff"].map(str::to_owned);
        let read = |sizes: &[u64]| {
            layers(&names, sizes, 100)
                .into_iter()
                .map(|one| (one.id, one.bytes))
                .collect::<Vec<_>>()
        };
        assert_eq!(read(&[70, 30]), [(0xaa, 70), (0xbb, 30)]);
        // A layer without a byte in it, or a history that was squashed.
        assert_eq!(read(&[70]), [(0xaa, 50), (0xbb, 50)]);
        let odd = ["sha256", "sha256:12", "sha256:zzzzzzzzzzzzzzzz"].map(str::to_owned);
        assert!(layers(&odd, &[1, 2, 3], 6).is_empty() && layers(&[], &[], 6).is_empty());
    }

    #[test]
    fn an_image_is_read_as_old_and_new_engines_list_it() {
        let old = read(
            r#"{"Containers":-1,"Created":1795545086,"Id":"sha256:79c9","Labels":null,"ParentId":"",
            "RepoDigests":["<none>@<none>"],"RepoTags":["<none>:<none>"],"SharedSize":-1,"Size":7,"VirtualSize":7}"#,
        );
        assert!(old.tags.is_empty() && old.digests.is_empty() && !old.is_used);
        let new = read(
            r#"{"Containers":3,"Created":1795545086,"Id":"sha256:419a","Labels":null,"ParentId":"",
            "Descriptor":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:419a","size":405},
            "RepoDigests":["wharf-test@sha256:419a"],"RepoTags":["wharf-test:1"],"SharedSize":-1,"Size":3075704}"#,
        );
        assert_eq!((new.tags.len(), new.digests.len(), new.is_used), (1, 1, true));
    }
}
