//! Commands that change one thing about what runs already.

use proto::wire;

use crate::args::release::Rollback;
use crate::args::{Global, Named, Remove, Scale};
use crate::client::{Client, unary};
use crate::commands::deploy;
use crate::commands::wait::{self, Wanted};
use crate::exit::{Exit, from_status};
use crate::{find, terminal};

fn key(service: &wire::ServiceRef) -> (String, String) {
    (service.project.clone(), service.name.clone())
}

pub(crate) async fn scale(
    client: &Client,
    global: &Global,
    arguments: &Scale,
) -> anyhow::Result<Exit> {
    let (mut wanted, mut planned) = (Wanted::new(), Vec::new());
    for (name, replicas) in &arguments.services {
        let service = find::service(client, name).await?;
        let request = wire::ScaleRequest {
            service: Some(service.clone()),
            replicas: *replicas,
            dry_run: arguments.plan,
        };
        let answer = client.control.clone().scale(unary(request)).await;
        let answer = answer.map_err(|status| from_status(&status))?.into_inner();
        wanted.insert(key(&service), answer.generation);
        planned.extend(answer.planned);
    }
    if arguments.plan {
        return deploy::show_plan(global, &planned);
    }
    wait::report(client, &wanted, &arguments.waiting).await
}

pub(crate) async fn restart(client: &Client, arguments: &Named) -> anyhow::Result<Exit> {
    let mut wanted = Wanted::new();
    for name in &arguments.services {
        let service = find::service(client, name).await?;
        let request = wire::RestartRequest { service: Some(service.clone()) };
        let answer = client.control.clone().restart(unary(request)).await;
        let generation = answer.map_err(|status| from_status(&status))?.into_inner().generation;
        wanted.insert(key(&service), generation);
    }
    wait::report(client, &wanted, &arguments.waiting).await
}

pub(super) async fn rollback(
    client: &Client,
    service: &str,
    arguments: &Rollback,
) -> anyhow::Result<Exit> {
    let service = find::service(client, service).await?;
    let request = wire::RollbackRequest { service: Some(service.clone()), to: arguments.to };
    let answer = client.control.clone().rollback(unary(request)).await;
    let generation = answer.map_err(|status| from_status(&status))?.into_inner().generation;
    wait::report(client, &Wanted::from([(key(&service), generation)]), &arguments.waiting).await
}

pub(crate) async fn remove(client: &Client, arguments: &Remove) -> anyhow::Result<Exit> {
    let mut services = Vec::new();
    for name in &arguments.services {
        services.push(find::service(client, name).await?);
    }
    let named: Vec<String> =
        services.iter().map(|one| format!("{}/{}", one.project, one.name)).collect();
    let what = arguments
        .project
        .as_ref()
        .map_or_else(|| named.join(", "), |project| format!("everything of {project}"));
    terminal::confirm(&format!("remove {what}?"), arguments.yes)?;
    let whole = arguments
        .project
        .iter()
        .map(|project| wire::RemoveRequest { project: project.clone(), services: Vec::new() });
    let single = services.iter().map(|one| wire::RemoveRequest {
        project: one.project.clone(),
        services: vec![one.name.clone()],
    });
    let mut wanted = Wanted::new();
    for request in whole.chain(single) {
        let removed = client.remove(request).await?.services;
        wanted.extend(removed.iter().map(|service| (key(service), 0)));
    }
    wait::report(client, &wanted, &arguments.waiting).await
}

pub(crate) async fn cordon(client: &Client, node: &str) -> anyhow::Result<Exit> {
    set_availability(client, &node_id(client, node).await?, wire::Availability::Cordoned).await
}

pub(crate) async fn uncordon(client: &Client, node: &str) -> anyhow::Result<Exit> {
    set_availability(client, &node_id(client, node).await?, wire::Availability::Active).await
}

pub(crate) async fn node_id(client: &Client, node: &str) -> anyhow::Result<String> {
    let nodes = client.nodes().await?;
    let ids: Vec<String> = nodes.into_iter().filter_map(|view| Some(view.node?.id)).collect();
    find::pick(&ids, node, "node")
}

pub(crate) async fn set_availability(
    client: &Client,
    node: &str,
    availability: wire::Availability,
) -> anyhow::Result<Exit> {
    let request =
        wire::SetAvailabilityRequest { node: node.to_owned(), availability: availability.into() };
    let answer = client.control.clone().set_availability(unary(request)).await;
    answer.map_err(|status| from_status(&status))?;
    Ok(Exit::Done)
}
