//! Pools, as operators ask about them.

use std::sync::Arc;
use std::time::Duration;

use cloud::CloudError;
use coordinator_core::cluster::{Cluster, Shortage};
use coordinator_core::command;
use coordinator_core::event::{Event, FleetEvent};
use coordinator_core::view::{self, MachineVerdict, NodeState};
use model::fleet::{
    Answer, Group, GroupHook, HookPhase, LAUNCHING_HOOK, Pool, PoolPolicy, TERMINATING_HOOK,
    Transition,
};
use model::id::{NodeId, TaskId};
use proto::convert::{
    group_to_wire, headroom_from_wire, hook_to_wire, instance_to_wire, pool_name_from_wire,
    pool_to_wire, precaution_from_wire, profile_from_wire, resources_to_wire,
    unreachable_from_wire, windows_from_wire,
};
use proto::wire;
use tonic::{Request, Response, Status};

use crate::Shared;
use crate::api::access::by;
use crate::api::views::count;
use crate::api::{accepted, hinted, invalid};
use crate::audit::By;
use crate::fleet::Fleet;

/// The service that operators call.
#[derive(Debug, Clone)]
pub(crate) struct Pools {
    pub(crate) shared: Arc<Shared>,
}

#[tonic::async_trait]
impl wire::fleet_server::Fleet for Pools {
    async fn list_pools(
        &self,
        request: Request<wire::ListPoolsRequest>,
    ) -> Result<Response<wire::ListPoolsResponse>, Status> {
        let name = request.into_inner().name;
        let state = self.shared.published.read();
        let pools = state.cluster.pools().values();
        let meant = pools.filter(|pool| name.is_empty() || pool.name == name);
        let pools: Vec<_> = meant.map(|pool| self.view(&state.cluster, pool)).collect();
        if pools.is_empty() && !name.is_empty() {
            return Err(Status::not_found(format!("there is no pool {name}")));
        }
        Ok(Response::new(wire::ListPoolsResponse { pools }))
    }

    async fn put_pool(
        &self,
        request: Request<wire::PutPoolRequest>,
    ) -> Result<Response<wire::PutPoolResponse>, Status> {
        let by = by(&request)?;
        self.put(by, request.into_inner()).await.map(Response::new)
    }

    async fn plan_pool(
        &self,
        request: Request<wire::PlanPoolRequest>,
    ) -> Result<Response<wire::PlanPoolResponse>, Status> {
        let name = request.into_inner().name;
        let cluster = self.shared.published.read().cluster.clone();
        let pool = cluster.pools().get(&name);
        let pool = pool.ok_or_else(|| Status::not_found(format!("there is no pool {name}")))?;
        let (judged, freed) = view::consolidation(&cluster, pool, self.shared.clock.now());
        let machines = judged.into_iter().map(machine_plan).collect();
        let freed = Some(resources_to_wire(&freed));
        Ok(Response::new(wire::PlanPoolResponse { machines, freed }))
    }

    async fn remove_pool(
        &self,
        request: Request<wire::RemovePoolRequest>,
    ) -> Result<Response<wire::RemovePoolResponse>, Status> {
        let by = by(&request)?;
        let name = request.into_inner().name;
        let fleet = self.fleet()?;
        let event = Event::Fleet(FleetEvent::RemovePool(name.clone()));
        accepted(self.shared.door.ask_by(by, event).await)?;
        // Only now: while it is a pool, hooks that are missing are set again.
        fleet.let_go(&name).await.map_err(|error| left_behind(&name, &error))?;
        Ok(Response::new(wire::RemovePoolResponse {}))
    }
}

impl Pools {
    pub(crate) fn fleet(&self) -> Result<&Arc<Fleet>, Status> {
        let none = || {
            hinted(
                Status::failed_precondition("this coordinator knows no cloud"),
                "start it with --aws where it has credentials; docs/pools.md says which permissions it needs",
            )
        };
        self.shared.fleet.as_ref().ok_or_else(none)
    }

    async fn put(
        &self,
        by: By,
        request: wire::PutPoolRequest,
    ) -> Result<wire::PutPoolResponse, Status> {
        let fleet = self.fleet()?;
        let name = pool_name_from_wire(&request.name).map_err(|error| invalid(&error))?;
        let known = self.shared.published.read().cluster.pools().get(&name).cloned();
        match (request.presence(), &known) {
            (wire::PoolPresence::New, Some(_)) => {
                let why = format!("{name} is a pool already");
                return Err(hinted(
                    Status::already_exists(why),
                    "`wharf pool set` changes how its machines come and go",
                ));
            }
            (wire::PoolPresence::Known, None) => {
                let why = format!("there is no pool {name}");
                return Err(hinted(
                    Status::not_found(why),
                    "`wharf pool add` makes one of a group",
                ));
            }
            (
                wire::PoolPresence::New
                | wire::PoolPresence::Known
                | wire::PoolPresence::Unspecified,
                _,
            ) => {}
        }
        let survey = fleet.survey(&name).await.map_err(|error| unavailable(&error))?;
        let group = survey.groups.first().ok_or_else(|| {
            let why = format!("there is no Auto Scaling group {name} ({})", fleet.describe());
            hinted(
                Status::not_found(why),
                "is that its region? --aws-region of the coordinator says another",
            )
        })?;
        if group.has_warm_pool && known.is_none() {
            let why = format!("{name} has a warm pool, whose machines would wait for us in vain");
            let hint = "remove it first: `aws autoscaling delete-warm-pool`";
            return Err(hinted(Status::failed_precondition(why), hint));
        }
        let before = known.as_ref().map(|pool| pool.policy);
        let policy = policy(&request, before.unwrap_or_default())?;
        let mut changes: Vec<String> =
            command::missing_hooks(group).map(|hook| set(&name, &hook)).collect();
        changes
            .extend(before.filter(|before| *before != policy).map(|_| "another policy".to_owned()));
        let mut answer = wire::PutPoolResponse { changes, warnings: warnings(group) };
        let before = known.map(|pool| pool.windows.clone()).unwrap_or_default();
        let windows = request.windows.map(|asked| windows_from_wire(&asked.windows));
        let windows = windows.transpose().map_err(|error| invalid(&error))?;
        let windows = windows.filter(|windows| *windows != before);
        answer.changes.extend(windows.as_ref().map(|_| "other maintenance windows".to_owned()));
        if request.dry_run {
            return Ok(answer);
        }
        let put = FleetEvent::PutPool { name: name.clone(), policy };
        let set = windows.map(|windows| FleetEvent::SetWindows { name, windows });
        for event in std::iter::once(put).chain(set) {
            accepted(self.shared.door.ask_by(by.clone(), Event::Fleet(event)).await)?;
        }
        accepted(self.shared.door.ask(Event::Fleet(FleetEvent::Surveyed(Box::new(survey)))).await)?;
        fleet.look_soon();
        Ok(answer)
    }

    fn view(&self, cluster: &Cluster, pool: &Pool) -> wire::PoolView {
        let now = self.shared.clock.now();
        let of_pool = |name: &Option<String>| name.as_ref() == Some(&pool.name);
        let instances = cluster.instances().values().filter(|one| of_pool(&one.pool));
        let nodes = cluster.nodes().values().filter(|node| of_pool(&node.pool));
        let ready = nodes.filter(|node| view::node_state(cluster, node, now) == NodeState::Ready);
        let hooks = cluster.hooks().values().filter(|hook| hook.pool == pool.name);
        let group = cluster.group(&pool.name);
        let mut notes: Vec<String> = group.map(warnings).unwrap_or_default();
        notes.extend(
            group
                .into_iter()
                .flat_map(command::missing_hooks)
                .map(|hook| format!("is not as it should be: {}", set(&pool.name, &hook))),
        );
        let trouble = self.shared.fleet.as_ref().map(|fleet| fleet.trouble());
        match (&trouble, group) {
            (None, _) => notes.push("this coordinator was started without --aws".to_owned()),
            (Some(Some(error)), _) => notes.push(format!("can not be looked at: {error}")),
            (Some(None), None) => {
                notes.push("there is no such group, or it was not looked at yet".to_owned())
            }
            (Some(None), Some(_)) => {}
        }
        notes.extend(
            cluster.shortage_of(&pool.name).into_iter().flat_map(|short| lacks(short, group)),
        );
        notes.extend(view::silent_machines(cluster, pool, now));
        let failure = group.and_then(|group| group.failure.as_ref());
        notes.extend(failure.map(|why| format!("its group can not launch machines: {why}")));
        wire::PoolView {
            pool: Some(pool_to_wire(pool)),
            group: group.map(group_to_wire),
            instances: instances.map(instance_to_wire).collect(),
            hooks: hooks
                .filter(|hook| !matches!(hook.phase, HookPhase::Done { .. }))
                .map(|hook| hook_to_wire(hook))
                .collect(),
            notes,
            ready: ready.count().try_into().unwrap_or(u32::MAX),
        }
    }
}

/// A group whose hooks nobody answers gives each new machine back.
fn left_behind(name: &str, error: &CloudError) -> Status {
    let why = format!(
        "{name} is no pool any more, and still has hooks that nobody answers ({error}): delete {LAUNCHING_HOOK} and {TERMINATING_HOOK}"
    );
    hinted(Status::unavailable(why), "or `wharf pool add` and `wharf pool rm` it again")
}

pub(crate) fn unavailable(error: &CloudError) -> Status {
    let status = Status::unavailable(error.to_string());
    match error.hint() {
        Some(hint) => hinted(status, hint),
        None => status,
    }
}

/// What would become of a machine, for an operator.
fn machine_plan(verdict: MachineVerdict) -> wire::MachinePlan {
    let told = |(task, to): &(TaskId, NodeId)| wire::PoolMove {
        task: task.to_string(),
        to: to.to_string(),
    };
    wire::MachinePlan {
        instance: verdict.instance.to_string(),
        stays: verdict.stays,
        moves: verdict.moves.iter().map(told).collect(),
        capacity: Some(resources_to_wire(&verdict.capacity)),
        tasks: count(verdict.tasks),
    }
}

fn policy(request: &wire::PutPoolRequest, before: PoolPolicy) -> Result<PoolPolicy, Status> {
    let or = |asked: Option<u64>, before| asked.map_or(before, Duration::from_millis);
    let headroom = match &request.headroom {
        None => before.headroom,
        asked => headroom_from_wire(asked.as_ref()).map_err(|error| invalid(&error))?,
    };
    // Without one its group's own limit is enough.
    let most = request.most.map_or(before.most, |most| (most > 0).then_some(most));
    Ok(PoolPolicy {
        drain_within: or(request.drain_within_ms, before.drain_within),
        join_within: or(request.join_within_ms, before.join_within),
        grows: request.grows.unwrap_or(before.grows),
        shrinks: request.shrinks.unwrap_or(before.shrinks),
        least: request.least.unwrap_or(before.least),
        most,
        headroom,
        shrink_after: or(request.shrink_after_ms, before.shrink_after),
        profile: match request.profile {
            None => before.profile,
            asked => profile_from_wire("profile", asked).map_err(|error| invalid(&error))?,
        },
        precaution: match request.precaution {
            None => before.precaution,
            asked => precaution_from_wire("precaution", asked).map_err(|error| invalid(&error))?,
        },
        unreachable: match request.unreachable {
            None => before.unreachable,
            asked => {
                unreachable_from_wire("unreachable", asked).map_err(|error| invalid(&error))?
            }
        },
        unreachable_after: or(request.unreachable_after_ms, before.unreachable_after),
    })
}

fn set(pool: &str, hook: &GroupHook) -> String {
    let otherwise = match hook.otherwise {
        Answer::Continue => "goes on by itself",
        Answer::Abandon => "gives the machine back",
    };
    let what = match hook.transition {
        Transition::Launching => "before a machine counts",
        Transition::Terminating => "before a machine ends",
    };
    format!(
        "hook {} of {pool}: waits for an answer {what}, and after {} s without a sign {otherwise}",
        hook.name,
        hook.patience.as_secs()
    )
}

fn lacks(short: Shortage, group: Option<&Group>) -> Vec<String> {
    let Shortage { machines, beyond, .. } = short;
    let asked = group.is_some_and(|group| machines > group.desired);
    let asked = asked.then(|| format!("asks for {machines} machines, because tasks find no room"));
    let beyond = (beyond > 0).then(|| {
        format!(
            "{beyond} tasks wait for a machine that its group may not have: raise its greatest size"
        )
    });
    asked.into_iter().chain(beyond).collect()
}

/// What keeps a group from doing as it should.
fn warnings(group: &Group) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(foreign) = &group.foreign {
        warnings.push(format!("{foreign}, which is not ours, replaces its machines"));
    }
    if group.has_warm_pool {
        warnings.push(
            "it has a warm pool now, whose machines wait for us in vain: remove it".to_owned(),
        );
    }
    for process in
        group.suspended.iter().filter(|one| matches!(one.as_str(), "Launch" | "Terminate"))
    {
        warnings
            .push(format!("its process {process} is suspended: it brings or takes no machines"));
    }
    if group.max <= group.desired && group.max == group.min {
        warnings.push(format!("it has {} machines and can not have more or fewer", group.desired));
    }
    warnings
}
