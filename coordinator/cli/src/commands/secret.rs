//! Secrets, as operators set them and look after them.

use std::io::{IsTerminal, Read};

use anyhow::Context;
use jiff::Timestamp;
use model::secret::SECRET_LIMIT;
use proto::wire;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::args::Global;
use crate::args::secret::{Secret, Set};
use crate::client::{Client, unary};
use crate::exit::{Exit, Failure, from_status};
use crate::output::{self, Listing, Row};

pub(crate) async fn secret(
    client: &Client,
    global: &Global,
    command: Secret,
) -> anyhow::Result<Exit> {
    match command {
        Secret::Set(arguments) => set(client, global, &arguments).await,
        Secret::Ls => {
            let head = vec!["NAME", "VERSION", "SET", "BY", "SERVICES", "FOR", "DIGEST"];
            let rows = list(client, String::new()).await?.iter().map(row).collect();
            output::print(Listing { head, wide: 6, rows }, global.format(), &global.filters)?;
            Ok(Exit::Done)
        }
        Secret::Inspect(named) => {
            for secret in list(client, named.name).await? {
                output::print_one(&json(&secret), global.format())?;
            }
            Ok(Exit::Done)
        }
        Secret::Rm(named) => {
            let request = unary(wire::RemoveSecretRequest { name: named.name });
            let removed = client.secrets.clone().remove_secret(request).await;
            removed.map_err(|status| from_status(&status))?;
            Ok(Exit::Done)
        }
    }
}

async fn list(client: &Client, name: String) -> anyhow::Result<Vec<wire::SecretView>> {
    let listed =
        client.secrets.clone().list_secrets(unary(wire::ListSecretsRequest { name })).await;
    Ok(listed.map_err(|status| from_status(&status))?.into_inner().secrets)
}

async fn set(client: &Client, global: &Global, arguments: &Set) -> anyhow::Result<Exit> {
    let mut value = match arguments.keep_value {
        true => Zeroizing::default(),
        false => read(arguments)?,
    };
    if arguments.trim && value.last() == Some(&b'\n') {
        value.pop();
        value.pop_if(|last| *last == b'\r');
    }
    let value = wire::SecretValue { value: std::mem::take(&mut *value) };
    let (name, owners) = (arguments.name.clone(), arguments.owners.clone());
    let value = (!arguments.keep_value).then_some(value);
    let request = unary(wire::SetSecretRequest { name, value, owners });
    let set = client.secrets.clone().set_secret(request).await;
    let set = set.map_err(|status| from_status(&status))?.into_inner();
    let said = json!({
        "name": arguments.name,
        "version": set.version,
        "changed": set.changed,
        "restarted": set.restarted,
        "signalled": set.signalled,
    });
    match global.format() {
        output::Format::Table | output::Format::Wide => tell(arguments, &set),
        format => output::print_one(&said, format)?,
    }
    Ok(Exit::Done)
}

fn tell(arguments: &Set, set: &wire::SetSecretResponse) {
    let name = &arguments.name;
    if !arguments.owners.is_empty() {
        println!("{name} is for {}", arguments.owners.join(", "));
    }
    if arguments.keep_value {
        return;
    }
    if !set.changed {
        println!("{name} has this value already: it stays at version {}", set.version);
        return;
    }
    println!("{name} is at version {}", set.version);
    for service in &set.restarted {
        println!("{service} is restarted with it");
    }
    for service in &set.signalled {
        println!("{service} gets it and is told by a signal");
    }
}

fn read(arguments: &Set) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    // One byte more tells what is too long from what just fits.
    let most = u64::try_from(SECRET_LIMIT)?.saturating_add(1);
    let mut value = Zeroizing::new(Vec::with_capacity(SECRET_LIMIT + 1));
    match &arguments.file {
        Some(file) => {
            let opened = std::fs::File::open(file);
            let opened = opened.with_context(|| format!("can not read {}", file.display()))?;
            opened.take(most).read_to_end(&mut value)?;
        }
        None => {
            let input = std::io::stdin();
            if input.is_terminal() {
                let message = "the value is read from standard input, and that is a terminal, which would show it";
                let hint = "give a file with --file, or have another program write it: `... | wharf secret set NAME`";
                return Err(Failure::error(Exit::Usage, message, hint));
            }
            input.lock().take(most).read_to_end(&mut value)?;
        }
    }
    Ok(value)
}

fn newest(secret: &wire::SecretView) -> wire::SecretVersionView {
    secret.versions.last().cloned().unwrap_or_default()
}

fn at(ms: u64) -> String {
    let at = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    at.map(|at| at.to_string()).unwrap_or_default()
}

fn row(secret: &wire::SecretView) -> Row {
    let newest = newest(secret);
    Row {
        id: secret.name.clone(),
        cells: vec![
            secret.name.clone(),
            newest.number.to_string(),
            at(newest.set_at_ms),
            newest.set_by.clone(),
            secret.services.join(", "),
            secret.owners.join(", "),
            newest.digest,
        ],
        json: json(secret),
    }
}

fn json(secret: &wire::SecretView) -> Value {
    let version = |version: &wire::SecretVersionView| {
        json!({
            "version": version.number,
            "set_at": at(version.set_at_ms),
            "set_by": version.set_by,
            "digest": version.digest,
            "tasks": version.tasks,
        })
    };
    json!({
        "name": secret.name,
        "version": newest(secret).number,
        "versions": secret.versions.iter().map(version).collect::<Vec<_>>(),
        "services": secret.services,
        "for": secret.owners,
    })
}
