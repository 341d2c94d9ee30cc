//! The record as a file, a line of JSON each: what is in the store and not in the file is appended, whenever that was written.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use model::trust::Fingerprint;
use prost::Message;
use proto::convert::act_from_wire;
use proto::wire;
use tokio::sync::watch;
use trust::audit::to_json;

use crate::run::Door;

/// A page of it.
const PAGE: usize = 500;
/// After a write that failed, the next one is tried so much later.
const RETRY: Duration = Duration::from_secs(5);
/// A line is no longer than this: an act with all that it may have.
const LINE_LIMIT: u64 = 512 << 10;

/// Appends what is done until the program ends. Says up to where it has come.
pub(crate) async fn export(
    path: &Path,
    door: Door,
    mut newest: watch::Receiver<u64>,
    exported: Arc<AtomicU64>,
) {
    let mut complaint = String::new();
    loop {
        match append(path, &door, &exported).await {
            Ok(()) => {
                complaint.clear();
                if newest.changed().await.is_err() {
                    return;
                }
            }
            Err(error) => {
                let error = format!("{error:#}");
                if error != complaint {
                    tracing::error!(
                        error,
                        "the file of the audit record is not written; the records stay in the store"
                    );
                    complaint = error;
                }
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

async fn append(path: &Path, door: &Door, exported: &AtomicU64) -> anyhow::Result<()> {
    let path = path.to_owned();
    let named = path.clone();
    let opened = tokio::task::spawn_blocking(move || open(&path)).await?;
    let (mut file, mut after) =
        opened.with_context(|| format!("{} can not be opened", named.display()))?;
    loop {
        exported.store(after, Ordering::Relaxed);
        let page = door.audit(after, PAGE).await?;
        let end = page.end.as_ref().map_or(0, |end| end.sequence);
        if after > end {
            tracing::warn!(
                last_in_the_file = after,
                last_in_the_store = end,
                "the file of the audit record goes on from another store: this one begins in it anew"
            );
            after = 0;
            continue;
        }
        let is_last = page.last;
        let mut text = Vec::new();
        for record in &page.records {
            let Some(line) = line(record) else { continue };
            after = line.0;
            text.extend_from_slice(line.1.as_bytes());
        }
        if !text.is_empty() {
            let written = tokio::task::spawn_blocking(move || -> io::Result<File> {
                file.write_all(&text)?;
                file.sync_data()?;
                Ok(file)
            });
            let written = written.await?;
            file = written.with_context(|| format!("{} can not be written", named.display()))?;
            exported.store(after, Ordering::Relaxed);
        }
        if is_last {
            return Ok(());
        }
    }
}

fn line(record: &wire::AuditRecord) -> Option<(u64, String)> {
    let act = wire::Act::decode(record.act.as_slice()).ok()?;
    let (sequence, act) = act_from_wire(&act).ok()?;
    let hash = Fingerprint::new(record.hash.as_slice().try_into().ok()?);
    Some((sequence, format!("{}\n", to_json(sequence, &act, &record.act, &hash))))
}

/// Opens the file, cuts off what was half written when the program was killed, and gives the number of its last record.
fn open(path: &Path) -> io::Result<(File, u64)> {
    let mut file =
        OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(length.saturating_sub(LINE_LIMIT)))?;
    let mut tail = Vec::new();
    BufReader::new(&mut file).take(LINE_LIMIT).read_to_end(&mut tail)?;
    let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let half = u64::try_from(tail.len() - whole).unwrap_or_default();
    if half > 0 {
        file.set_len(length - half)?;
    }
    let lines = tail.get(..whole).unwrap_or_default().lines().map_while(Result::ok);
    let last = lines.last().and_then(|line| serde_json::from_str::<serde_json::Value>(&line).ok());
    let last = last.and_then(|last| last.get("sequence")?.as_u64());
    Ok((file, last.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_goes_on_after_its_last_whole_line() {
        let path = std::env::temp_dir().join(format!("wharf-export-{}", std::process::id()));
        assert_eq!(open(&path).unwrap().1, 0);
        std::fs::write(&path, "{\"sequence\":7}\n{\"sequence\":8}\n{\"seque").unwrap();
        let (mut file, last) = open(&path).unwrap();
        assert_eq!(last, 8);
        file.write_all(b"{\"sequence\":9}\n").unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "{\"sequence\":7}\n{\"sequence\":8}\n{\"sequence\":9}\n");
        std::fs::remove_file(path).unwrap();
    }
}
