//! Tests of the whole reader: files in, services or errors out.

pub(super) mod asked;
mod fuzz;
mod jobs;
mod joined;
mod leases;
mod limits;
mod merged;
mod preferring;
mod printed;
mod random;
mod recipes;
mod refused;
mod secrets;
mod services;
mod substituted;
mod table;
mod traffic;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use proto::wire::{ContainerSpec, ServiceSpec};

use super::{Diagnostic, Files, Options, Project, read};

/// Files in memory, below `/srv/shop`.
#[derive(Debug, Default)]
struct Memory(BTreeMap<PathBuf, Vec<u8>>);

impl Files for Memory {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.0.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn directory(&self) -> io::Result<PathBuf> {
        Ok(PathBuf::from("/srv/shop"))
    }
}

fn memory(files: &[(&str, &str)]) -> Memory {
    let path = |name: &str| Path::new("/srv/shop").join(name);
    Memory(files.iter().map(|(name, text)| (path(name), text.as_bytes().to_vec())).collect())
}

fn options(files: &[&str]) -> Options {
    Options { files: files.iter().map(Into::into).collect(), ..Options::default() }
}

/// Reads one file.
fn try_read(text: &str) -> Result<Project, Vec<Diagnostic>> {
    read(&options(&["compose.yaml"]), &memory(&[("compose.yaml", text)]))
}

/// Reads one file that is fine.
fn project(text: &str) -> Project {
    expect(try_read(text))
}

fn expect(read: Result<Project, Vec<Diagnostic>>) -> Project {
    read.unwrap_or_else(|errors| panic!("refused:\n{}", rendered(&errors)))
}

/// Reads one file with one service that is fine.
fn service(text: &str) -> ServiceSpec {
    project(text).services.pop().unwrap()
}

/// The container of a service `web` with these lines, indented by four.
fn web(lines: &str) -> ContainerSpec {
    let text = format!("services:\n  web:\n    image: a\n{lines}\nvolumes:\n  data:\n");
    service(&text).task.unwrap().containers.pop().unwrap()
}

fn rendered(diagnostics: &[Diagnostic]) -> String {
    let lines: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// The errors of one file, as they are printed.
fn errors(text: &str) -> String {
    match try_read(text) {
        Ok(_) => "no errors".to_owned(),
        Err(errors) => rendered(&errors),
    }
}

/// What is doubted about one file that is fine.
fn warnings(text: &str) -> String {
    rendered(&project(text).warnings)
}

/// The errors of a service `web` with these lines, without excerpts and hints.
fn web_errors(lines: &str) -> Vec<String> {
    let text = format!("services:\n  web:\n    image: a\n{lines}\nvolumes:\n  data:\n");
    match try_read(&text) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.into_iter().map(|error| error.message).collect(),
    }
}
