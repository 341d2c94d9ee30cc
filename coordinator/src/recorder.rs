//! The flight recorder: what the coordinator heard lately, in two files that take turns. After a wrong decision, or a
//! crash in the middle of one, `wharf-coordinator replay` decides everything again from it, offline.
//!
//! It is written before a step is taken and never synced: it is for people, and nothing depends on it. When it can not be
//! written it says so once and goes on later.

mod bake;
mod entry;
mod fleet;
mod replay;
mod secret;
mod traffic;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use coordinator_core::Step;
use coordinator_core::cluster::{Cluster, Sighting};
use coordinator_core::event::Event;
use model::id::NodeId;
use model::time::Timestamp;
use prost::Message;
use proto::wire;

use crate::store::Identity;

pub use replay::replay;

/// One of the two files may grow so far: some hours of a busy cluster.
const FILE_LIMIT: u64 = 32 << 20;
/// The files, the newest first.
const NAMES: [&str; 2] = ["flight", "flight.older"];
/// Length and checksum before each entry.
const HEAD: usize = 8;

/// Writes down what is heard.
#[derive(Debug)]
pub(crate) struct Recorder {
    directory: PathBuf,
    identity: Identity,
    file: Option<File>,
    written: u64,
    /// Heard since the last entry: a heartbeat alone is not worth a write.
    sightings: BTreeMap<NodeId, Sighting>,
    has_complained: bool,
}

impl Recorder {
    /// Records into this directory. Files of the coordinator before are kept as the older ones.
    pub(crate) fn new(directory: &Path, identity: Identity) -> Self {
        Self {
            directory: directory.to_owned(),
            identity,
            file: None,
            written: 0,
            sightings: BTreeMap::new(),
            has_complained: false,
        }
    }

    /// Writes down what is about to be decided on. `cluster` is as it was before.
    pub(crate) fn before(&mut self, cluster: &Cluster, events: &[Event], now: Timestamp) {
        if events.iter().any(is_news) {
            self.record(cluster, events, now);
        }
    }

    /// Writes down what agents or time alone have led to, once they have; otherwise keeps in mind who was heard: an idle
    /// cluster writes nothing. `cluster` is as it is afterwards.
    pub(crate) fn after(
        &mut self,
        cluster: &Cluster,
        events: &[Event],
        done: &Step,
        now: Timestamp,
    ) {
        if events.iter().any(is_news) {
            return;
        }
        if !done.changes.is_empty() {
            return self.record(cluster, events, now);
        }
        for node in events.iter().filter_map(speaker) {
            if let Some(seen) = cluster.sighting(node) {
                self.sightings.insert(node.clone(), seen);
            }
        }
    }

    /// Writes down what a step has crashed over, if it is not written down yet.
    pub(crate) fn crashed(&mut self, cluster: &Cluster, events: &[Event], now: Timestamp) {
        if !events.iter().any(is_news) {
            self.record(cluster, events, now);
        }
    }

    /// The cluster was put back to what is stored, or every silence was forgiven: what follows stands for itself.
    pub(crate) fn begin_anew(&mut self) {
        self.file = None;
        self.sightings.clear();
    }

    fn record(&mut self, cluster: &Cluster, events: &[Event], now: Timestamp) {
        let written = self.try_record(cluster, events, now);
        match written {
            Ok(()) => self.has_complained = false,
            Err(error) => {
                // The next entry begins a new file.
                self.file = None;
                if !std::mem::replace(&mut self.has_complained, true) {
                    tracing::warn!(%error, directory = %self.directory.display(), "the flight recorder can not be written; decisions go on");
                }
            }
        }
    }

    fn try_record(
        &mut self,
        cluster: &Cluster,
        events: &[Event],
        now: Timestamp,
    ) -> std::io::Result<()> {
        if self.file.is_none() || self.written > FILE_LIMIT {
            self.begin(cluster, now)?;
            // What was decided without news is in the cluster already.
            if !events.iter().any(is_news) {
                return Ok(());
            }
        }
        let sightings = std::mem::take(&mut self.sightings);
        self.append(&entry::batch(&sightings, events, now))
    }

    /// Begins a file that stands for itself.
    fn begin(&mut self, cluster: &Cluster, now: Timestamp) -> std::io::Result<()> {
        let [newest, older] = NAMES.map(|name| self.directory.join(name));
        match fs::rename(&newest, &older) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        self.file = Some(File::create(&newest)?);
        self.written = 0;
        self.sightings.clear();
        self.append(&entry::start(&self.identity, cluster, now))
    }

    fn append(&mut self, entry: &wire::FlightEntry) -> std::io::Result<()> {
        let Some(file) = self.file.as_mut() else { return Ok(()) };
        let payload = entry.encode_to_vec();
        let length = u32::try_from(payload.len()).map_err(std::io::Error::other)?;
        let mut bytes = Vec::with_capacity(HEAD + payload.len());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&payload).to_le_bytes());
        bytes.extend_from_slice(&payload);
        file.write_all(&bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }
}

/// What an agent says is none by itself: most of it says that all is as it was.
const fn is_news(event: &Event) -> bool {
    speaker(event).is_none()
}

/// Whose sign of life it is.
const fn speaker(event: &Event) -> Option<&NodeId> {
    match event {
        Event::Heard { node, .. } | Event::Reported { node, .. } => Some(node),
        Event::Deploy { .. }
        | Event::Restart(_)
        | Event::Job { .. }
        | Event::Scale { .. }
        | Event::Rollback { .. }
        | Event::GoBack(_)
        | Event::Steer { .. }
        | Event::Rebalance
        | Event::Remove(_)
        | Event::Joined(_)
        | Event::SetAvailability { .. }
        | Event::Drain { .. }
        | Event::Images { .. }
        | Event::Died(_)
        | Event::Fleet(_)
        | Event::Bake(_)
        | Event::Traffic(_) => None,
        Event::Secret(_) => None,
    }
}
