//! Prints the table of keys for the documents.

use super::keys::{FILE, Inside, Key, Support};

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SupportRow {
    /// From the top of the file, as in `services.*.image`.
    pub path: String,
    /// Whether it is honoured.
    pub support: Support,
    /// What has to be known, or what to do instead.
    pub note: &'static str,
}

/// All keys of the Compose Specification and of Wharf, in the order of the file.
pub(crate) fn support_table() -> Vec<SupportRow> {
    let mut rows = Vec::new();
    add(&mut rows, "", FILE);
    rows
}

fn add(rows: &mut Vec<SupportRow>, prefix: &str, keys: &'static [Key]) {
    for key in keys {
        let path = format!("{prefix}{}", key.name);
        rows.push(SupportRow { path: path.clone(), support: key.support, note: key.note });
        match key.inside {
            Inside::Keys(keys) => add(rows, &format!("{path}."), keys),
            Inside::Named(keys) => add(rows, &format!("{path}.*."), keys),
            Inside::Value => {}
        }
    }
}

fn word(support: Support) -> &'static str {
    match support {
        Support::Yes => "yes",
        Support::Partly => "partly",
        Support::Ignored => "no effect",
        Support::No => "no",
    }
}

/// The table for a terminal.
pub(crate) fn plain() -> String {
    let rows = support_table();
    let width = rows.iter().map(|row| row.path.len()).max().unwrap_or(0);
    let line = |row: &SupportRow| {
        let line = format!("{:width$}  {:9}  {}", row.path, word(row.support), row.note);
        format!("{}\n", line.trim_end())
    };
    rows.iter().map(line).collect()
}

/// The page of the documents.
pub(crate) fn markdown() -> String {
    let line = |row: &SupportRow| {
        let note = row.note.replace('|', "\\|");
        format!("| `{}` | {} | {note} |\n", row.path, word(row.support)).replace("|  |", "| |")
    };
    let rows: String = support_table().iter().map(line).collect();
    format!("{INTRODUCTION}\n| key | support | note |\n|---|---|---|\n{rows}")
}

const INTRODUCTION: &str = "\
# Compose files

A Compose file is the manifest of a project. What it says means what the [Compose
Specification](https://github.com/compose-spec/compose-spec/blob/main/spec.md) says, with the restrictions of this table.
A key that is not supported is an error that says where it stands and what to do instead; it is accepted when it asks for
nothing (null, `false`, `[]` or `{}`), and an override file can take it out with `!reset`. Keys that begin with `x-` are
left alone, except those of the table.

Several files are merged in the order in which they are given. Variables (`$NAME`, `${NAME}`, `${NAME:-default}`,
`${NAME-default}`, `${NAME:?error}`, `${NAME?error}`, `${NAME:+other}`, `${NAME+other}`, and `$$` for a dollar sign) come
from the environment and from `.env` beside the first file, or from the files of `--env-file`. Anchors, aliases and `<<`
work, and so do `extends`, profiles, and the tags `!reset` and `!override`.

Services that are joined by `network_mode: service:NAME` are one task: their containers run on one node, share one
network and are replaced together. The service that is named owns the task; its name is that of the Wharf service, and
ports, `hostname`, `extra_hosts` and `deploy` (except `resources`) belong to it.

This page is made from the table by which files are read; do not edit it.
";
