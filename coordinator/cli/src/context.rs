//! Which coordinator is meant: named addresses in the user's configuration file.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

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
    let path = path()?;
    match fs::read_to_string(&path) {
        Ok(text) => {
            toml::from_str(&text).with_context(|| format!("{} can not be read", path.display()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Config::default()),
        Err(error) => Err(error).with_context(|| format!("{} can not be read", path.display())),
    }
}

fn save(config: &Config) -> anyhow::Result<()> {
    let path = path()?;
    let write = || -> anyhow::Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let new = path.with_extension(format!("new-{}", std::process::id()));
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(toml::to_string(config)?.as_bytes())?;
        file.sync_all()?;
        Ok(fs::rename(&new, &path)?)
    };
    write().with_context(|| format!("{} can not be written", path.display()))
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

/// The address to dial: what was given, then what is named, then what is selected.
pub(crate) fn address(addr: Option<&str>, name: Option<&str>) -> anyhow::Result<String> {
    if let Some(addr) = addr {
        return Ok(addr.to_owned());
    }
    let config = load()?;
    let Some(name) = name.or(config.current.as_deref()) else {
        return Err(Failure::error(
            Exit::Error,
            "no coordinator is named",
            "start one here with `wharf dev`, or give --addr HOST:PORT, or select one with `wharf context use NAME`",
        ));
    };
    config.contexts.get(name).map(|context| context.addr.clone()).ok_or_else(|| unknown(name))
}

/// The engine that the nodes behind an address share with this machine, if they do.
pub(crate) fn engine(addr: &str) -> anyhow::Result<Option<PathBuf>> {
    let contexts = load()?.contexts;
    Ok(contexts.into_values().find(|context| context.addr == addr).and_then(|found| found.engine))
}

fn unknown(name: &str) -> anyhow::Error {
    Failure::error(
        Exit::Error,
        format!("there is no context {name:?}"),
        "`wharf context ls` shows them",
    )
}
