//! One-off tasks: a command in a new task of a service's image, with its log, its exit code, and nothing left behind.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use proto::wire;

use crate::args::Run;
use crate::client::Client;
use crate::commands::exec::command;
use crate::commands::logs::write_to;
use crate::exit::{Exit, Failure, from_status};
use crate::{find, json};

/// How often the task is looked at.
const LOOK: Duration = Duration::from_millis(100);

pub(crate) async fn run(client: &Client, arguments: &Run) -> anyhow::Result<Exit> {
    let service = find::service(client, &arguments.service).await?;
    let spec = spec_of(client, &service).await?;
    let number = RandomState::new().hash_one(std::process::id()) >> 40;
    let name = format!("{}-run-{number:06x}", service.name);
    let request = wire::DeployRequest {
        services: vec![once(spec, &name, &arguments.command)],
        project: service.project.clone(),
        ..wire::DeployRequest::default()
    };
    client.deploy(request).await?;
    let ended = tokio::select! {
        ended = attend(client, &service.project, &name) => ended,
        _ = tokio::signal::ctrl_c() => Ok(Exit::Command(130)),
    };
    let remove = wire::RemoveRequest { project: service.project, services: vec![name] };
    client.remove(remove).await?;
    ended
}

async fn spec_of(client: &Client, service: &wire::ServiceRef) -> anyhow::Result<wire::ServiceSpec> {
    let views = client.services(&service.project).await?;
    let mut specs = views.into_iter().filter_map(|view| view.service?.target?.spec);
    let spec = specs.find(|spec| spec.name == service.name);
    spec.ok_or_else(|| Failure::error(Exit::Error, "the service is gone", ""))
}

/// The first container of the service, alone: no ports, no requests of load balancers, no other name in the network, no
/// dependencies, no schedule, one run.
fn once(mut spec: wire::ServiceSpec, name: &str, words: &[String]) -> wire::ServiceSpec {
    name.clone_into(&mut spec.name);
    spec.mode = Some(wire::service_spec::Mode::Once(wire::Once {}));
    spec.after.clear();
    (spec.budget, spec.schedule) = (None, None);
    if let Some(update) = &mut spec.update {
        update.trial = None;
    }
    if let Some(task) = &mut spec.task {
        task.containers.truncate(1);
        (task.max_per_node, task.lease) = (None, None);
        task.routes.clear();
        for container in &mut task.containers {
            container.ports.clear();
            container.health = Some(no_check());
            if let Some(process) = container.process.as_mut().filter(|_| !words.is_empty()) {
                process.command = Some(wire::Words { words: words.to_vec() });
            }
        }
        if let Some(wire::network::Kind::Project(project)) =
            task.network.as_mut().and_then(|one| one.kind.as_mut())
        {
            project.attachments.iter_mut().for_each(|one| one.aliases = vec![name.to_owned()]);
        }
    }
    spec
}

const fn no_check() -> wire::HealthCheck {
    wire::HealthCheck {
        probe: Some(wire::health_check::Probe::Disabled(wire::NoProbe {})),
        interval_ms: 30_000,
        timeout_ms: 30_000,
        retries: 3,
        start_period_ms: 0,
    }
}

/// Shows what the task writes until it ends.
async fn attend(client: &Client, project: &str, name: &str) -> anyhow::Result<Exit> {
    let mut logs = None;
    loop {
        let task = task_of(client, project, name).await?;
        let state = task.as_ref().map_or("pending", |task| json::task_state(task.state.as_ref()));
        let has_begun = task
            .as_ref()
            .is_some_and(|task| task.containers.iter().any(|one| !one.container_id.is_empty()));
        if let Some(task) = task.as_ref().filter(|_| has_begun && logs.is_none()) {
            logs = Some(tokio::spawn(show(client.clone(), task.id.clone())));
        }
        match (state, task) {
            ("completed" | "failed" | "lost", Some(task)) => {
                if let Some(logs) = logs {
                    logs.await??;
                }
                return ended(&task);
            }
            _ => tokio::time::sleep(LOOK).await,
        }
    }
}

async fn task_of(client: &Client, project: &str, name: &str) -> anyhow::Result<Option<wire::Task>> {
    let mut tasks = client.tasks(true).await?.into_iter().filter_map(|view| view.task);
    Ok(tasks.find(|task| task.project == project && task.service == name))
}

async fn show(client: Client, task: String) -> anyhow::Result<()> {
    // Followed by task, the log ends with its container.
    let request =
        wire::LogsRequest { task: task.clone(), follow: true, ..wire::LogsRequest::default() };
    let stream =
        client.control.clone().logs(request).await.map_err(|status| from_status(&status))?;
    let mut stream = stream.into_inner();
    while let Some(chunk) = stream.message().await.map_err(|status| from_status(&status))? {
        write_to(chunk.output(), &chunk.data)?;
    }
    Ok(())
}

fn ended(task: &wire::Task) -> anyhow::Result<Exit> {
    match task.containers.iter().find_map(|one| one.exit.as_ref()) {
        Some(exit) => Ok(command(exit.code)),
        None => {
            Err(Failure::error(Exit::Command(125), json::reason(task), "the command was not run"))
        }
    }
}
