//! Where the cluster is written down. Acknowledged means committed.

pub mod record;
pub mod sqlite;

use coordinator_core::cluster::{Change, MAX_CHANGES};
use coordinator_core::trust;
use model::id::ClusterId;
use proto::wire;
use thiserror::Error;

use crate::store::record::{Kind, Record};

/// A record as it lies in a store: its key and its value.
pub type Keyed = (String, Vec<u8>);

/// What the store says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Made once, with the store.
    pub cluster: ClusterId,
    /// Made once, with the store: another one after it was made anew.
    pub incarnation: u64,
    /// Counts the coordinators that have led this store, this one included.
    pub epoch: u64,
}

/// Why the store can not be used, or did not write.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Another coordinator has it.
    #[error(
        "{path} is in use by another coordinator; stop that one, or choose another data directory"
    )]
    InUse {
        /// Where.
        path: String,
    },
    /// The file is not a sound store. It is left as it is.
    #[error(
        "{path} is damaged: {why}. It was left as it is; restore a backup in its place, or move it away to begin anew"
    )]
    Damaged {
        /// Where.
        path: String,
        /// What was found.
        why: String,
    },
    /// The file was written by a later version.
    #[error(
        "{path} was written by a later version of Wharf (schema {found}, this one knows {known}); use that version"
    )]
    TooNew {
        /// Where.
        path: String,
        /// Its schema.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// The disk has no room. Nothing was changed.
    #[error("the disk that holds {path} is full: free some space; nothing was changed")]
    DiskFull {
        /// Where.
        path: String,
    },
    /// Anything else. Nothing was changed.
    #[error("{path} can not be written: {why}; nothing was changed")]
    Failed {
        /// Where.
        path: String,
        /// What the system said.
        why: String,
    },
}

/// A place where changes are kept.
pub trait Store: Send {
    /// Everything that was committed, as changes that rebuild it.
    ///
    /// # Errors
    /// When a record can not be read.
    fn load(&mut self) -> Result<Vec<Change>, StoreError>;

    /// Writes all of the changes and of what belongs beside them or none, and returns when they are safe from a loss of
    /// power.
    ///
    /// # Errors
    /// When they were not written.
    fn commit(&mut self, changes: &[Change], beside: &[Record]) -> Result<(), StoreError>;

    /// Everything that was committed about who is let in, as changes that rebuild it.
    ///
    /// # Errors
    /// When a record can not be read.
    fn load_trust(&mut self) -> Result<Vec<trust::Change>, StoreError>;

    /// Writes all of the changes about who is let in, or none; as [`Store::commit`] does.
    ///
    /// # Errors
    /// When they were not written.
    fn commit_trust(
        &mut self,
        changes: &[trust::Change],
        beside: &[Record],
    ) -> Result<(), StoreError>;

    /// Records of a kind whose keys come after this one, in their order and no more than so many.
    ///
    /// # Errors
    /// When they can not be read.
    fn scan(&mut self, kind: Kind, after: &str, limit: usize) -> Result<Vec<Keyed>, StoreError>;

    /// The last key of a kind.
    ///
    /// # Errors
    /// When it can not be read.
    fn last(&mut self, kind: Kind) -> Result<Option<String>, StoreError>;

    /// The authority of the cluster, if it has one.
    ///
    /// # Errors
    /// When the record can not be read.
    fn authority(&mut self) -> Result<Option<wire::Authority>, StoreError>;

    /// Keeps the authority of the cluster, once and for all.
    ///
    /// # Errors
    /// When it was not written.
    fn keep_authority(&mut self, authority: &wire::Authority) -> Result<(), StoreError>;

    /// How many changes a commit should have at most, so that it takes no longer than others can wait.
    fn max_changes(&self) -> usize {
        MAX_CHANGES
    }

    /// Who the cluster is.
    fn identity(&self) -> &Identity;

    /// What kind of store it is and where, for people.
    fn describe(&self) -> String;
}
