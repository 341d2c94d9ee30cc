//! `wharf pool plan`: which machines could be done without.

use proto::wire;
use serde_json::{Value, json};

use crate::args::Global;
use crate::client::{Client, unary};
use crate::exit::{Exit, from_status};
use crate::output::{self, Format, Listing, Row, clean};

pub(super) async fn plan(client: &Client, global: &Global, pool: String) -> anyhow::Result<Exit> {
    let request = unary(wire::PlanPoolRequest { name: pool.clone() });
    let answer = client.fleet.clone().plan_pool(request).await;
    let answer = answer.map_err(|status| from_status(&status))?.into_inner();
    let going = answer.machines.iter().filter(|machine| machine.stays.is_none()).count();
    let exit = if going == 0 { Exit::Done } else { Exit::Changes };
    if !matches!(global.format(), Format::Table | Format::Wide) {
        let freed = answer.freed.unwrap_or_default();
        let machines: Vec<Value> = answer.machines.iter().map(document).collect();
        output::print_one(
            &json!({ "pool": pool, "machines": machines, "freed": resources(&freed) }),
            global.format(),
        )?;
        return Ok(exit);
    }
    let rows = answer.machines.iter().map(row).collect();
    let head = vec!["MACHINE", "TASKS", "", "WHY"];
    output::print(Listing { head, wide: 4, rows }, global.format(), &global.filters)?;
    for machine in answer.machines.iter().filter(|machine| machine.stays.is_none()) {
        for moved in &machine.moves {
            println!("{} would move to {}", clean(&moved.task), clean(&moved.to));
        }
    }
    let freed = answer.freed.unwrap_or_default();
    println!(
        "{going} of {} machines could be done without: {}m CPU and {} of memory less",
        answer.machines.len(),
        freed.cpu_millis,
        output::bytes(freed.memory_bytes)
    );
    Ok(exit)
}

fn resources(of: &wire::Resources) -> Value {
    json!({ "cpu_millis": of.cpu_millis, "memory_bytes": of.memory_bytes, "gpus": of.gpus })
}

fn document(machine: &wire::MachinePlan) -> Value {
    json!({
        "id": machine.instance,
        "goes": machine.stays.is_none(),
        "stays": machine.stays,
        "tasks": machine.tasks,
        "moves": machine.moves.iter().map(|one| json!({ "task": one.task, "to": one.to })).collect::<Vec<_>>(),
        "capacity": machine.capacity.as_ref().map(resources),
    })
}

fn row(machine: &wire::MachinePlan) -> Row {
    let (verb, why) = match &machine.stays {
        Some(why) => ("stays", clean(why)),
        None => ("goes", "what runs there fits elsewhere".to_owned()),
    };
    Row {
        id: machine.instance.clone(),
        cells: vec![clean(&machine.instance), machine.tasks.to_string(), verb.to_owned(), why],
        json: document(machine),
    }
}
