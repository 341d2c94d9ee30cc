//! Where a dev cluster keeps its state, and who runs it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::exit::{Exit, Failure};

/// Marks a directory as ours: nothing else is ever removed as a whole.
const MARK: &str = "wharf-dev";
/// Says that it is ready: the process and the address.
const READY: &str = "ready";

/// The directory that was named, or the one under the user's state. It is made and marked.
pub(crate) fn directory(named: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let directory = match named {
        Some(named) => std::path::absolute(named)?,
        None => default()?,
    };
    let is_new = fs::read_dir(&directory).map_or(true, |mut entries| entries.next().is_none());
    if !is_new && !directory.join(MARK).exists() {
        let message =
            format!("{} is not empty and not a directory of `wharf dev`", directory.display());
        return Err(Failure::error(Exit::Error, message, "choose another --data-dir"));
    }
    let make = || fs::create_dir_all(&directory).and_then(|()| fs::write(directory.join(MARK), ""));
    make().with_context(|| format!("can not write {}", directory.display()))?;
    Ok(directory)
}

fn default() -> anyhow::Result<PathBuf> {
    let state =
        std::env::var_os("XDG_STATE_HOME").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    Ok(state
        .or_else(home)
        .context("neither HOME nor XDG_STATE_HOME is set: give --data-dir")?
        .join("wharf/dev"))
}

/// Says that the cluster is ready.
pub(crate) fn announce(directory: &Path, address: &str) -> anyhow::Result<()> {
    let new = directory.join("ready.new");
    fs::write(&new, format!("{} {address}\n", std::process::id()))?;
    Ok(fs::rename(new, directory.join(READY))?)
}

/// The process that runs the cluster, and its address, once it is ready.
pub(crate) fn ready(directory: &Path) -> Option<(i32, String)> {
    let text = fs::read_to_string(directory.join(READY)).ok()?;
    let (process, address) = text.trim().split_once(' ')?;
    Some((process.parse().ok()?, address.to_owned()))
}

/// Nobody runs it any more.
pub(crate) fn forget(directory: &Path) {
    // It may have been removed with the rest.
    drop(fs::remove_file(directory.join(READY)));
}

/// Says whether a coordinator holds the store.
pub(crate) fn is_held(directory: &Path) -> bool {
    use rustix::fs::{FlockOperation, flock};
    let lock = fs::File::open(directory.join("coordinator/wharf.lock"));
    lock.is_ok_and(|lock| flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err())
}

/// Removes everything.
pub(crate) fn remove(directory: &Path) -> anyhow::Result<()> {
    fs::remove_dir_all(directory).with_context(|| format!("can not remove {}", directory.display()))
}
