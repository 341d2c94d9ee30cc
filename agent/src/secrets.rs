//! Where containers find their secrets: files in memory, below a directory that only the agent may enter.
//!
//! ```text
//!  /run/wharf/secrets/CLUSTER/NODE/TASK/versions            which values are there
//!                                      /CONTAINER/files/    bound to /run/secrets, read-only
//!                                      /CONTAINER/apart/    bound one by one, to wherever the spec says
//!                                      /CONTAINER/env/      read when the container is made
//! ```
//!
//! A value is never written to anything but a tmpfs, and is zeroed in this process once it is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use agent_core::assignment::Assignment;
use agent_core::secret::Versions;
use anyhow::{Context, bail, ensure};
use model::id::{ClusterId, ContainerName, NodeId, SecretName, TaskId};
use model::secret::{SecretFile, is_variable};
use rustix::fs::statfs;
use zeroize::Zeroizing;

/// Where secrets are unless it is said otherwise.
pub const DEFAULT_DIRECTORY: &str = "/run/wharf/secrets";

/// What `statfs` says of a tmpfs, and of a ramfs (statfs(2)).
const MEMORY: [i64; 2] = [0x0102_1994, 0x8584_58f6];

const VERSIONS: &str = "versions";
/// Where a file is written before it takes its place.
const NEW: &str = "new";

/// What is done where a file can not be given to whom the spec says, for want of the right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owners {
    /// The task waits, and says so.
    AsAsked,
    /// Everybody in the container may read it: on a developer's own machine.
    AsFarAsPossible,
}

/// Where secrets are, and whose.
#[derive(Debug, Clone)]
pub struct Memory {
    /// A directory in memory.
    pub directory: PathBuf,
    /// What is done where a file can not be given away.
    pub owners: Owners,
}

/// A value, and which.
pub(crate) type Values = BTreeMap<SecretName, (u64, Zeroizing<Vec<u8>>)>;

/// The secrets of the tasks of one node.
#[derive(Debug, Clone)]
pub(crate) struct Vault {
    memory: Memory,
    root: PathBuf,
}

impl Vault {
    pub(crate) fn new(memory: &Memory, cluster: &ClusterId, node: &NodeId) -> Self {
        let root = memory.directory.join(cluster.as_str()).join(node.as_str());
        Self { memory: memory.clone(), root }
    }

    /// Below what each task has a directory.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    fn task(&self, task: &TaskId) -> PathBuf {
        self.root.join(task.as_str())
    }

    /// Which versions are there for a task. What can not be read is not there.
    pub(crate) fn held(&self, task: &TaskId) -> Versions {
        let text = fs::read_to_string(self.task(task).join(VERSIONS)).unwrap_or_default();
        let line = |line: &str| {
            let (name, version) = line.split_once(' ')?;
            Some((name.parse().ok()?, version.parse().ok()?))
        };
        text.lines().filter_map(line).collect()
    }

    /// Writes the values of a task. What runs sees each file as it was or as it is.
    ///
    /// # Errors
    /// Says what an operator can do about it.
    pub(crate) fn write(&self, assignment: &Assignment, values: &Values) -> anyhow::Result<()> {
        self.prepare()?;
        let task = self.task(&assignment.task);
        let value = |secret: &SecretName| {
            let value = values.get(secret).map(|(_, value)| value);
            value.with_context(|| format!("the coordinator has given no value of {secret}"))
        };
        for spec in &assignment.spec.containers {
            let container = task.join(spec.name.as_str());
            for folder in ["files", "apart", "env"] {
                // Programs of any user look into the first; to the others nobody has a way.
                make(&container.join(folder), if folder == "files" { 0o755 } else { 0o700 })?;
            }
            for (index, file) in spec.secrets.files.iter().enumerate() {
                let path = place(&container, index, file);
                self.put(&task, &path, (value(&file.secret)?, file))?;
            }
            for (variable, secret) in &spec.secrets.variables {
                // Whoever has read the spec has seen to that; a file that is written elsewhere would be root's.
                ensure!(is_variable(variable), "{variable:?} is no name of a variable");
                let new = write_new(&task, value(secret)?, 0o400)?;
                fs::rename(new, container.join("env").join(variable))?;
            }
        }
        Ok(())
    }

    /// Remembers, for an agent that starts anew, which versions are there and known to whoever runs.
    pub(crate) fn mark(&self, task: &TaskId, versions: &Versions) -> io::Result<()> {
        let lines = versions.iter().map(|(name, version)| format!("{name} {version}\n"));
        let text: String = lines.collect();
        let new = write_new(&self.task(task), text.as_bytes(), 0o600)?;
        fs::rename(new, self.task(task).join(VERSIONS))
    }

    /// Removes what is there for other tasks than these.
    pub(crate) fn sweep(&self, tasks: &BTreeSet<&TaskId>) {
        let Ok(entries) = fs::read_dir(&self.root) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            if tasks.iter().any(|task| name.to_str() == Some(task.as_str())) {
                continue;
            }
            if let Err(error) = fs::remove_dir_all(entry.path()) {
                tracing::warn!(%error, "secrets of a task that is gone stay in {}", entry.path().display());
            }
        }
    }

    /// Has a directory that is in memory and that nobody else enters.
    fn prepare(&self) -> anyhow::Result<()> {
        let directory = &self.memory.directory;
        let hint = "make it a directory in memory that the agent may write to, or name another with --secrets-dir";
        // One that is there keeps its mode: it may be a place that others use too.
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.with_context(|| format!("no secrets can be kept in {}: {hint}", directory.display()))?;
        let kind = statfs(directory)
            .with_context(|| format!("can not look at {}", directory.display()))?;
        // The width of this field is not the same on every architecture.
        #[allow(
            clippy::useless_conversion,
            clippy::unnecessary_fallible_conversions,
            reason = "its width differs"
        )]
        let is_memory = i64::try_from(kind.f_type).is_ok_and(|kind| MEMORY.contains(&kind));
        if !is_memory {
            bail!(
                "{} is not in memory but on a disk, where no secret is written: {hint}",
                directory.display()
            );
        }
        for folder in [self.root.parent(), Some(&self.root)].into_iter().flatten() {
            make(folder, 0o700).with_context(|| format!("can not make {}", folder.display()))?;
        }
        Ok(())
    }

    fn put(
        &self,
        task: &Path,
        path: &Path,
        (value, file): (&[u8], &SecretFile),
    ) -> anyhow::Result<()> {
        let (uid, gid) = file.owner;
        let new = write_new(task, value, file.mode)?;
        match chown(&new, Some(uid), Some(gid)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                match self.memory.owners {
                    Owners::AsAsked => bail!(
                        "the agent may not give {} to user {uid} and group {gid}: it needs the capability CAP_CHOWN, which its systemd unit has",
                        file.target
                    ),
                    Owners::AsFarAsPossible => {
                        fs::set_permissions(&new, fs::Permissions::from_mode(file.mode | 0o444))?
                    }
                }
            }
            Err(error) => return Err(error).context("a secret can not be given to its owner"),
        }
        fs::rename(new, path).with_context(|| format!("can not write {}", file.target))
    }
}

/// Where a file of a container is.
fn place(container: &Path, index: usize, file: &SecretFile) -> PathBuf {
    match file.plain_name() {
        Some(name) => container.join("files").join(name),
        None => container.join("apart").join(index.to_string()),
    }
}

/// Makes a directory that has exactly this mode, whatever the mask.
fn make(path: &Path, mode: u32) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(mode).create(path)?;
    if fs::metadata(path)?.permissions().mode() & 0o777 != mode {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

fn write_new(task: &Path, content: &[u8], mode: u32) -> io::Result<PathBuf> {
    let path = task.join(NEW);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    file.write_all(content)?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    Ok(path)
}

/// What of the secrets of a container is bound into it: from where, and to where.
pub(crate) fn bindings(
    root: &Path,
    task: &TaskId,
    (container, files): (&ContainerName, &[SecretFile]),
) -> Vec<(PathBuf, String)> {
    let container = root.join(task.as_str()).join(container.as_str());
    let is_plain = |file: &SecretFile| file.plain_name().is_some();
    let together = files.iter().any(is_plain);
    let together =
        together.then(|| (container.join("files"), model::secret::MOUNTED_AT.to_owned()));
    let apart = files.iter().enumerate().filter(|(_, file)| !is_plain(file));
    let apart = apart.map(|(index, file)| (place(&container, index, file), file.target.clone()));
    together.into_iter().chain(apart).collect()
}

/// The value of a variable of a container.
///
/// # Errors
/// When it is not there.
pub(crate) fn variable(
    root: &Path,
    task: &TaskId,
    (container, variable): (&ContainerName, &str),
) -> io::Result<Zeroizing<String>> {
    let container = root.join(task.as_str()).join(container.as_str());
    fs::read_to_string(container.join("env").join(variable)).map(Zeroizing::new)
}

#[cfg(test)]
mod tests;
