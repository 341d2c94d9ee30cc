//! Commands about machine images.

use std::collections::BTreeMap;

use proto::wire;
use serde_json::{Value, json};

use super::bake::shown_image;
use super::drift;
use crate::args::Global;
use crate::args::bake::Ami;
use crate::client::{Client, unary};
use crate::exit::{Exit, from_status};
use crate::output::{self, Format, Listing, Row};
use crate::terminal;

pub(crate) async fn ami(client: &Client, global: &Global, command: Ami) -> anyhow::Result<Exit> {
    match command {
        Ami::Ls => {
            let amis = list(client, String::new()).await?;
            let head = vec!["IMAGE", "STATE", "RECIPE", "AGE", "POOLS", "IMAGES", "BASE", "NAME"];
            let rows = amis.iter().map(row).collect();
            output::print(Listing { head, wide: 8, rows }, global.format(), &global.filters)?;
            Ok(Exit::Done)
        }
        Ami::Status { pool } => drift::status(client, global, pool).await,
        Ami::Inspect { ami } => {
            let found = one(client, ami).await?;
            if matches!(global.format(), Format::Table | Format::Wide) {
                inspect(&found);
            } else {
                output::print_one(&shown(&found), global.format())?;
            }
            Ok(Exit::Done)
        }
        Ami::Diff { from, to } => {
            let (from, to) = (one(client, from).await?, one(client, to).await?);
            diff(global, &from, &to)?;
            Ok(Exit::Done)
        }
        Ami::Gc { plan, keep, yes } => collect(client, global, plan, (keep, yes)).await,
    }
}

async fn list(client: &Client, ami: String) -> anyhow::Result<Vec<wire::Ami>> {
    let listed = client.bakes.clone().list_amis(unary(wire::ListAmisRequest { ami })).await;
    Ok(listed.map_err(|status| from_status(&status))?.into_inner().amis)
}

async fn one(client: &Client, ami: String) -> anyhow::Result<wire::Ami> {
    let found = list(client, ami).await?;
    found.into_iter().next().ok_or_else(|| anyhow::anyhow!("the coordinator shows no such image"))
}

fn state(ami: &wire::Ami) -> &'static str {
    match ami.state {
        Some(wire::ami::State::Quarantined(_)) => "quarantined",
        Some(wire::ami::State::Published(_)) => "published",
        Some(wire::ami::State::RetiredAtMs(_)) => "retired",
        None => "unknown",
    }
}

const fn architecture(ami: &wire::Ami) -> &'static str {
    match ami.architecture {
        1 => "x86_64",
        2 => "arm64",
        _ => "unknown",
    }
}

fn row(ami: &wire::Ami) -> Row {
    let base = ami.base.as_ref().map(|base| base.ami.clone()).unwrap_or_default();
    Row {
        id: ami.id.clone(),
        cells: vec![
            ami.id.clone(),
            state(ami).to_owned(),
            ami.recipe.clone(),
            output::age(ami.made_at_ms),
            output::clean(&ami.pools.join(",")),
            ami.images.len().to_string(),
            output::clean(&base),
            output::clean(&ami.name),
        ],
        json: shown(ami),
    }
}

fn shown(ami: &wire::Ami) -> Value {
    let facts = ami.facts.clone().unwrap_or_default();
    let manifest = match &ami.state {
        Some(wire::ami::State::Published(published)) => Some(published.manifest.clone()),
        _ => None,
    };
    json!({
        "id": ami.id,
        "name": ami.name,
        "state": state(ami),
        "bake": ami.bake,
        "recipe": ami.recipe,
        "base": ami.base.as_ref().map(|base| json!({ "id": base.ami, "name": base.name })),
        "made_at": output::instant(ami.made_at_ms),
        "architecture": architecture(ami),
        "images": ami.images.iter().map(shown_image).collect::<Vec<_>>(),
        "pools": ami.pools,
        "agent_version": facts.agent_version,
        "kernel": facts.kernel,
        "packages": facts.packages.iter().map(|one| json!({
            "name": one.name,
            "version": one.version,
        })).collect::<Vec<_>>(),
        "manifest": manifest,
    })
}

fn inspect(ami: &wire::Ami) {
    let shown = shown(ami);
    for name in [
        "id",
        "name",
        "state",
        "bake",
        "recipe",
        "architecture",
        "agent_version",
        "kernel",
        "manifest",
    ] {
        if let Some(text) = shown[name].as_str().filter(|text| !text.is_empty()) {
            println!("{name:<14}  {}", output::clean(text));
        }
    }
    if let Some(base) = &ami.base {
        println!("base            {} ({})", output::clean(&base.ami), output::clean(&base.name));
    }
    println!("pools           {}", output::clean(&ami.pools.join(", ")));
    for image in &ami.images {
        println!("image           {}", output::clean(&shown_image(image)));
    }
    let packages = ami.facts.as_ref().map_or(0, |facts| facts.packages.len());
    println!("packages        {packages}, all of them with -o json");
}

/// What each side has under a name.
fn versions(ami: &wire::Ami) -> BTreeMap<String, String> {
    let facts = ami.facts.clone().unwrap_or_default();
    let packages = facts.packages.into_iter();
    let packages = packages.map(|one| (format!("package {}", one.name), one.version));
    let images = ami.images.iter().map(|image| {
        let named = image.reference.split(['@']).next().unwrap_or_default();
        let shown = shown_image(image);
        let digest = shown.split_once('@').map(|(_, digest)| digest.to_owned()).unwrap_or(shown);
        (format!("image {named}"), digest)
    });
    let own = [("agent", facts.agent_version), ("kernel", facts.kernel)];
    let own = own.into_iter().map(|(name, version)| (name.to_owned(), version));
    let base = ami.base.as_ref().map(|base| ("base".to_owned(), base.ami.clone()));
    packages.chain(images).chain(own).chain(base).collect()
}

fn diff(global: &Global, from: &wire::Ami, to: &wire::Ami) -> anyhow::Result<()> {
    let (before, after) = (versions(from), versions(to));
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    let changed = names.into_iter().filter(|name| before.get(*name) != after.get(*name));
    let row = |name: &String| {
        let (was, is) = (before.get(name), after.get(name));
        let cell = |side: Option<&String>| output::clean(side.map_or("", String::as_str));
        Row {
            id: name.clone(),
            cells: vec![output::clean(name), cell(was), cell(is)],
            json: json!({ "what": name, "from": was, "to": is }),
        }
    };
    let rows = changed.map(row).collect();
    let head = vec!["WHAT", "FROM", "TO"];
    output::print(Listing { head, wide: 3, rows }, global.format(), &global.filters)
}

async fn collect(
    client: &Client,
    global: &Global,
    plan: bool,
    (keep, yes): (u32, bool),
) -> anyhow::Result<Exit> {
    let ask = |dry_run| {
        let request = wire::CollectAmisRequest { dry_run, keep: Some(keep) };
        let mut bakes = client.bakes.clone();
        async move { bakes.collect_amis(unary(request)).await }
    };
    let judged = ask(true).await.map_err(|status| from_status(&status))?.into_inner().verdicts;
    let row = |verdict: &wire::AmiVerdict| Row {
        id: verdict.ami.clone(),
        cells: vec![
            verdict.ami.clone(),
            if verdict.goes { "goes" } else { "stays" }.to_owned(),
            output::clean(&verdict.why),
            output::clean(&verdict.name),
        ],
        json: json!({
            "id": verdict.ami,
            "name": verdict.name,
            "goes": verdict.goes,
            "why": verdict.why,
        }),
    };
    let rows = judged.iter().map(row).collect();
    let head = vec!["IMAGE", "", "WHY", "NAME"];
    output::print(Listing { head, wide: 4, rows }, global.format(), &global.filters)?;
    let going = judged.iter().filter(|verdict| verdict.goes).count();
    if plan {
        return Ok(if going == 0 { Exit::Done } else { Exit::Changes });
    }
    if going > 0 {
        terminal::confirm(&format!("remove {going} images from the cloud?"), yes)?;
        ask(false).await.map_err(|status| from_status(&status))?;
    }
    Ok(Exit::Done)
}
