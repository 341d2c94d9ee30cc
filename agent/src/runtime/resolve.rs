//! What a reference means now.

use agent_core::action::FaultKind;
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
    /// was built here and never pushed.
    ///
    /// # Errors
    /// Says whether the registry has no such image, does not let us in, or could not be asked.
    pub async fn resolve(&self, reference: &ImageReference) -> Result<Image, ResolveFault> {
        if let Some(digest) = reference.digest() {
            return Ok(image(reference, Pin::Manifest(digest.clone())));
        }
        if self.settings().prefer_local
            && let Some(pin) = self.pin_on_engine(reference).await
        {
            return Ok(image(reference, pin));
        }
        let trouble = match self.ask_registry(reference).await {
            Ok(digest) => return Ok(image(reference, Pin::Manifest(digest))),
            Err(trouble) => trouble,
        };
        let fault = resolve_fault(reference, &trouble);
        let is_away = matches!(fault, ResolveFault::Unavailable { .. });
        match self.pin_on_engine(reference).await {
            Some(pin) if is_away || matches!(pin, Pin::Local(_)) => Ok(image(reference, pin)),
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
    async fn pin_on_engine(&self, reference: &ImageReference) -> Option<Pin> {
        let found = self.image(&tagged(reference)).await.ok().flatten()?;
        let own = found.repo_digests.unwrap_or_default().into_iter().find_map(|entry| {
            let (repository, digest) = entry.split_once('@')?;
            (familiar(repository) == familiar(reference.repository()))
                .then(|| digest.parse().ok())?
        });
        match own {
            Some(digest) => Some(Pin::Manifest(digest)),
            None => found.id?.parse().ok().map(Pin::Local),
        }
    }
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

    #[test]
    fn a_repository_of_the_hub_is_known_under_all_its_names() {
        for name in ["nginx", "library/nginx", "docker.io/library/nginx"] {
            assert_eq!(familiar(name), "nginx");
        }
        assert_eq!(familiar("r.example/library/nginx"), "r.example/library/nginx");
    }
}
