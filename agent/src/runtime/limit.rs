//! How long each request to the engine may take. All of them are far above what a healthy engine needs.

use std::time::Duration;

/// Version and facts: an engine that needs longer for these is not well.
pub(super) const ABOUT: Duration = Duration::from_secs(10);

/// One container; slow only while the engine holds its lock.
pub(super) const INSPECT: Duration = Duration::from_secs(30);

/// All containers with their details: a node with hundreds of them on a busy disk.
pub(super) const LIST: Duration = Duration::from_secs(60);

/// Making a container copies the image's volumes: minutes on a slow disk.
pub(super) const CREATE: Duration = Duration::from_mins(4);

/// Starting is bounded by the network set-up and by a busy containerd.
pub(super) const START: Duration = Duration::from_mins(3);

/// What a stop may take beyond the grace that the container has.
pub(super) const STOP_SLACK: Duration = Duration::from_secs(30);

/// Kill, unpause and the like.
pub(super) const SIGNAL: Duration = Duration::from_secs(30);

/// Removing deletes files: slow for large writable layers.
pub(super) const REMOVE: Duration = Duration::from_secs(60);

/// Files of a spec are half a megabyte at the most.
pub(super) const UPLOAD: Duration = Duration::from_secs(60);

/// Networks and volumes: iptables may be slow under load.
pub(super) const NETWORK: Duration = Duration::from_secs(60);

/// Images of the engine.
pub(super) const IMAGES: Duration = Duration::from_secs(60);

/// Asking a registry for a digest: behind it waits an operator.
pub(super) const RESOLVE: Duration = Duration::from_secs(15);

/// A credential helper, which may ask a cloud itself.
pub(super) const CREDENTIALS: Duration = Duration::from_secs(15);

/// A pull without a byte of progress for so long is stuck.
pub(super) const PULL_SILENCE: Duration = Duration::from_secs(60);

/// A pull, with the wait for its turn: the largest images over the slowest links.
pub(super) const PULL: Duration = Duration::from_hours(1);

/// Until a log or an exec begins to talk.
pub(super) const OPEN: Duration = Duration::from_secs(30);

/// So many requests at once: a busy engine serves more of them no faster.
pub(super) const AT_ONCE: usize = 8;
