//! The chain in the store: what is to be written beside a change, what is given up, and pages of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::audit::{Act, Object, Verdict};
use prost::Message;
use proto::convert::act_to_wire;
use proto::wire;
use tokio::sync::watch;
use trust::audit::{End, Mark, Sealing};

use crate::audit::By;
use crate::store::record::{Kind, Record};
use crate::store::{Store, StoreError};

/// So many records are given up at a time: each is a delete of its own.
const GIVEN_UP_AT_ONCE: u64 = 500;
/// While the file can not be written, what is not in it yet is kept, up to so many times of what is kept usually.
const KEPT_FOR_THE_FILE: u64 = 4;
const BEGIN: &str = "begin";
const END: &str = "end";

/// The chain, as far as it is committed. Only the loop has it.
#[derive(Debug)]
pub(crate) struct Log {
    begin: Mark,
    end: Mark,
    sealing: Option<Sealing>,
    records: u64,
    /// Up to here everything is in the file; None when there is none.
    exported: Option<Arc<AtomicU64>>,
    newest: watch::Sender<u64>,
}

/// What is to be written, and where the chain begins and ends by then.
#[derive(Debug)]
pub(crate) struct Draft {
    records: Vec<Record>,
    begin: Mark,
    end: Mark,
}

impl Draft {
    /// To be written in one with the changes that they are of.
    pub(crate) fn records(&self) -> &[Record] {
        &self.records
    }
}

/// In the order of numbers, as keys are sorted.
fn key(sequence: u64) -> String {
    format!("{sequence:020}")
}

struct Found {
    mark: Mark,
    seal: Vec<u8>,
}

fn find(store: &mut dyn Store, name: &str) -> Result<Option<Found>, StoreError> {
    let marks = store.scan(Kind::AuditMark, "", 8)?;
    let value = marks.into_iter().find(|(key, _)| key == name).map(|(_, value)| value);
    let mark = value.and_then(|value| wire::AuditMark::decode(value.as_slice()).ok());
    // One that can not be read is as good as none: that it is not there is said.
    Ok(mark.and_then(|mark| {
        let hash: [u8; 32] = mark.hash.as_slice().try_into().ok()?;
        let hash = model::trust::Fingerprint::new(hash);
        Some(Found { mark: Mark { sequence: mark.sequence, hash }, seal: mark.seal })
    }))
}

impl Log {
    /// Finds the ends of the chain. What is wrong with them at first sight is to be on the record.
    ///
    /// # Errors
    /// When the store can not be read.
    pub(crate) fn open(
        store: &mut dyn Store,
        sealing: Option<Sealing>,
        (records, exported): (u64, Option<Arc<AtomicU64>>),
    ) -> Result<(Self, Vec<Act>), StoreError> {
        let (begin, end) = (find(store, BEGIN)?, find(store, END)?);
        let last = store.last(Kind::Audit)?;
        let last = last.and_then(|key| key.parse::<u64>().ok()).unwrap_or_default();
        let mut alarms = Vec::new();
        if begin.is_none() != end.is_none() || (end.is_none() && last > 0) {
            alarms.push("an end of the record is missing".to_owned());
        }
        let said = end.as_ref().map_or(0, |end| end.mark.sequence);
        if said != last && (said > last || end.is_some()) {
            let begins = begin.as_ref().map_or(0, |begin| begin.mark.sequence);
            // All that there was may have been given up.
            if !(said == begins && last == 0) {
                alarms
                    .push(format!("it ends with {last}, and {said} was the last that was written"));
            }
        }
        for (which, found) in [(End::Begin, &begin), (End::End, &end)] {
            let (Some(found), Some(sealing)) = (found, &sealing) else { continue };
            let is_ours = sealing.is_ours(which, &found.mark, &found.seal);
            if !found.seal.is_empty() && !is_ours {
                alarms.push("an end of it was written by somebody else".to_owned());
            }
        }
        let begin = begin.map_or(Mark::ORIGIN, |begin| begin.mark);
        let mut end = end.map_or(Mark::ORIGIN, |end| end.mark);
        // Nothing that is there is ever written over.
        end.sequence = end.sequence.max(last);
        let newest = watch::Sender::new(end.sequence);
        let log = Self { begin, end, sealing, records, exported, newest };
        Ok((log, alarms.iter().map(|why| alarm(why)).collect()))
    }

    /// Tells the number of the newest record as it grows.
    pub(crate) fn follow(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// What is to be written for these acts.
    ///
    /// # Errors
    /// When the store can not be read.
    pub(crate) fn draft(&self, store: &mut dyn Store, acts: &[Act]) -> Result<Draft, StoreError> {
        let (mut end, mut records) = (self.end, Vec::new());
        if acts.is_empty() {
            return Ok(Draft { records, begin: self.begin, end });
        }
        for act in acts {
            let act = act_to_wire(act, end.sequence + 1).encode_to_vec();
            end = end.follow(&act);
            let hash = end.hash.as_bytes().to_vec();
            let value = Some(wire::AuditRecord { act, hash }.encode_to_vec());
            records.push(Record { kind: Kind::Audit, key: key(end.sequence), value });
        }
        let begin = self.give_up(store, end)?;
        let given_up = self.begin.sequence + 1..=begin.sequence;
        let forget = |sequence| Record { kind: Kind::Audit, key: key(sequence), value: None };
        records.extend(given_up.map(forget));
        records.push(self.mark(End::Begin, &begin));
        records.push(self.mark(End::End, &end));
        Ok(Draft { records, begin, end })
    }

    /// Where the record begins when it ends there.
    fn give_up(&self, store: &mut dyn Store, end: Mark) -> Result<Mark, StoreError> {
        let kept = end.sequence - self.begin.sequence;
        let at_once = (self.records / 10).clamp(1, GIVEN_UP_AT_ONCE);
        if kept < self.records + at_once {
            return Ok(self.begin);
        }
        let mut last = end.sequence - self.records;
        if let Some(exported) = &self.exported {
            let exported = exported.load(Ordering::Relaxed);
            if exported < last && kept < self.records.saturating_mul(KEPT_FOR_THE_FILE) {
                last = exported;
            } else if exported < last {
                tracing::error!(
                    not_in_the_file = last - exported,
                    "the file of the audit record can not be written for so long that records are given up that are not in it"
                );
            }
        }
        // A start with fewer to be kept than before does not give up all of them at once.
        let last = last.min(self.begin.sequence + GIVEN_UP_AT_ONCE);
        if last <= self.begin.sequence {
            return Ok(self.begin);
        }
        let found = store.scan(Kind::Audit, &key(last - 1), 1)?;
        let hash = found.first().filter(|(found, _)| *found == key(last));
        let hash = hash.and_then(|(_, value)| {
            let record = wire::AuditRecord::decode(value.as_slice()).ok()?;
            <[u8; 32]>::try_from(record.hash.as_slice()).ok()
        });
        // A gap stays where it is, to be seen.
        Ok(hash.map_or(self.begin, |hash| Mark {
            sequence: last,
            hash: model::trust::Fingerprint::new(hash),
        }))
    }

    fn mark(&self, which: End, mark: &Mark) -> Record {
        let name = match which {
            End::Begin => BEGIN,
            End::End => END,
        };
        let value = Some(self.wire(which, mark).encode_to_vec());
        Record { kind: Kind::AuditMark, key: name.to_owned(), value }
    }

    fn wire(&self, which: End, mark: &Mark) -> wire::AuditMark {
        let seal = self.sealing.as_ref().map(|sealing| sealing.seal(which, mark));
        wire::AuditMark {
            sequence: mark.sequence,
            hash: mark.hash.as_bytes().to_vec(),
            seal: seal.unwrap_or_default(),
        }
    }

    /// That is committed.
    pub(crate) fn keep(&mut self, draft: &Draft) {
        (self.begin, self.end) = (draft.begin, draft.end);
        self.newest.send_if_modified(|newest| {
            let is_more = *newest != draft.end.sequence;
            *newest = draft.end.sequence;
            is_more
        });
    }

    /// Some records after this one, as they lie in the store, and both ends as they are written there.
    ///
    /// # Errors
    /// When the store can not be read.
    pub(crate) fn page(
        &self,
        store: &mut dyn Store,
        after: u64,
        limit: usize,
    ) -> Result<wire::AuditPage, StoreError> {
        let found = store.scan(Kind::Audit, &key(after), limit)?;
        let last = found.len() < limit;
        // What can not be read is shown as a record that says nothing: it is one that was changed.
        let read = |(_, value): (String, Vec<u8>)| {
            wire::AuditRecord::decode(value.as_slice()).unwrap_or_default()
        };
        let records = found.into_iter().map(read).collect();
        let (begin, begin_seal) = self.shown(store, End::Begin)?;
        let (end, end_seal) = self.shown(store, End::End)?;
        let (begin_seal, end_seal) = (begin_seal.into(), end_seal.into());
        Ok(wire::AuditPage { records, begin, end, begin_seal, end_seal, last })
    }

    fn shown(
        &self,
        store: &mut dyn Store,
        which: End,
    ) -> Result<(Option<wire::AuditMark>, wire::AuditSeal), StoreError> {
        let name = match which {
            End::Begin => BEGIN,
            End::End => END,
        };
        let Some(found) = find(store, name)? else { return Ok((None, wire::AuditSeal::None)) };
        let seal = match &self.sealing {
            None => wire::AuditSeal::None,
            Some(sealing) if sealing.is_ours(which, &found.mark, &found.seal) => {
                wire::AuditSeal::Genuine
            }
            Some(_) if found.seal.is_empty() => wire::AuditSeal::None,
            Some(_) => wire::AuditSeal::Forged,
        };
        let mark = wire::AuditMark {
            sequence: found.mark.sequence,
            hash: found.mark.hash.as_bytes().to_vec(),
            seal: found.seal,
        };
        Ok((Some(mark), seal))
    }
}

fn alarm(why: &str) -> Act {
    tracing::error!(
        why,
        "somebody has changed the audit record: `wharf audit --verify` says where"
    );
    let by = By {
        who: "the coordinator".to_owned(),
        from: String::new(),
        what: "start".to_owned(),
        why: String::new(),
        request: String::new(),
    };
    by.act(vec![Object::named("audit")], Verdict::Alarm, why)
}
