//! Jobs: their runs, one now, and their schedules.

use std::time::{Duration, Instant};

use proto::wire;
use serde_json::Value;

use crate::args::{Global, Job, JobNamed, Waiting};
use crate::client::{Client, unary};
use crate::commands::wait::{self, Wanted};
use crate::exit::{Exit, Failure, from_status};
use crate::output::{self, Listing, Row, age, ahead};
use crate::{find, json};

/// How often the run is looked at.
const LOOK: Duration = Duration::from_millis(200);

pub(crate) async fn job(client: &Client, global: &Global, command: Job) -> anyhow::Result<Exit> {
    match command {
        Job::Ls => list(client, global).await,
        Job::History { service } => history(client, global, &service).await,
        Job::Run { service, waiting } => run(client, &service, &waiting).await,
        Job::Stop(named) => ask_all(client, &named, wire::JobOrder::Stop).await,
        Job::Suspend(named) => ask_all(client, &named, wire::JobOrder::Suspend).await,
        Job::Resume(named) => ask_all(client, &named, wire::JobOrder::Resume).await,
    }
}

async fn ask(
    client: &Client,
    service: &wire::ServiceRef,
    order: wire::JobOrder,
) -> anyhow::Result<u64> {
    let request = wire::JobRequest { service: Some(service.clone()), order: order.into() };
    let answer = client.control.clone().job(unary(request)).await;
    Ok(answer.map_err(|status| from_status(&status))?.into_inner().run)
}

async fn ask_all(client: &Client, named: &JobNamed, order: wire::JobOrder) -> anyhow::Result<Exit> {
    for name in &named.services {
        ask(client, &find::service(client, name).await?, order).await?;
    }
    Ok(Exit::Done)
}

async fn list(client: &Client, global: &Global) -> anyhow::Result<Exit> {
    let views = client.services("").await?;
    let rows = views.iter().filter(|view| view.job.is_some()).map(row).collect();
    let head = vec!["JOB", "STATE", "COMPLETED", "SCHEDULE", "NEXT", "LAST", "RUN", "NOTE"];
    output::print(Listing { head, wide: 7, rows }, global.format(), &global.filters)?;
    Ok(Exit::Done)
}

fn row(view: &wire::ServiceView) -> Row {
    let json = json::service(view);
    let service = view.service.clone().unwrap_or_default();
    let runs = service.runs.clone().unwrap_or_default();
    let job = view.job.unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let next = if runs.suspended { "suspended".to_owned() } else { String::new() };
    let last = runs.past.last();
    let state = match (runs.active.is_empty(), json::phase(&service)) {
        (_, "removing") => "removing",
        (false, _) => "running",
        (true, "halted") => "failed",
        (true, _) => "idle",
    };
    Row {
        id: text(&json["id"]),
        cells: vec![
            text(&json["id"]),
            state.to_owned(),
            format!("{}/{}", job.completed, job.wanted),
            text(&json["schedule"]["cron"]),
            job.next_at_ms.map_or(next, ahead),
            last.map(|run| format!("{} {} ago", json::verdict(run), age(run.ended_at_ms)))
                .unwrap_or_default(),
            runs.last.to_string(),
            view.notes.first().cloned().unwrap_or_default(),
        ],
        json,
    }
}

async fn history(client: &Client, global: &Global, name: &str) -> anyhow::Result<Exit> {
    let view = super::show::view_of(client, name).await?;
    if view.job.is_none() {
        let hint =
            "`wharf job ls` shows those that are, `wharf service history` what any service ran";
        return Err(Failure::error(Exit::Error, format!("{name} is not a job"), hint));
    }
    let runs = view.service.and_then(|service| service.runs).unwrap_or_default();
    let past = runs.past.iter().map(past_row);
    let active = runs.active.iter().map(|run| active_row(run, view.job.unwrap_or_default()));
    let rows = past.chain(active).collect();
    let head = vec!["RUN", "CAUSE", "AGE", "TOOK", "COMPLETED", "STATE", "NOTE"];
    output::print(Listing { head, wide: 7, rows }, global.format(), &global.filters)?;
    Ok(Exit::Done)
}

fn past_row(run: &wire::PastRun) -> Row {
    let seconds = run.ended_at_ms.saturating_sub(run.started_at_ms) / 1_000;
    Row {
        id: run.number.to_string(),
        cells: vec![
            run.number.to_string(),
            json::cause(run.cause.as_ref()),
            age(run.started_at_ms),
            format!("{seconds}s"),
            run.completed.to_string(),
            json::verdict(run).to_owned(),
            run.reason.clone(),
        ],
        json: json::past_run(run),
    }
}

fn active_row(run: &wire::Run, job: wire::JobView) -> Row {
    Row {
        id: run.number.to_string(),
        cells: vec![
            run.number.to_string(),
            json::cause(run.cause.as_ref()),
            age(run.started_at_ms),
            String::new(),
            format!("{}/{}", job.completed, job.wanted),
            "running".to_owned(),
            String::new(),
        ],
        json: json::active_run(run),
    }
}

/// Begins a run, and tells how it goes until it is over.
async fn run(client: &Client, name: &str, waiting: &Waiting) -> anyhow::Result<Exit> {
    let service = find::service(client, name).await?;
    let number = ask(client, &service, wire::JobOrder::Run).await?;
    println!("{}/{} run {number}", service.project, service.name);
    if waiting.detach {
        return Ok(Exit::Done);
    }
    let key = (service.project.clone(), service.name.clone());
    let telling = tokio::spawn(wait::tell(client.clone(), Wanted::from([(key, 0)])));
    let outcome = until_over(client, &service, number, waiting.timeout).await;
    telling.abort();
    outcome
}

async fn until_over(
    client: &Client,
    service: &wire::ServiceRef,
    number: u64,
    timeout: Duration,
) -> anyhow::Result<Exit> {
    let deadline = Instant::now() + timeout;
    let name = format!("{}/{}", service.project, service.name);
    loop {
        let view = super::show::view_of(client, &name).await?;
        let runs = view.service.and_then(|service| service.runs).unwrap_or_default();
        if let Some(run) = runs.past.iter().find(|run| run.number == number) {
            return over(run);
        }
        if !runs.active.iter().any(|run| run.number == number) {
            let message = format!("run {number} of {name} is not remembered any more");
            let hint = "`wharf events` may still say how it ended; `x-wharf.job.history` says how many are remembered";
            return Err(Failure::error(Exit::Error, message, hint));
        }
        if Instant::now() >= deadline {
            let is_placed = !view.notes.iter().any(|note| note.contains("waits: "));
            let (exit, hint) = if is_placed {
                (Exit::TimedOut, "it goes on: `wharf job history` shows how")
            } else {
                (Exit::NotPlaced, "`wharf explain` says what each node lacks")
            };
            let message = format!("run {number} of {name} is not over in time");
            return Err(Failure::error(exit, message, hint));
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                println!("it goes on without you: `wharf job history {name}` shows how");
                return Ok(Exit::Done);
            }
        }
    }
}

fn over(run: &wire::PastRun) -> anyhow::Result<Exit> {
    if run.verdict() == wire::RunVerdict::Succeeded {
        println!("done");
        return Ok(Exit::Done);
    }
    let reason = if run.reason.is_empty() { String::new() } else { format!(": {}", run.reason) };
    let message = format!("run {} {}{reason}", run.number, json::verdict(run));
    let hint = "`wharf ps -a` shows its tasks, and `wharf logs` what they wrote";
    Err(Failure::error(Exit::RolledBack, message, hint))
}
