//! Commands about pools.

mod plan;

use model::fleet::UNREACHABLE_USUALLY;
use proto::wire;
use serde_json::{Value, json};

use crate::args::Global;
use crate::args::pool::{Pool, Put, Scale};
use crate::client::{Client, unary};
use crate::exit::{Exit, Failure, from_status};
use crate::output::{self, Format, Listing, Row};
use crate::terminal;

pub(crate) async fn pool(client: &Client, global: &Global, command: Pool) -> anyhow::Result<Exit> {
    match command {
        Pool::Add(arguments) => put(client, arguments, wire::PoolPresence::New).await,
        Pool::Set(arguments) => put(client, arguments, wire::PoolPresence::Known).await,
        Pool::Ls => {
            let pools = list(client, String::new()).await?;
            let head = vec!["POOL", "READY", "MACHINES", "MIN", "MAX", "ZONES", "FROM", "NOTE"];
            let rows = pools.iter().map(row).collect();
            output::print(Listing { head, wide: 8, rows }, global.format(), &global.filters)?;
            Ok(Exit::Done)
        }
        Pool::Inspect { pool } => inspect(client, global, pool).await,
        Pool::Plan { pool } => plan::plan(client, global, pool).await,
        Pool::Rm { pool, yes } => {
            terminal::confirm(
                &format!(
                    "leave {pool} to itself? its machines end without being emptied from then on"
                ),
                yes,
            )?;
            let request = unary(wire::RemovePoolRequest { name: pool });
            let removed = client.fleet.clone().remove_pool(request).await;
            removed.map_err(|status| from_status(&status))?;
            Ok(Exit::Done)
        }
    }
}

async fn list(client: &Client, name: String) -> anyhow::Result<Vec<wire::PoolView>> {
    let listed = client.fleet.clone().list_pools(unary(wire::ListPoolsRequest { name })).await;
    Ok(listed.map_err(|status| from_status(&status))?.into_inner().pools)
}

async fn put(
    client: &Client,
    arguments: Put,
    presence: wire::PoolPresence,
) -> anyhow::Result<Exit> {
    let millis =
        |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let windows: Vec<String> = arguments.window.iter().flatten().map(ToString::to_string).collect();
    if !windows.is_empty() && windows.len() < arguments.window.len() {
        let hint = "say `none`, or each window";
        return Err(Failure::error(Exit::Usage, "there are windows, or there are none", hint));
    }
    let request = wire::PutPoolRequest {
        name: arguments.pool.clone(),
        drain_within_ms: arguments.drain_within.map(millis),
        join_within_ms: arguments.join_within.map(millis),
        grows: arguments.scale.map(|scale| matches!(scale, Scale::Out | Scale::Both)),
        shrinks: arguments.scale.map(|scale| matches!(scale, Scale::In | Scale::Both)),
        least: arguments.min,
        most: arguments.max,
        headroom: arguments.headroom,
        shrink_after_ms: arguments.scale_in_after.map(millis),
        profile: arguments.profile.map(|profile| wire::Profile::from(profile).into()),
        precaution: arguments.at_risk.map(|asked| wire::Precaution::from(asked).into()),
        unreachable: arguments.unreachable.map(|asked| wire::Unreachable::from(asked).into()),
        unreachable_after_ms: arguments.unreachable_after.map(millis),
        windows: (!arguments.window.is_empty()).then_some(wire::Windows { windows }),
        dry_run: arguments.plan,
        presence: presence.into(),
    };
    let answer = client.fleet.clone().put_pool(unary(request)).await;
    let wire::PutPoolResponse { changes, warnings } =
        answer.map_err(|status| from_status(&status))?.into_inner();
    for warning in warnings {
        eprintln!("warning: {}", output::clean(&warning));
    }
    let is_new = presence == wire::PoolPresence::New;
    if arguments.plan {
        changes.iter().for_each(|change| println!("would set {}", output::clean(change)));
        if is_new {
            println!("{} would be a pool", arguments.pool);
        }
        return Ok(if changes.is_empty() && !is_new { Exit::Done } else { Exit::Changes });
    }
    changes.iter().for_each(|change| println!("sets {}", output::clean(change)));
    println!(
        "{} is a pool: `wharf pool inspect {}` shows its machines",
        arguments.pool, arguments.pool
    );
    Ok(Exit::Done)
}

fn row(view: &wire::PoolView) -> Row {
    let pool = view.pool.clone().unwrap_or_default();
    let group = view.group.clone();
    let count = |of: fn(&wire::Group) -> u32| {
        group.as_ref().map(|group| of(group).to_string()).unwrap_or_default()
    };
    let zones = group.as_ref().map(|group| group.zones.join(",")).unwrap_or_default();
    let template = group.as_ref().and_then(|group| group.template.clone()).unwrap_or_default();
    Row {
        id: pool.name.clone(),
        cells: vec![
            output::clean(&pool.name),
            view.ready.to_string(),
            format!("{}/{}", view.instances.len(), count(|group| group.desired)),
            count(|group| group.min),
            count(|group| group.max),
            output::clean(&zones),
            output::clean(&template),
            output::clean(&view.notes.join("; ")),
        ],
        json: shown(view),
    }
}

fn shown(view: &wire::PoolView) -> Value {
    let pool = view.pool.clone().unwrap_or_default();
    let policy = pool.policy.unwrap_or_default();
    json!({
        "name": pool.name,
        "since": output::instant(pool.since_ms),
        "drain_within_ms": policy.drain_within_ms,
        "join_within_ms": policy.join_within_ms,
        "grows": policy.grows,
        "shrinks": policy.shrinks,
        "min": policy.least,
        "max": policy.most,
        "headroom": policy.headroom.filter(|headroom| headroom.count > 0).map(|headroom| {
            let each = headroom.each.unwrap_or_default();
            json!({
                "count": headroom.count,
                "cpu_millis": each.cpu_millis,
                "memory_bytes": each.memory_bytes,
            })
        }),
        "scale_in_after_ms": policy.shrink_after_ms,
        "profile": profile(&policy),
        "at_risk": precaution(&policy),
        "unreachable": unreachable(&policy),
        "unreachable_after_ms": unreachable_after_ms(&policy),
        "condemned": condemned(&pool),
        "asked": pool.asked.as_ref().map(|asked| json!({
            "at": output::instant(asked.at_ms),
            "from": asked.from,
            "to": asked.to,
            "why": asked.why,
        })),
        "ending": pool.ending,
        "windows": pool.windows,
        "ready": view.ready,
        "group": view.group.as_ref().map(|group| json!({
            "min": group.min,
            "max": group.max,
            "desired": group.desired,
            "zones": group.zones,
            "suspended": group.suspended,
            "template": group.template,
            "failure": group.failure,
            "foreign_refresh": group.foreign,
            "warm_pool": group.warm_pool,
            "hooks": group.hooks.iter().map(|hook| json!({
                "name": hook.name,
                "transition": transition(hook.transition()),
                "heartbeat_timeout_ms": hook.patience_ms,
            })).collect::<Vec<_>>(),
        })),
        "instances": view.instances.iter().map(|one| json!({
            "id": one.id,
            "lifecycle": one.lifecycle().as_str_name().trim_start_matches("LIFECYCLE_").to_lowercase(),
            "power": one.power().as_str_name().trim_start_matches("POWER_").to_lowercase(),
            "zone": one.zone,
            "instance_type": one.instance_type,
            "ami": one.ami,
            "template_version": one.template_version,
            "spot": one.spot,
            "protected": one.protected,
        })).collect::<Vec<_>>(),
        "hooks": view.hooks.iter().map(|hook| json!({
            "instance": hook.instance,
            "transition": transition(hook.transition()),
            "since": output::instant(hook.since_ms),
            "deadline": output::instant(hook.deadline_ms),
            "state": state(hook),
        })).collect::<Vec<_>>(),
        "notes": view.notes,
    })
}

fn profile(policy: &wire::PoolPolicy) -> &'static str {
    match policy.profile() {
        wire::Profile::Strict => "strict",
        wire::Profile::Default | wire::Profile::Unspecified => "default",
    }
}

fn precaution(policy: &wire::PoolPolicy) -> &'static str {
    match policy.precaution() {
        wire::Precaution::Close => "close",
        wire::Precaution::Ignore => "ignore",
        wire::Precaution::Drain | wire::Precaution::Unspecified => "drain",
    }
}

fn unreachable(policy: &wire::PoolPolicy) -> &'static str {
    match policy.unreachable() {
        wire::Unreachable::End => "end",
        wire::Unreachable::EndProtected => "end-protected",
        wire::Unreachable::Keep | wire::Unreachable::Unspecified => "keep",
    }
}

/// Machines that are ended for their silence, and since when.
fn condemned(pool: &wire::Pool) -> Vec<Value> {
    let one = |one: &wire::Condemned| json!({ "instance": one.instance, "at": output::instant(one.at_ms) });
    pool.condemned.iter().map(one).collect()
}

fn unreachable_after_ms(policy: &wire::PoolPolicy) -> u64 {
    let usual = u64::try_from(UNREACHABLE_USUALLY.as_millis()).unwrap_or(u64::MAX);
    policy.unreachable_after_ms.unwrap_or(usual)
}

const fn transition(transition: wire::Transition) -> &'static str {
    match transition {
        wire::Transition::Launching => "launching",
        wire::Transition::Terminating => "terminating",
        wire::Transition::Unspecified => "unknown",
    }
}

const fn state(hook: &wire::Hook) -> &'static str {
    match hook.phase {
        Some(wire::hook::Phase::Waiting(_)) => "waiting",
        Some(wire::hook::Phase::Answered(_)) => "answered",
        Some(wire::hook::Phase::Done(_)) => "done",
        None => "unknown",
    }
}

async fn inspect(client: &Client, global: &Global, pool: String) -> anyhow::Result<Exit> {
    let pools = list(client, pool).await?;
    let Some(view) = pools.first() else { anyhow::bail!("the coordinator shows no such pool") };
    if !matches!(global.format(), Format::Table | Format::Wide) {
        output::print_one(&shown(view), global.format())?;
        return Ok(Exit::Done);
    }
    let shown = shown(view);
    let policy = view.pool.as_ref().and_then(|pool| pool.policy).unwrap_or_default();
    println!("pool        {}", output::clean(shown["name"].as_str().unwrap_or_default()));
    if let Some(group) = &view.group {
        println!(
            "machines    {} of {} wanted, {} to {} allowed",
            view.instances.len(),
            group.desired,
            group.min,
            group.max
        );
        println!(
            "launched    from {}",
            output::clean(group.template.as_deref().unwrap_or("a launch configuration"))
        );
    }
    println!("ready       {}", view.ready);
    println!("drains      within {}", output::lasting(policy.drain_within_ms));
    println!("joins       within {}", output::lasting(policy.join_within_ms));
    println!("profile     {}", profile(&policy));
    println!("at risk     {}", precaution(&policy));
    let after = output::lasting(unreachable_after_ms(&policy));
    match unreachable(&policy) {
        "keep" => println!("unreachable keep"),
        end => println!("unreachable {end} after {after}"),
    }
    for window in view.pool.iter().flat_map(|pool| &pool.windows) {
        println!("replaced    only {}", output::clean(window));
    }
    scaled(view.pool.as_ref(), &policy);
    for note in &view.notes {
        println!("note        {}", output::clean(note));
    }
    println!();
    let head = vec!["MACHINE", "LIFECYCLE", "POWER", "ZONE", "TYPE", "AMI", "VERSION", "WAITS"];
    let rows = view.instances.iter().map(|one| machine(view, one)).collect();
    output::print(Listing { head, wide: 8, rows }, global.format(), &global.filters)?;
    Ok(Exit::Done)
}

/// How a pool is scaled, and what was last asked of its group.
fn scaled(pool: Option<&wire::Pool>, policy: &wire::PoolPolicy) {
    let how = match (policy.grows, policy.shrinks) {
        (false, false) => "by others",
        (true, false) => "out, when tasks find no room",
        (false, true) => "in, when nothing needs a machine",
        (true, true) => "out and in",
    };
    let most = policy.most.map_or_else(|| "what its group may".to_owned(), |most| most.to_string());
    println!("scaled      {how}, from {} machines to {most}", policy.least);
    if let Some(headroom) = policy.headroom.filter(|headroom| headroom.count > 0) {
        let each = headroom.each.unwrap_or_default();
        println!(
            "headroom    {} tasks of {}m CPU and {}",
            headroom.count,
            each.cpu_millis,
            output::bytes(each.memory_bytes)
        );
    }
    if policy.shrinks {
        println!("scaled in   after {}", output::lasting(policy.shrink_after_ms()));
    }
    if let Some(asked) = pool.and_then(|pool| pool.asked.as_ref()) {
        println!(
            "asked       for {} machines instead of {} {} ago: {}",
            asked.to,
            asked.from,
            output::age(asked.at_ms),
            output::clean(&asked.why)
        );
    }
}

fn machine(view: &wire::PoolView, one: &wire::Instance) -> Row {
    let word = |name: &str| name.rsplit_once('_').map_or(name, |(_, word)| word).to_lowercase();
    let lifecycle = one.lifecycle().as_str_name().trim_start_matches("LIFECYCLE_");
    let waits = view.hooks.iter().find(|hook| hook.instance == one.id);
    let waits = waits.map(|hook| {
        format!("{} for {}", transition(hook.transition()), output::age(hook.since_ms))
    });
    let kind = if one.spot { " spot" } else { "" };
    Row {
        id: one.id.clone(),
        cells: vec![
            one.id.clone(),
            lifecycle.to_lowercase().replace('_', " "),
            word(one.power().as_str_name()),
            output::clean(&one.zone),
            output::clean(&format!("{}{kind}", one.instance_type.clone().unwrap_or_default())),
            output::clean(&one.ami.clone().unwrap_or_default()),
            output::clean(&one.template_version.clone().unwrap_or_default()),
            waits.unwrap_or_default(),
        ],
        json: json!({ "id": one.id }),
    }
}
