//! What a reference means now.

use agent_core::action::FaultKind;
use bollard::models::ImageInspect;
use model::image::{Digest, Image, ImageReference, Pin};
use thiserror::Error;

use super::ask::{Trouble, ask};
use super::{Docker, limit, pull};

/// Why it could not be said what a reference means.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ResolveFault {
    /// The registry says that there is no such image.
    #[error("image {reference} is not in its registry: {why}")]
    NotFound {
        /// What was asked for.
        reference: ImageReference,
        /// What the registry said.
        why: String,
    },
    /// The registry does not let us in. Docker Hub says so of images that do not exist, too.
    #[error(
        "the registry of {reference} wants other credentials: {why} (try: docker login, on the node of the agent)"
    )]
    Unauthorized {
        /// What was asked for.
        reference: ImageReference,
        /// What the registry said.
        why: String,
    },
    /// The registry or the engine could not be asked.
    #[error("the registry of {reference} could not be asked: {why}")]
    Unavailable {
        /// What was asked for.
        reference: ImageReference,
        /// What went wrong.
        why: String,
    },
}

impl Docker {
    /// Turns a tag into a pin: asks the registry, within 15 s, or looks at the engine first if the settings say so.
    ///
    /// When the registry can not answer, an image that the engine has under the tag is taken: by the digest that its
    /// repository gave it, or by its id if it was built here. An image that the registry does not know is taken if it
    /// was built here and never pushed, as far as the engine tells.
    ///
    /// # Errors
    /// Says whether the registry has no such image, does not let us in, or could not be asked.
    pub async fn resolve(&self, reference: &ImageReference) -> Result<Image, ResolveFault> {
        if let Some(digest) = reference.digest() {
            return Ok(image(reference, Pin::Manifest(digest.clone())));
        }
        if self.settings().prefer_local
            && let Some(found) = self.under_tag(reference).await
        {
            return Ok(image(reference, found.pin()));
        }
        let trouble = match self.ask_registry(reference).await {
            Ok(digest) => return Ok(image(reference, Pin::Manifest(digest))),
            Err(trouble) => trouble,
        };
        let fault = resolve_fault(reference, &trouble);
        let is_away = matches!(fault, ResolveFault::Unavailable { .. });
        match self.under_tag(reference).await {
            Some(found) if is_away => Ok(image(reference, found.pin())),
            Some(found) if found.may_be_built_here() => Ok(image(reference, Pin::Local(found.id))),
            Some(_) | None => Err(fault),
        }
    }

    async fn ask_registry(&self, reference: &ImageReference) -> Result<Digest, Trouble> {
        let name = tagged(reference);
        let credentials = self.credentials(reference.repository()).await;
        let asking = self.client().inspect_registry_image(&name, credentials);
        let answer = ask(limit::RESOLVE, asking).await?;
        let digest = answer.descriptor.digest.unwrap_or_default();
        digest
            .parse()
            .map_err(|_| Trouble::Stream(format!("the registry gave {digest:?} as a digest")))
    }

    /// What the engine has under the tag, if anything.
    async fn under_tag(&self, reference: &ImageReference) -> Option<Found> {
        found(reference, self.image(&tagged(reference)).await.ok().flatten()?)
    }
}

/// An image that the engine has.
struct Found {
    id: Digest,
    /// What its repository calls it, when the engine says so.
    manifest: Option<Digest>,
}

impl Found {
    /// What others may know it by, if that is known; else what only this engine knows.
    fn pin(self) -> Pin {
        self.manifest.map_or(Pin::Local(self.id), Pin::Manifest)
    }

    /// Where containerd keeps the images, which Docker 29 begins with, an image's id is the digest of its manifest, and is
    /// shown as such from the moment it was built: there nothing tells whether it was ever pushed.
    fn may_be_built_here(&self) -> bool {
        self.manifest.as_ref().is_none_or(|manifest| *manifest == self.id)
    }
}

fn found(reference: &ImageReference, image: ImageInspect) -> Option<Found> {
    let manifest = image.repo_digests.unwrap_or_default().into_iter().find_map(|entry| {
        let (repository, digest) = entry.split_once('@')?;
        (familiar(repository) == familiar(reference.repository())).then(|| digest.parse().ok())?
    });
    Some(Found { id: image.id?.parse().ok()?, manifest })
}

fn image(reference: &ImageReference, pin: Pin) -> Image {
    Image { reference: reference.clone(), pin }
}

fn tagged(reference: &ImageReference) -> String {
    format!("{}:{}", reference.repository(), reference.tag().unwrap_or("latest"))
}

/// A repository of Docker Hub as people write it: the engine shows it so.
fn familiar(repository: &str) -> &str {
    let bare = repository.strip_prefix("docker.io/").unwrap_or(repository);
    bare.strip_prefix("library/").unwrap_or(bare)
}

fn resolve_fault(reference: &ImageReference, trouble: &Trouble) -> ResolveFault {
    let (reference, why) = (reference.clone(), trouble.words().trim().to_owned());
    if matches!(trouble, Trouble::Silence(_)) {
        return ResolveFault::Unavailable { reference, why };
    }
    match pull::verdict(trouble) {
        FaultKind::Unauthorized => ResolveFault::Unauthorized { reference, why },
        FaultKind::ImageNotFound => ResolveFault::NotFound { reference, why },
        _ => ResolveFault::Unavailable { reference, why },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUILT: &str = "sha256:419ae55494213224b24d9e37e0c58f4fb33bc54abc044bcf8fb1b031dac9da44";
    const PUSHED: &str = "sha256:e96dbc89fccf0835c0958f074c19ef1cfda2a6160cb3ac979f933f7d134083f0";

    fn on_engine(id: &str, digests: &[&str]) -> Found {
        let digests = digests.iter().map(|digest| format!("wharf-test@{digest}")).collect();
        let image = ImageInspect {
            id: Some(id.into()),
            repo_digests: Some(digests),
            ..ImageInspect::default()
        };
        found(&"wharf-test:1".parse().unwrap(), image).unwrap()
    }

    #[test]
    fn an_image_that_was_pushed_is_told_from_one_that_was_built_here_where_the_engine_can() {
        let built = on_engine(BUILT, &[]);
        assert!(built.may_be_built_here());
        assert_eq!(built.pin(), Pin::Local(BUILT.parse().unwrap()));
        let pushed = on_engine(BUILT, &[PUSHED]);
        assert!(!pushed.may_be_built_here());
        assert_eq!(pushed.pin(), Pin::Manifest(PUSHED.parse().unwrap()));
        // As Docker 28.5 answers with the image store of containerd, for one that was only ever imported.
        let either = on_engine(BUILT, &[BUILT]);
        assert!(either.may_be_built_here());
        assert_eq!(either.pin(), Pin::Manifest(BUILT.parse().unwrap()));
    }

    #[test]
    fn a_repository_of_the_hub_is_known_under_all_its_names() {
        for name in ["nginx", "library/nginx", "docker.io/library/nginx"] {
            assert_eq!(familiar(name), "nginx");
        }
        assert_eq!(familiar("r.example/library/nginx"), "r.example/library/nginx");
    }
}
