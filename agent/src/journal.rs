//! What the agent keeps on disk: what is wanted of it, and how far each container has come.
//!
//! One file, replaced as a whole: written beside it, synced, renamed over it, and the directory synced. A file that can
//! not be read is set aside and never fatal: what runs is then found again by its labels.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use agent_core::assignment::{Assignment, Fence};
use agent_core::workload::{Saved, SavedPart, Workload};
use anyhow::{Context, bail, ensure};
use model::id::{ClusterId, NodeId};
use model::spec::TaskSpec;
use model::time::Timestamp;
use prost::Message;
use proto::convert::{
    WireAssignment, assignment_from_wire, assignment_to_journal, state_from_wire, state_to_wire,
    task_spec_from_wire, task_spec_to_wire,
};
use proto::wire;

/// Begins every journal. The last byte counts layouts.
const MAGIC: &[u8; 8] = b"WHARFJ\0\x01";
/// Magic and checksum.
const HEAD: usize = 12;

/// The file.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
}

/// What was in it.
#[derive(Debug)]
pub(crate) struct Kept {
    /// The cluster that the node belongs to.
    pub(crate) cluster: ClusterId,
    /// The highest fence that was heard.
    pub(crate) fence: Fence,
    /// The tasks.
    pub(crate) tasks: Vec<Saved>,
}

impl Journal {
    /// Names the file in the state directory.
    #[must_use]
    pub(crate) fn new(directory: &Path) -> Self {
        Self { path: directory.join("journal") }
    }

    /// Reads it. A journal that is damaged, or of another node, is set aside.
    ///
    /// # Errors
    /// When the directory can not be used at all.
    pub(crate) fn load(&self, node: &NodeId) -> anyhow::Result<Option<Kept>> {
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("can not read {}", self.path.display()));
            }
        };
        match read(&bytes, node) {
            Ok(kept) => Ok(Some(kept)),
            Err(error) => {
                let aside = self.path.with_extension("damaged");
                tracing::warn!(
                    "{} can not be used ({error:#}): it is set aside as {}, and what runs is found again by its labels",
                    self.path.display(),
                    aside.display()
                );
                fs::rename(&self.path, &aside).context("can not set the damaged journal aside")?;
                Ok(None)
            }
        }
    }

    /// Writes it, and returns when it is safe from a loss of power.
    ///
    /// # Errors
    /// When it was not written; the one before is still there.
    pub(crate) fn save(
        &self,
        cluster: &ClusterId,
        node: &NodeId,
        workload: &Workload,
    ) -> anyhow::Result<()> {
        let payload = write(cluster, node, workload).encode_to_vec();
        let new = self.path.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(MAGIC)?;
        file.write_all(&crc32fast::hash(&payload).to_le_bytes())?;
        file.write_all(&payload)?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        if let Some(directory) = self.path.parent() {
            File::open(directory)?.sync_all()?;
        }
        Ok(())
    }
}

fn write(cluster: &ClusterId, node: &NodeId, workload: &Workload) -> wire::Journal {
    let mut specs: Vec<Arc<TaskSpec>> = Vec::new();
    let mut index_of = |spec: &Arc<TaskSpec>| {
        let known = specs.iter().position(|known| Arc::ptr_eq(known, spec));
        let index = known.unwrap_or_else(|| {
            specs.push(Arc::clone(spec));
            specs.len() - 1
        });
        u32::try_from(index).unwrap_or(u32::MAX)
    };
    let tasks = workload.saved().map(|saved| {
        let spec = index_of(&saved.assignment.spec);
        let part = |part: SavedPart| wire::JournalContainer {
            name: part.name.to_string(),
            attempt: part.attempt,
            over: part.is_over,
        };
        wire::JournalTask {
            assignment: Some(assignment_to_journal(&to_wire(saved.assignment))),
            spec,
            containers: saved.parts.into_iter().map(part).collect(),
            state: Some(state_to_wire(&saved.state)),
            lease_until_ms: saved.lease.map(Timestamp::as_millis),
        }
    });
    let tasks = tasks.collect();
    let Fence { incarnation, epoch, revision } = workload.fence();
    wire::Journal {
        cluster: cluster.to_string(),
        node: node.to_string(),
        fence: Some(wire::Fence { incarnation, epoch, revision }),
        tasks,
        specs: specs.iter().map(|spec| task_spec_to_wire(spec)).collect(),
    }
}

fn read(bytes: &[u8], node: &NodeId) -> anyhow::Result<Kept> {
    let (head, payload) = bytes.split_at_checked(HEAD).context("it is too short")?;
    let (magic, sum) = head.split_at_checked(MAGIC.len()).context("it is too short")?;
    ensure!(magic == MAGIC, "it is not a journal of this version");
    ensure!(sum == crc32fast::hash(payload).to_le_bytes(), "its checksum is wrong");
    let journal = wire::Journal::decode(payload)?;
    if journal.node != node.as_str() {
        bail!("it belongs to node {}, and this is {node}", journal.node);
    }
    let specs = journal.specs.iter().map(|spec| task_spec_from_wire(spec).map(Arc::new));
    let specs: Vec<_> = specs.collect::<Result<_, _>>()?;
    let tasks = journal.tasks.iter().map(|task| read_task(task, &specs));
    let fence = journal.fence.unwrap_or_default();
    Ok(Kept {
        cluster: journal.cluster.parse()?,
        fence: Fence {
            incarnation: fence.incarnation,
            epoch: fence.epoch,
            revision: fence.revision,
        },
        tasks: tasks.collect::<anyhow::Result<_>>()?,
    })
}

fn read_task(from: &wire::JournalTask, specs: &[Arc<TaskSpec>]) -> anyhow::Result<Saved> {
    let spec = usize::try_from(from.spec).ok().and_then(|index| specs.get(index));
    let spec = spec.context("a task names no spec")?;
    let assignment = from.assignment.as_ref().context("a task has no assignment")?;
    let assignment = assignment_from_wire(assignment, Arc::clone(spec))?;
    let read = |part: &wire::JournalContainer| {
        Ok(SavedPart { name: part.name.parse()?, attempt: part.attempt, is_over: part.over })
    };
    Ok(Saved {
        assignment: from_wire(assignment),
        state: state_from_wire(from.state.as_ref())?,
        parts: from.containers.iter().map(read).collect::<anyhow::Result<_>>()?,
        lease: from.lease_until_ms.map(Timestamp::from_millis),
    })
}

/// The same assignment in the agent's words.
pub(crate) fn from_wire(from: WireAssignment) -> Assignment {
    let WireAssignment { task, project, service, generation, spec, desired, is_once, secrets } =
        from;
    Assignment { task, project, service, generation, spec, desired, is_once, secrets }
}

fn to_wire(from: Assignment) -> WireAssignment {
    let Assignment { task, project, service, generation, spec, desired, is_once, secrets } = from;
    WireAssignment { task, project, service, generation, spec, desired, is_once, secrets }
}
