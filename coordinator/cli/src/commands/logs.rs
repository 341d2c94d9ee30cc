//! What containers write, and what happens.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use anstyle::{AnsiColor, Style};
use proto::wire;
use serde_json::json;

use crate::args::{Events, Global, Logs};
use crate::client::Client;
use crate::exit::{Exit, from_status};
use crate::find::{self, Found};
use crate::output::{self, Format, clean, instant};

/// Told apart by colour as long as there are not more.
const COLOURS: [AnsiColor; 6] = [
    AnsiColor::Cyan,
    AnsiColor::Green,
    AnsiColor::Yellow,
    AnsiColor::Magenta,
    AnsiColor::Blue,
    AnsiColor::BrightRed,
];

pub(crate) async fn logs(client: &Client, arguments: &Logs) -> anyhow::Result<Exit> {
    let mut request = wire::LogsRequest {
        container: arguments.container.clone().unwrap_or_default(),
        follow: arguments.follow,
        tail: arguments.tail,
        since: arguments.since,
        timestamps: arguments.timestamps,
        ..wire::LogsRequest::default()
    };
    let has_several = match find::any(client, &arguments.name).await? {
        Found::Service(service) => {
            (request.project, request.service) = (service.project, service.name);
            true
        }
        Found::Task(task) => {
            request.task = task;
            false
        }
    };
    let stream =
        client.control.clone().logs(request).await.map_err(|status| from_status(&status))?;
    let mut stream = stream.into_inner();
    let mut lines = Lines { has_several, ..Lines::default() };
    while let Some(chunk) = stream.message().await.map_err(|status| from_status(&status))? {
        lines.print(&chunk)?;
    }
    lines.end()?;
    Ok(if lines.failed.is_empty() { Exit::Done } else { Exit::Error })
}

/// Puts pieces of lines together again, each task's apart.
#[derive(Debug, Default)]
struct Lines {
    has_several: bool,
    open: BTreeMap<(String, i32), Vec<u8>>,
    seen: Vec<String>,
    failed: BTreeSet<String>,
}

impl Lines {
    fn print(&mut self, chunk: &wire::LogChunk) -> anyhow::Result<()> {
        if !chunk.error.is_empty() {
            self.failed.insert(chunk.task.clone());
            anstream::eprintln!("{}: {}", clean(&chunk.task), clean(&chunk.error));
            return Ok(());
        }
        if !self.has_several {
            return write_to(chunk.output(), &chunk.data);
        }
        let key = (chunk.task.clone(), chunk.output);
        let mut pending = self.open.remove(&key).unwrap_or_default();
        pending.extend_from_slice(&chunk.data);
        while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = pending.drain(..=end).collect();
            self.line(&key.0, chunk.output(), &line)?;
        }
        if !pending.is_empty() {
            self.open.insert(key, pending);
        }
        Ok(())
    }

    fn line(&mut self, task: &str, output: wire::Output, line: &[u8]) -> anyhow::Result<()> {
        let index = self.seen.iter().position(|seen| seen == task).unwrap_or_else(|| {
            self.seen.push(task.to_owned());
            self.seen.len() - 1
        });
        let colour = COLOURS.get(index % COLOURS.len()).copied().unwrap_or(AnsiColor::White);
        let style = Style::new().fg_color(Some(colour.into()));
        let prefix = format!("{style}{}{style:#} | ", clean(task));
        match output {
            wire::Output::Stderr => anstream::stderr().write_all(prefix.as_bytes())?,
            wire::Output::Stdout | wire::Output::Unspecified => {
                anstream::stdout().write_all(prefix.as_bytes())?
            }
        }
        write_to(output, line)
    }

    /// Lines that have no end.
    fn end(&mut self) -> anyhow::Result<()> {
        for ((task, output), mut line) in std::mem::take(&mut self.open) {
            line.push(b'\n');
            self.line(&task, wire::Output::try_from(output).unwrap_or_default(), &line)?;
        }
        Ok(())
    }
}

pub(crate) fn write_to(output: wire::Output, data: &[u8]) -> anyhow::Result<()> {
    match output {
        wire::Output::Stderr => {
            let mut stderr = std::io::stderr().lock();
            stderr.write_all(data)?;
            Ok(stderr.flush()?)
        }
        wire::Output::Stdout | wire::Output::Unspecified => {
            let mut stdout = std::io::stdout().lock();
            stdout.write_all(data)?;
            Ok(stdout.flush()?)
        }
    }
}

pub(crate) async fn events(
    client: &Client,
    global: &Global,
    arguments: &Events,
) -> anyhow::Result<Exit> {
    let request = wire::EventsRequest {
        follow: arguments.follow,
        tail: arguments.tail,
        project: arguments.project.clone(),
        service: String::new(),
    };
    let stream =
        client.control.clone().events(request).await.map_err(|status| from_status(&status))?;
    let mut stream = stream.into_inner();
    while let Some(one) = stream.message().await.map_err(|status| from_status(&status))? {
        let at = instant(one.at_ms);
        match global.format() {
            Format::Table | Format::Wide => {
                let at = at.as_str().unwrap_or_default();
                anstream::println!(
                    "{at} {} {} {}",
                    clean(&one.kind),
                    clean(&one.id),
                    clean(&one.message)
                );
            }
            Format::Name => println!("{}", clean(&one.id)),
            Format::Json | Format::Jsonl | Format::Yaml => {
                let value = json!({ "sequence": one.sequence, "at": at, "kind": one.kind, "id": one.id, "message": one.message });
                output::print_one(&value, Format::Jsonl)?;
            }
        }
    }
    Ok(Exit::Done)
}
