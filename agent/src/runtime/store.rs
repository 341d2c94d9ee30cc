//! The images that the engine keeps, for whoever has to make room.

use std::collections::BTreeSet;

use agent_core::action::{Fault, FaultKind};
use bollard::models::ImageSummary;
use bollard::query_parameters::{ListContainersOptions, ListImagesOptions, RemoveImageOptions};
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
