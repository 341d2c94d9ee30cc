//! Commands about bakes.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use proto::wire;
use serde_json::{Value, json};
use trust::transport::Dial;

use crate::args::Global;
use crate::args::bake::{Bake, Start};
use crate::client::{Client, unary};
use crate::compose::{DiskFiles, read_recipe};
use crate::context;
use crate::exit::{Exit, from_status};
use crate::output::{self, Format, Listing, Row};
use crate::terminal;

/// How often it is asked how far a bake is.
const LOOK: Duration = Duration::from_secs(1);

pub(crate) async fn bake(client: &Client, global: &Global, command: Bake) -> anyhow::Result<Exit> {
    match command {
        Bake::Start(arguments) => start(client, global, arguments).await,
        Bake::Plan { recipe } => plan(client, global, &recipe).await,
        Bake::Ls => {
            let bakes = list(client, String::new()).await?;
            let head = vec!["BAKE", "STATE", "AGE", "SINCE", "DOING", "BECAUSE"];
            let rows = bakes.iter().map(row).collect();
            output::print(Listing { head, wide: 6, rows }, global.format(), &global.filters)?;
            Ok(Exit::Done)
        }
        Bake::Inspect { bake } => inspect(client, global, bake).await,
        Bake::Logs { bake, follow } => {
            logs(client, bake, follow).await?;
            Ok(Exit::Done)
        }
        Bake::Retry { bake } => {
            let request = unary(wire::RetryBakeRequest { bake });
            let retried = client.bakes.clone().retry_bake(request).await;
            retried.map_err(|status| from_status(&status))?;
            Ok(Exit::Done)
        }
        Bake::Rm { bake, yes } => {
            let question = format!("take away what bake {bake} has made, and forget it?");
            terminal::confirm(&question, yes)?;
            let request = unary(wire::RemoveBakeRequest { bake });
            let removed = client.bakes.clone().remove_bake(request).await;
            removed.map_err(|status| from_status(&status))?;
            Ok(Exit::Done)
        }
    }
}

/// Reads a recipe. Where its machines find the coordinator is where we do, unless it says otherwise.
pub(super) fn read(global: &Global, path: &Path) -> anyhow::Result<wire::Recipe> {
    let read = read_recipe(path, &DiskFiles);
    let mut recipe = read.map_err(|errors| {
        let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("{}", told.join("\n"))
    })?;
    if let Some(launch) = recipe.launch.as_mut().filter(|launch| launch.coordinator.is_empty()) {
        let address = match context::choose(global)?.dial {
            Dial::Tls { address, .. } | Dial::Plaintext { address } => Some(address),
            Dial::Local { .. } => None,
        };
        let address = address.ok_or_else(|| anyhow::anyhow!(
            "the recipe does not say where its machines reach the coordinator\nhint: add `coordinator: HOST:PORT` to `builder`"
        ))?;
        launch.coordinator = address;
    }
    Ok(recipe)
}

async fn start(client: &Client, global: &Global, arguments: Start) -> anyhow::Result<Exit> {
    let recipe = Some(read(global, &arguments.recipe)?);
    let request = wire::StartBakeRequest { recipe, keep: arguments.keep, dry_run: false };
    let started = client.bakes.clone().start_bake(unary(request)).await;
    let started = started.map_err(|status| from_status(&status))?.into_inner();
    println!("{}", started.bake);
    if arguments.detach {
        return Ok(Exit::Done);
    }
    follow(client, &started.bake).await
}

/// Says each thing that it does, until it has ended.
async fn follow(client: &Client, bake: &str) -> anyhow::Result<Exit> {
    let mut told = String::new();
    loop {
        let bakes = list(client, bake.to_owned()).await?;
        let Some(view) = bakes.first() else { anyhow::bail!("bake {bake} is forgotten") };
        if view.doing != told {
            println!("{}", output::clean(&view.doing));
            told.clone_from(&view.doing);
        }
        match view.word.as_str() {
            "published" => return Ok(Exit::Done),
            "failed" | "removed" => {
                eprintln!("hint: `wharf bake logs {bake}` shows what its machines have written");
                return Ok(Exit::RolledBack);
            }
            "kept" => {
                eprintln!("{}", output::clean(&why(view)));
                eprintln!(
                    "hint: `wharf bake logs {bake}` shows what its machines have written, `wharf bake retry {bake}` tries it again"
                );
                return Ok(Exit::RolledBack);
            }
            _ => tokio::time::sleep(LOOK).await,
        }
    }
}

/// Why it is kept.
fn why(view: &wire::BakeView) -> String {
    let phase = view.bake.as_ref().and_then(|bake| bake.phase.as_ref());
    match phase.and_then(|phase| phase.phase.as_ref()) {
        Some(wire::bake_phase::Phase::Kept(kept)) => format!("failed: {}", kept.why),
        _ => String::new(),
    }
}

async fn plan(client: &Client, global: &Global, path: &Path) -> anyhow::Result<Exit> {
    let recipe = Some(read(global, path)?);
    let request = wire::StartBakeRequest { recipe, keep: false, dry_run: true };
    let planned = client.bakes.clone().start_bake(unary(request)).await;
    let planned = planned.map_err(|status| from_status(&status))?.into_inner();
    let head = vec!["IMAGE", "GOES IN", "SIZE", "WHY"];
    let row = |choice: &wire::ImageChoice| {
        let reference = choice.image.as_ref().map(shown_image).unwrap_or_default();
        Row {
            id: reference.clone(),
            cells: vec![
                output::clean(&reference),
                if choice.chosen { "yes" } else { "no" }.to_owned(),
                choice.bytes.map_or_else(|| "unknown".to_owned(), output::bytes),
                output::clean(&choice.why),
            ],
            json: json!({
                "image": reference,
                "chosen": choice.chosen,
                "bytes": choice.bytes,
                "why": choice.why,
            }),
        }
    };
    let rows = planned.choices.iter().map(row).collect();
    output::print(Listing { head, wide: 4, rows }, global.format(), &global.filters)?;
    Ok(Exit::Changes)
}

pub(super) fn shown_image(image: &wire::Image) -> String {
    match &image.pin {
        Some(wire::image::Pin::Manifest(digest)) => {
            let named = image.reference.split('@').next().unwrap_or_default();
            format!("{named}@{digest}")
        }
        Some(wire::image::Pin::Local(id)) => format!("{} ({id})", image.reference),
        None => image.reference.clone(),
    }
}

async fn list(client: &Client, bake: String) -> anyhow::Result<Vec<wire::BakeView>> {
    let listed = client.bakes.clone().list_bakes(unary(wire::ListBakesRequest { bake })).await;
    Ok(listed.map_err(|status| from_status(&status))?.into_inner().bakes)
}

fn row(view: &wire::BakeView) -> Row {
    let bake = view.bake.clone().unwrap_or_default();
    Row {
        id: bake.id.clone(),
        cells: vec![
            bake.id.clone(),
            view.word.clone(),
            output::age(bake.started_at_ms),
            output::age(bake.since_ms),
            output::clean(&doing(view)),
            output::clean(&view.cause),
        ],
        json: shown(view),
    }
}

fn doing(view: &wire::BakeView) -> String {
    match view.trouble.as_str() {
        "" => view.doing.clone(),
        trouble => format!("{} (tried again: {trouble})", view.doing),
    }
}

fn shown(view: &wire::BakeView) -> Value {
    let bake = view.bake.clone().unwrap_or_default();
    let made = made(&bake);
    json!({
        "id": bake.id,
        "recipe": bake.recipe.as_ref().map(|recipe| recipe.name.clone()),
        "state": view.word,
        "doing": view.doing,
        "trouble": view.trouble,
        "started_at": output::instant(bake.started_at_ms),
        "since": output::instant(bake.since_ms),
        "retries": bake.retries,
        "keep": bake.keeps,
        "cause": view.cause,
        "by_itself": bake.cause.is_some(),
        "base": made.base,
        "builder": made.builder,
        "ami": made.ami,
        "tester": made.tester,
        "why": why(view),
        "images": bake.images.iter().map(|one| json!({
            "image": one.image.as_ref().map(shown_image),
            "why": one.why,
        })).collect::<Vec<_>>(),
    })
}

/// What a bake has by now.
#[derive(Default)]
struct Made {
    base: Option<String>,
    builder: Option<String>,
    ami: Option<String>,
    tester: Option<String>,
}

fn made(bake: &wire::Bake) -> Made {
    let phase = bake.phase.as_ref().and_then(|phase| phase.phase.as_ref());
    phase.map(of_phase).unwrap_or_default()
}

fn of_phase(phase: &wire::bake_phase::Phase) -> Made {
    use wire::bake_phase::Phase;
    let build = |build: &wire::BakeBuild| Made {
        base: build.base.as_ref().map(|base| base.ami.clone()),
        builder: Some(build.builder.clone()),
        ..Made::default()
    };
    let built = |one: &wire::BakeBuilt| one.build.as_ref().map(build).unwrap_or_default();
    let taken = |one: &wire::BakeTaken| Made {
        ami: Some(one.ami.clone()),
        ..one.built.as_ref().map(built).unwrap_or_default()
    };
    match phase {
        Phase::Resolving(_) => Made::default(),
        Phase::Launching(base) => Made { base: Some(base.ami.clone()), ..Made::default() },
        Phase::Joining(one) => build(one),
        Phase::Working(working) => working.build.as_ref().map(build).unwrap_or_default(),
        Phase::Stopping(one) | Phase::Imaging(one) => built(one),
        Phase::Settling(one) | Phase::TrialLaunching(one) => taken(one),
        Phase::TrialJoining(tried) | Phase::Trying(tried) | Phase::Publishing(tried) => Made {
            tester: Some(tried.tester.clone()),
            ..tried.taken.as_ref().map(taken).unwrap_or_default()
        },
        Phase::Kept(kept) => {
            let at = kept.at.as_ref().and_then(|at| at.phase.as_ref());
            at.map(of_phase).unwrap_or_default()
        }
        Phase::Clearing(clearing) => ended(clearing.end.as_ref()),
        Phase::Ended(end) => ended(Some(end)),
    }
}

fn ended(end: Option<&wire::BakeEnd>) -> Made {
    match end.and_then(|end| end.end.as_ref()) {
        Some(wire::bake_end::End::Published(ami)) => {
            Made { ami: Some(ami.clone()), ..Made::default() }
        }
        Some(wire::bake_end::End::Failed(_) | wire::bake_end::End::Removed(_)) | None => {
            Made::default()
        }
    }
}

async fn inspect(client: &Client, global: &Global, bake: String) -> anyhow::Result<Exit> {
    let bakes = list(client, bake).await?;
    let Some(view) = bakes.first() else { anyhow::bail!("the coordinator shows no such bake") };
    let shown = shown(view);
    if !matches!(global.format(), Format::Table | Format::Wide) {
        output::print_one(&shown, global.format())?;
        return Ok(Exit::Done);
    }
    for name in [
        "id", "recipe", "cause", "state", "doing", "trouble", "why", "base", "builder", "ami",
        "tester",
    ] {
        if let Some(text) = shown[name].as_str().filter(|text| !text.is_empty()) {
            println!("{name:<10}  {}", output::clean(text));
        }
    }
    for image in shown["images"].as_array().into_iter().flatten() {
        let text = |name: &str| output::clean(image[name].as_str().unwrap_or_default());
        println!("image       {} ({})", text("image"), text("why"));
    }
    Ok(Exit::Done)
}

async fn logs(client: &Client, bake: String, follow: bool) -> anyhow::Result<()> {
    let request = wire::BakeLogsRequest { bake, follow };
    let opened = client.bakes.clone().bake_logs(request).await;
    let mut pieces = opened.map_err(|status| from_status(&status))?.into_inner();
    let mut out = std::io::stdout();
    while let Some(piece) = pieces.message().await.map_err(|status| from_status(&status))? {
        out.write_all(&piece.data)?;
    }
    out.flush()?;
    Ok(())
}
