//! Who did what, read in pages by administrators.

use std::collections::VecDeque;
use std::sync::Arc;

use prost::Message;
use proto::wire;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::Shared;
use crate::api::control::Answers;
use crate::api::status;

/// Records of a page: even the longest fit into what a client takes.
const PAGE: usize = 200;
/// Pages that wait for a slow reader.
const QUEUE: usize = 4;
/// More than these are not counted from the end.
const TAIL_LIMIT: usize = 100_000;

pub(crate) fn audit(shared: &Arc<Shared>, request: wire::AuditRequest) -> Answers<wire::AuditPage> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        if let Err(error) = read(&shared, &request, &sender).await {
            // The reader may be gone too.
            drop(sender.send(Err(error)).await);
        }
    });
    Box::pin(ReceiverStream::new(receiver))
}

/// Reads until there is no more, or until the reader goes.
async fn read(
    shared: &Shared,
    request: &wire::AuditRequest,
    sender: &mpsc::Sender<Result<wire::AuditPage, Status>>,
) -> Result<(), Status> {
    let mut recorded = shared.recorded.clone();
    let mut tail = request.tail.map(|tail| usize::try_from(tail).unwrap_or(TAIL_LIMIT));
    let (mut after, mut kept) = (0, VecDeque::new());
    loop {
        recorded.mark_unchanged();
        let page = shared.door.audit(after, PAGE).await;
        let mut page = page.map_err(|error| status(&error))?;
        after = page.records.iter().filter_map(sequence).fold(after, u64::max);
        if !request.verify {
            page.records.retain(|record| is_meant(record, request));
        }
        let is_last = page.last;
        if let Some(tail) = tail.map(|tail| tail.min(TAIL_LIMIT)) {
            kept.extend(std::mem::take(&mut page.records));
            kept.drain(..kept.len().saturating_sub(tail));
        }
        if is_last && tail.take().is_some() {
            page.last = kept.len() <= PAGE;
            while kept.len() > PAGE {
                let records = kept.drain(..PAGE).collect();
                let page = wire::AuditPage { records, ..Default::default() };
                if sender.send(Ok(page)).await.is_err() {
                    return Ok(());
                }
            }
            page.records = std::mem::take(&mut kept).into();
        }
        page.last = is_last;
        let is_worth_it = is_last || !page.records.is_empty();
        if is_worth_it && sender.send(Ok(page)).await.is_err() {
            return Ok(());
        }
        if !is_last {
            continue;
        }
        if !request.follow {
            return Ok(());
        }
        tokio::select! {
            changed = recorded.changed() => if changed.is_err() { return Ok(()) },
            () = sender.closed() => return Ok(()),
        }
    }
}

fn sequence(record: &wire::AuditRecord) -> Option<u64> {
    wire::Act::decode(record.act.as_slice()).ok().map(|act| act.sequence)
}

fn is_meant(record: &wire::AuditRecord, request: &wire::AuditRequest) -> bool {
    // What can not be read is shown to everybody.
    let Ok(act) = wire::Act::decode(record.act.as_slice()) else { return true };
    request.since_ms.is_none_or(|since| act.at_ms >= since)
        && act.who.contains(&request.who)
        && act.what.contains(&request.what)
}
