//! `wharf explain`: why something is as it is, and what would help.

use proto::wire;
use serde_json::{Value, json};

use super::show;
use crate::args::Global;
use crate::client::{Client, unary};
use crate::exit::{Exit, from_status};
use crate::find::{self, Found};
use crate::output::{self, Format, Listing, Row, clean};

/// So many nodes are shown to people who did not ask for all.
const NODES: usize = 20;

pub(crate) async fn explain(client: &Client, global: &Global, name: &str) -> anyhow::Result<Exit> {
    use wire::explain_request::About;
    let about = match find::any(client, name).await {
        Ok(Found::Service(service)) => About::Service(service),
        Ok(Found::Task(task)) => About::Task(task),
        // Only then it can be a node: services and tasks are asked about more often.
        Err(missing) => About::Node(find::node(client, name).await?.ok_or(missing)?),
    };
    let request = unary(wire::ExplainRequest { about: Some(about) });
    let answer = client.control.clone().explain(request).await;
    let answer = answer.map_err(|status| from_status(&status))?.into_inner();
    match global.format() {
        Format::Table => show(&answer, NODES)?,
        Format::Wide => show(&answer, usize::MAX)?,
        Format::Json | Format::Jsonl | Format::Yaml | Format::Name => {
            return show::one(global, &document(&answer));
        }
    }
    Ok(Exit::Done)
}

fn document(answer: &wire::ExplainResponse) -> Value {
    json!({
        "summary": answer.summary,
        "details": answer.details,
        "waiting": answer.waiting.iter().map(waiting_document).collect::<Vec<_>>(),
        "nodes": answer.nodes.iter().map(node_document).collect::<Vec<_>>(),
        "hint": answer.hint,
    })
}

fn waiting_document(waiting: &wire::Waiting) -> Value {
    let refusal = |one: &wire::Refusal| json!({ "reason": one.reason, "nodes": one.nodes });
    let growth = |one: &wire::Growth| json!({ "kind": one.kind, "like": one.like, "fits": one.fits, "reasons": one.reasons });
    let nearest = waiting.nearest.as_ref().map(|nearest| {
        let shortage = nearest.shortage.unwrap_or_default();
        json!({
            "node": nearest.node,
            "reasons": nearest.reasons,
            "short_cpu_millis": shortage.cpu_millis,
            "short_memory_bytes": shortage.memory_bytes,
            "short_gpus": shortage.gpus,
            "short_disk_bytes": shortage.disk_bytes,
            "short_pids": shortage.pids,
        })
    });
    json!({
        "generation": waiting.generation,
        "tasks": waiting.tasks,
        "count": waiting.count,
        "nodes": waiting.nodes,
        "takers": waiting.takers,
        "refusals": waiting.refusals.iter().map(refusal).collect::<Vec<_>>(),
        "nearest": nearest,
        "remedies": waiting.remedies,
        "growth": waiting.growth.iter().map(growth).collect::<Vec<_>>(),
    })
}

fn node_document(verdict: &wire::NodeVerdict) -> Value {
    let score = verdict.score.unwrap_or_default();
    let packing = score.packing.map(|packing| {
        let (stranded, left) = (packing.stranded_millionths, packing.left_millionths);
        json!({ "stranded_millionths": stranded, "left_millionths": left })
    });
    json!({
        "node": verdict.node,
        "fits": verdict.fits,
        "placed": verdict.placed,
        "reasons": verdict.reasons,
        "score": {
            "has_failed": score.has_failed,
            "is_fenced": score.is_fenced,
            "is_without_data": score.is_without_data,
            "preference": score.preference,
            "in_zone": score.in_zone,
            "packing": packing,
            "on_node": score.on_node,
            "is_old": score.age() == wire::MachineAge::Old,
            "fetch_bytes": score.fetch_bytes,
            "memory_bytes": score.memory_bytes,
            "cpu_millis": score.cpu_millis,
        },
    })
}

fn show(answer: &wire::ExplainResponse, most: usize) -> anyhow::Result<()> {
    println!("{}", clean(&answer.summary));
    answer.details.iter().for_each(|line| println!("  {}", clean(line)));
    answer.waiting.iter().flat_map(lines).for_each(|line| println!("{}", clean(&line)));
    if !answer.nodes.is_empty() {
        println!();
        let rows = answer.nodes.iter().take(most).map(row).collect();
        let listing = Listing { head: vec!["NODE", "", "WHY"], wide: 3, rows };
        output::print(listing, Format::Table, &[])?;
        if let Some(more) = answer.nodes.len().checked_sub(most).filter(|more| *more > 0) {
            println!("and {more} nodes more: `-o wide` shows them");
        }
    }
    if !answer.hint.is_empty() {
        println!("\nhint: {}", clean(&answer.hint));
    }
    Ok(())
}

/// What is said of tasks that wait, a line each.
fn lines(waiting: &wire::Waiting) -> Vec<String> {
    let (count, generation) = (waiting.count, waiting.generation);
    let who = if count == 1 { "1 task waits".to_owned() } else { format!("{count} tasks wait") };
    let nodes = waiting.nodes;
    let mut lines = vec![
        String::new(),
        format!(
            "{who} for a node with generation {generation}; of {nodes} asked {} would take it",
            waiting.takers
        ),
    ];
    let refusal = |one: &wire::Refusal| format!("  {:>6} {}", one.nodes, one.reason);
    lines.extend(waiting.refusals.iter().map(refusal));
    if let Some(nearest) = &waiting.nearest {
        lines.push(format!("nearest: {}, {}", nearest.node, nearest.reasons.join(", ")));
    }
    lines.extend(waiting.remedies.iter().map(|remedy| format!("would help: {remedy}")));
    lines.extend(waiting.growth.iter().map(|growth| {
        let (kind, like) = (&growth.kind, &growth.like);
        match growth.reasons.join(", ") {
            why if growth.fits || why.is_empty() => {
                format!("one more node ({kind}, like {like}) would take it")
            }
            why => format!("one more node ({kind}, like {like}) would not: {why}"),
        }
    }));
    lines
}

fn row(verdict: &wire::NodeVerdict) -> Row {
    let verdict_word = match (verdict.placed, verdict.fits) {
        (true, _) => "placed",
        (false, true) => "fits",
        (false, false) => "refuses",
    };
    Row {
        id: verdict.node.clone(),
        cells: vec![verdict.node.clone(), verdict_word.to_owned(), verdict.reasons.join(", ")],
        json: Value::Null,
    }
}
