//! What the machines of bakes have written: a file for each machine, in the data directory, for as long as its bake is known.

use std::fs::{self, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use model::id::{BakeId, NodeId};

/// No machine's log becomes longer, in bytes: what comes after is left out, and said to be.
const LIMIT: u64 = 32 << 20;
/// What is said then.
const CUT: &[u8] = b"\n[wharf: the log is cut here: it has become too long]\n";

/// The logs of all bakes.
#[derive(Debug, Clone)]
pub(crate) struct BakeLogs {
    folder: PathBuf,
}

impl BakeLogs {
    pub(crate) fn new(data: &Path) -> Self {
        Self { folder: data.join("bakes") }
    }

    /// By the machine, so that one that is made anew begins anew. Both names are words without slashes.
    fn path(&self, bake: &BakeId, machine: &NodeId) -> PathBuf {
        self.folder.join(bake.as_str()).join(format!("{machine}.log"))
    }

    /// How many bytes there are of a machine.
    pub(crate) fn len(&self, bake: &BakeId, machine: &NodeId) -> u64 {
        fs::metadata(self.path(bake, machine)).map_or(0, |found| found.len())
    }

    /// Writes a piece in its place. A piece that leaves a gap is of somebody who does not know how much there is: it is left
    /// out, and comes again when the machine is told.
    ///
    /// # Errors
    /// When the file can not be written.
    pub(crate) fn write(
        &self,
        (bake, machine): (&BakeId, &NodeId),
        offset: u64,
        data: &[u8],
    ) -> std::io::Result<()> {
        let path = self.path(bake, machine);
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        let len = file.metadata()?.len();
        let known = len.saturating_sub(offset);
        let new = usize::try_from(known).ok().and_then(|known| data.get(known..));
        let Some(new) = new.filter(|new| offset <= len && !new.is_empty()) else { return Ok(()) };
        if len >= LIMIT {
            return Ok(());
        }
        file.seek(SeekFrom::End(0))?;
        file.write_all(new)?;
        if len + u64::try_from(new.len()).unwrap_or(u64::MAX) >= LIMIT {
            file.write_all(CUT)?;
        }
        Ok(())
    }

    /// All machines of a bake of which there is something, the oldest first.
    pub(crate) fn machines(&self, bake: &BakeId) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.folder.join(bake.as_str())) else { return Vec::new() };
        let mut found: Vec<_> = entries
            .flatten()
            .filter_map(|entry| {
                let made = entry.metadata().ok()?.created().ok();
                Some((made, entry.path()))
            })
            .collect();
        found.sort();
        found.into_iter().map(|(_, path)| path).collect()
    }

    /// What a file has after so many bytes, in a piece.
    pub(crate) fn read(path: &Path, from: u64) -> std::io::Result<Vec<u8>> {
        const PIECE: u64 = 256 << 10;
        let mut file = fs::File::open(path)?;
        file.seek(SeekFrom::Start(from))?;
        let mut piece = Vec::new();
        file.take(PIECE).read_to_end(&mut piece)?;
        Ok(piece)
    }

    /// Removes what there is of bakes that nobody remembers.
    pub(crate) fn forget(&self, known: impl Fn(&str) -> bool) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            if name.to_str().is_some_and(|name| !known(name))
                && let Err(error) = fs::remove_dir_all(entry.path())
            {
                tracing::warn!(%error, "the log of a bake can not be removed");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_that_come_twice_are_there_once_and_a_gap_is_left_out() {
        let folder = std::env::temp_dir().join(format!("wharf-bake-logs-{}", std::process::id()));
        let (logs, bake): (_, BakeId) = (BakeLogs::new(&folder), "web-1".parse().unwrap());
        let machine: NodeId = "i-1".parse().unwrap();
        let whose = (&bake, &machine);
        logs.write(whose, 0, b"one\n").unwrap();
        logs.write(whose, 0, b"one\ntwo\n").unwrap();
        logs.write(whose, 100, b"late").unwrap();
        assert_eq!(logs.len(&bake, &machine), 8);
        let files = logs.machines(&bake);
        assert_eq!(BakeLogs::read(&files[0], 4).unwrap(), b"two\n");
        logs.forget(|name| name == "web-1");
        assert_eq!(logs.machines(&bake).len(), 1);
        logs.forget(|_| false);
        assert!(logs.machines(&bake).is_empty());
        fs::remove_dir_all(folder).unwrap();
    }
}
