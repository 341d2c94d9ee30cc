//! Reads the recipe of a machine image: YAML as of Compose files, with every error at its place.

mod triggers;

use std::collections::BTreeMap;
use std::path::Path;

use proto::wire;
use proto::wire::bake_step::Kind;
use proto::wire::recipe::Base;

use super::diagnostic::Diagnostic;
use super::files::Files;
use super::interpolate::Variables;
use super::node::{Node, Value};
use super::problems::Problems;
use super::reader::{FILE_BYTES_LIMIT, Missing, Reader};
use super::{values, yaml};

/// One try of a step may take so long when it is not said.
const STEP_MS: u64 = 10 * 60 * 1_000;
/// The trial of an image may take so long when it is not said.
const TRIAL_MS: u64 = 10 * 60 * 1_000;
/// Images of services may have so many bytes together when it is not said.
const BUDGET: u64 = 20_000_000_000;
/// The greatest number of retries.
const RETRIES: u32 = 10;

/// What can be said, and where.
const FILE: &[&str] =
    &["name", "base", "architecture", "builder", "steps", "images", "test", "publish", "triggers"];
const BASE: &[&str] = &["parameter", "owner", "name", "id"];
const BUILDER: &[&str] = &["type", "subnet", "security_groups", "profile", "coordinator", "agent"];
const AGENT: &[&str] = &["url", "sha256"];
const STEP: &[&str] = &["name", "packages", "files", "script", "timeout", "retries"];
const FILE_STEP: &[&str] = &["path", "mode", "content", "file"];
const IMAGES: &[&str] = &["what_runs", "extra", "budget"];
const TEST: &[&str] = &["within", "scripts"];
const SCRIPT: &[&str] = &["name", "script"];
const SCRIPT_FILE: &[&str] = &["file"];
const PUBLISH: &[&str] = &["pools", "parameter"];

/// Reads a recipe. In the other case all errors are given.
pub(crate) fn read_recipe(path: &Path, files: &dyn Files) -> Result<wire::Recipe, Vec<Diagnostic>> {
    let mut reader = Reader::new(files, Variables::new(BTreeMap::new()));
    let recipe = read(&mut reader, path);
    let is_bad = reader.problems.has_errors();
    let (errors, _) = reader.problems.into_diagnostics(&reader.sources);
    match recipe {
        Some(recipe) if !is_bad => Ok(recipe),
        Some(_) | None => Err(errors),
    }
}

fn read(reader: &mut Reader<'_>, path: &Path) -> Option<wire::Recipe> {
    let whole = reader.absolute(path);
    let base = whole.parent().unwrap_or(&whole).to_owned();
    let (source, text) = reader.text(path, &base, (None, Missing::Refused))?;
    let Some(tree) = yaml::parse(&mut reader.problems, source, &text) else {
        if !reader.problems.has_errors() {
            let message = format!("{} is empty", path.display());
            reader.problems.error_anywhere(message).hint("add `name:`, `base:` and `builder:`");
        }
        return None;
    };
    only(&mut reader.problems, &tree, FILE)?;
    for needed in ["name", "base", "builder"] {
        if given(&tree, needed).is_none() {
            let message = format!("`{needed}` is missing");
            reader.problems.error(tree.place, message).hint("docs/bake.md shows a recipe");
        }
    }
    let problems = &mut reader.problems;
    let name = given(&tree, "name").and_then(|node| values::text(problems, node));
    let origin = given(&tree, "base").and_then(|node| origin(problems, node));
    let architecture = match given(&tree, "architecture") {
        Some(node) => architecture(problems, node),
        None => Some(wire::Architecture::X8664),
    };
    let launch = given(&tree, "builder").and_then(|node| builder(problems, node));
    let images = images(problems, given(&tree, "images"));
    let publish = publish(problems, given(&tree, "publish"));
    let triggers = given(&tree, "triggers").and_then(|node| triggers::read(problems, node));
    let steps = given(&tree, "steps").map(|node| steps(reader, node)).unwrap_or_default();
    let trial = trial(reader, given(&tree, "test"));
    Some(wire::Recipe {
        name: name.unwrap_or_default().to_owned(),
        base: origin,
        architecture: architecture?.into(),
        launch,
        steps,
        images: Some(images),
        trial: Some(trial),
        publish: Some(publish),
        triggers,
    })
}

/// The value of a key, unless it is null.
fn given<'a>(node: &'a Node, name: &str) -> Option<&'a Node> {
    node.get(name).filter(|node| !node.is_null())
}

/// Refuses what is no mapping, and every key that nobody would read.
fn only(problems: &mut Problems, node: &Node, keys: &[&str]) -> Option<()> {
    if !matches!(node.value, Value::Mapping(_)) {
        values::expected(problems, node, "a mapping");
        return None;
    }
    for entry in node.entries() {
        if !keys.contains(&entry.key.as_str()) {
            let message = format!("unknown key `{}`", entry.key);
            let hint = format!("known here are {}", keys.join(", "));
            problems.error(entry.key_place, message).hint(hint);
        }
    }
    Some(())
}

fn text(problems: &mut Problems, node: &Node, name: &str) -> Option<String> {
    let value = given(node, name)?;
    values::text(problems, value).map(str::to_owned)
}

fn needed(problems: &mut Problems, node: &Node, name: &str) -> Option<String> {
    if given(node, name).is_none() {
        let message = format!("`{name}` is missing");
        problems.error(node.place, message).hint("docs/bake.md says what it is");
        return None;
    }
    text(problems, node, name)
}

fn origin(problems: &mut Problems, node: &Node) -> Option<Base> {
    only(problems, node, BASE)?;
    let has = |name: &str| given(node, name).is_some();
    let kinds = [has("parameter"), has("id"), has("owner") || has("name")];
    if kinds.iter().filter(|has| **has).count() != 1 {
        let message = "a base is one of `parameter`, `id`, or `owner` with `name`";
        problems.error(node.place, message).hint("write `base: {parameter: /aws/service/…}`");
        return None;
    }
    if has("parameter") {
        return text(problems, node, "parameter").map(Base::Parameter);
    }
    if has("id") {
        return text(problems, node, "id").map(Base::Id);
    }
    let (owner, name) = (needed(problems, node, "owner"), needed(problems, node, "name"));
    Some(Base::Newest(wire::NewestImage { owner: owner?, name: name? }))
}

fn architecture(problems: &mut Problems, node: &Node) -> Option<wire::Architecture> {
    match values::text(problems, node)? {
        "x86_64" | "amd64" => Some(wire::Architecture::X8664),
        "arm64" | "aarch64" => Some(wire::Architecture::Arm64),
        other => {
            let message = format!("`{other}` is no architecture");
            problems.error(node.place, message).hint("x86_64 or arm64");
            None
        }
    }
}

fn builder(problems: &mut Problems, node: &Node) -> Option<wire::BakeLaunch> {
    only(problems, node, BUILDER)?;
    let groups = given(node, "security_groups").and_then(|groups| values::texts(problems, groups));
    let agent = given(node, "agent").filter(|agent| only(problems, agent, AGENT).is_some());
    let (agent_url, agent_sha256) = match agent {
        Some(agent) => (needed(problems, agent, "url")?, needed(problems, agent, "sha256")?),
        None => (String::new(), String::new()),
    };
    Some(wire::BakeLaunch {
        instance_type: needed(problems, node, "type").unwrap_or_default(),
        subnet: text(problems, node, "subnet").unwrap_or_default(),
        security_groups: groups.unwrap_or_default(),
        profile: text(problems, node, "profile").unwrap_or_default(),
        coordinator: text(problems, node, "coordinator").unwrap_or_default(),
        agent_url,
        agent_sha256,
    })
}

fn steps(reader: &mut Reader<'_>, node: &Node) -> Vec<wire::BakeStep> {
    let items = values::list(&mut reader.problems, node).unwrap_or_default();
    let numbered = items.iter().enumerate();
    numbered.filter_map(|(number, item)| step(reader, item, number + 1)).collect()
}

fn step(reader: &mut Reader<'_>, node: &Node, number: usize) -> Option<wire::BakeStep> {
    only(&mut reader.problems, node, STEP)?;
    let kinds = ["packages", "files", "script"];
    let said: Vec<_> = kinds.iter().filter(|kind| given(node, kind).is_some()).collect();
    let [kind] = said.as_slice() else {
        let message = "a step is one of `packages`, `files` or `script`";
        reader.problems.error(node.place, message).hint("divide it into several steps");
        return None;
    };
    let value = given(node, kind)?;
    let what = match **kind {
        "packages" => {
            let names = values::texts(&mut reader.problems, value)?;
            Kind::Packages(wire::BakePackages { names })
        }
        "files" => {
            let items = values::list(&mut reader.problems, value)?;
            let files = items.iter().filter_map(|item| file(reader, item)).collect();
            Kind::Files(wire::BakeFiles { files })
        }
        _ => Kind::Script(script(reader, value)?),
    };
    let problems = &mut reader.problems;
    let timeout = given(node, "timeout").and_then(|node| values::some_duration_ms(problems, node));
    let retries = given(node, "retries").and_then(|node| values::count(problems, node, RETRIES));
    let name = text(problems, node, "name");
    Some(wire::BakeStep {
        name: name.unwrap_or_else(|| format!("{kind} {number}")),
        kind: Some(what),
        timeout_ms: timeout.unwrap_or(STEP_MS),
        retries: retries.unwrap_or_default(),
    })
}

/// A script, or the file that has it.
fn script(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    if !matches!(node.value, Value::Mapping(_)) {
        return values::free_text(&mut reader.problems, node).map(str::to_owned);
    }
    only(&mut reader.problems, node, SCRIPT_FILE)?;
    let bytes = content(reader, given(node, "file")?)?;
    match String::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(_) => {
            reader.problems.error(node.place, "the script is not UTF-8").hint("save it as UTF-8");
            None
        }
    }
}

fn content(reader: &mut Reader<'_>, node: &Node) -> Option<Vec<u8>> {
    let path = reader.path(node)?;
    reader.bytes(&path, (Some(node.place), Missing::Refused), FILE_BYTES_LIMIT)
}

fn file(reader: &mut Reader<'_>, node: &Node) -> Option<wire::BakeFile> {
    only(&mut reader.problems, node, FILE_STEP)?;
    let path = needed(&mut reader.problems, node, "path")?;
    let content = match (given(node, "content"), given(node, "file")) {
        (Some(text), None) => values::free_text(&mut reader.problems, text)?.as_bytes().to_vec(),
        (None, Some(file)) => content(reader, file)?,
        (Some(_), Some(_)) | (None, None) => {
            let message = "a file has one of `content` and `file`";
            reader.problems.error(node.place, message).hint("`file` is a path on this machine");
            return None;
        }
    };
    let mode = match given(node, "mode") {
        Some(node) => mode(&mut reader.problems, node)?,
        None => 0o644,
    };
    Some(wire::BakeFile { path, mode, content })
}

fn mode(problems: &mut Problems, node: &Node) -> Option<u32> {
    let text = values::text(problems, node)?;
    let digits = text.strip_prefix("0o").unwrap_or(text);
    match u32::from_str_radix(digits, 8) {
        Ok(mode) if mode <= 0o7777 => Some(mode),
        Ok(_) | Err(_) => {
            let message = format!("`{text}` is no mode");
            problems.error(node.place, message).hint("octal digits in quotes: \"0644\"");
            None
        }
    }
}

fn images(problems: &mut Problems, node: Option<&Node>) -> wire::BakeImages {
    let usual = wire::BakeImages { what_runs: true, extra: Vec::new(), budget_bytes: BUDGET };
    let Some(node) = node else { return usual };
    if only(problems, node, IMAGES).is_none() {
        return usual;
    }
    let extra = given(node, "extra").and_then(|node| values::texts(problems, node));
    let image = |reference: String| {
        // A tag is looked up when the bake begins; a digest says by itself what it is.
        let digest = reference.split_once('@').map(|(_, digest)| digest.to_owned());
        wire::Image { pin: digest.map(wire::image::Pin::Manifest), reference }
    };
    let what_runs = given(node, "what_runs").and_then(|node| values::flag(problems, node));
    let budget = given(node, "budget").and_then(|node| values::bytes(problems, node));
    wire::BakeImages {
        what_runs: what_runs.unwrap_or(true),
        extra: extra.unwrap_or_default().into_iter().map(image).collect(),
        budget_bytes: budget.unwrap_or(BUDGET),
    }
}

fn trial(reader: &mut Reader<'_>, node: Option<&Node>) -> wire::BakeTrial {
    let usual = wire::BakeTrial { scripts: Vec::new(), within_ms: TRIAL_MS };
    let Some(node) = node else { return usual };
    if only(&mut reader.problems, node, TEST).is_none() {
        return usual;
    }
    let within = given(node, "within");
    let within = within.and_then(|node| values::some_duration_ms(&mut reader.problems, node));
    let items = given(node, "scripts");
    let items = items.and_then(|node| values::list(&mut reader.problems, node)).unwrap_or_default();
    let scripts = items.iter().filter_map(|item| {
        only(&mut reader.problems, item, SCRIPT)?;
        let name = needed(&mut reader.problems, item, "name")?;
        let Some(value) = given(item, "script") else {
            reader.problems.error(item.place, "`script` is missing").hint("say what is tried");
            return None;
        };
        Some(wire::BakeScript { name, text: script(reader, value)? })
    });
    let scripts = scripts.collect();
    wire::BakeTrial { scripts, within_ms: within.unwrap_or(TRIAL_MS) }
}

fn publish(problems: &mut Problems, node: Option<&Node>) -> wire::BakePublish {
    let Some(node) = node.filter(|node| only(problems, node, PUBLISH).is_some()) else {
        return wire::BakePublish::default();
    };
    let pools = given(node, "pools").and_then(|node| values::texts(problems, node));
    wire::BakePublish {
        pools: pools.unwrap_or_default(),
        parameter: text(problems, node, "parameter").unwrap_or_default(),
    }
}
