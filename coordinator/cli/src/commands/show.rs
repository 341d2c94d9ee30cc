//! Commands that only look.

use proto::wire;
use serde_json::{Value, json};

use crate::args::{Global, Node, Ps, Service, Task, Top};
use crate::client::{Client, unary};
use crate::exit::{Exit, from_status};
use crate::find;
use crate::json;
use crate::output::{self, Listing, Row, age, bytes};

fn list(
    global: &Global,
    head: Vec<&'static str>,
    wide: usize,
    rows: Vec<Row>,
) -> anyhow::Result<Exit> {
    output::print(Listing { head, wide, rows }, global.format(), &global.filters)?;
    Ok(Exit::Done)
}

pub(super) fn one(global: &Global, value: &Value) -> anyhow::Result<Exit> {
    output::print_one(value, global.format())?;
    Ok(Exit::Done)
}

pub(crate) async fn tasks(
    client: &Client,
    global: &Global,
    arguments: &Ps,
) -> anyhow::Result<Exit> {
    let mut tasks = client.tasks(arguments.all).await?;
    if let Some(name) = &arguments.name {
        let is_meant = |task: &wire::Task| {
            task.project == *name
                || task.service == *name
                || format!("{}/{}", task.project, task.service) == *name
        };
        tasks.retain(|view| view.task.as_ref().is_some_and(is_meant));
        if tasks.is_empty() {
            // A name that means nothing is an error; a service without tasks is not.
            find::service(client, name).await?;
        }
    }
    let head =
        vec!["TASK", "NODE", "STATE", "HEALTH", "PORTS", "AGE", "NOTE", "GENERATION", "IMAGE"];
    list(global, head, 7, tasks.iter().map(task_row).collect())
}

fn task_row(view: &wire::TaskView) -> Row {
    let task = view.task.clone().unwrap_or_default();
    let json = json::task(view);
    let ports = task.containers.iter().flat_map(|one| &one.ports);
    let ports: Vec<String> =
        ports.map(|port| format!("{}→{}", port.host, port.container)).collect();
    let stale =
        view.stale_seconds.map(|seconds| format!(" (stale {seconds} s)")).unwrap_or_default();
    let state = json::task_state(task.state.as_ref());
    let text = |key: &str| json.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let desired = if task.desired() == wire::Desired::Stop && state == "running" {
        " (stopping)"
    } else {
        ""
    };
    Row {
        id: task.id.clone(),
        cells: vec![
            task.id.clone(),
            task.node.clone().unwrap_or_default(),
            format!("{state}{desired}{stale}"),
            json::task_health(&task).to_owned(),
            ports.join(" "),
            age(task.created_at_ms),
            json::reason(&task),
            task.generation.as_ref().map(|one| one.number.to_string()).unwrap_or_default(),
            text("image"),
        ],
        json,
    }
}

pub(crate) async fn service(
    client: &Client,
    global: &Global,
    command: Service,
) -> anyhow::Result<Exit> {
    match command {
        Service::Ls => {
            let services = client.services("").await?;
            let head = vec!["SERVICE", "PHASE", "SERVING", "GENERATION", "NOTE"];
            list(global, head, 5, services.iter().map(service_row).collect())
        }
        Service::Inspect { service } => {
            one(global, &json::service(&view_of(client, &service).await?))
        }
        Service::History { service } => {
            let view = view_of(client, &service).await?;
            let head = vec!["GENERATION", "ORIGIN", "AGE", "VERDICT", "IMAGE"];
            list(global, head, 5, history_rows(&view.service.unwrap_or_default()))
        }
    }
}

pub(super) async fn view_of(client: &Client, name: &str) -> anyhow::Result<wire::ServiceView> {
    let meant = find::service(client, name).await?;
    let is_meant = |view: &wire::ServiceView| {
        let spec = view
            .service
            .as_ref()
            .and_then(|one| one.target.as_ref())
            .and_then(|one| one.spec.as_ref());
        spec.is_some_and(|spec| spec.project == meant.project && spec.name == meant.name)
    };
    let views = client.services(&meant.project).await?;
    Ok(views.into_iter().find(is_meant).unwrap_or_default())
}

fn service_row(view: &wire::ServiceView) -> Row {
    let json = json::service(view);
    let service = view.service.clone().unwrap_or_default();
    let id = json.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    let number = service.target.as_ref().map(|target| target.number.to_string());
    Row {
        cells: vec![
            id.clone(),
            json::phase(&service).to_owned(),
            progress(view),
            number.unwrap_or_default(),
            view.notes.first().cloned().unwrap_or_default(),
        ],
        id,
        json,
    }
}

/// How many serve of those that should, or of a job how many have completed.
fn progress(view: &wire::ServiceView) -> String {
    match view.job {
        Some(job) => format!("job {}/{}", job.completed, job.wanted),
        None => format!("{}/{}", view.serving, view.desired),
    }
}

fn history_rows(service: &wire::Service) -> Vec<Row> {
    let past = service.history.iter().filter_map(|past| {
        let verdict = match past.verdict() {
            wire::Verdict::Stable => "stable",
            wire::Verdict::Failed => "failed",
            wire::Verdict::Superseded => "superseded",
            wire::Verdict::Aborted => "aborted",
            wire::Verdict::Unspecified => "unknown",
        };
        Some((past.generation.clone()?, verdict))
    });
    let target = service.target.clone().map(|target| (target, json::phase(service)));
    let row = |(generation, verdict): (wire::Generation, &str)| {
        let mut json = json::generation(&generation);
        json["verdict"] = Value::String(verdict.to_owned());
        let task = generation.spec.as_ref().and_then(|spec| spec.task.as_ref());
        let first = task.and_then(|task| task.containers.first());
        Row {
            id: generation.number.to_string(),
            cells: vec![
                generation.number.to_string(),
                json::origin(&generation),
                age(generation.accepted_at_ms),
                verdict.to_owned(),
                first.map(|first| json::image(first.image.as_ref())).unwrap_or_default(),
            ],
            json,
        }
    };
    past.chain(target).map(row).collect()
}

pub(crate) async fn task(client: &Client, global: &Global, command: Task) -> anyhow::Result<Exit> {
    let Task::Inspect { task } = command;
    let tasks = client.tasks(true).await?;
    let ids: Vec<String> =
        tasks.iter().filter_map(|view| Some(view.task.as_ref()?.id.clone())).collect();
    let id = find::pick(&ids, &task, "task")?;
    let found = tasks.iter().find(|view| view.task.as_ref().is_some_and(|task| task.id == id));
    one(global, &found.map(json::task).unwrap_or_default())
}

pub(crate) async fn node(client: &Client, global: &Global, command: Node) -> anyhow::Result<Exit> {
    let nodes = client.nodes().await?;
    let ids: Vec<String> =
        nodes.iter().filter_map(|view| Some(view.node.as_ref()?.id.clone())).collect();
    match command {
        Node::Ls => {
            let head = vec![
                "NODE", "STATE", "TASKS", "CPU", "MEMORY", "ZONE", "ENGINE", "HOST", "ADDRESS",
                "GPUS", "NOTE",
            ];
            list(global, head, 7, nodes.iter().map(node_row).collect())
        }
        Node::Inspect { node } => {
            let id = find::pick(&ids, &node, "node")?;
            let found =
                nodes.iter().find(|view| view.node.as_ref().is_some_and(|node| node.id == id));
            one(global, &found.map(json::node).unwrap_or_default())
        }
        Node::Forget { node, yes } => {
            let id = find::pick(&ids, &node, "node")?;
            let question = format!("is {id} gone for good? Its tasks are replaced at once");
            crate::terminal::confirm(&question, yes)?;
            super::change::set_availability(client, &id, wire::Availability::Dead).await
        }
        // By its whole name: one that never came up, and is not in the list, can be revoked too.
        Node::Revoke { node, yes } => super::trust::revoke(client, node, yes).await,
    }
}

fn node_row(view: &wire::NodeView) -> Row {
    let node = view.node.clone().unwrap_or_default();
    let (held, all) = (view.reserved.unwrap_or_default(), node.capacity.unwrap_or_default());
    let is_closed = json::availability(&node) == "cordoned" && view.drain.is_none();
    let closed = if is_closed { " (cordoned)" } else { "" };
    let cores = |millis: u64| format!("{:.1}", millis as f64 / 1_000.0);
    Row {
        id: node.id.clone(),
        cells: vec![
            node.id.clone(),
            format!("{}{closed}", json::node_state(view.state())),
            view.tasks.to_string(),
            format!("{}/{}", cores(held.cpu_millis), cores(all.cpu_millis)),
            format!("{}/{}", bytes(held.memory_bytes), bytes(all.memory_bytes)),
            node.zone.clone(),
            view.engine_version.clone(),
            node.hostname.clone(),
            view.address.clone(),
            format!("{}/{}", held.gpus, all.gpus),
            view.note.clone(),
        ],
        json: json::node(view),
    }
}

pub(crate) async fn top(client: &Client, global: &Global, arguments: &Top) -> anyhow::Result<Exit> {
    let nodes = client.nodes().await?;
    if arguments.tasks {
        let rows = nodes
            .iter()
            .flat_map(|view| view.containers.iter().map(|one| container_row(view, one)));
        let head = vec!["TASK", "CONTAINER", "NODE", "CPU", "MEMORY", "LIMIT", "PIDS"];
        return list(global, head, 7, rows.collect());
    }
    let row = |view: &wire::NodeView| {
        let usage = view.usage.unwrap_or_default();
        // How busy they are is not measured: these are the ones that tasks hold.
        let held = view.reserved.unwrap_or_default();
        let all = view.node.as_ref().and_then(|node| node.capacity).unwrap_or_default();
        let id = view.node.as_ref().map(|node| node.id.clone()).unwrap_or_default();
        let mut json = json::usage(&usage);
        json["id"] = Value::String(id.clone());
        json["gpus"] = Value::from(held.gpus);
        json["gpu_capacity"] = Value::from(all.gpus);
        let of = |used: u64, all: u64| format!("{} / {}", bytes(used), bytes(all));
        Row {
            cells: vec![
                id.clone(),
                format!("{}m / {}m", usage.cpu_millis, usage.cpu_capacity_millis),
                of(usage.memory_bytes, usage.memory_capacity_bytes),
                of(usage.disk_bytes, usage.disk_capacity_bytes),
                format!("{:.2}", f64::from(usage.load_1m_hundredths) / 100.0),
                format!(
                    "{}/s in, {}/s out",
                    bytes(usage.network_received_bytes_per_second),
                    bytes(usage.network_sent_bytes_per_second)
                ),
                format!("{} / {}", held.gpus, all.gpus),
            ],
            id,
            json,
        }
    };
    list(
        global,
        vec!["NODE", "CPU", "MEMORY", "DISK", "LOAD", "NETWORK", "GPUS"],
        6,
        nodes.iter().map(row).collect(),
    )
}

fn container_row(view: &wire::NodeView, one: &wire::ContainerUsage) -> Row {
    let node = view.node.as_ref().map(|node| node.id.clone()).unwrap_or_default();
    let limit =
        if one.memory_limit_bytes == 0 { "none".to_owned() } else { bytes(one.memory_limit_bytes) };
    Row {
        id: one.task.clone(),
        cells: vec![
            one.task.clone(),
            one.container.clone(),
            node.clone(),
            format!("{}m", one.cpu_millis),
            bytes(one.memory_bytes),
            limit,
            one.pids.to_string(),
        ],
        json: json!({
            "task": one.task, "container": one.container, "node": node, "cpu_millis": one.cpu_millis,
            "memory_bytes": one.memory_bytes, "memory_limit_bytes": one.memory_limit_bytes, "pids": one.pids,
        }),
    }
}

async fn get_status(client: &Client) -> anyhow::Result<wire::GetStatusResponse> {
    let answer = client.control.clone().get_status(unary(wire::GetStatusRequest {})).await;
    Ok(answer.map_err(|status| from_status(&status))?.into_inner())
}

pub(crate) async fn status(client: &Client, global: &Global) -> anyhow::Result<Exit> {
    let status = get_status(client).await?;
    let value = json!({
        "cluster": status.cluster,
        "version": status.version,
        "store": status.store,
        "started_at": output::instant(status.started_at_ms),
        "epoch": status.epoch,
        "revision": status.revision,
        "nodes": status.nodes_by_state,
        "services": status.services_by_phase,
        "tasks": status.tasks_by_state,
        "alarms": status.alarms,
    });
    one(global, &value)?;
    Ok(if status.alarms.is_empty() { Exit::Done } else { Exit::Error })
}

pub(crate) async fn version(global: &Global) -> anyhow::Result<Exit> {
    let client = match Client::new(global) {
        Ok(client) => get_status(&client).await.ok(),
        Err(_) => None,
    };
    let coordinator = client.map(|status| status.version);
    one(global, &json!({ "wharf": env!("CARGO_PKG_VERSION"), "coordinator": coordinator }))
}
