//! Has tasks moved to where their services are spread better.

use proto::wire;
use serde_json::json;

use crate::args::{Global, Rebalance};
use crate::client::{Client, unary};
use crate::exit::{Exit, from_status};
use crate::output::{self, Listing, Row};

pub(crate) async fn rebalance(
    client: &Client,
    global: &Global,
    arguments: &Rebalance,
) -> anyhow::Result<Exit> {
    let request = wire::RebalanceRequest { dry_run: arguments.plan };
    let answer = client.control.clone().rebalance(unary(request)).await;
    let moves = answer.map_err(|status| from_status(&status))?.into_inner().moves;
    if !arguments.plan {
        println!(
            "tasks that would be better elsewhere move one after the other: `wharf events -f`"
        );
        return Ok(Exit::Done);
    }
    let row = |one: &wire::PlannedMove| Row {
        id: one.task.clone(),
        cells: vec![one.task.clone(), one.from.clone(), one.to.clone()],
        json: json!({ "task": one.task, "from": one.from, "to": one.to }),
    };
    let rows: Vec<Row> = moves.iter().map(row).collect();
    let is_any = !rows.is_empty();
    let listing = Listing { head: vec!["TASK", "FROM", "TO"], wide: 3, rows };
    output::print(listing, global.format(), &global.filters)?;
    Ok(if is_any { Exit::Changes } else { Exit::Done })
}
