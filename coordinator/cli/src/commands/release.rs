//! What ran when, and the way back to it.

use proto::wire;
use serde_json::{Value, json};

use super::refresh::follow;
use super::{change, wait};
use crate::args::Global;
use crate::args::refresh::Waiting;
use crate::args::release::{Half, Release, Rollback};
use crate::client::{Client, unary};
use crate::exit::{Exit, Failure, from_status};
use crate::output::{self, Format, Listing, Row, clean, instant};
use crate::{find, terminal};

pub(crate) async fn release(
    client: &Client,
    global: &Global,
    command: Release,
) -> anyhow::Result<Exit> {
    match command {
        Release::Ls => list(client, global).await,
        Release::Show { at } => {
            let ran = ran_at(client, at).await?;
            let rows = ran.services.iter().map(service_row).chain(ran.pools.iter().map(pool_row));
            show(global, rows.collect())?;
            Ok(Exit::Done)
        }
    }
}

async fn ran_at(client: &Client, at_ms: u64) -> anyhow::Result<wire::ShowReleaseResponse> {
    let request = unary(wire::ShowReleaseRequest { at_ms });
    let shown = client.releases.clone().show_release(request).await;
    Ok(shown.map_err(|status| from_status(&status))?.into_inner())
}

async fn list(client: &Client, global: &Global) -> anyhow::Result<Exit> {
    let listed = client.releases.clone().list_releases(unary(wire::ListReleasesRequest {})).await;
    let listed = listed.map_err(|status| from_status(&status))?.into_inner();
    let rows = listed.moments.iter().filter_map(moment_row).collect();
    let head = vec!["SINCE", "WHAT", "RELEASE", "OF"];
    output::print(Listing { head, wide: 4, rows }, global.format(), &global.filters)?;
    Ok(Exit::Done)
}

fn moment_row(moment: &wire::ReleaseMoment) -> Option<Row> {
    use wire::release_moment::Began;
    let (what, number, of, mut json) = match moment.began.as_ref()? {
        Began::Service(one) => {
            let generation = one.generation.as_ref()?;
            let json = json!({
                "service": service_name(&one.project, &one.name),
                "generation": generation.number,
                "images": generation.images,
            });
            let what = service_name(&one.project, &one.name);
            (what, format!("generation {}", generation.number), images(generation), json)
        }
        Began::Pool(one) => {
            let (refresh, blueprint) = (one.refresh.as_ref()?, one.blueprint.as_ref()?);
            let json = json!({
                "pool": refresh.pool,
                "refresh": refresh.number,
                "versions": blueprint.versions,
            });
            let number = format!("refresh {}", refresh.number);
            (refresh.pool.clone(), number, versions(blueprint), json)
        }
    };
    json["at"] = instant(moment.at_ms);
    let cells = vec![shown_time(moment.at_ms), clean(&what), number, of];
    Some(Row { id: what, cells, json })
}

/// A time that can be given to `--at` as it is.
fn shown_time(millis: u64) -> String {
    instant(millis).as_str().unwrap_or_default().to_owned()
}

fn service_name(project: &str, name: &str) -> String {
    format!("{project}/{name}")
}

fn images(generation: &wire::RanGeneration) -> String {
    generation.images.iter().map(|image| clean(image)).collect::<Vec<_>>().join(", ")
}

fn versions(blueprint: &wire::Blueprint) -> String {
    let versions = blueprint.versions.iter();
    let versions = versions.map(|(template, version)| format!("{}={version}", clean(template)));
    versions.collect::<Vec<_>>().join(", ")
}

fn show(global: &Global, rows: Vec<Row>) -> anyhow::Result<()> {
    let head = vec!["WHAT", "THEN", "NOW", "STATE", "THEN OF", "NOW OF"];
    output::print(Listing { head, wide: 4, rows }, global.format(), &global.filters)
}

fn service_row(one: &wire::RanService) -> Row {
    let name = service_name(&one.project, &one.name);
    let number = |generation: &Option<wire::RanGeneration>| {
        generation.as_ref().map_or_else(|| "-".to_owned(), |it| format!("generation {}", it.number))
    };
    let of = |generation: &Option<wire::RanGeneration>| {
        generation.as_ref().map_or_else(|| "-".to_owned(), images)
    };
    let state = state(one.knowledge(), one.differs);
    Row {
        cells: vec![
            clean(&name),
            number(&one.then),
            number(&one.now),
            state.to_owned(),
            of(&one.then),
            of(&one.now),
        ],
        json: json!({
            "service": name,
            "then": one.then.as_ref().map(generation_shown),
            "now": one.now.as_ref().map(generation_shown),
            "state": state,
        }),
        id: name,
    }
}

fn generation_shown(generation: &wire::RanGeneration) -> Value {
    json!({
        "generation": generation.number,
        "accepted_at": instant(generation.accepted_at_ms),
        "images": generation.images,
    })
}

fn pool_row(one: &wire::RanPool) -> Row {
    let of = |blueprint: &Option<wire::Blueprint>| {
        blueprint.as_ref().map_or_else(|| "-".to_owned(), versions)
    };
    let shown = |blueprint: &Option<wire::Blueprint>| {
        blueprint.as_ref().map(|blueprint| json!(blueprint.versions))
    };
    let state = state(one.knowledge(), one.differs);
    let (then, now) = (of(&one.then), of(&one.now));
    Row {
        id: one.pool.clone(),
        cells: vec![
            format!("pool {}", clean(&one.pool)),
            then.clone(),
            now.clone(),
            state.to_owned(),
            then,
            now,
        ],
        json: json!({
            "pool": one.pool,
            "then": shown(&one.then),
            "now": shown(&one.now),
            "state": state,
        }),
    }
}

const fn state(knowledge: wire::RanKnowledge, differs: bool) -> &'static str {
    match (knowledge, differs) {
        (wire::RanKnowledge::Known, true) => "differs",
        (wire::RanKnowledge::Known, false) => "same",
        (wire::RanKnowledge::Nothing, _) => "nothing ran",
        (wire::RanKnowledge::Forgotten | wire::RanKnowledge::Unspecified, _) => "not remembered",
    }
}

/// Goes back to what ran at a time.
pub(super) async fn go_back(
    client: &Client,
    global: &Global,
    arguments: &Rollback,
    at_ms: u64,
) -> anyhow::Result<Exit> {
    let mut ran = ran_at(client, at_ms).await?;
    choose(client, arguments, &mut ran).await?;
    let back = ran.services.iter().filter(|one| one.differs).map(service_row);
    let rows: Vec<Row> =
        back.chain(ran.pools.iter().filter(|one| one.differs).map(pool_row)).collect();
    // Whoever reads it by program reads rows alone.
    let is_table = matches!(global.format(), Format::Table | Format::Wide) && !global.quiet;
    let is_same = rows.is_empty();
    if is_same && is_table {
        println!("what ran at {} runs now, as far as it is known", shown_time(at_ms));
    } else {
        show(global, rows)?;
    }
    if is_table {
        unknown(&ran);
    }
    match (is_same, arguments.plan) {
        (true, _) => return Ok(Exit::Done),
        (false, true) => return Ok(Exit::Changes),
        (false, false) => {}
    }
    let question = format!("go back to what ran at {}?", shown_time(at_ms));
    terminal::confirm(&question, arguments.yes)?;
    let request = request(at_ms, &ran);
    let pools: Vec<String> = request.pools.iter().map(|one| one.pool.clone()).collect();
    let answer = client.releases.clone().go_back(unary(request)).await;
    let answer = answer.map_err(|status| from_status(&status))?.into_inner();
    let wanted: wait::Wanted =
        answer.services.into_iter().map(|one| ((one.project, one.name), one.to)).collect();
    // Machines are replaced meanwhile.
    let services = if wanted.is_empty() {
        Ok(Exit::Done)
    } else {
        wait::report(client, &wanted, &arguments.waiting).await
    };
    // How long tasks may take says nothing of machines.
    let waiting = Waiting { detach: arguments.waiting.detach, timeout: None };
    for pool in pools {
        let exit = follow(client, &pool, &waiting).await?;
        if exit != Exit::Done {
            return Ok(exit);
        }
    }
    services
}

/// Leaves what is meant.
async fn choose(
    client: &Client,
    arguments: &Rollback,
    ran: &mut wire::ShowReleaseResponse,
) -> anyhow::Result<()> {
    if !arguments.services.is_empty() || arguments.only == Some(Half::Services) {
        ran.pools.clear();
    }
    if arguments.only == Some(Half::Machines) {
        if !arguments.services.is_empty() {
            let hint = "leave `--only machines` out, or the services";
            return Err(Failure::error(Exit::Usage, "services are no machines", hint));
        }
        ran.services.clear();
    }
    let mut named = Vec::new();
    for name in &arguments.services {
        let service = find::service(client, name).await?;
        named.push((service.project, service.name));
    }
    if !named.is_empty() {
        ran.services.retain(|one| named.contains(&(one.project.clone(), one.name.clone())));
    }
    Ok(())
}

/// Says what is left as it is because nobody knows what ran.
fn unknown(ran: &wire::ShowReleaseResponse) {
    let services = ran.services.iter().filter(|one| one.then.is_none());
    for one in services {
        let what = state(one.knowledge(), false);
        println!("{}/{} stays as it is: {what}", clean(&one.project), clean(&one.name));
    }
    for one in ran.pools.iter().filter(|one| one.then.is_none()) {
        println!("pool {} stays as it is: {}", clean(&one.pool), state(one.knowledge(), false));
    }
}

fn request(at_ms: u64, ran: &wire::ShowReleaseResponse) -> wire::GoBackRequest {
    let number =
        |of: &Option<wire::RanGeneration>| of.as_ref().map_or(0, |generation| generation.number);
    let services = ran.services.iter().filter(|one| one.differs).map(|one| wire::GoBackService {
        project: one.project.clone(),
        name: one.name.clone(),
        from: number(&one.now),
        to: number(&one.then),
    });
    let pools = ran.pools.iter().filter(|one| one.differs).map(|one| wire::GoBackPool {
        pool: one.pool.clone(),
        from: one.now.clone(),
        to: one.then.clone(),
    });
    wire::GoBackRequest { at_ms, services: services.collect(), pools: pools.collect() }
}

/// Goes back to an earlier generation of one service.
pub(crate) async fn rollback(
    client: &Client,
    global: &Global,
    arguments: &Rollback,
) -> anyhow::Result<Exit> {
    if let Some(at) = arguments.at {
        return go_back(client, global, arguments, at).await;
    }
    let [service] = arguments.services.as_slice() else {
        let hint = "go back with one after the other, or with all to a time: `--at`";
        return Err(Failure::error(Exit::Usage, "one service goes back to a generation", hint));
    };
    change::rollback(client, service, arguments).await
}
