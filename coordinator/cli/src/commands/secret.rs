//! Secrets, as operators set them and look after them.

use std::io::{IsTerminal, Read};

use anyhow::Context;
use jiff::Timestamp;
use model::secret::SECRET_LIMIT;
use proto::wire;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::args::Global;
use crate::args::secret::{Allow, Secret, Set};
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
            let head = vec![
                "NAME", "VERSION", "SET", "BY", "STATE", "SERVICES", "FOR", "DIGEST", "AT AWS",
            ];
            let rows = list(client, String::new()).await?.secrets.iter().map(row).collect();
            output::print(Listing { head, wide: 7, rows }, global.format(), &global.filters)?;
            Ok(Exit::Done)
        }
        Secret::Allow(Allow { references, services }) => allow(client, references, services).await,
        Secret::Disallow { references } => allow(client, references, Vec::new()).await,
        Secret::Allowed => {
            let head = vec!["REFERENCES", "FOR", "SET BY", "WHY"];
            let allowed = list(client, String::new()).await?.allowed;
            let rows = allowed.iter().map(allowed_row).collect();
            output::print(Listing { head, wide: 4, rows }, global.format(), &global.filters)?;
            Ok(Exit::Done)
        }
        Secret::Look(named) => {
            let request = wire::SetSecretRequest { name: named.name.clone(), ..Default::default() };
            let looked = client.secrets.clone().set_secret(unary(request)).await;
            let looked = looked.map_err(|status| from_status(&status))?.into_inner();
            show(global, (&named.name, &looked), || tell_value(&named.name, &looked))
        }
        Secret::Inspect(named) => {
            for secret in list(client, named.name).await?.secrets {
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

async fn list(client: &Client, name: String) -> anyhow::Result<wire::ListSecretsResponse> {
    let listed =
        client.secrets.clone().list_secrets(unary(wire::ListSecretsRequest { name })).await;
    Ok(listed.map_err(|status| from_status(&status))?.into_inner())
}

/// Says whose references are; with nobody they are nobody's any more.
async fn allow(client: &Client, references: String, services: Vec<String>) -> anyhow::Result<Exit> {
    let request = unary(wire::AllowReferencesRequest { references, services });
    let allowed = client.secrets.clone().allow_references(request).await;
    allowed.map_err(|status| from_status(&status))?;
    Ok(Exit::Done)
}

fn allowed_row(allowance: &wire::StoredAllowance) -> Row {
    let wire::StoredAllowance { references, services, made_by, why } = allowance;
    Row {
        id: references.clone(),
        cells: vec![references.clone(), services.join(", "), made_by.clone(), why.clone()],
        json: json!({ "references": references, "for": services, "set_by": made_by, "why": why }),
    }
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
    show(global, (&arguments.name, &set), || tell(arguments, &set))
}

/// What has become of a secret, for people or for programs.
fn show(
    global: &Global,
    (name, set): (&str, &wire::SetSecretResponse),
    tell: impl FnOnce(),
) -> anyhow::Result<Exit> {
    let said = json!({
        "name": name,
        "version": set.version,
        "changed": set.changed,
        "restarted": set.restarted,
        "signalled": set.signalled,
    });
    match global.format() {
        output::Format::Table | output::Format::Wide => tell(),
        format => output::print_one(&said, format)?,
    }
    Ok(Exit::Done)
}

fn tell(arguments: &Set, set: &wire::SetSecretResponse) {
    let name = &arguments.name;
    if !arguments.owners.is_empty() {
        println!("{name} is for {}", arguments.owners.join(", "));
    }
    if !arguments.keep_value {
        tell_value(name, set);
    }
}

fn tell_value(name: &str, set: &wire::SetSecretResponse) {
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
            state(secret),
            secret.services.join(", "),
            secret.owners.join(", "),
            newest.digest,
            newest.origin,
        ],
        json: json(secret),
    }
}

/// Of what AWS keeps: whether it could be read the last time.
fn state(secret: &wire::SecretView) -> String {
    match (secret.read_at_ms, secret.trouble.as_str()) {
        (_, trouble) if !trouble.is_empty() => trouble.to_owned(),
        (Some(read_at), _) => format!("read {}", at(read_at)),
        (None, _) => String::new(),
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
            "at_aws": version.origin,
        })
    };
    json!({
        "name": secret.name,
        "version": newest(secret).number,
        "versions": secret.versions.iter().map(version).collect::<Vec<_>>(),
        "services": secret.services,
        "for": secret.owners,
        "read_at": secret.read_at_ms.map(at),
        "trouble": secret.trouble,
    })
}
