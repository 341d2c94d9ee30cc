//! Commands about recipes of which bakes begin by themselves.

use std::path::Path;

use proto::wire;
use serde_json::{Value, json};

use super::bake::read;
use crate::args::Global;
use crate::args::recipe::Recipe;
use crate::client::{Client, unary};
use crate::exit::{Exit, from_status};
use crate::output::{self, Format, Listing, Row, clean};
use crate::terminal;

pub(crate) async fn recipe(
    client: &Client,
    global: &Global,
    command: Recipe,
) -> anyhow::Result<Exit> {
    match command {
        Recipe::Set { recipe, plan } => set(client, global, (&recipe, plan)).await,
        Recipe::Ls => {
            let recipes = list(client, String::new()).await?;
            let head = vec!["RECIPE", "STATE", "IMAGE", "AGE", "LAST", "NEXT", "WHY", "CAUSE"];
            let rows = recipes.iter().map(row).collect();
            output::print(Listing { head, wide: 7, rows }, global.format(), &global.filters)?;
            Ok(Exit::Done)
        }
        Recipe::Inspect { recipe } => {
            let recipes = list(client, recipe).await?;
            let Some(view) = recipes.first() else {
                anyhow::bail!("the coordinator shows no such recipe")
            };
            inspect(global, view)?;
            Ok(Exit::Done)
        }
        Recipe::Pause { recipe } => steer(client, recipe, true).await,
        Recipe::Resume { recipe } => steer(client, recipe, false).await,
        Recipe::Rm { recipe, yes } => {
            terminal::confirm(&format!("have recipe {recipe} baked by hand only?"), yes)?;
            let request = unary(wire::RemoveRecipeRequest { recipe });
            let removed = client.bakes.clone().remove_recipe(request).await;
            removed.map_err(|status| from_status(&status))?;
            Ok(Exit::Done)
        }
    }
}

async fn set(
    client: &Client,
    global: &Global,
    (path, plan): (&Path, bool),
) -> anyhow::Result<Exit> {
    let recipe = Some(read(global, path)?);
    let request = unary(wire::PutRecipeRequest { recipe, dry_run: plan });
    let put = client.bakes.clone().put_recipe(request).await;
    let put = put.map_err(|status| from_status(&status))?.into_inner();
    match put.recipe {
        Some(view) if plan => inspect(global, &view)?,
        Some(view) => println!("{}", clean(&name(&view))),
        None => {}
    }
    Ok(if plan { Exit::Changes } else { Exit::Done })
}

async fn steer(client: &Client, recipe: String, paused: bool) -> anyhow::Result<Exit> {
    let request = unary(wire::SteerRecipeRequest { recipe, paused });
    let steered = client.bakes.clone().steer_recipe(request).await;
    steered.map_err(|status| from_status(&status))?;
    Ok(Exit::Done)
}

async fn list(client: &Client, recipe: String) -> anyhow::Result<Vec<wire::RecipeView>> {
    let request = unary(wire::ListRecipesRequest { recipe });
    let listed = client.bakes.clone().list_recipes(request).await;
    Ok(listed.map_err(|status| from_status(&status))?.into_inner().recipes)
}

fn name(view: &wire::RecipeView) -> String {
    let recipe = view.upkeep.as_ref().and_then(|upkeep| upkeep.recipe.as_ref());
    recipe.map(|recipe| recipe.name.clone()).unwrap_or_default()
}

fn row(view: &wire::RecipeView) -> Row {
    let shown = shown(view);
    let text = |key: &str| shown[key].as_str().unwrap_or("-").to_owned();
    let published = Some(view.published_at_ms).filter(|at| *at > 0);
    let last = view.upkeep.as_ref().and_then(|upkeep| upkeep.last.as_ref());
    let next = match (view.next.as_str(), view.next_at_ms) {
        ("", _) => "-".to_owned(),
        (why, at) => format!("{} {why}", output::ahead(at)),
    };
    let why = if view.note.is_empty() { "-" } else { &view.note };
    Row {
        id: name(view),
        cells: vec![
            name(view),
            view.word.clone(),
            text("ami"),
            published.map_or_else(|| "-".to_owned(), output::age),
            last.map_or_else(
                || "-".to_owned(),
                |last| format!("{} {} ago", view.last_word, output::age(last.at_ms)),
            ),
            next,
            why.to_owned(),
            text("last_cause"),
        ],
        json: shown,
    }
}

fn shown(view: &wire::RecipeView) -> Value {
    let upkeep = view.upkeep.clone().unwrap_or_default();
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let at = |millis: u64| if millis == 0 { Value::Null } else { output::instant(millis) };
    let last = upkeep.last.as_ref();
    json!({
        "recipe": name(view),
        "state": view.word,
        "paused": upkeep.paused,
        "since": output::instant(upkeep.since_ms),
        "ami": text(&view.ami),
        "published_at": at(view.published_at_ms),
        "note": view.note,
        "next": text(&view.next),
        "next_at": at(view.next_at_ms),
        "triggers": view.sees,
        "failures": upkeep.failures,
        "last_bake": last.map(|last| last.bake.clone()),
        "last_state": text(&view.last_word),
        "last_at": last.map_or(Value::Null, |last| output::instant(last.at_ms)),
        "last_cause": text(&view.last_cause),
        "refreshes": upkeep.spreads.iter().flat_map(|spread| &spread.pools)
            .map(|pool| pool.pool.clone()).collect::<Vec<_>>(),
    })
}

fn inspect(global: &Global, view: &wire::RecipeView) -> anyhow::Result<()> {
    let shown = shown(view);
    if !matches!(global.format(), Format::Table | Format::Wide) {
        return output::print_one(&shown, global.format());
    }
    let names = [
        "recipe",
        "state",
        "note",
        "next",
        "next_at",
        "ami",
        "published_at",
        "last_bake",
        "last_state",
        "last_at",
        "last_cause",
    ];
    for name in names {
        if let Some(text) = shown[name].as_str().filter(|text| !text.is_empty()) {
            println!("{name:<12}  {}", clean(text));
        }
    }
    for line in &view.sees {
        println!("trigger       {}", clean(line));
    }
    Ok(())
}
