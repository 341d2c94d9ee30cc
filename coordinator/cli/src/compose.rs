//! Reads Compose files into services as the coordinator takes them.
//!
//! ```text
//!  text ─ yaml ─▶ Node ─ check ─ interpolate ─ extends ─ merge ─▶ Node ─ service ─▶ Draft ─ tasks ─▶ ServiceSpec
//! ```
//!
//! Every value remembers where it stands, and all errors of all files are told at once. Absent: images are not resolved
//! and nothing is built; that is left to the coordinator and to who asked.

mod budget;
mod check;
mod configs;
mod cycles;
mod depends;
mod deploy;
mod diagnostic;
mod extends;
mod files;
mod health;
mod interpolate;
mod job;
mod join;
mod keys;
mod lease;
mod merge;
mod mounts;
mod name;
mod network;
mod node;
mod place;
mod placement;
mod plain;
mod ports;
mod prefer;
mod problems;
mod process;
mod profiles;
mod published;
pub(crate) mod quantity;
mod reader;
mod recipe;
mod resources;
mod rollout;
mod secrets;
mod section;
mod security;
mod service;
mod support;
mod tasks;
#[cfg(test)]
mod tests;
mod traffic;
mod values;
mod variables;
mod words;
mod yaml;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use model::id::{ProjectName, ServiceName};
use model::image::is_volume_name;
use proto::wire::ServiceSpec;

pub(crate) use diagnostic::{Diagnostic, Position};
pub(crate) use files::{DiskFiles, Files};
pub(crate) use recipe::read_recipe;
pub(crate) use support::{markdown, plain};

use interpolate::Variables;
use node::{Entry, Node};
use place::Place;
use problems::Problems;
use reader::{Missing, Reader};
use section::Section;
use service::Definitions;
use variables::Format;

/// The most services of a project: each is at least one container, and more are several projects.
const SERVICES_LIMIT: usize = 1_000;

/// What to read, and with what.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    /// The files, each merged over those before it. Paths in them are relative to the directory of the first one.
    pub files: Vec<PathBuf>,
    /// The name of the project, before all that the environment and the files say.
    pub project_name: Option<String>,
    /// The active profiles; `*` is all. When there are none, those of `COMPOSE_PROFILES` are.
    pub profiles: Vec<String>,
    /// Files of variables, each going before those before it. When there are none: `.env` beside the first file, if it
    /// is there.
    pub env_files: Vec<PathBuf>,
    /// The process environment, which goes before all files of variables.
    pub environment: BTreeMap<String, String>,
}

/// What the files say.
#[derive(Debug, Clone)]
pub(crate) struct Project {
    /// Its name.
    pub name: ProjectName,
    /// The services of the active profiles, in the order of the files.
    pub services: Vec<ServiceSpec>,
    /// The images that have to be built before.
    pub builds: Vec<Build>,
    /// What is doubtful.
    pub warnings: Vec<Diagnostic>,
}

/// An image that has to be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Build {
    /// The Compose service that it is for.
    pub service: String,
    /// What to name it: the service's image in what is deployed.
    pub image: String,
    /// The directory, absolute.
    pub context: PathBuf,
    /// The path of the Dockerfile, relative to the context unless it is absolute.
    pub dockerfile: String,
    /// Build arguments.
    pub args: BTreeMap<String, String>,
    /// The stage; the last one when there is none.
    pub target: Option<String>,
    /// Where the file asks for it.
    pub at: Position,
}

/// Reads a project. In the other case all errors are given, and the warnings after them.
pub(crate) fn read(options: &Options, files: &dyn Files) -> Result<Project, Vec<Diagnostic>> {
    let mut reader = Reader::new(files, Variables::new(options.environment.clone()));
    let read = name_and_tree(&mut reader, options)
        .and_then(|(name, tree)| project(&mut reader, options, (name, &tree)));
    let is_bad = reader.problems.has_errors();
    let (mut errors, warnings) = reader.problems.into_diagnostics(&reader.sources);
    match read {
        Some((name, services, builds)) if !is_bad => {
            Ok(Project { name, services, builds, warnings })
        }
        Some(_) | None => {
            errors.extend(warnings);
            Err(errors)
        }
    }
}

/// The name of the project and what all files say together.
fn name_and_tree(reader: &mut Reader<'_>, options: &Options) -> Option<(ProjectName, Node)> {
    let Some(first) = options.files.first() else {
        reader.problems.error_anywhere("no Compose file").hint("give one with -f");
        return None;
    };
    let first = reader.absolute(first);
    let base = first.parent().unwrap_or(&first).to_owned();
    read_variables(reader, options, &base);
    let mut trees = Vec::new();
    for path in &options.files {
        let (source, text) = reader.text(path, &base, (None, Missing::Refused))?;
        let Some(mut tree) = yaml::parse(&mut reader.problems, source, &text) else {
            if !reader.problems.has_errors() {
                let message = format!("{} is empty", path.display());
                reader.problems.error_anywhere(message).hint("add `services:`");
            }
            continue;
        };
        check::prune_file(&mut reader.problems, &mut tree);
        check_number(&mut reader.problems, tree.get("services"))?;
        trees.push(tree);
    }
    let name = name::find(reader, options, (&base, &trees));
    if let Some(name) = &name {
        reader.variables.set("COMPOSE_PROJECT_NAME", name.to_string());
    }
    let mut merged: Option<Node> = None;
    for mut tree in trees {
        reader.fill(&mut tree);
        extends::resolve(reader, &mut tree, merged.as_ref());
        merged = Some(match merged {
            Some(older) => merge::files(&mut reader.problems, older, tree),
            None => tree,
        });
    }
    let mut merged = merged?;
    merge::settle(&mut merged);
    Some((name?, merged))
}

fn check_number(problems: &mut Problems, services: Option<&Node>) -> Option<()> {
    if let Some(services) = services.filter(|node| node.entries().len() > SERVICES_LIMIT) {
        let message = format!("more than {SERVICES_LIMIT} services");
        problems.error(services.place, message).hint("divide them into several projects");
        return None;
    }
    Some(())
}

fn read_variables(reader: &mut Reader<'_>, options: &Options, base: &Path) {
    if options.env_files.is_empty() {
        reader.variables_of(&base.join(".env"), (None, Missing::Fine), Format::Compose);
    }
    for path in &options.env_files {
        let path = reader.absolute(path);
        reader.variables_of(&path, (None, Missing::Refused), Format::Compose);
    }
}

type Read = (ProjectName, Vec<ServiceSpec>, Vec<Build>);

fn project(
    reader: &mut Reader<'_>,
    options: &Options,
    (name, tree): (ProjectName, &Node),
) -> Option<Read> {
    let problems = &mut reader.problems;
    let file = Section::new(problems, tree, keys::FILE);
    for key in ["version", "name"] {
        file.node(key);
    }
    let services = file.section(problems, "services").place.map(|_| file.node("services"));
    let Some(services) = services.flatten().filter(|services| !services.entries().is_empty())
    else {
        problems.error(tree.place, "there are no services").hint("add one under `services`");
        return None;
    };
    let networks = network::declared(problems, file.node("networks"));
    let volumes = declared_volumes(problems, file.node("volumes"));
    let configs = configs::Configs::new(file.node("configs"));
    let secrets = secrets::Secrets::new(problems, file.node("secrets"));
    let project = name.clone();
    let mut definitions = Definitions { project, networks, volumes, configs, secrets };
    let (active, others) = profiles::split(reader, options, services);
    refuse(&mut reader.problems, tree, &active);
    check_number(&mut reader.problems, Some(services))?;
    let mut drafts = Vec::new();
    let mut builds = Vec::new();
    for entry in active {
        let mut draft = service::read(reader, &mut definitions, entry);
        builds.extend(draft.build.take());
        drafts.push(draft);
    }
    let services = tasks::services(&mut reader.problems, name.as_str(), drafts, &others);
    Some((name, services, builds))
}

/// Reports keys that are not supported, but not those of services that are not active.
fn refuse(problems: &mut Problems, tree: &Node, active: &[&Entry]) {
    let rest = tree.entries().iter().filter(|entry| entry.key != "services").cloned();
    check::refuse(problems, &Node::mapping(tree.place, rest.collect()), keys::FILE);
    for entry in active {
        check::refuse(problems, &entry.value, keys::SERVICE);
    }
}

/// Volumes by the name that the file has for them; those that somebody else makes with their name on the engines.
fn declared_volumes(
    problems: &mut Problems,
    node: Option<&Node>,
) -> BTreeMap<String, Option<String>> {
    let mut names = BTreeMap::new();
    for entry in node.map(Node::entries).unwrap_or_default() {
        check_volume_name(problems, &entry.key, entry.key_place);
        let section = Section::new(problems, &entry.value, keys::VOLUME);
        let driver = section.read(problems, "driver", values::text);
        if !matches!(driver, None | Some("local")) {
            let message = "only the driver `local` of volumes is supported";
            let hint = "leave `driver` out, or mount the file system on the nodes and use its path";
            problems.error(entry.key_place, message).hint(hint);
        }
        names.insert(entry.key.clone(), external_volume(problems, &section, &entry.key));
    }
    names
}

fn external_volume(problems: &mut Problems, section: &Section<'_>, key: &str) -> Option<String> {
    let name = section.text(problems, "name");
    if section.flag(problems, "external") != Some(true) {
        if let Some(node) = section.node("name") {
            let message = "the volumes of a project are named by Wharf";
            let hint = "take `name` out, or write `external: true` if somebody else makes it";
            problems.error(node.place, message).hint(hint);
        }
        return None;
    }
    let name = name.unwrap_or_else(|| key.to_owned());
    if !is_volume_name(&name) {
        let message = format!("`{name}` is not the name of a volume that somebody else can make");
        let hint = "letters, digits, `_`, `.` and `-`, at least two; not `wharf-`, which are ours";
        let place = section.node("name").map(|node| node.place).or(section.place);
        if let Some(place) = place {
            problems.error(place, message).hint(hint);
        }
    }
    Some(name)
}

fn check_volume_name(problems: &mut Problems, name: &str, place: Place) {
    if let Err(error) = name.parse::<ServiceName>() {
        let message = format!("`{name}` is not the name of a volume: {error}");
        problems.error(place, message).hint("use another name");
    }
}
