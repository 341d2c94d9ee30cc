//! What ran when, and the way back to it, as operators ask for it.

use std::collections::BTreeSet;
use std::sync::Arc;

use coordinator_core::event::{Event, Reply};
use coordinator_core::view::{self, Began, RanPool, RanService, Then};
use model::id::ServiceId;
use model::refresh::{Refresh, Version};
use model::release::PoolBack;
use model::service::Generation;
use model::time::Timestamp;
use proto::convert::{blueprint_to_wire, go_back_from_wire};
use proto::wire;
use proto::wire::release_moment::Began as WireBegan;
use tonic::{Request, Response, Status};

use crate::Shared;
use crate::api::access::by;
use crate::api::fleet::{Pools, unavailable};
use crate::api::{accepted, hinted, invalid};
use crate::fleet::Fleet;

/// The service that operators call.
#[derive(Debug, Clone)]
pub(crate) struct Releases {
    pub(crate) shared: Arc<Shared>,
}

#[tonic::async_trait]
impl wire::releases_server::Releases for Releases {
    async fn list_releases(
        &self,
        _request: Request<wire::ListReleasesRequest>,
    ) -> Result<Response<wire::ListReleasesResponse>, Status> {
        let state = self.shared.published.read();
        let moments = view::releases(&state.cluster).into_iter().map(|(at, began)| {
            let began = match &began {
                Began::Service(id, generation) => WireBegan::Service(released(id, generation)),
                Began::Pool(refresh) => WireBegan::Pool(replaced(refresh)),
            };
            wire::ReleaseMoment { at_ms: at.as_millis(), began: Some(began) }
        });
        Ok(Response::new(wire::ListReleasesResponse { moments: moments.collect() }))
    }

    async fn show_release(
        &self,
        request: Request<wire::ShowReleaseRequest>,
    ) -> Result<Response<wire::ShowReleaseResponse>, Status> {
        let then = Timestamp::from_millis(request.into_inner().at_ms);
        let state = self.shared.published.read();
        let (services, pools) = view::ran_at(&state.cluster, then);
        Ok(Response::new(wire::ShowReleaseResponse {
            services: services.iter().map(service).collect(),
            pools: pools.iter().map(pool).collect(),
        }))
    }

    async fn go_back(
        &self,
        request: Request<wire::GoBackRequest>,
    ) -> Result<Response<wire::GoBackResponse>, Status> {
        let by = by(&request)?;
        let back = go_back_from_wire(request.get_ref()).map_err(|error| invalid(&error))?;
        let pools = Pools { shared: Arc::clone(&self.shared) };
        let fleet = if back.pools.is_empty() { None } else { Some(pools.fleet()?) };
        if let Some(fleet) = fleet {
            can_be_launched(fleet, &back.pools).await?;
            // What is known of groups may be half a minute old, and others may have begun with something since.
            back.pools.iter().for_each(|one| fleet.forget(&one.pool));
            fleet.look_now().await.map_err(|error| unavailable(&error))?;
        }
        let reply = self.shared.door.ask_by(by, Event::GoBack(Box::new(back))).await;
        let Reply::Deployed(numbers) = accepted(reply)? else {
            return Err(Status::internal("nobody says which generations are the targets now"));
        };
        fleet.into_iter().for_each(|fleet| fleet.look_soon());
        let from = request.into_inner().services.into_iter();
        let services = from.zip(numbers).map(|(one, (_, to))| wire::GoBackService { to, ..one });
        Ok(Response::new(wire::GoBackResponse { services: services.collect() }))
    }
}

/// What machines are to be launched from may have been removed since it was last used.
async fn can_be_launched(fleet: &Fleet, pools: &[PoolBack]) -> Result<(), Status> {
    let hint = "`--only services` goes back without machines, `wharf refresh start` moves them to another image";
    let versions: BTreeSet<Version> = pools.iter().flat_map(|one| one.to.versions()).collect();
    let images = fleet.images(&versions).await.map_err(|error| unavailable(&error))?;
    for version in versions {
        let (template, number) = &version;
        let Some(ami) = images.get(&version).cloned().flatten() else {
            let why =
                format!("there is no version {number} of the launch template {template} any more");
            return Err(hinted(Status::failed_precondition(why), hint));
        };
        // A name that EC2 looks up when it launches is not ours to look up.
        let is_one = ami.starts_with("ami-");
        if is_one && !fleet.has_ami(&ami).await.map_err(|error| unavailable(&error))? {
            let why = format!(
                "the machine image {ami} of version {number} of {template} is not there any more"
            );
            return Err(hinted(Status::failed_precondition(why), hint));
        }
    }
    Ok(())
}

fn released(id: &ServiceId, generation: &Generation) -> wire::ReleasedService {
    wire::ReleasedService {
        project: id.project.to_string(),
        name: id.name.to_string(),
        generation: Some(ran(generation)),
    }
}

fn replaced(refresh: &Refresh) -> wire::ReleasedPool {
    let (pool, number) = (refresh.id.pool.clone(), refresh.id.number);
    wire::ReleasedPool {
        refresh: Some(wire::RefreshName { pool, number }),
        blueprint: Some(blueprint_to_wire(&refresh.to)),
    }
}

fn ran(generation: &Generation) -> wire::RanGeneration {
    let containers = generation.spec.task.containers.iter();
    wire::RanGeneration {
        number: generation.number,
        accepted_at_ms: generation.accepted_at.as_millis(),
        images: containers.map(|one| one.image.reference.to_string()).collect(),
    }
}

const fn knowledge<T>(then: &Then<T>) -> wire::RanKnowledge {
    match then {
        Then::Was(_) => wire::RanKnowledge::Known,
        Then::Nothing => wire::RanKnowledge::Nothing,
        Then::Forgotten => wire::RanKnowledge::Forgotten,
    }
}

fn service(of: &RanService) -> wire::RanService {
    wire::RanService {
        project: of.id.project.to_string(),
        name: of.id.name.to_string(),
        knowledge: knowledge(&of.then).into(),
        then: of.then.known().map(|generation| ran(generation)),
        now: Some(ran(&of.now)),
        differs: of.way_back().is_some(),
    }
}

fn pool(of: &RanPool) -> wire::RanPool {
    wire::RanPool {
        pool: of.pool.clone(),
        knowledge: knowledge(&of.then).into(),
        then: of.then.known().map(blueprint_to_wire),
        now: of.now.as_ref().map(blueprint_to_wire),
        differs: of.way_back().is_some(),
    }
}
