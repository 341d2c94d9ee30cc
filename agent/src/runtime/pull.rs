//! Has an image on the engine: few pulls at a time, each image once, and none that waits for ever.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use agent_core::action::{Fault, FaultKind, Outcome};
use bollard::models::CreateImageInfo;
use bollard::query_parameters::CreateImageOptions;
use futures_util::{Stream, StreamExt};
use model::image::{Image, Pin};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::ask::{Trouble, fault};
use super::{Docker, limit};

/// So many pulls at once: more share the same link and disk, and each then takes longer.
const PULLS: usize = 2;

/// The turns of those who wait for a pull.
#[derive(Debug)]
pub(super) struct Pulls {
    slots: Semaphore,
    /// One gate for each image that somebody waits for: who comes second finds the image there.
    gates: Mutex<BTreeMap<Image, Arc<Semaphore>>>,
    /// Ids of what was fetched and not yet asked for by [`Docker::take_fetched`].
    fetched: Mutex<Vec<String>>,
}

impl Default for Pulls {
    fn default() -> Self {
        Self { slots: Semaphore::new(PULLS), gates: Mutex::default(), fetched: Mutex::default() }
    }
}

impl Pulls {
    fn gate(&self, image: &Image) -> Arc<Semaphore> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        // Gates that nobody holds any more go, so that the map is as long as the line.
        gates.retain(|_, gate| Arc::strong_count(gate) > 1);
        let gate = gates.entry(image.clone()).or_insert_with(|| Arc::new(Semaphore::new(1)));
        Arc::clone(gate)
    }
}

impl Docker {
    pub(super) async fn pull(&self, image: &Image) -> Outcome {
        let pulled = tokio::time::timeout(limit::PULL, self.pull_in_turn(image)).await;
        let late = || Err(stalled(image, "the pull was given up after an hour"));
        match pulled.unwrap_or_else(|_| late()) {
            Ok(()) => Outcome::Done,
            Err(fault) => Outcome::Failed(fault),
        }
    }

    async fn pull_in_turn(&self, image: &Image) -> Result<(), Fault> {
        let gate = self.shared.pulls.gate(image);
        let _turn = permit(&gate).await;
        if self.has(image).await? {
            return Ok(());
        }
        let Pin::Manifest(digest) = &image.pin else { return Err(built_elsewhere(image)) };
        let _slot = permit(&self.shared.pulls.slots).await;
        let options = CreateImageOptions {
            from_image: Some(image.reference.repository().to_owned()),
            tag: Some(digest.to_string()),
            ..CreateImageOptions::default()
        };
        let credentials = self.credentials(image.reference.repository()).await;
        watch(image, self.client().create_image(Some(options), None, credentials)).await?;
        let found = self.find_image(image).await;
        if let Some(name) = found.map_err(|trouble| trouble.into_fault("look for the image"))? {
            self.note_fetched(&name).await;
            return Ok(());
        }
        let message = format!(
            "Docker pulled {image}, but does not have it now: is somebody removing images?"
        );
        Err(fault(FaultKind::Engine, message))
    }

    /// Keeps in mind that the image is here because of us.
    async fn note_fetched(&self, name: &str) {
        if let Ok(Some(image)) = self.image(name).await {
            let mut fetched =
                self.shared.pulls.fetched.lock().unwrap_or_else(PoisonError::into_inner);
            fetched.extend(image.id);
        }
    }

    /// The ids of images that were fetched since this was asked last.
    #[must_use]
    pub fn take_fetched(&self) -> Vec<String> {
        let mut fetched = self.shared.pulls.fetched.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *fetched)
    }

    async fn has(&self, image: &Image) -> Result<bool, Fault> {
        let found = self.find_image(image).await;
        Ok(found.map_err(|trouble| trouble.into_fault("look for the image"))?.is_some())
    }
}

/// Waits for a turn. The semaphores are never closed; if one were, nobody would have to wait.
async fn permit(semaphore: &Semaphore) -> Option<SemaphorePermit<'_>> {
    semaphore.acquire().await.ok()
}

/// Reads what the engine says of the pull to its end, unless nothing moves for too long.
async fn watch(
    image: &Image,
    progress: impl Stream<Item = Result<CreateImageInfo, bollard::errors::Error>>,
) -> Result<(), Fault> {
    let mut progress = Box::pin(progress);
    let mut deadline = tokio::time::Instant::now() + limit::PULL_SILENCE;
    loop {
        let next = tokio::time::timeout_at(deadline, progress.next()).await;
        let Ok(next) = next else {
            let seconds = limit::PULL_SILENCE.as_secs();
            return Err(stalled(image, &format!("the registry sent nothing for {seconds} s")));
        };
        match next {
            None => return Ok(()),
            Some(Ok(step)) if is_progress(&step) => {
                deadline = tokio::time::Instant::now() + limit::PULL_SILENCE;
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(pull_fault(image, error.into())),
        }
    }
}

/// A count-down to the next try is a sign of life of the engine, not of the registry.
fn is_progress(step: &CreateImageInfo) -> bool {
    let status = step.status.as_deref().unwrap_or_default();
    !status.starts_with("Retrying") && !status.starts_with("Waiting")
}

fn stalled(image: &Image, why: &str) -> Fault {
    fault(FaultKind::RegistryUnavailable, format!("image {image} could not be pulled: {why}"))
}

fn built_elsewhere(image: &Image) -> Fault {
    let message = format!(
        "image {image} was built on another engine and is in no registry: push it and deploy again, or build it on this node"
    );
    fault(FaultKind::ImageMissing, message)
}

/// What a registry says through the engine: there is no status for it, only words.
fn pull_fault(image: &Image, trouble: Trouble) -> Fault {
    if matches!(trouble, Trouble::Silence(_)) {
        return trouble.into_fault("pull an image");
    }
    let kind =
        if trouble.mentions("no space left") { FaultKind::DiskFull } else { verdict(&trouble) };
    fault(kind, format!("image {image} could not be pulled: {}", trouble.words().trim()))
}

/// Tells apart what a registry may answer.
pub(super) fn verdict(trouble: &Trouble) -> FaultKind {
    const DENIED: &[&str] = &[
        "unauthorized",
        "denied",
        "no basic auth",
        "authentication required",
        "forbidden",
        "incorrect username or password",
    ];
    const ABSENT: &[&str] = &[
        "not found",
        "manifest unknown",
        "name unknown",
        "does not exist",
        "no matching manifest",
        "no such image",
    ];
    let has = |texts: &[&str]| texts.iter().any(|text| trouble.mentions(text));
    let status = match trouble {
        Trouble::Answer { status, .. } => *status,
        Trouble::Stream(_) | Trouble::Silence(_) => 0,
    };
    if status == 401 || status == 403 || has(DENIED) {
        FaultKind::Unauthorized
    } else if status == 404 || has(ABSENT) {
        FaultKind::ImageNotFound
    } else {
        FaultKind::RegistryUnavailable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(message: &str) -> FaultKind {
        verdict(&Trouble::Stream(message.into()))
    }

    #[test]
    fn what_a_registry_says_is_told_apart() {
        let absent =
            "manifest for 127.0.0.1:5000/a@sha256:0 not found: manifest unknown: manifest unknown";
        let denied =
            "pull access denied for a, repository does not exist or may require 'docker login'";
        assert_eq!(said(absent), FaultKind::ImageNotFound);
        assert_eq!(said(denied), FaultKind::Unauthorized);
        assert_eq!(
            said("Get \"http://127.0.0.1:1/v2/\": no basic auth credentials"),
            FaultKind::Unauthorized
        );
        assert_eq!(said("toomanyrequests: slow down"), FaultKind::RegistryUnavailable);
        assert_eq!(
            said("dial tcp 127.0.0.1:1: connect: connection refused"),
            FaultKind::RegistryUnavailable
        );
    }

    #[test]
    fn waiting_for_the_next_try_is_no_progress() {
        let step =
            |status: &str| CreateImageInfo { status: Some(status.into()), ..Default::default() };
        assert!(!is_progress(&step("Retrying in 5 seconds")));
        assert!(is_progress(&step("Downloading")));
    }

    #[test]
    fn a_gate_is_shared_while_somebody_waits_and_gone_afterwards() {
        let image = Image {
            reference: "app".parse().unwrap(),
            pin: Pin::Manifest(format!("sha256:{}", "0".repeat(64)).parse().unwrap()),
        };
        let pulls = Pulls::default();
        let gate = pulls.gate(&image);
        assert!(Arc::ptr_eq(&gate, &pulls.gate(&image)));
        drop(gate);
        let other = Image { reference: "other".parse().unwrap(), ..image };
        let _held = pulls.gate(&other);
        assert_eq!(pulls.gates.lock().unwrap().len(), 1);
    }
}
