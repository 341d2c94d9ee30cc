//! Which container images go into a machine image: what services run or could go back to, the best use of a budget first.

use std::collections::{BTreeMap, BTreeSet};

use model::bake::{Chosen, ImageSet};
use model::id::ServiceId;
use model::image::{Digest, Image, Pin};
use model::service::{Service, Verdict};
use model::spec::Mode;

use crate::cluster::Cluster;

/// A registry is taken to give so many bytes a second: 50 MB/s, what one gives on a link of 1 Gbit/s while it also unpacks.
const PULL_BYTES_PER_SECOND: u64 = 50_000_000;
/// And to answer so late, in thousandths of a second, however small the image: a manifest and a token.
const PULL_MILLIS: u64 = 1_000;
/// An image of which no node has said how large it is counts as so large.
const UNKNOWN_BYTES: u64 = 500_000_000;

/// What becomes of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Which.
    pub image: Image,
    /// Whether it goes in.
    pub is_chosen: bool,
    /// Why, or why not.
    pub why: String,
    /// How large it is, where a node has said so.
    pub bytes: Option<u64>,
}

/// What is known of an image before it is decided.
#[derive(Debug, Clone)]
struct Candidate {
    image: Image,
    services: BTreeSet<ServiceId>,
    /// How often it is started when every node is replaced once, or in a day by a schedule.
    starts: u64,
    /// Whether something runs it now, or only could go back to it.
    is_live: bool,
    bytes: Option<u64>,
}

impl Candidate {
    fn size(&self) -> u64 {
        self.bytes.unwrap_or(UNKNOWN_BYTES).max(1)
    }

    /// What it saves, in thousandths of a second.
    fn saves_millis(&self) -> u64 {
        let pull = self.size().saturating_mul(1_000) / PULL_BYTES_PER_SECOND + PULL_MILLIS;
        pull.saturating_mul(self.starts)
    }

    /// What it saves for each MB, in millionths: what is sorted by.
    fn worth(&self) -> u128 {
        u128::from(self.saves_millis()) * 1_000_000_000 / u128::from(self.size())
    }
}

/// Chooses. The same for the same cluster, and each with its reason.
#[must_use]
pub fn choose(cluster: &Cluster, wanted: &ImageSet, sizes: &BTreeMap<Digest, u64>) -> Vec<Choice> {
    let size = |image: &Image| sizes.get(image.digest()).copied();
    let mut choices: Vec<Choice> = Vec::new();
    for image in &wanted.extra {
        if !choices.iter().any(|known| known.image.digest() == image.digest()) {
            let (image, bytes) = (image.clone(), size(image));
            let why = "the recipe asks for it".to_owned();
            choices.push(Choice { image, is_chosen: true, why, bytes });
        }
    }
    if !wanted.what_runs {
        return choices;
    }
    let named: BTreeSet<Digest> =
        choices.iter().map(|choice| choice.image.digest().clone()).collect();
    let mut candidates = candidates(cluster, sizes);
    candidates.retain(|candidate| !named.contains(candidate.image.digest()));
    candidates
        .sort_by_key(|one| (!one.is_live, std::cmp::Reverse(one.worth()), one.image.to_string()));
    let mut left = wanted.budget_bytes;
    for candidate in candidates {
        choices.push(decide(candidate, &mut left));
    }
    choices
}

fn decide(candidate: Candidate, left: &mut u64) -> Choice {
    let size = candidate.size();
    let services: Vec<String> = candidate.services.iter().map(ToString::to_string).collect();
    let of = match candidate.is_live {
        true => format!("runs in {}", services.join(", ")),
        false => format!("{} could go back to it", services.join(", ")),
    };
    let saves = candidate.saves_millis() / 1_000;
    let (is_chosen, why) = if matches!(candidate.image.pin, Pin::Local(_)) {
        (false, format!("{of}, and was built on an engine: no registry has it"))
    } else if size > *left {
        (
            false,
            format!(
                "{of}; {} MB are more than the {} MB left",
                size / 1_000_000,
                *left / 1_000_000
            ),
        )
    } else {
        *left -= size;
        (true, format!("{of}; {} starts, about {saves} s of pulling", candidate.starts))
    };
    Choice { image: candidate.image, is_chosen, why, bytes: candidate.bytes }
}

/// The images of the target and the stable generation of every service, and of what was stable before.
fn candidates(cluster: &Cluster, sizes: &BTreeMap<Digest, u64>) -> Vec<Candidate> {
    let mut found: BTreeMap<Digest, Candidate> = BTreeMap::new();
    for service in cluster.services().values() {
        let past = service.history.iter().rev().find(|past| past.verdict == Verdict::Stable);
        let live = [Some(&service.target), service.stable.as_ref()].into_iter().flatten();
        let live = live.map(|generation| (generation, true));
        let back = past.map(|past| (&past.generation, false));
        for (generation, is_live) in live.chain(back) {
            for container in &generation.spec.task.containers {
                let digest = container.image.digest().clone();
                let candidate = found.entry(digest.clone()).or_insert_with(|| Candidate {
                    image: container.image.clone(),
                    services: BTreeSet::new(),
                    starts: 0,
                    is_live: false,
                    bytes: sizes.get(&digest).copied(),
                });
                // Of a service that has it in two generations it starts as often as in one.
                if candidate.services.insert(service.id.clone()) {
                    candidate.starts = candidate.starts.saturating_add(starts(cluster, service));
                }
                candidate.is_live |= is_live;
            }
        }
    }
    found.into_values().collect()
}

/// How often a service starts when each node is replaced once.
fn starts(cluster: &Cluster, service: &Service) -> u64 {
    match service.target.spec.mode {
        Mode::Replicated { replicas } => u64::from(replicas),
        Mode::Global => u64::try_from(cluster.nodes().len()).unwrap_or(u64::MAX).max(1),
        Mode::Once => 0,
        Mode::Job(_) => 1,
    }
}

/// Of the bytes that would go in now, how many in a hundred are of images that are not among these. What a bake leaves out, for
/// want of room, is lacking in no image.
#[must_use]
pub fn missing_percent(choices: &[Choice], have: &[Image]) -> u32 {
    let have: BTreeSet<&Digest> = have.iter().map(Image::digest).collect();
    let goes_in = || choices.iter().filter(|choice| choice.is_chosen);
    let bytes = |choice: &Choice| u128::from(choice.bytes.unwrap_or(UNKNOWN_BYTES).max(1));
    let all: u128 = goes_in().map(bytes).sum();
    let missing = goes_in().filter(|choice| !have.contains(choice.image.digest()));
    let missing: u128 = missing.map(bytes).sum();
    (missing * 100).checked_div(all).and_then(|percent| u32::try_from(percent).ok()).unwrap_or(0)
}

/// What goes in.
#[must_use]
pub fn chosen(choices: &[Choice]) -> Vec<Chosen> {
    let chosen = choices.iter().filter(|choice| choice.is_chosen);
    chosen.map(|choice| Chosen { image: choice.image.clone(), why: choice.why.clone() }).collect()
}
