//! What is heard of machines, as the recorder keeps it.

use anyhow::Context as _;
use coordinator_core::command::{Key, Outcome};
use coordinator_core::event::FleetEvent;
use model::fleet::HookId;
use proto::convert::{
    hook_call_from_wire, hook_call_to_wire, hook_id_from_wire, notice_from_wire, notice_to_wire,
    pool_policy_from_wire, pool_policy_to_wire, survey_from_wire, survey_to_wire,
    transition_from_wire, transition_to_wire,
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
        FleetEvent::RemovePool(name) => Wire::RemovePool(name.clone()),
        FleetEvent::Surveyed(survey) => Wire::Surveyed(survey_to_wire(survey)),
        FleetEvent::Hooked(call) => Wire::Hooked(hook_call_to_wire(call)),
        FleetEvent::Noticed { node, notice } => Wire::Noticed(wire::FlightNotice {
            node: node.to_string(),
            notice: Some(notice_to_wire(*notice)),
        }),
        FleetEvent::Performed { key, outcome } => Wire::Performed(performed_to_wire(key, outcome)),
    };
    wire::FlightFleet { event: Some(event) }
}

pub(super) fn fleet_from_wire(from: &wire::FlightFleet) -> anyhow::Result<FleetEvent> {
    Ok(match from.event.as_ref().context("an event that this version does not know")? {
        Wire::PutPool(pool) => FleetEvent::PutPool {
            name: pool.name.clone(),
            policy: pool_policy_from_wire(pool.policy.as_ref())?,
        },
        Wire::RemovePool(name) => FleetEvent::RemovePool(name.clone()),
        Wire::Surveyed(survey) => FleetEvent::Surveyed(Box::new(survey_from_wire(survey)?)),
        Wire::Hooked(call) => FleetEvent::Hooked(hook_call_from_wire(call)?),
        Wire::Noticed(noticed) => FleetEvent::Noticed {
            node: noticed.node.parse()?,
            notice: notice_from_wire(noticed.notice.as_ref())?,
        },
        Wire::Performed(performed) => {
            let (key, outcome) = performed_from_wire(performed)?;
            FleetEvent::Performed { key, outcome }
        }
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
        Key::Bake(id) => WireKey::Bake(id.to_string()),
        Key::Remove(id) => WireKey::Remove(id.clone()),
    };
    let outcome = match outcome {
        Outcome::Done => WireOutcome::Done(wire::Done {}),
        Outcome::NothingWaits => WireOutcome::NothingWaits(wire::Done {}),
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
        WireKey::Bake(id) => Key::Bake(id.parse()?),
        WireKey::Remove(id) => Key::Remove(id.clone()),
    };
    let outcome = match from.outcome.as_ref().context("a request without an outcome")? {
        WireOutcome::Done(_) => Outcome::Done,
        WireOutcome::NothingWaits(_) => Outcome::NothingWaits,
        WireOutcome::Failed(why) => Outcome::Failed { why: why.clone() },
    };
    Ok((key, outcome))
}
