//! Secrets: what a spec refers to by name, and what the store has of it, which is never the value.

pub mod reference;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::id::SecretName;
use crate::time::Timestamp;
use crate::trust::ServiceGlob;

/// The longest value, in bytes: a chain of certificates or a key store fits, and all that a task may have fits into one message.
pub const SECRET_LIMIT: usize = 64 << 10;

/// The most secrets of a cluster: their seals are kept in memory, 64 MiB at the very most.
pub const SECRETS_LIMIT: usize = 1_000;

/// The most secrets that one container may have.
pub const USES_LIMIT: usize = 64;

/// The most secrets that the containers of one task may name together: their values fit into one message.
pub const TASK_SECRETS_LIMIT: usize = 128;

/// Where files of secrets are found in a container, unless their targets are absolute.
pub const MOUNTED_AT: &str = "/run/secrets";

/// One secret, through all of its values that somebody still needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// What specs call it.
    pub name: SecretName,
    /// Oldest first, and never empty. The last one is what new tasks get.
    pub versions: Vec<SecretVersion>,
    /// Which services whoever deploys them may have name it, at most [`OWNERS_LIMIT`]. While it says nothing these are the ones that have it.
    pub owners: Vec<ServiceGlob>,
}

/// A secret is for no more patterns of services than this.
pub const OWNERS_LIMIT: usize = 64;

impl Secret {
    /// The number of the newest version.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.versions.last().map_or(0, |version| version.number)
    }

    /// One of its versions.
    #[must_use]
    pub fn version(&self, number: u64) -> Option<&SecretVersion> {
        self.versions.iter().find(|version| version.number == number)
    }
}

/// One value of a secret, as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretVersion {
    /// Counts the values of the secret, from 1.
    pub number: u64,
    /// When it was set.
    pub set_at: Timestamp,
    /// Who set it.
    pub set_by: String,
    /// The beginning of a digest under a key of the cluster: equal values of one secret have equal digests, and who has not
    /// the key can not try values against it.
    pub digest: String,
    /// The value, sealed.
    pub sealed: Sealed,
    /// What AWS calls this version, where it has come from there.
    pub origin: Option<String>,
}

/// A value that nobody can read who has not the key of the cluster.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Sealed {
    /// 24 bytes, never used twice.
    pub nonce: Vec<u8>,
    /// With its tag.
    pub ciphertext: Vec<u8>,
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.ciphertext.len())
    }
}

/// What a container gets of secrets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SecretUses {
    /// As files.
    pub files: Vec<SecretFile>,
    /// As variables of the environment, where everybody who may ask the engine sees them.
    pub variables: BTreeMap<String, SecretName>,
}

impl SecretUses {
    /// Each secret that is named, once.
    #[must_use]
    pub fn names(&self) -> BTreeSet<&SecretName> {
        self.files.iter().map(|file| &file.secret).chain(self.variables.values()).collect()
    }

    /// Says whether it gets any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.variables.is_empty()
    }
}

/// A secret as a file in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretFile {
    /// Which.
    pub secret: SecretName,
    /// An absolute path in the container; see [`SecretFile::plain_name`].
    pub target: String,
    /// Permission bits.
    pub mode: u32,
    /// Owner and group, by number.
    pub owner: (u32, u32),
}

impl SecretFile {
    /// Its name below [`MOUNTED_AT`], when that is where it is. Such files can be exchanged while the container runs; any
    /// other is mounted by itself, and stays what it was.
    #[must_use]
    pub fn plain_name(&self) -> Option<&str> {
        let name = self.target.strip_prefix(MOUNTED_AT)?.strip_prefix('/')?;
        let is_name = !matches!(name, "" | "." | "..") && !name.contains('/');
        is_name.then_some(name)
    }
}

/// Says whether a secret may be in a variable of this name: letters, digits and `_`, as POSIX has them (8.1). An agent keeps the value in a
/// file that is called so, and a name with a slash would lead out of its directory.
#[must_use]
pub fn is_variable(name: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(is_letter) && name.chars().all(|c| is_letter(c) || c.is_ascii_digit())
}

/// What a new version of a secret means for tasks that have an older one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Rotation {
    /// Nothing: only new tasks get it.
    #[default]
    None,
    /// They are exchanged for new ones, as by a rollout.
    Restart,
    /// Their files are exchanged where they are, and their containers get this signal.
    Signal(String),
}
