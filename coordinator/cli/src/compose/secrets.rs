//! Secrets: which a service names, and where its containers find them. No file that is read here has a value.

use std::collections::BTreeMap;

use model::id::SecretName;
use model::secret::reference::Reference;
use model::secret::{MOUNTED_AT, is_variable};
use model::suggest::nearest;
use proto::wire::rotation::Kind;
use proto::wire::{Rotation, RotationRestart, SecretFile};

use super::configs::mode;
use super::keys::{SECRET, SECRET_USE};
use super::node::{Node, Value};
use super::place::Place;
use super::problems::Problems;
use super::process::absolute;
use super::section::Section;
use super::service::signal;
use super::values;

/// Its owner may read it, and nobody else.
const MODE: u32 = 0o400;

/// The secrets that a file declares: how it calls them, and how the cluster does.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    declared: BTreeMap<String, Option<SecretName>>,
}

/// What a service gets of secrets.
#[derive(Debug, Default)]
pub(super) struct Uses {
    pub files: Vec<(SecretFile, Place)>,
    pub variables: BTreeMap<String, String>,
}

impl Secrets {
    /// Reads the `secrets` of a file. What has an error is declared all the same.
    pub(super) fn new(problems: &mut Problems, node: Option<&Node>) -> Self {
        let mut declared = BTreeMap::new();
        for entry in node.map(Node::entries).unwrap_or_default() {
            let section = Section::new(problems, &entry.value, SECRET);
            let wharf = section.section(problems, "x-wharf");
            if let Some(from) = wharf.node("from") {
                if let Some(name) = section.node("name") {
                    let message =
                        format!("the secret `{}` has a name and a place at AWS", entry.key);
                    problems.error(name.place, message).hint("leave one of both out");
                }
                // Also what is empty: a variable that is not set names no value.
                declared.insert(entry.key.clone(), reference(problems, from));
                continue;
            }
            let is_external = section.flag(problems, "external");
            let name = section.text(problems, "name").unwrap_or_else(|| entry.key.clone());
            let has_source =
                ["file", "environment"].iter().any(|key| entry.value.get(key).is_some());
            if is_external != Some(true) && !has_source {
                let message = format!("the secret `{}` is not `external: true`", entry.key);
                let hint = format!("add that, and give it a value with `wharf secret set {name}`");
                problems.error(entry.key_place, message).hint(hint);
            }
            let name: Result<SecretName, _> = name.parse();
            if name.as_ref().is_ok_and(|name| name.reference().is_some()) {
                let place = section.node("name").map_or(entry.key_place, |node| node.place);
                problems
                    .error(place, "AWS keeps such a value, and the cluster has no name for it")
                    .hint("write it as `x-wharf: { from: … }`");
            }
            if let Err(error) = &name {
                let place = section.node("name").map_or(entry.key_place, |node| node.place);
                problems
                    .error(place, error.to_string())
                    .hint("give the name of a secret of the cluster with `name`");
            }
            declared.insert(entry.key.clone(), name.ok());
        }
        Self { declared }
    }

    fn find(&self, problems: &mut Problems, (name, place): (&str, Place)) -> Option<String> {
        if let Some(declared) = self.declared.get(name) {
            return declared.as_ref().map(ToString::to_string);
        }
        let hint = match nearest(name, self.declared.keys().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("add `{name}: {{external: true}}` under `secrets` of the file"),
        };
        problems.error(place, format!("the secret `{name}` is not declared")).hint(hint);
        None
    }
}

/// Reads where AWS keeps a value. It is the name by which the cluster has it.
fn reference(problems: &mut Problems, node: &Node) -> Option<SecretName> {
    let text = values::text(problems, node)?;
    match text.parse::<Reference>() {
        Ok(reference) => Some(SecretName::from(&reference)),
        Err(error) => {
            let message = format!("`{text}` names no value of AWS: {error}");
            problems.error(node.place, message).hint(
                "write `ssm:/path/name`, `secretsmanager:name` or `secretsmanager:name#key`, with `:version` after the name if it is to be that one",
            );
            None
        }
    }
}

/// Reads what a service gets of secrets. Who its program runs as owns them, when that is a number.
pub(super) fn read(
    problems: &mut Problems,
    (service, user): (&Section<'_>, Option<&str>),
    secrets: &Secrets,
) -> Uses {
    let owner = owner(user);
    let items = service.read(problems, "secrets", values::list).unwrap_or_default();
    let files =
        items.iter().filter_map(|item| Some((file(problems, (item, owner), secrets)?, item.place)));
    let files: Vec<_> = files.collect();
    let wharf = service.section(problems, "x-wharf");
    let mut variables = BTreeMap::new();
    for pair in wharf.read(problems, "secret_env", values::pairs).unwrap_or_default() {
        if !is_variable(&pair.name) {
            let message = format!("no secret can be in a variable `{}`", pair.name);
            problems.error(pair.place, message).hint("use letters, digits and `_`");
            continue;
        }
        let Some(name) = pair.value else {
            let message = format!("`{}` names no secret", pair.name);
            problems.error(pair.place, message).hint("write `VARIABLE: SECRET`");
            continue;
        };
        if let Some(secret) = secrets.find(problems, (&name, pair.place)) {
            variables.insert(pair.name, secret);
        }
    }
    check_exchange(problems, &wharf, &Uses { files, variables })
}

/// What is to be exchanged under a running program has to be where that is possible.
fn check_exchange(problems: &mut Problems, wharf: &Section<'_>, uses: &Uses) -> Uses {
    let rotation = wharf.read(problems, "secrets_rotation", rotation);
    if let Some(Some(Rotation { kind: Some(Kind::Signal(_)) })) = &rotation {
        let hint = "use `secrets_rotation: restart`, or have the file in /run/secrets";
        for (file, place) in uses.files.iter().filter(|(file, _)| plain(&file.target).is_none()) {
            let message = format!("`{}` can not be exchanged while the program runs", file.target);
            problems.error(*place, message).hint(hint);
        }
        if let (Some(variable), Some(node)) =
            (uses.variables.keys().next(), wharf.node("secret_env"))
        {
            let message = format!("`{variable}` can not change while the program runs");
            problems.error(node.place, message).hint(hint);
        }
    }
    Uses { files: uses.files.clone(), variables: uses.variables.clone() }
}

/// The name of a file right below the directory of secrets.
fn plain(target: &str) -> Option<&str> {
    let name = target.strip_prefix(MOUNTED_AT)?.strip_prefix('/')?;
    (!name.is_empty() && !name.contains('/')).then_some(name)
}

fn owner(user: Option<&str>) -> (u32, u32) {
    let user = user.unwrap_or_default();
    let (user, group) = user.split_once(':').unwrap_or((user, ""));
    (user.parse().unwrap_or_default(), group.parse().unwrap_or_default())
}

fn file(
    problems: &mut Problems,
    (item, (owner, group)): (&Node, (u32, u32)),
    secrets: &Secrets,
) -> Option<SecretFile> {
    if !matches!(item.value, Value::Mapping(_)) {
        let name = values::text(problems, item)?;
        let secret = secrets.find(problems, (name, item.place))?;
        let target = target(problems, &Node::text(item.place, name))?;
        return Some(SecretFile { secret, target, mode: MODE, uid: owner, gid: group });
    }
    let section = Section::new(problems, item, SECRET_USE);
    let Some(name) = section.text(problems, "source") else {
        problems.error(item.place, "a secret without a source").hint("add `source: NAME`");
        return None;
    };
    let mut id = |name, usual| {
        let id = section.read(problems, name, |problems, node| {
            values::whole(problems, node, 0..=i64::from(u32::MAX - 1))
        });
        id.and_then(|id| u32::try_from(id).ok()).unwrap_or(usual)
    };
    let (uid, gid) = (id("uid", owner), id("gid", group));
    let mode = section.read(problems, "mode", mode).unwrap_or(MODE);
    let at = section.node("target").cloned().unwrap_or_else(|| Node::text(item.place, &name));
    let target = target(problems, &at)?;
    let secret = secrets.find(problems, (&name, item.place))?;
    Some(SecretFile { secret, target, mode, uid, gid })
}

/// A name alone is a file in the directory of secrets. Nothing else below that can be mounted.
fn target(problems: &mut Problems, node: &Node) -> Option<String> {
    let text = values::text(problems, node)?;
    if !text.contains('/') {
        return Some(format!("{MOUNTED_AT}/{text}"));
    }
    let target = absolute(problems, node)?;
    let is_below = target == MOUNTED_AT || target.starts_with(&format!("{MOUNTED_AT}/"));
    if target.ends_with('/') || is_below && plain(target).is_none() {
        let message = format!("`{target}` can not be the file of a secret");
        problems.error(node.place, message).hint("write a name, or the path of a file elsewhere");
        return None;
    }
    Some(target.to_owned())
}

/// Reads what a new version means for tasks that run.
#[allow(clippy::option_option, reason = "the inner one is nothing to do, the outer one an error")]
pub(super) fn rotation(problems: &mut Problems, node: &Node) -> Option<Option<Rotation>> {
    let text = values::text(problems, node)?;
    let kind = match text.split_once(' ') {
        None if text == "none" => return Some(None),
        None if text == "restart" => Kind::Restart(RotationRestart {}),
        Some(("signal", name)) => {
            Kind::Signal(signal(problems, &Node::text(node.place, name.trim()))?)
        }
        None | Some(_) => {
            let message = format!("`{text}` says not what to do when a secret gets another value");
            problems
                .error(node.place, message)
                .hint("write `none`, `restart`, or `signal` and its name, as in `signal SIGHUP`");
            return None;
        }
    };
    Some(Some(Rotation { kind: Some(kind) }))
}
