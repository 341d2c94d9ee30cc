//! Refreshes, as operators ask for them.

use std::sync::Arc;

use coordinator_core::event::{Event, FleetEvent, RefreshEvent, Target};
use coordinator_core::foresee::{self, RefreshPlan};
use coordinator_core::view;
use model::refresh::Refresh;
use model::time::Timestamp;
use proto::convert::{
    blueprint_from_wire, freeze_to_wire, pool_name_from_wire, reason_from_wire,
    refresh_policy_from_wire, refresh_to_wire, steering_from_wire,
};
use proto::wire;
use proto::wire::start_refresh_request::Target as WireTarget;
use tonic::{Request, Response, Status};

use crate::Shared;
use crate::api::access::by;
use crate::api::fleet::{Pools, unavailable};
use crate::api::{accepted, hinted, invalid};
use crate::audit::By;

/// The service that operators call.
#[derive(Debug, Clone)]
pub(crate) struct Refreshes {
    pub(crate) shared: Arc<Shared>,
}

#[tonic::async_trait]
impl wire::refreshes_server::Refreshes for Refreshes {
    async fn list_refreshes(
        &self,
        request: Request<wire::ListRefreshesRequest>,
    ) -> Result<Response<wire::ListRefreshesResponse>, Status> {
        let pool = request.into_inner().pool;
        let state = self.shared.published.read();
        if !pool.is_empty() && !state.cluster.pools().contains_key(&pool) {
            return Err(Status::not_found(format!("there is no pool {pool}")));
        }
        let now = self.shared.clock.now();
        let all = state.cluster.refreshes().values();
        let meant = all.filter(|refresh| pool.is_empty() || refresh.id.pool == pool);
        let view = |refresh: &Arc<Refresh>| wire::RefreshView {
            refresh: Some(refresh_to_wire(refresh)),
            progress: (!refresh.is_done())
                .then(|| view::refresh_progress(&state.cluster, refresh, now))
                .flatten()
                .map(progress),
        };
        let refreshes = meant.map(view).collect();
        let freeze = state.cluster.freeze().filter(|freeze| freeze.holds(now)).map(freeze_to_wire);
        Ok(Response::new(wire::ListRefreshesResponse { refreshes, freeze }))
    }

    async fn list_drift(
        &self,
        request: Request<wire::ListDriftRequest>,
    ) -> Result<Response<wire::ListDriftResponse>, Status> {
        let pool = request.into_inner().pool;
        let cluster = self.shared.published.read().cluster.clone();
        if !pool.is_empty() && !cluster.pools().contains_key(&pool) {
            return Err(Status::not_found(format!("there is no pool {pool}")));
        }
        let now = self.shared.clock.now();
        let freeze = cluster.freeze().filter(|freeze| freeze.holds(now)).map(freeze_to_wire);
        // How long a refresh will take is found by doing all of it on a copy.
        let told =
            move || view::drift(&cluster, Some(pool.as_str()).filter(|pool| !pool.is_empty()), now);
        let told = tokio::task::spawn_blocking(told).await;
        let told = told.map_err(|error| Status::internal(error.to_string()))?;
        let pools = told.into_iter().map(drift).collect();
        Ok(Response::new(wire::ListDriftResponse { pools, freeze }))
    }

    async fn plan_refresh(
        &self,
        request: Request<wire::StartRefreshRequest>,
    ) -> Result<Response<wire::PlanRefreshResponse>, Status> {
        let request = request.into_inner();
        let (pool, target, policy) = self.read(&request).await?;
        let now = self.shared.clock.now();
        let cluster = self.shared.published.read().cluster.clone();
        let planned = foresee::refresh(&cluster, (&pool, &target), &policy, now);
        let plan = planned.map_err(|refusal| crate::api::refused(&refusal))?;
        Ok(Response::new(plan_to_wire(&plan)))
    }

    async fn start_refresh(
        &self,
        request: Request<wire::StartRefreshRequest>,
    ) -> Result<Response<wire::StartRefreshResponse>, Status> {
        let by = by(&request)?;
        let request = request.into_inner();
        let (pool, target, policy) = self.read(&request).await?;
        let expect = request.expect;
        let after = request.after.iter().map(|pool| pool_name_from_wire(pool));
        let after = after.collect::<Result<_, _>>().map_err(|error| invalid(&error))?;
        let event = RefreshEvent::Start { pool: pool.clone(), target, policy, expect, after };
        self.ask(by, event).await?;
        let state = self.shared.published.read();
        let refresh = state.cluster.refreshes_of(&pool).last();
        let refresh = refresh.map(|refresh| refresh_to_wire(refresh));
        Ok(Response::new(wire::StartRefreshResponse { refresh }))
    }

    async fn steer_refresh(
        &self,
        request: Request<wire::SteerRefreshRequest>,
    ) -> Result<Response<wire::SteerRefreshResponse>, Status> {
        let by = by(&request)?;
        let request = request.into_inner();
        let steering = steering_from_wire(request.steering()).map_err(|error| invalid(&error))?;
        let pool = pool_name_from_wire(&request.pool).map_err(|error| invalid(&error))?;
        self.ask(by, RefreshEvent::Steer { pool, steering }).await?;
        Ok(Response::new(wire::SteerRefreshResponse {}))
    }

    async fn override_refresh(
        &self,
        request: Request<wire::OverrideRefreshRequest>,
    ) -> Result<Response<wire::OverrideRefreshResponse>, Status> {
        let by = by(&request)?;
        let request = request.into_inner();
        let pool = pool_name_from_wire(&request.pool).map_err(|error| invalid(&error))?;
        let reason = reason_from_wire(&request.reason).map_err(|error| invalid(&error))?;
        self.ask(by, RefreshEvent::Override { pool, reason }).await?;
        Ok(Response::new(wire::OverrideRefreshResponse {}))
    }

    async fn freeze_refreshes(
        &self,
        request: Request<wire::FreezeRefreshesRequest>,
    ) -> Result<Response<wire::FreezeRefreshesResponse>, Status> {
        let by = by(&request)?;
        let request = request.into_inner();
        let why = reason_from_wire(&request.why).map_err(|error| invalid(&error))?;
        let until = request.until_ms.map(Timestamp::from_millis);
        self.ask(by, RefreshEvent::Freeze { why, until }).await?;
        Ok(Response::new(wire::FreezeRefreshesResponse {}))
    }

    async fn unfreeze_refreshes(
        &self,
        request: Request<wire::UnfreezeRefreshesRequest>,
    ) -> Result<Response<wire::UnfreezeRefreshesResponse>, Status> {
        let by = by(&request)?;
        self.ask(by, RefreshEvent::Unfreeze).await?;
        Ok(Response::new(wire::UnfreezeRefreshesResponse {}))
    }

    async fn roll_back_refresh(
        &self,
        request: Request<wire::RollBackRefreshRequest>,
    ) -> Result<Response<wire::RollBackRefreshResponse>, Status> {
        let by = by(&request)?;
        let pool = pool_name_from_wire(&request.into_inner().pool);
        let pool = pool.map_err(|error| invalid(&error))?;
        self.ask(by, RefreshEvent::RollBack { pool }).await?;
        Ok(Response::new(wire::RollBackRefreshResponse {}))
    }
}

impl Refreshes {
    async fn ask(&self, by: By, event: RefreshEvent) -> Result<(), Status> {
        let fleet = Pools { shared: Arc::clone(&self.shared) }.fleet()?.clone();
        let event = Event::Fleet(FleetEvent::Refresh(event));
        accepted(self.shared.door.ask_by(by, event).await)?;
        fleet.look_soon();
        Ok(())
    }

    /// Reads what is asked for, and looks at the group and at the image: what is known of them may be half a minute old.
    async fn read(
        &self,
        request: &wire::StartRefreshRequest,
    ) -> Result<(String, Target, model::refresh::RefreshPolicy), Status> {
        let pool = pool_name_from_wire(&request.pool).map_err(|error| invalid(&error))?;
        let policy = refresh_policy_from_wire(request.policy.as_ref());
        let policy = policy.map_err(|error| invalid(&error))?;
        let pools = Pools { shared: Arc::clone(&self.shared) };
        let fleet = pools.fleet()?;
        let target = match &request.target {
            Some(WireTarget::Ami(ami)) => {
                let is_there = fleet.has_ami(ami).await.map_err(|error| unavailable(&error))?;
                if !is_there {
                    let why = format!("there is no machine image {ami} that could be launched");
                    let hint = "is it of this region, is it available yet, and may this account launch it?";
                    return Err(hinted(Status::not_found(why), hint));
                }
                Target::Ami(ami.clone())
            }
            Some(WireTarget::Blueprint(to)) => {
                Target::Blueprint(blueprint_from_wire(to).map_err(|error| invalid(&error))?)
            }
            None => {
                return Err(Status::invalid_argument(
                    "it is not said what machines are replaced by",
                ));
            }
        };
        if self.shared.published.read().cluster.pools().contains_key(&pool) {
            // What others do to it may have begun a moment ago.
            fleet.forget(&pool);
            fleet.look_now().await.map_err(|error| unavailable(&error))?;
        }
        Ok((pool, target, policy))
    }
}

fn drift(drift: view::Drift) -> wire::PoolDrift {
    let generation = |one: view::MachineGeneration| {
        let (template, version) = one.template.unzip();
        let (name, made_at) = one.baked.unzip();
        wire::MachineGeneration {
            ami: one.ami,
            name,
            made_at_ms: made_at.map(Timestamp::as_millis),
            template,
            version,
            machines: one.machines as u64,
            ready: one.ready as u64,
            current: one.is_current,
        }
    };
    wire::PoolDrift {
        pool: drift.pool,
        generations: drift.generations.into_iter().map(generation).collect(),
        notes: drift.notes,
        left_ms: drift.left.map(millis),
    }
}

fn progress(progress: view::RefreshProgress) -> wire::RefreshProgress {
    let left = progress.left.into_iter().map(|(id, why)| (id.to_string(), why));
    wire::RefreshProgress {
        new: progress.new as u64,
        new_ready: progress.new_ready as u64,
        old: progress.old as u64,
        leaving: progress.leaving.iter().map(ToString::to_string).collect(),
        quota: progress.quota as u64,
        left: left.collect(),
        note: progress.note,
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn plan_to_wire(plan: &RefreshPlan) -> wire::PlanRefreshResponse {
    let machines = plan.machines.iter().map(|one| wire::RefreshMachine {
        instance: one.instance.to_string(),
        emptied_after_ms: one.emptied_after.map(millis),
        why: one.why.clone(),
    });
    let moves = plan.moves.iter().map(|one| wire::RefreshMove {
        task: one.task.to_string(),
        from: one.from.as_ref().map(ToString::to_string).unwrap_or_default(),
        to: one.to.as_ref().map(ToString::to_string),
    });
    wire::PlanRefreshResponse {
        fingerprint: plan.fingerprint,
        machines: machines.collect(),
        moves: moves.collect(),
        duration_ms: millis(plan.duration),
        boot_ms: millis(plan.boot),
        peak: plan.peak as u64,
        size: plan.size as u64,
        blockers: plan.blockers.clone(),
        moved_again: plan.moved_again as u64,
    }
}
