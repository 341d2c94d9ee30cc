//! The table of keys is what the reader reads and what the documents say.

use std::path::Path;

use super::super::keys::{FILE, Inside, Key, Support};
use super::super::support::support_table;
use super::super::{markdown, plain};
use super::{asked, expect, memory, options, read};

/// Everything that can be read, once.
const EVERYTHING: &str = "
services:
  web:
    build: {context: .}
    env_file: {path: x.env}
    ports: [{target: 80}]
    volumes: [{type: volume, source: data, target: /d, bind: {}, volume: {}}, {type: tmpfs, target: /t, tmpfs: {}}]
    configs: [{source: c}]
    secrets: [{source: s}]
    healthcheck: {x-http: {port: 1}}
    deploy:
      placement: {preferences: [{spread: node.zone}]}
      resources: {reservations: {devices: [{capabilities: [gpu], count: 1}]}}
    ulimits: {a: {soft: 1, hard: 1}}
    networks: {default: {}}
    depends_on: {other: {}}
    extends: {service: base}
    x-wharf: {target_groups: [{group: g, port: 80}], blue_green: {}}
  base: {image: a}
  other: {image: a, healthcheck: {x-tcp: {port: 1}}}
  job: {image: a, x-wharf: {job: {history: {}}, schedule: {cron: '@daily'}, reserve: {}, prefer: [{spread: node.zone}]}}
networks: {n: {}}
volumes: {data: {}}
configs: {c: {content: x}}
secrets: {s: {external: true}, r: {x-wharf: {from: 'ssm:/a'}}}
";

#[test]
fn every_key_that_is_honoured_is_read() {
    let files = memory(&[("compose.yaml", EVERYTHING), ("x.env", "")]);
    expect(read(&options(&["compose.yaml"]), &files));
    let mut missed = Vec::new();
    collect(&mut missed, "", FILE);
    assert!(missed.is_empty(), "in the table, but never read: {missed:?}");
}

fn collect(missed: &mut Vec<String>, prefix: &str, keys: &'static [Key]) {
    for key in keys {
        let path = format!("{prefix}{}", key.name);
        let is_honoured = matches!(key.support, Support::Yes | Support::Partly);
        if is_honoured && !asked::was(keys, key.name) {
            missed.push(path.clone());
        }
        match key.inside {
            Inside::Keys(keys) | Inside::Named(keys) => collect(missed, &format!("{path}."), keys),
            Inside::Value => {}
        }
    }
}

#[test]
fn every_refused_key_says_what_to_do_instead() {
    for row in support_table() {
        let is_silent = row.note.is_empty() && row.support != Support::Yes;
        assert!(!is_silent, "{} is not simply supported and says nothing more", row.path);
    }
}

#[test]
fn no_key_is_in_the_table_twice() {
    let rows = support_table();
    let paths: std::collections::BTreeSet<&str> =
        rows.iter().map(|row| row.path.as_str()).collect();
    assert_eq!(paths.len(), rows.len());
    assert!(plain().lines().count() == rows.len() && rows.len() > 200, "{} rows", rows.len());
}

#[test]
fn the_page_in_the_documents_is_this_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/compose.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, markdown()).unwrap();
    }
    let page = std::fs::read_to_string(&path).unwrap_or_default();
    let is_same = page == markdown();
    assert!(
        is_same,
        "docs/compose.md is not what the reader does: renew it with `UPDATE=1 cargo test --workspace documents`"
    );
}
