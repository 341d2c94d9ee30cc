//! Who did what: shown, followed, and verified record by record here, from what the coordinator or a file says.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use ::trust::audit::{Flaw, Mark, Verifier, from_json, to_json};
use anyhow::Context;
use model::audit::Act;
use model::trust::Fingerprint;
use prost::Message;
use proto::convert::act_from_wire;
use proto::wire;
use serde_json::Value;

use crate::args::Global;
use crate::args::trust::Audit;
use crate::client::Client;
use crate::exit::{Exit, Failure, from_status};
use crate::output::{self, Format, Listing, Row, clean};

/// So many flaws are named: whoever looks for more has the records.
const FLAWS_LIMIT: usize = 20;

pub(crate) async fn audit(
    client: impl Fn() -> anyhow::Result<Client>,
    global: &Global,
    arguments: &Audit,
) -> anyhow::Result<Exit> {
    if let Some(file) = &arguments.file {
        return verify_file(file);
    }
    if arguments.verify {
        return verify(&client()?).await;
    }
    let request = wire::AuditRequest {
        since_ms: arguments.since.map(|since| u64::try_from(since).unwrap_or_default() * 1_000),
        who: arguments.who.clone(),
        what: arguments.what.clone(),
        follow: arguments.follow,
        tail: arguments.tail,
        verify: false,
    };
    let mut pages = client()?.trust.audit(request).await;
    let pages = pages.as_mut().map_err(|status| from_status(status))?.get_mut();
    let mut rows = Vec::new();
    while let Some(page) = pages.message().await.map_err(|status| from_status(&status))? {
        let found = page.records.iter().map(row);
        if arguments.follow {
            found.for_each(|row| rows.push(row));
            std::mem::take(&mut rows).into_iter().try_for_each(|row| print_line(row, global))?;
        } else {
            rows.extend(found);
        }
    }
    if !arguments.follow {
        let head =
            vec!["AT", "WHO", "WHAT", "TO", "VERDICT", "NOTE", "FROM", "WHY", "REQUEST", "RECORD"];
        output::print(Listing { head, wide: 6, rows }, global.format(), &global.filters)?;
    }
    Ok(Exit::Done)
}

fn print_line(row: Row, global: &Global) -> anyhow::Result<()> {
    match global.format() {
        Format::Table | Format::Wide => {
            let cells: Vec<String> = row.cells.iter().take(6).map(|cell| clean(cell)).collect();
            anstream::println!("{}", cells.join("  ").trim_end());
            Ok(())
        }
        Format::Name => {
            anstream::println!("{}", row.id);
            Ok(())
        }
        Format::Json | Format::Jsonl | Format::Yaml => output::print_one(&row.json, Format::Jsonl),
    }
}

/// A record as it was read, or what can be said of one that says nothing.
struct Read {
    sequence: u64,
    act: Option<Act>,
    hash: Fingerprint,
}

fn read(record: &wire::AuditRecord) -> Read {
    let hash = record.hash.as_slice().try_into().map_or(Mark::ORIGIN.hash, Fingerprint::new);
    let wire = wire::Act::decode(record.act.as_slice()).unwrap_or_default();
    let act = act_from_wire(&wire).ok().map(|(_, act)| act);
    Read { sequence: wire.sequence, act, hash }
}

fn row(record: &wire::AuditRecord) -> Row {
    let Read { sequence, act, hash } = read(record);
    let id = sequence.to_string();
    let Some(act) = act else {
        let cells = ["", "", "", "", "alarm", "this record can not be read"];
        let cells = cells.map(str::to_owned).to_vec();
        return Row { id, cells, json: Value::Null };
    };
    let generations = |before: Option<u64>, after: Option<u64>| match (before, after) {
        (None, None) => String::new(),
        (before, after) if before == after => String::new(),
        (before, after) => {
            let number = |number: Option<u64>| number.map_or("-".to_owned(), |it| it.to_string());
            format!(" {}→{}", number(before), number(after))
        }
    };
    let objects: Vec<String> = act
        .objects
        .iter()
        .map(|object| format!("{}{}", object.name, generations(object.before, object.after)))
        .collect();
    let times = if act.count > 1 { format!("{} times: ", act.count) } else { String::new() };
    Row {
        cells: vec![
            act.at.to_string(),
            act.who.clone(),
            act.what.clone(),
            objects.join(", "),
            act.verdict.to_string(),
            format!("{times}{}", act.note),
            act.from.clone(),
            act.why.clone(),
            act.request.clone(),
            id.clone(),
        ],
        json: to_json(sequence, &act, &record.act, &hash),
        id,
    }
}

fn mark(of: Option<&wire::AuditMark>) -> anyhow::Result<Mark> {
    let Some(of) = of else { return Ok(Mark::ORIGIN) };
    let hash = of.hash.as_slice().try_into().map(Fingerprint::new);
    let hash = hash.context("an end of the record has no digest")?;
    Ok(Mark { sequence: of.sequence, hash })
}

/// What was found out, as it is told.
#[derive(Default)]
struct Findings {
    records: u64,
    first: Option<u64>,
    flaws: Vec<String>,
}

impl Findings {
    fn take(&mut self, verifier: &mut Verifier, record: &wire::AuditRecord) {
        let Read { sequence, hash, .. } = read(record);
        self.records += 1;
        self.first.get_or_insert(sequence);
        let taken = verifier.take(sequence, &record.act, &hash);
        self.flaws.extend(taken.err().as_ref().map(Flaw::to_string));
    }

    fn tell(self, of: &str, end: &Mark) -> anyhow::Result<Exit> {
        let Self { records, first, flaws } = self;
        if flaws.is_empty() {
            let first = first.unwrap_or(end.sequence);
            println!("{of} is whole: {records} records, {first} to {}", end.sequence);
            println!("its last digest is {}", end.hash);
            return Ok(Exit::Done);
        }
        let named: Vec<&str> = flaws.iter().take(FLAWS_LIMIT).map(String::as_str).collect();
        let more = flaws.len().saturating_sub(FLAWS_LIMIT);
        let more = if more > 0 { format!("\nand {more} more") } else { String::new() };
        Err(Failure::error(
            Exit::Error,
            format!("{of} is not whole:\n{}{more}", named.join("\n")),
            "somebody has changed it, or the disk has: compare it with the file of --audit-file and with backups",
        ))
    }
}

async fn verify(client: &Client) -> anyhow::Result<Exit> {
    let request = wire::AuditRequest { verify: true, ..Default::default() };
    let pages = client.trust.clone().audit(request).await;
    let mut pages = pages.map_err(|status| from_status(&status))?.into_inner();
    let (mut findings, mut verifier, mut end) = (Findings::default(), None, Mark::ORIGIN);
    let mut seals = [wire::AuditSeal::Unspecified; 2];
    while let Some(page) = pages.message().await.map_err(|status| from_status(&status))? {
        seals = [page.begin_seal(), page.end_seal()];
        let begin = mark(page.begin.as_ref())?;
        let verifier = verifier.get_or_insert_with(|| Verifier::new(begin));
        // What was given up while we read is not missing.
        if begin.sequence > verifier.at().sequence {
            *verifier = Verifier::new(begin);
        }
        page.records.iter().for_each(|record| findings.take(verifier, record));
        if page.last {
            end = mark(page.end.as_ref())?;
            findings.flaws.extend(verifier.end(&end).err().as_ref().map(Flaw::to_string));
        }
    }
    for (seal, which) in seals.into_iter().zip(["beginning", "end"]) {
        if seal == wire::AuditSeal::Forged {
            let forged = format!("its {which} was written by somebody without the authority's key");
            findings.flaws.push(forged);
        }
    }
    if seals.contains(&wire::AuditSeal::None) && findings.records > 0 {
        anstream::eprintln!(
            "its ends are not sealed: whoever can write the store could have made all of it anew"
        );
    }
    findings.tell("the record", &end)
}

/// A file has no end of its own: what is compared is each line with its digest, and each digest with the one before.
fn verify_file(path: &Path) -> anyhow::Result<Exit> {
    let file = File::open(path).with_context(|| format!("can not read {}", path.display()))?;
    let mut findings = Findings::default();
    let mut verifier: Option<Verifier> = None;
    for (number, line) in BufReader::new(file).lines().enumerate() {
        let line = line.with_context(|| format!("can not read {}", path.display()))?;
        let value: Option<Value> = serde_json::from_str(&line).ok();
        let found = value.as_ref().and_then(from_json);
        let (Some(value), Some((act, hash))) = (value, found) else {
            findings.flaws.push(format!("line {} is no record", number + 1));
            continue;
        };
        let record = wire::AuditRecord { act, hash: hash.as_bytes().to_vec() };
        let Read { sequence, act, .. } = read(&record);
        let shown = act.map(|act| to_json(sequence, &act, &record.act, &hash));
        if shown.as_ref() != Some(&value) {
            findings.flaws.push(format!("line {} says something else than its record", number + 1));
        }
        match &mut verifier {
            Some(verifier) => findings.take(verifier, &record),
            None if sequence == 1 => {
                let verifier = verifier.insert(Verifier::new(Mark::ORIGIN));
                findings.take(verifier, &record);
            }
            // It goes on from a file that was put elsewhere.
            None => {
                verifier = Some(Verifier::new(Mark { sequence, hash }));
                (findings.records, findings.first) = (1, Some(sequence));
            }
        }
    }
    let end = verifier.map_or(Mark::ORIGIN, |verifier| verifier.at());
    findings.tell(&path.display().to_string(), &end)
}
