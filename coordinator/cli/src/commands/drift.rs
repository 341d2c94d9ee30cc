//! `wharf ami status`: from which images machines are launched, and why some are old.

use proto::wire;
use serde_json::{Value, json};

use super::refresh::frozen;
use crate::args::Global;
use crate::client::{Client, unary};
use crate::exit::{Exit, from_status};
use crate::output::{self, Format, Listing, Row, clean, lasting};

pub(super) async fn status(
    client: &Client,
    global: &Global,
    pool: Option<String>,
) -> anyhow::Result<Exit> {
    let request = unary(wire::ListDriftRequest { pool: pool.unwrap_or_default() });
    let listed = client.refreshes.clone().list_drift(request).await;
    let listed = listed.map_err(|status| from_status(&status))?.into_inner();
    let is_table = matches!(global.format(), Format::Table | Format::Wide) && !global.quiet;
    if let Some(freeze) = listed.freeze.as_ref().filter(|_| is_table) {
        println!("{}", frozen(freeze));
    }
    let head = vec!["POOL", "IMAGE", "TEMPLATE", "MACHINES", "READY", "AGE", "STATE", "NAME"];
    let rows = if is_table {
        listed.pools.iter().flat_map(rows).collect()
    } else {
        listed.pools.iter().map(whole).collect()
    };
    output::print(Listing { head, wide: 7, rows }, global.format(), &global.filters)?;
    for pool in listed.pools.iter().filter(|_| is_table) {
        notes(pool);
    }
    Ok(Exit::Done)
}

/// What to know about a pool, and for how long it will be so.
fn notes(pool: &wire::PoolDrift) {
    for note in &pool.notes {
        println!("{}: {}", clean(&pool.pool), clean(note));
    }
    if let Some(left) = pool.left_ms {
        println!("{}: over in about {}, as things are", clean(&pool.pool), lasting(left));
    }
}

/// One line for each kind of machine that it has.
fn rows(pool: &wire::PoolDrift) -> Vec<Row> {
    let row = |one: &wire::MachineGeneration| Row {
        id: pool.pool.clone(),
        cells: vec![
            clean(&pool.pool),
            known(one.ami.as_deref()),
            template(one).map_or_else(|| "-".to_owned(), |template| clean(&template)),
            one.machines.to_string(),
            one.ready.to_string(),
            one.made_at_ms.map_or_else(|| "-".to_owned(), output::age),
            state(one).to_owned(),
            known(one.name.as_deref()),
        ],
        json: {
            let mut json = generation(one);
            json["pool"] = Value::from(pool.pool.as_str());
            json
        },
    };
    pool.generations.iter().map(row).collect()
}

fn known(text: Option<&str>) -> String {
    text.map_or_else(|| "-".to_owned(), clean)
}

fn template(one: &wire::MachineGeneration) -> Option<String> {
    Some(format!("{}={}", one.template.as_ref()?, one.version.as_ref()?))
}

const fn state(one: &wire::MachineGeneration) -> &'static str {
    if one.current { "current" } else { "old" }
}

fn generation(one: &wire::MachineGeneration) -> Value {
    json!({
        "image": one.ami,
        "name": one.name,
        "made_at": one.made_at_ms.map(output::instant),
        "template": one.template,
        "version": one.version,
        "machines": one.machines,
        "ready": one.ready,
        "state": state(one),
    })
}

fn whole(pool: &wire::PoolDrift) -> Row {
    Row {
        id: pool.pool.clone(),
        cells: Vec::new(),
        json: json!({
            "pool": pool.pool,
            "generations": pool.generations.iter().map(generation).collect::<Vec<_>>(),
            "notes": pool.notes,
            "left_ms": pool.left_ms,
        }),
    }
}
