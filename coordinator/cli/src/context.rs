//! Which coordinator is meant, and who we are to it: contexts in the user's configuration file, which nobody else may read.
//!
//! What an operator is given by an administrator is a file of the same form, with one context in it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use trust::Bundle;
use trust::bundle::write_secret;
use trust::tls::Client;
use trust::transport::{Dial, local_path};

use crate::args::Global;
use crate::exit::{Exit, Failure};

/// The configuration file.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The selected context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<String>,
    /// Addresses by name.
    #[serde(default)]
    pub(crate) contexts: BTreeMap<String, Context>,
}

/// One coordinator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Context {
    /// `HOST:PORT`
    pub(crate) addr: String,
    /// The Docker engine on this machine that all of its nodes share. Images can be built there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) engine: Option<PathBuf>,
    /// Who we are there: a certificate, that of the authority, and the key, in PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) identity: Option<Identity>,
}

/// A key is in no message.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Identity(pub(crate) String);

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity")
    }
}

fn path() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("WHARF_CONFIG") {
        return Ok(path.into());
    }
    let folder = match std::env::var_os("XDG_CONFIG_HOME").filter(|folder| !folder.is_empty()) {
        Some(folder) => PathBuf::from(folder),
        None => {
            PathBuf::from(std::env::var_os("HOME").context("neither HOME nor WHARF_CONFIG is set")?)
                .join(".config")
        }
    };
    Ok(folder.join("wharf").join("config.toml"))
}

/// Reads the file; one that is not there says nothing.
pub(crate) fn load() -> anyhow::Result<Config> {
    Ok(read(&path()?)?.unwrap_or_default())
}

/// Reads a file of contexts. One with keys that others can read too is refused: they may have read it already.
fn read(path: &Path) -> anyhow::Result<Option<Config>> {
    let unreadable = || format!("{} can not be read", path.display());
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(unreadable),
    };
    let config: Config = toml::from_str(&text).map_err(|error| {
        // What is shown of the file may not be the line with the key.
        Failure::error(
            Exit::Error,
            format!("{}: {}", unreadable(), error.message()),
            "it is written by `wharf context` and `wharf operator add`",
        )
    })?;
    let mode = fs::metadata(path).with_context(unreadable)?.permissions().mode();
    let has_keys = config.contexts.values().any(|context| context.identity.is_some());
    if has_keys && mode & 0o077 != 0 {
        return Err(Failure::error(
            Exit::Error,
            format!("{} holds a private key, and others may read it", path.display()),
            format!(
                "chmod 600 {}; if somebody may have read it, ask for another certificate",
                path.display()
            ),
        ));
    }
    Ok(Some(config))
}

fn save(config: &Config) -> anyhow::Result<()> {
    write(&path()?, config)
}

/// Writes a file of contexts that nobody else may read.
pub(crate) fn write(path: &Path, config: &Config) -> anyhow::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder)
            .with_context(|| format!("{} can not be made", folder.display()))?;
    }
    write_secret(path, toml::to_string(config)?.as_bytes())
}

/// Takes over the context of a file, under its own name or another one, and selects it.
pub(crate) fn import(file: &Path, name: Option<&str>) -> anyhow::Result<String> {
    let Some(given) = read(file)? else {
        let message = format!("there is no file {}", file.display());
        return Err(Failure::error(Exit::Error, message, "`wharf operator add` writes one"));
    };
    let mut contexts = given.contexts.into_iter();
    let (Some((own, context)), None) = (contexts.next(), contexts.next()) else {
        let message = format!("{} has not exactly one context", file.display());
        return Err(Failure::error(
            Exit::Error,
            message,
            "`wharf operator add` writes such a file",
        ));
    };
    let name = name.map_or(own, str::to_owned);
    let mut config = load()?;
    if config.contexts.get(&name).is_some_and(|known| *known != context) {
        return Err(Failure::error(
            Exit::Error,
            format!("there is another context {name:?}"),
            format!("give this one a name with --name, or `wharf context rm {name}` first"),
        ));
    }
    config.contexts.insert(name.clone(), context);
    config.current = Some(name.clone());
    save(&config)?;
    Ok(name)
}

/// Writes a context and selects it.
pub(crate) fn put(name: &str, context: Context) -> anyhow::Result<()> {
    let mut config = load()?;
    config.contexts.insert(name.to_owned(), context);
    config.current = Some(name.to_owned());
    save(&config)
}

/// Selects a context.
pub(crate) fn select(name: &str) -> anyhow::Result<()> {
    let mut config = load()?;
    if !config.contexts.contains_key(name) {
        return Err(unknown(name));
    }
    config.current = Some(name.to_owned());
    save(&config)
}

/// Forgets a context; false when it was not there.
pub(crate) fn remove(name: &str) -> anyhow::Result<bool> {
    let mut config = load()?;
    let was_there = config.contexts.remove(name).is_some();
    config.current = config.current.filter(|current| current != name);
    if was_there {
        save(&config)?;
    }
    Ok(was_there)
}

/// What is meant by a command line: how the coordinator is dialled, and on which engine images can be built for it.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) dial: Dial,
    pub(crate) engine: Option<PathBuf>,
}

/// Finds what is meant: an address that was given, then a context that is named, then the one that is selected. Who we are
/// comes from the context in each case.
pub(crate) fn choose(global: &Global) -> anyhow::Result<Chosen> {
    let config = load()?;
    let name = global.context.as_deref().or(config.current.as_deref());
    let context = name.map(|name| config.contexts.get(name).ok_or_else(|| unknown(name)));
    let given = global.addr.clone();
    // Who gives an address may have no context, or one that was taken away.
    let context = match context {
        Some(Err(error)) if given.is_none() || global.context.is_some() => return Err(error),
        Some(Err(_)) | None => None,
        Some(Ok(context)) => Some(context.clone()),
    };
    let Some(address) = given.or_else(|| context.as_ref().map(|context| context.addr.clone()))
    else {
        return Err(Failure::error(
            Exit::Error,
            "no coordinator is named",
            "start one here with `wharf dev`, or give --addr HOST:PORT, or select one with `wharf context use NAME`",
        ));
    };
    let own = context.as_ref().filter(|context| context.addr == address);
    let engine = own.and_then(|context| context.engine.clone());
    if let Some(path) = local_path(&address) {
        return Ok(Chosen { dial: Dial::Local { path }, engine });
    }
    if global.plaintext {
        return Ok(Chosen { dial: Dial::Plaintext { address }, engine });
    }
    let identity = context.and_then(|context| context.identity);
    let dial = dial(address, identity.as_ref())?;
    Ok(Chosen { dial, engine })
}

/// How an address is dialled as somebody.
pub(crate) fn dial(address: String, identity: Option<&Identity>) -> anyhow::Result<Dial> {
    let Some(identity) = identity else {
        return Err(Failure::error(
            Exit::Command(77),
            format!("there is no certificate to show to the coordinator at {address}"),
            "an administrator makes one with `wharf operator add`, and `wharf context import` takes it over; on the coordinator's own machine root is one by `--addr unix:/var/lib/wharf/coordinator/admin.sock`",
        ));
    };
    let bundle = Bundle::from_pem(&identity.0).context("the identity of the context is damaged")?;
    if bundle.is_expired(trust::now()) {
        return Err(Failure::error(
            Exit::Command(77),
            format!(
                "the certificate of {} has expired at {}",
                bundle.about.name, bundle.about.not_after
            ),
            "ask an administrator for another one: `wharf operator rm`, then `wharf operator add`",
        ));
    }
    Ok(Dial::Tls { address, client: Client::mutual(&bundle)? })
}

fn unknown(name: &str) -> anyhow::Error {
    Failure::error(
        Exit::Error,
        format!("there is no context {name:?}"),
        "`wharf context ls` shows them",
    )
}
