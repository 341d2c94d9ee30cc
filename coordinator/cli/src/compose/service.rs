//! Reads one service, before those that form a task together are joined.

use std::collections::{BTreeMap, BTreeSet};

use model::id::{ProjectName, ServiceName};
use model::image::ImageReference;
use proto::wire::{ContainerSpec, Image};

use super::Build;
use super::budget;
use super::configs::{self, Configs};
use super::depends::{self, Wait};
use super::deploy::{self, Deployment};
use super::health;
use super::keys::{BUILD, SERVICE};
use super::lease;
use super::mounts;
use super::network::{self, Connection};
use super::node::{Entry, Node, Value};
use super::place::Place;
use super::placement;
use super::ports::{self, PlacedPort};
use super::problems::{Problems, position};
use super::process;
use super::reader::Reader;
use super::resources;
use super::secrets::{self, Secrets, Uses};
use super::section::Section;
use super::security;
use super::traffic;
use super::values;

/// As for the engine.
const STOP_GRACE_MS: u64 = 10_000;

/// What services refer to by name.
pub(super) struct Definitions {
    pub project: ProjectName,
    pub networks: BTreeSet<String>,
    /// Those that somebody else makes with their names on the engines.
    pub volumes: BTreeMap<String, Option<String>>,
    pub configs: Configs,
    pub secrets: Secrets,
}

/// A service that was read.
pub(super) struct Draft<'a> {
    pub name: String,
    /// As it stands in the file.
    pub node: &'a Node,
    pub container: ContainerSpec,
    pub ports: Vec<PlacedPort>,
    pub connection: Connection,
    pub deployment: Deployment,
    pub waits: Vec<Wait>,
    pub build: Option<Build>,
}

/// Reads a service.
pub(super) fn read<'a>(
    reader: &mut Reader<'_>,
    definitions: &mut Definitions,
    entry: &'a Entry,
) -> Draft<'a> {
    let service = Section::new(&mut reader.problems, &entry.value, SERVICE);
    check_name(&mut reader.problems, entry);
    let build = build(reader, &service, (entry, &definitions.project));
    let image = image(reader, &service, (entry, build.as_ref()));
    let (container, ports) = container(reader, definitions, (&service, entry, image));
    let problems = &mut reader.problems;
    for name in ["extends", "profiles"] {
        // Both were followed before; here they only count as read.
        service.node(name);
    }
    service.read(problems, "pull_policy", pull_policy);
    let deploy = service.section(problems, "deploy");
    let deployment = deploy::read(problems, &service, &deploy);
    budget::doubt(problems, &service, (&deployment, &container));
    placement::doubt(problems, &service, (&deployment, &container));
    let connection = network::read(problems, &service, &definitions.networks);
    traffic::check(problems, &service, (&deployment.routes, &container, &connection));
    Draft {
        name: entry.key.clone(),
        node: &entry.value,
        container,
        ports,
        connection,
        deployment,
        waits: service.read(problems, "depends_on", depends::read).unwrap_or_default(),
        build,
    }
}

fn check_name(problems: &mut Problems, entry: &Entry) {
    if let Err(error) = entry.key.parse::<ServiceName>() {
        let hint = "other containers reach a service by its name: use one that DNS takes";
        problems.error(entry.key_place, error.to_string()).hint(hint);
    }
}

fn container(
    reader: &mut Reader<'_>,
    definitions: &mut Definitions,
    (service, entry, image): (&Section<'_>, &Entry, String),
) -> (ContainerSpec, Vec<PlacedPort>) {
    let process = process::read(reader, service);
    let mounts = mounts::read(reader, service, &definitions.volumes);
    let files = configs::read(reader, service, &mut definitions.configs);
    let problems = &mut reader.problems;
    let targets = mounts.iter().map(|(mount, place)| (mount.target.as_str(), *place));
    let targets = targets.chain(files.iter().map(|(file, place)| (file.target.as_str(), *place)));
    let targets = targets.chain(lease::target(problems, service));
    let user = process.user.clone();
    let uses = secrets::read(problems, (service, user.as_deref()), &definitions.secrets);
    check_variables(problems, service, (&process.environment, &uses));
    let secret = uses.files.iter().map(|(file, place)| (file.target.as_str(), *place));
    let targets = targets.chain(secret);
    check_targets(problems, &targets.collect::<Vec<_>>());
    service.read(problems, "expose", ports::check_exposed);
    let ports = service.read(problems, "ports", ports::read).unwrap_or_default();
    let deploy = service.section(problems, "deploy");
    let amounts = resources::read(problems, service, &deploy);
    let mut security = security::read(problems, service);
    security.pids_limit = amounts.pids_limit;
    let container = ContainerSpec {
        name: entry.key.clone(),
        image: Some(Image { reference: image, pin: None }),
        process: Some(process),
        reservation: Some(amounts.reservation),
        limit: Some(amounts.limit),
        ports: ports.iter().map(|(port, _)| port.clone()).collect(),
        mounts: mounts.into_iter().map(|(mount, _)| mount).collect(),
        files: files.into_iter().map(|(file, _)| file).collect(),
        health: health::read(problems, service),
        after: Vec::new(),
        stop_signal: service.read(problems, "stop_signal", signal),
        stop_grace_ms: service.duration_ms(problems, "stop_grace_period").unwrap_or(STOP_GRACE_MS),
        labels: service.read(problems, "labels", labels).unwrap_or_default(),
        security: Some(security),
        secret_files: uses.files.into_iter().map(|(file, _)| file).collect(),
        secret_variables: uses.variables,
    };
    (container, ports)
}

/// Reports variables that have a value and a secret.
fn check_variables(
    problems: &mut Problems,
    service: &Section<'_>,
    (environment, uses): (&BTreeMap<String, String>, &Uses),
) {
    let wharf = service.section(problems, "x-wharf");
    let Some(place) = wharf.node("secret_env").map(|node| node.place) else { return };
    for name in uses.variables.keys().filter(|name| environment.contains_key(*name)) {
        let message = format!("`{name}` is in `environment` as well");
        problems.error(place, message).hint("take it out of one of them");
    }
}

/// Reports what is mounted or written where something else already is.
fn check_targets(problems: &mut Problems, targets: &[(&str, Place)]) {
    let mut seen: BTreeMap<&str, Place> = BTreeMap::new();
    for (target, place) in targets {
        let target = target.trim_end_matches('/');
        match seen.get(target) {
            Some(first) => {
                let problem = problems.error(*place, format!("`{target}` is mounted twice"));
                problem.other("here is the first", *first).hint("use another path for one of them");
            }
            None => {
                seen.insert(target, *place);
            }
        }
    }
}

fn image(
    reader: &mut Reader<'_>,
    service: &Section<'_>,
    (entry, build): (&Entry, Option<&Build>),
) -> String {
    let problems = &mut reader.problems;
    let (text, place) = match (service.node("image"), build) {
        (Some(node), _) => match values::text(problems, node) {
            Some(text) => (text.to_owned(), node.place),
            None => return String::new(),
        },
        (None, Some(build)) => (build.image.clone(), entry.key_place),
        (None, None) => {
            if service.node("build").is_none() {
                let message = format!("service `{}` has neither `image` nor `build`", entry.key);
                problems.error(entry.key_place, message).hint("add `image: NAME`");
            }
            return String::new();
        }
    };
    if let Err(error) = text.parse::<ImageReference>() {
        problems
            .error(place, error.to_string())
            .hint("write it as in `nginx:1.27` or `registry:5000/team/app`");
    }
    text
}

fn build(
    reader: &mut Reader<'_>,
    service: &Section<'_>,
    (entry, project): (&Entry, &ProjectName),
) -> Option<Build> {
    let node = service.node("build")?;
    let place = service.entry("build").map_or(node.place, |entry| entry.key_place);
    let image = service.text(&mut reader.problems, "image");
    let image = image.unwrap_or_else(|| format!("{project}-{}", entry.key));
    let at = position(place, &reader.sources);
    if let Value::Scalar(_) = &node.value {
        let context = reader.path(node)?;
        let dockerfile = "Dockerfile".to_owned();
        let (service, args) = (entry.key.clone(), BTreeMap::new());
        return Some(Build { service, image, context, dockerfile, args, target: None, at });
    }
    let section = Section::new(&mut reader.problems, node, BUILD);
    let context = match section.node("context") {
        Some(context) => reader.path(context)?,
        None => reader.resolve(node.place, "."),
    };
    let mut args = BTreeMap::new();
    let pairs = section.read(&mut reader.problems, "args", values::pairs);
    for pair in pairs.unwrap_or_default() {
        // An argument without a value takes it from where `wharf` runs.
        let value = pair.value.or_else(|| reader.variables.get(&pair.name).map(str::to_owned));
        args.extend(value.map(|value| (pair.name, value)));
    }
    let problems = &mut reader.problems;
    let dockerfile =
        section.text(problems, "dockerfile").unwrap_or_else(|| "Dockerfile".to_owned());
    let target = section.text(problems, "target");
    Some(Build { service: entry.key.clone(), image, context, dockerfile, args, target, at })
}

fn pull_policy(problems: &mut Problems, node: &Node) -> Option<()> {
    let text = values::text(problems, node)?;
    if !matches!(text, "missing" | "if_not_present" | "always") {
        let message = format!("the pull policy `{text}` is not supported");
        let hint = "leave it out: a tag is resolved to a digest when the service is deployed, and that is pulled where it is missing";
        problems.error(node.place, message).hint(hint);
    }
    Some(())
}

pub(super) fn signal(problems: &mut Problems, node: &Node) -> Option<String> {
    let text = values::text(problems, node)?;
    let name = text.strip_prefix("SIG").unwrap_or(text);
    let is_fine = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || matches!(c, '+' | '-');
    if name.is_empty() || name.len() > 16 || !name.chars().all(is_fine) {
        let message = format!("`{text}` is not a signal");
        problems.error(node.place, message).hint("write it as in `SIGTERM`");
        return None;
    }
    Some(text.to_owned())
}

fn labels(problems: &mut Problems, node: &Node) -> Option<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    for pair in values::pairs(problems, node)? {
        if pair.name.starts_with("wharf.") {
            let message = format!("the label `{}` is one of Wharf's own", pair.name);
            problems.error(pair.place, message).hint("begin it with something else than `wharf.`");
            continue;
        }
        labels.insert(pair.name, pair.value.unwrap_or_default());
    }
    Some(labels)
}
