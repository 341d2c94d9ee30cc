//! Which images may go when the disk fills.

use std::collections::BTreeSet;
use std::time::Duration;

use model::time::Timestamp;

use crate::workload::Workload;

/// When images are removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// From this share of the disk on, in percent; below, none is.
    pub disk_percent: u64,
    /// Younger images stay: they may have been fetched for a task that is only just coming.
    pub youngest: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { disk_percent: 80, youngest: Duration::from_secs(3600) }
    }
}

/// So many at a time: a removal is looked at before the next.
pub const BATCH: usize = 5;

/// An image on the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredImage {
    /// The engine's id, `sha256:…`.
    pub id: String,
    /// `repository@sha256:…`, each under which it was pulled.
    pub repo_digests: Vec<String>,
    /// When the image was first seen here.
    pub seen_at: Timestamp,
    /// Whether some container, of whomever, was made from it.
    pub is_used: bool,
    /// Whether we fetched it: what others brought is theirs.
    pub is_ours: bool,
}

/// Chooses images to remove from a disk that is full beyond its limit, oldest first; none that an assignment names, that a container uses, or that others brought.
#[must_use]
pub fn choose<'a>(
    workload: &Workload,
    images: &'a [StoredImage],
    limits: Limits,
    now: Timestamp,
) -> Vec<&'a str> {
    let specs = workload.assignments().flat_map(|assignment| &assignment.spec.containers);
    let wanted: BTreeSet<String> = specs.map(|spec| spec.image.digest().to_string()).collect();
    let is_wanted = |image: &StoredImage| {
        let digests = image.repo_digests.iter().filter_map(|named| named.split_once('@'));
        wanted.contains(&image.id) || digests.into_iter().any(|(_, digest)| wanted.contains(digest))
    };
    let may_go = |image: &&StoredImage| {
        let is_old = now.since(image.seen_at) >= limits.youngest;
        image.is_ours && !image.is_used && !is_wanted(image) && is_old
    };
    let mut going: Vec<&StoredImage> = images.iter().filter(may_go).collect();
    going.sort_by_key(|image| image.seen_at);
    going.into_iter().take(BATCH).map(|image| image.id.as_str()).collect()
}
