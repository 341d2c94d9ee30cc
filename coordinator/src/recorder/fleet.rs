//! What is heard of machines, as the recorder keeps it.

use anyhow::Context as _;
use coordinator_core::command::{Key, Outcome};
use coordinator_core::event::{FleetEvent, RefreshEvent, Target};
use model::fleet::HookId;
use model::time::Timestamp;
use proto::convert::{
    blueprint_from_wire, blueprint_to_wire, hook_call_from_wire, hook_call_to_wire,
    hook_id_from_wire, notice_from_wire, notice_to_wire, outlook_from_wire, outlook_to_wire,
    pool_policy_from_wire, pool_policy_to_wire, reason_from_wire, refresh_id_from_wire,
    refresh_policy_from_wire, refresh_policy_to_wire, steering_from_wire, steering_to_wire,
    survey_from_wire, survey_to_wire, transition_from_wire, transition_to_wire, windows_from_wire,
    windows_to_wire,
};
use proto::wire;
use proto::wire::flight_fleet::Event as Wire;
use proto::wire::performed::{Key as WireKey, Outcome as WireOutcome};

pub(super) fn fleet_to_wire(event: &FleetEvent) -> wire::FlightFleet {
    let event = match event {
        FleetEvent::PutPool { name, policy } => {
            let (name, policy) = (name.clone(), Some(pool_policy_to_wire(*policy)));
            Wire::PutPool(wire::FlightPool { name, policy })
        }
        FleetEvent::SetWindows { name, windows } => {
            let windows = wire::Windows { windows: windows_to_wire(windows) };
            Wire::Windows(wire::FlightWindows { pool: name.clone(), windows: Some(windows) })
        }
        FleetEvent::RemovePool(name) => Wire::RemovePool(name.clone()),
        FleetEvent::Surveyed(survey) => Wire::Surveyed(survey_to_wire(survey)),
        FleetEvent::Hooked(call) => Wire::Hooked(hook_call_to_wire(call)),
        FleetEvent::Noticed { node, notice } => Wire::Noticed(wire::FlightNotice {
            node: node.to_string(),
            notice: Some(notice_to_wire(*notice)),
        }),
        FleetEvent::Foreseen { node, outlook } => Wire::Foreseen(wire::FlightOutlook {
            node: node.to_string(),
            outlook: Some(outlook_to_wire(outlook)),
        }),
        FleetEvent::Performed { key, outcome } => Wire::Performed(performed_to_wire(key, outcome)),
        FleetEvent::Refresh(event) => Wire::Refresh(refresh_event_to_wire(event)),
    };
    wire::FlightFleet { event: Some(event) }
}

pub(super) fn fleet_from_wire(from: &wire::FlightFleet) -> anyhow::Result<FleetEvent> {
    Ok(match from.event.as_ref().context("an event that this version does not know")? {
        Wire::PutPool(pool) => FleetEvent::PutPool {
            name: pool.name.clone(),
            policy: pool_policy_from_wire(pool.policy.as_ref())?,
        },
        Wire::Windows(set) => FleetEvent::SetWindows {
            name: set.pool.clone(),
            windows: windows_from_wire(&set.windows.clone().unwrap_or_default().windows)?,
        },
        Wire::RemovePool(name) => FleetEvent::RemovePool(name.clone()),
        Wire::Surveyed(survey) => FleetEvent::Surveyed(Box::new(survey_from_wire(survey)?)),
        Wire::Hooked(call) => FleetEvent::Hooked(hook_call_from_wire(call)?),
        Wire::Noticed(noticed) => FleetEvent::Noticed {
            node: noticed.node.parse()?,
            notice: notice_from_wire(noticed.notice.as_ref())?,
        },
        Wire::Foreseen(foreseen) => FleetEvent::Foreseen {
            node: foreseen.node.parse()?,
            outlook: outlook_from_wire(&foreseen.outlook.unwrap_or_default()),
        },
        Wire::Performed(performed) => {
            let (key, outcome) = performed_from_wire(performed)?;
            FleetEvent::Performed { key, outcome }
        }
        Wire::Refresh(event) => FleetEvent::Refresh(refresh_event_from_wire(event)?),
    })
}

fn hook(id: &HookId) -> wire::HookKey {
    let transition = transition_to_wire(id.transition).into();
    wire::HookKey { instance: id.instance.to_string(), transition }
}

fn performed_to_wire(key: &Key, outcome: &Outcome) -> wire::Performed {
    let key = match key {
        Key::Answer(id) => WireKey::Answer(hook(id)),
        Key::Beat(id) => WireKey::Beat(hook(id)),
        Key::Hook(pool, transition) => WireKey::Hook(wire::PoolHookKey {
            pool: pool.clone(),
            transition: transition_to_wire(*transition).into(),
        }),
        Key::Desired(pool) => WireKey::Desired(pool.clone()),
        Key::MakeTemplate(id) => {
            WireKey::MakeTemplate(wire::RefreshKey { pool: id.pool.clone(), number: id.number })
        }
        Key::Template(pool) => WireKey::Template(pool.clone()),
        Key::Max(pool) => WireKey::Max(pool.clone()),
        Key::Process(pool) => WireKey::Process(pool.clone()),
        Key::Terminate(instance) => WireKey::Terminate(instance.to_string()),
        Key::Cancel(pool) => WireKey::Cancel(pool.clone()),
        Key::Root(instance) => WireKey::Root(instance.to_string()),
        Key::Bake(id) => WireKey::Bake(id.to_string()),
        Key::Look(name) => WireKey::Look(name.to_string()),
        Key::Remove(id) => WireKey::Remove(id.clone()),
        Key::Balance(group) => WireKey::Balance(group.to_string()),
    };
    let outcome = match outcome {
        Outcome::Done => WireOutcome::Done(wire::Done {}),
        Outcome::Made(blueprint) => WireOutcome::Made(blueprint_to_wire(blueprint)),
        Outcome::NothingWaits => WireOutcome::NothingWaits(wire::Done {}),
        Outcome::UnderWay => WireOutcome::UnderWay(wire::Done {}),
        Outcome::InVain { why } => WireOutcome::InVain(why.clone()),
        Outcome::Failed { why } => WireOutcome::Failed(why.clone()),
    };
    wire::Performed { key: Some(key), outcome: Some(outcome) }
}

fn performed_from_wire(from: &wire::Performed) -> anyhow::Result<(Key, Outcome)> {
    let hook = |key: &wire::HookKey| hook_id_from_wire(&key.instance, key.transition());
    let key = match from.key.as_ref().context("a request without a key")? {
        WireKey::Answer(key) => Key::Answer(hook(key)?),
        WireKey::Beat(key) => Key::Beat(hook(key)?),
        WireKey::Hook(key) => Key::Hook(key.pool.clone(), transition_from_wire(key.transition())?),
        WireKey::Desired(pool) => Key::Desired(pool.clone()),
        WireKey::MakeTemplate(key) => {
            Key::MakeTemplate(refresh_id_from_wire(&key.pool, key.number)?)
        }
        WireKey::Template(pool) => Key::Template(pool.clone()),
        WireKey::Max(pool) => Key::Max(pool.clone()),
        WireKey::Process(pool) => Key::Process(pool.clone()),
        WireKey::Terminate(instance) => Key::Terminate(instance.parse()?),
        WireKey::Cancel(pool) => Key::Cancel(pool.clone()),
        WireKey::Root(instance) => Key::Root(instance.parse()?),
        WireKey::Bake(id) => Key::Bake(id.parse()?),
        WireKey::Look(name) => Key::Look(name.parse()?),
        WireKey::Remove(id) => Key::Remove(id.clone()),
        WireKey::Balance(group) => Key::Balance(group.parse()?),
    };
    let outcome = match from.outcome.as_ref().context("a request without an outcome")? {
        WireOutcome::Done(_) => Outcome::Done,
        WireOutcome::Made(blueprint) => Outcome::Made(blueprint_from_wire(blueprint)?),
        WireOutcome::NothingWaits(_) => Outcome::NothingWaits,
        WireOutcome::UnderWay(_) => Outcome::UnderWay,
        WireOutcome::InVain(why) => Outcome::InVain { why: why.clone() },
        WireOutcome::Failed(why) => Outcome::Failed { why: why.clone() },
    };
    Ok((key, outcome))
}

fn refresh_event_to_wire(event: &RefreshEvent) -> wire::FlightRefresh {
    use wire::flight_refresh::Event as Wire;
    use wire::start_refresh_request::Target as WireTarget;
    let event = match event {
        RefreshEvent::Start { pool, target, policy, expect, after } => {
            let target = match target {
                Target::Ami(ami) => WireTarget::Ami(ami.clone()),
                Target::Blueprint(to) => WireTarget::Blueprint(blueprint_to_wire(to)),
            };
            Wire::Start(wire::StartRefreshRequest {
                pool: pool.clone(),
                target: Some(target),
                policy: Some(refresh_policy_to_wire(policy)),
                expect: *expect,
                after: after.clone(),
            })
        }
        RefreshEvent::Steer { pool, steering } => Wire::Steer(wire::SteerRefreshRequest {
            pool: pool.clone(),
            steering: steering_to_wire(*steering).into(),
        }),
        RefreshEvent::Override { pool, reason } => Wire::Override(wire::OverrideRefreshRequest {
            pool: pool.clone(),
            reason: reason.clone(),
        }),
        RefreshEvent::Freeze { why, until } => Wire::Freeze(wire::FreezeRefreshesRequest {
            why: why.clone(),
            until_ms: until.map(Timestamp::as_millis),
        }),
        RefreshEvent::Unfreeze => Wire::Unfreeze(wire::UnfreezeRefreshesRequest {}),
        RefreshEvent::RollBack { pool } => Wire::RollBack(pool.clone()),
    };
    wire::FlightRefresh { event: Some(event) }
}

fn refresh_event_from_wire(from: &wire::FlightRefresh) -> anyhow::Result<RefreshEvent> {
    use wire::flight_refresh::Event as Wire;
    use wire::start_refresh_request::Target as WireTarget;
    Ok(match from.event.as_ref().context("an event that this version does not know")? {
        Wire::Start(start) => RefreshEvent::Start {
            pool: start.pool.clone(),
            target: match start.target.as_ref().context("a refresh without a target")? {
                WireTarget::Ami(ami) => Target::Ami(ami.clone()),
                WireTarget::Blueprint(to) => Target::Blueprint(blueprint_from_wire(to)?),
            },
            policy: refresh_policy_from_wire(start.policy.as_ref())?,
            expect: start.expect,
            after: start.after.clone(),
        },
        Wire::Steer(steer) => RefreshEvent::Steer {
            pool: steer.pool.clone(),
            steering: steering_from_wire(steer.steering())?,
        },
        Wire::Override(hurry) => RefreshEvent::Override {
            pool: hurry.pool.clone(),
            reason: reason_from_wire(&hurry.reason)?,
        },
        Wire::Freeze(freeze) => RefreshEvent::Freeze {
            why: reason_from_wire(&freeze.why)?,
            until: freeze.until_ms.map(Timestamp::from_millis),
        },
        Wire::Unfreeze(_) => RefreshEvent::Unfreeze,
        Wire::RollBack(pool) => RefreshEvent::RollBack { pool: pool.clone() },
    })
}
