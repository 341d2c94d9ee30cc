//! Commands about the machine images that run.

use std::time::{Duration, Instant};

use model::refresh::{AtDeadline, RefreshPolicy, Stage};
use proto::convert::refresh_policy_to_wire;
use proto::wire;
use proto::wire::refresh::Phase;
use proto::wire::refresh_end::Kind;
use proto::wire::start_refresh_request::Target;
use serde_json::{Value, json};

use crate::args::Global;
use crate::args::refresh::{Begin, Refresh, Start, Waiting};
use crate::client::{Client, unary};
use crate::exit::{Exit, Failure, from_status};
use crate::output::{self, Format, Listing, Row, clean, lasting};
use crate::terminal;

/// How often a refresh is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How the notes of refreshes begin that wait for a time.
const WAITS: [&str; 2] = ["waits for the window", "waits for the end of the freeze"];

pub(crate) async fn refresh(
    client: &Client,
    global: &Global,
    command: Refresh,
) -> anyhow::Result<Exit> {
    match command {
        Refresh::Plan(start) => plans(client, global, &start).await,
        Refresh::Start(begin) => begins(client, begin).await,
        Refresh::Status { pool, waiting } => status(client, global, &pool.pool, &waiting).await,
        Refresh::Pause(named) => steer(client, named.pool, wire::Steering::Pause).await,
        Refresh::Resume(named) => steer(client, named.pool, wire::Steering::Resume).await,
        Refresh::Promote(named) => steer(client, named.pool, wire::Steering::Promote).await,
        Refresh::Abort(named) => steer(client, named.pool, wire::Steering::Abort).await,
        Refresh::Override { pool, why: reason } => {
            let request = unary(wire::OverrideRefreshRequest { pool: pool.pool, reason });
            let asked = client.refreshes.clone().override_refresh(request).await;
            asked.map_err(|status| from_status(&status))?;
            Ok(Exit::Done)
        }
        Refresh::Freeze { why, lasting, until } => freeze(client, why, lasting, until).await,
        Refresh::Unfreeze => {
            let request = unary(wire::UnfreezeRefreshesRequest {});
            let asked = client.refreshes.clone().unfreeze_refreshes(request).await;
            asked.map_err(|status| from_status(&status))?;
            Ok(Exit::Done)
        }
        Refresh::Rollback { pool, waiting } => {
            let request = unary(wire::RollBackRefreshRequest { pool: pool.pool.clone() });
            let asked = client.refreshes.clone().roll_back_refresh(request).await;
            asked.map_err(|status| from_status(&status))?;
            follow(client, &pool.pool, &waiting).await
        }
        Refresh::Ls => {
            let listed = listed(client, String::new()).await?;
            if let Some(freeze) = &listed.freeze {
                eprintln!("{}", frozen(freeze));
            }
            let all = listed.refreshes;
            let head = vec!["REFRESH", "STATE", "NEW", "OLD", "SIZE", "SINCE", "TO", "NOTE"];
            let rows = all.iter().map(row).collect();
            output::print(Listing { head, wide: 8, rows }, global.format(), &global.filters)?;
            Ok(Exit::Done)
        }
    }
}

async fn freeze(
    client: &Client,
    why: String,
    lasting: Option<Duration>,
    until: Option<jiff::Timestamp>,
) -> anyhow::Result<Exit> {
    let now = jiff::Timestamp::now();
    let until = match lasting {
        Some(lasting) => Some(now.checked_add(lasting)?),
        None => until,
    };
    let until_ms = until.map(|until| u64::try_from(until.as_millisecond())).transpose();
    let until_ms = until_ms.map_err(|_| {
        Failure::error(Exit::Usage, "--until is before 1970", "it is a time to come")
    })?;
    let request = unary(wire::FreezeRefreshesRequest { why, until_ms });
    let asked = client.refreshes.clone().freeze_refreshes(request).await;
    asked.map_err(|status| from_status(&status))?;
    Ok(Exit::Done)
}

/// That no machine is replaced, and why.
pub(super) fn frozen(freeze: &wire::Freeze) -> String {
    let until = freeze.until_ms.map(output::instant);
    let until = until.as_ref().and_then(Value::as_str).map(|until| format!(" until {until}"));
    let since = output::age(freeze.since_ms);
    format!("frozen since {since}{}: {}", until.unwrap_or_default(), clean(&freeze.why))
}

/// What is asked for one of the pools that were named.
fn request(start: &Start, pool: &str, expect: Option<u64>) -> wire::StartRefreshRequest {
    let usual = RefreshPolicy::default();
    let stages: Vec<Stage> = match (start.at_once, start.stage.is_empty()) {
        (true, _) => Vec::new(),
        (false, true) => usual.stages,
        (false, false) => start.stage.clone(),
    };
    let policy = RefreshPolicy {
        surge: start.surge.unwrap_or(usual.surge),
        stages,
        hold: start.hold.unwrap_or(usual.hold),
        drain_within: start.drain_within.unwrap_or(usual.drain_within),
        at_deadline: if start.force { AtDeadline::Force } else { AtDeadline::Skip },
        urgent: start.urgent.clone(),
        mode: start.mode.into(),
        takes_over: start.take_over,
    };
    let target = match &start.ami {
        Some(ami) => Target::Ami(ami.clone()),
        None => Target::Blueprint(wire::Blueprint {
            versions: start.template.iter().cloned().collect(),
        }),
    };
    wire::StartRefreshRequest {
        pool: pool.to_owned(),
        target: Some(target),
        policy: Some(refresh_policy_to_wire(&policy)),
        expect,
        after: start.after.clone(),
    }
}

/// The plan of each pool, as if those before it were through.
async fn plans(client: &Client, global: &Global, start: &Start) -> anyhow::Result<Exit> {
    of_several(start, None)?;
    let is_table = matches!(global.format(), Format::Table | Format::Wide);
    let (mut exit, mut all) = (Exit::Done, Vec::new());
    for pool in &start.pools {
        let asked = client.refreshes.clone().plan_refresh(unary(request(start, pool, None))).await;
        let plan = asked.map_err(|status| from_status(&status))?.into_inner();
        if !plan.machines.is_empty() {
            exit = Exit::Changes;
        }
        if is_table && start.pools.len() > 1 {
            println!("{}", clean(pool));
        }
        if is_table {
            print_plan(global, &plan)?;
        }
        all.push(plan_shown(pool, &plan));
    }
    match all.as_slice() {
        _ if is_table => {}
        [one] => output::print_one(one, global.format())?,
        _ => output::print_one(&Value::Array(all), global.format())?,
    }
    Ok(exit)
}

/// Several pools are launched from several templates, and a plan is of one.
fn of_several(start: &Start, expect: Option<u64>) -> anyhow::Result<()> {
    let wrong = |what: &str, hint: &str| Err(Failure::error(Exit::Usage, what, hint));
    match start.pools.as_slice() {
        [_] => Ok(()),
        _ if !start.template.is_empty() => wrong(
            "--template is of one pool, and several were named",
            "--ami makes a version of the template of each; or begin with each of them, with --after",
        ),
        _ if expect.is_some() => wrong(
            "--expect is of the plan of one pool, and several were named",
            "begin with each of them, with --after",
        ),
        _ => Ok(()),
    }
}

fn print_plan(global: &Global, plan: &wire::PlanRefreshResponse) -> anyhow::Result<()> {
    let head = vec!["MACHINE", "EMPTY AFTER", "NOTE"];
    let rows = plan.machines.iter().map(machine_row).collect();
    output::print(Listing { head, wide: 3, rows }, global.format(), &global.filters)?;
    println!();
    let head = vec!["TASK", "FROM", "TO"];
    let rows = plan.moves.iter().map(move_row).collect();
    output::print(Listing { head, wide: 3, rows }, global.format(), &global.filters)?;
    println!();
    println!(
        "takes       {}, if a machine needs {} until tasks can run there",
        lasting(plan.duration_ms),
        lasting(plan.boot_ms)
    );
    println!("machines    {} at most, {} otherwise", plan.peak, plan.size);
    println!("moves       {}, of which {} a second time", plan.moves.len(), plan.moved_again);
    for blocker in &plan.blockers {
        println!("note        {}", clean(blocker));
    }
    println!(
        "start it    with --expect {:016x}, and nothing is done if anything is otherwise by then",
        plan.fingerprint
    );
    Ok(())
}

fn machine_row(machine: &wire::RefreshMachine) -> Row {
    let after = machine.emptied_after_ms.map_or_else(|| "-".to_owned(), lasting);
    Row {
        id: machine.instance.clone(),
        cells: vec![clean(&machine.instance), after, clean(&machine.why)],
        json: Value::Null,
    }
}

fn move_row(one: &wire::RefreshMove) -> Row {
    let to = one.to.as_deref().map_or_else(|| "-".to_owned(), clean);
    Row {
        id: one.task.clone(),
        cells: vec![clean(&one.task), clean(&one.from), to],
        json: Value::Null,
    }
}

fn plan_shown(pool: &str, plan: &wire::PlanRefreshResponse) -> Value {
    json!({
        "pool": pool,
        "fingerprint": format!("{:016x}", plan.fingerprint),
        "machines": plan.machines.iter().map(|one| json!({
            "id": one.instance,
            "emptied_after_ms": one.emptied_after_ms,
            "note": one.why,
        })).collect::<Vec<_>>(),
        "moves": plan.moves.iter().map(|one| json!({
            "task": one.task,
            "from": one.from,
            "to": one.to,
        })).collect::<Vec<_>>(),
        "moved_again": plan.moved_again,
        "duration_ms": plan.duration_ms,
        "boot_ms": plan.boot_ms,
        "peak": plan.peak,
        "size": plan.size,
        "blockers": plan.blockers,
    })
}

async fn begins(client: &Client, begin: Begin) -> anyhow::Result<Exit> {
    let wrong = |_| {
        let hint = "`wharf refresh plan` prints it";
        Failure::error(Exit::Usage, "--expect is no number of a plan", hint)
    };
    let expect = begin.expect.as_deref().map(|text| u64::from_str_radix(text, 16));
    let expect = expect.transpose().map_err(wrong)?;
    of_several(&begin.start, expect)?;
    let pools = begin.start.pools.clone();
    let question = format!("replace the machines of {}?", pools.join(", then of "));
    terminal::confirm(&question, begin.yes)?;
    for (at, pool) in pools.iter().enumerate() {
        let mut request = request(&begin.start, pool, expect);
        request.after.extend(at.checked_sub(1).map(|before| pools[before].clone()));
        if let Err(status) = client.refreshes.clone().start_refresh(unary(request)).await {
            if at > 0 {
                eprintln!("under way already, and going on: {}", pools[..at].join(", "));
            }
            return Err(from_status(&status));
        }
    }
    let mut exit = Exit::Done;
    for pool in &pools {
        let ended = follow(client, pool, &begin.waiting).await?;
        exit = if exit == Exit::Done { ended } else { exit };
    }
    Ok(exit)
}

async fn steer(client: &Client, pool: String, steering: wire::Steering) -> anyhow::Result<Exit> {
    let request = unary(wire::SteerRefreshRequest { pool, steering: steering.into() });
    let asked = client.refreshes.clone().steer_refresh(request).await;
    asked.map_err(|status| from_status(&status))?;
    Ok(Exit::Done)
}

async fn listed(client: &Client, pool: String) -> anyhow::Result<wire::ListRefreshesResponse> {
    let request = unary(wire::ListRefreshesRequest { pool });
    let listed = client.refreshes.clone().list_refreshes(request).await;
    Ok(listed.map_err(|status| from_status(&status))?.into_inner())
}

/// The one that is under way, or the last.
async fn last(client: &Client, pool: &str) -> anyhow::Result<wire::RefreshView> {
    let found = listed(client, pool.to_owned()).await?.refreshes.pop();
    found.ok_or_else(|| {
        let hint = "`wharf refresh start` begins one";
        Failure::error(Exit::Error, format!("{pool} was never refreshed"), hint)
    })
}

async fn status(
    client: &Client,
    global: &Global,
    pool: &str,
    waiting: &Waiting,
) -> anyhow::Result<Exit> {
    let is_table = matches!(global.format(), Format::Table | Format::Wide);
    if !is_table || waiting.detach {
        let view = last(client, pool).await?;
        if is_table {
            println!("{}", line(&view));
        } else {
            output::print_one(&shown(&view), global.format())?;
        }
        return Ok(ended(&view).unwrap_or(Exit::Done));
    }
    follow(client, pool, waiting).await
}

/// Prints how far it is whenever that changes, until it is over.
pub(super) async fn follow(client: &Client, pool: &str, waiting: &Waiting) -> anyhow::Result<Exit> {
    if waiting.detach {
        return Ok(Exit::Done);
    }
    let end = waiting.timeout.map(|timeout| Instant::now() + timeout);
    let mut told = String::new();
    loop {
        let view = last(client, pool).await?;
        let line = line(&view);
        if told != steady(&line) {
            told = steady(&line);
            println!("{line}");
        }
        if let Some(exit) = ended(&view) {
            return Ok(exit);
        }
        if end.is_some_and(|end| end <= Instant::now()) {
            let hint = format!("it goes on: `wharf refresh status {pool}` shows how");
            return Err(Failure::error(Exit::TimedOut, "the refresh is not over", hint));
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                println!("it goes on without you: `wharf refresh status {pool}` shows how");
                return Ok(Exit::Done);
            }
        }
    }
}

/// Time that runs down is no news.
fn steady(line: &str) -> String {
    let waits = WAITS.iter().any(|waits| line.contains(waits));
    if let Some((told, _rest)) = line.rsplit_once(", in ").filter(|_| waits) {
        return told.to_owned();
    }
    line.chars().filter(|letter| !letter.is_ascii_digit() || !line.contains(" s more")).collect()
}

fn ended(view: &wire::RefreshView) -> Option<Exit> {
    let Some(Phase::Done(done)) = &view.refresh.as_ref()?.phase else { return None };
    let is_refreshed = matches!(done.end.as_ref()?.kind, Some(Kind::Refreshed(_)));
    let is_whole = view.refresh.as_ref()?.skipped.is_empty();
    Some(match (is_refreshed, is_whole) {
        (true, true) => Exit::Done,
        (true, false) => Exit::NotPlaced,
        (false, _) => Exit::RolledBack,
    })
}

fn name(refresh: &wire::Refresh) -> String {
    format!("{}:{}", clean(&refresh.pool), refresh.number)
}

fn state(refresh: &wire::Refresh) -> &'static str {
    let end = |end: &Option<wire::RefreshEnd>| match end.as_ref().and_then(|end| end.kind.as_ref())
    {
        Some(Kind::Refreshed(_)) => "refreshed",
        Some(Kind::RolledBack(_)) => "rolled back",
        Some(Kind::Aborted(_)) => "aborted",
        None => "unknown",
    };
    match &refresh.phase {
        _ if refresh.paused_at_ms.is_some() => "paused",
        Some(Phase::Making(_)) => "begins",
        Some(Phase::Rolling(rolling)) if rolling.watched_since_ms.is_some() => "watches",
        Some(Phase::Rolling(_)) => "replaces",
        Some(Phase::RollingBack(_)) => "rolls back",
        Some(Phase::Restoring(_)) => "ends",
        Some(Phase::Done(done)) => end(&done.end),
        None => "unknown",
    }
}

/// Why it is as it is, or what it waits for.
fn note(view: &wire::RefreshView) -> String {
    let refresh = view.refresh.clone().unwrap_or_default();
    let why = |end: &Option<wire::RefreshEnd>| match end.as_ref().and_then(|end| end.kind.clone()) {
        Some(Kind::RolledBack(why) | Kind::Aborted(why)) => why,
        Some(Kind::Refreshed(_)) if !refresh.skipped.is_empty() => {
            let left = refresh.skipped.iter().map(|one| format!("{}: {}", one.instance, one.why));
            format!("left as they are: {}", left.collect::<Vec<_>>().join("; "))
        }
        Some(Kind::Refreshed(_)) | None => String::new(),
    };
    let progress = view.progress.clone().unwrap_or_default();
    match &refresh.phase {
        Some(Phase::Done(done)) => why(&done.end),
        Some(Phase::RollingBack(why)) => format!("{why}; {}", progress.note),
        Some(Phase::Rolling(_)) => {
            let urgent = refresh.policy.and_then(|policy| policy.urgent);
            let urgent = urgent.map(|why| format!("{}; is urgent: {why}", progress.note));
            urgent.unwrap_or(progress.note)
        }
        Some(Phase::Making(_) | Phase::Restoring(_)) | None => progress.note,
    }
}

fn line(view: &wire::RefreshView) -> String {
    let refresh = view.refresh.clone().unwrap_or_default();
    let note = clean(&note(view));
    let note = if note.is_empty() { note } else { format!(": {note}") };
    match &view.progress {
        Some(progress) => format!(
            "{} {}, {} of {} machines are new, {} are to be{note}",
            name(&refresh),
            state(&refresh),
            progress.new_ready,
            refresh.size,
            progress.quota
        ),
        None => format!("{} {}{note}", name(&refresh), state(&refresh)),
    }
}

fn row(view: &wire::RefreshView) -> Row {
    let refresh = view.refresh.clone().unwrap_or_default();
    let count = |of: fn(&wire::RefreshProgress) -> u64| {
        view.progress.as_ref().map_or_else(|| "-".to_owned(), |progress| of(progress).to_string())
    };
    let to = refresh.to.clone().unwrap_or_default().versions;
    let to = to.iter().map(|(id, version)| format!("{id}={version}"));
    Row {
        id: name(&refresh),
        cells: vec![
            name(&refresh),
            state(&refresh).to_owned(),
            count(|progress| progress.new_ready),
            count(|progress| progress.old),
            refresh.size.to_string(),
            output::age(refresh.since_ms),
            clean(&to.collect::<Vec<_>>().join(",")),
            clean(&note(view)),
        ],
        json: shown(view),
    }
}

fn shown(view: &wire::RefreshView) -> Value {
    let refresh = view.refresh.clone().unwrap_or_default();
    let versions = |of: &Option<wire::Blueprint>| of.clone().unwrap_or_default().versions;
    json!({
        "id": name(&refresh),
        "pool": refresh.pool,
        "number": refresh.number,
        "since": output::instant(refresh.since_ms),
        "state": state(&refresh).replace(' ', "_"),
        "from": versions(&refresh.from),
        "to": versions(&refresh.to),
        "size": refresh.size,
        "paused": refresh.paused_at_ms.is_some(),
        "after": refresh.after.iter().map(|one| format!("{}:{}", one.pool, one.number)).collect::<Vec<_>>(),
        "override": refresh.policy.as_ref().and_then(|policy| policy.urgent.clone()),
        "mode": match refresh.policy.as_ref().map(wire::RefreshPolicy::mode) {
            Some(wire::RefreshMode::InPlace) => "in-place",
            _ => "replace",
        },
        "other_roots": refresh.roots.iter().map(|one| one.instance.clone()).collect::<Vec<_>>(),
        "skipped": refresh.skipped.iter().map(|one| json!({
            "id": one.instance,
            "why": one.why,
            "tries": one.tries,
        })).collect::<Vec<_>>(),
        "failed_to_join": refresh.failed,
        "progress": view.progress.as_ref().map(|progress| json!({
            "new": progress.new,
            "new_ready": progress.new_ready,
            "old": progress.old,
            "leaving": progress.leaving,
            "quota": progress.quota,
            "left_as_they_are": progress.left,
        })),
        "note": note(view),
    })
}
