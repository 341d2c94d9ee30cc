//! What an operator wants of a rollout that is under way.

use proto::wire;
use proto::wire::Steering;

use crate::args::{Named, Rollout};
use crate::client::{Client, unary};
use crate::commands::wait::{self, Wanted};
use crate::exit::{Exit, from_status};
use crate::find;

pub(crate) async fn rollout(client: &Client, command: &Rollout) -> anyhow::Result<Exit> {
    match command {
        Rollout::Status(named) => {
            let wanted = targets(client, &named.services).await?;
            wait::report(client, &wanted, &named.waiting).await
        }
        Rollout::Pause(steered) => {
            steer(client, &steered.services, Steering::Pause).await?;
            Ok(Exit::Done)
        }
        Rollout::Resume(named) => go_on(client, named, Steering::Resume).await,
        Rollout::Promote(named) => go_on(client, named, Steering::Promote).await,
        Rollout::Abort(named) => go_on(client, named, Steering::Abort).await,
    }
}

/// Says it, and waits for what comes of it.
async fn go_on(client: &Client, named: &Named, steering: Steering) -> anyhow::Result<Exit> {
    let wanted = steer(client, &named.services, steering).await?;
    wait::report(client, &wanted, &named.waiting).await
}

async fn steer(client: &Client, names: &[String], steering: Steering) -> anyhow::Result<Wanted> {
    let mut wanted = Wanted::new();
    for name in names {
        let service = find::service(client, name).await?;
        let key = (service.project.clone(), service.name.clone());
        let request = wire::SteerRequest { service: Some(service), steering: steering.into() };
        let answer = client.control.clone().steer(unary(request)).await;
        let generation = answer.map_err(|status| from_status(&status))?.into_inner().generation;
        wanted.insert(key, generation);
    }
    Ok(wanted)
}

/// What each of the services is on its way to.
async fn targets(client: &Client, names: &[String]) -> anyhow::Result<Wanted> {
    let mut wanted = Wanted::new();
    for name in names {
        let meant = find::service(client, name).await?;
        let views = client.services(&meant.project).await?;
        let target = views.into_iter().find_map(|view| {
            let target = view.service?.target?;
            let is_meant = target.spec.as_ref().is_some_and(|spec| spec.name == meant.name);
            is_meant.then_some(target.number)
        });
        wanted.insert((meant.project, meant.name), target.unwrap_or_default());
    }
    Ok(wanted)
}
