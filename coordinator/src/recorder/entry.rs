//! Events as entries of the recorder, and back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use coordinator_core::cluster::{Change, Cluster, Sighting};
use coordinator_core::event::{EngineState, Event, Report};
use model::id::{NodeId, ServiceId};
use model::image::Stock;
use model::node::Availability;
use model::time::Timestamp;
use proto::convert::{
    containers_from_wire, containers_to_wire, drain_cause_from_wire, drain_cause_to_wire,
    go_back_from_wire, go_back_to_wire, node_from_wire, node_to_wire, spec_from_wire, spec_to_wire,
    state_from_wire, state_to_wire, steering_from_wire, steering_to_wire, stock_from_wire,
    stock_to_wire,
};
use proto::wire;
use proto::wire::flight_entry::Entry;
use proto::wire::flight_event::Event as Wire;

use super::bake::{bake_from_wire, bake_to_wire};
use super::fleet::{fleet_from_wire, fleet_to_wire};
use super::secret::{secret_from_wire, secret_to_wire, without_values};
use super::traffic::{traffic_from_wire, traffic_to_wire};
use crate::job_order::{job_order_from_wire, job_order_to_wire};
use crate::store::Identity;
use crate::store::record::to_record;

/// Where a file begins.
pub(super) fn start(identity: &Identity, cluster: &Cluster, now: Timestamp) -> wire::FlightEntry {
    let stored = cluster.stored();
    let bare = |change: &Change| match change {
        Change::PutSecret(secret) => Change::PutSecret(Arc::new(without_values(secret))),
        other => other.clone(),
    };
    let records =
        stored.iter().map(bare).map(|change| to_record(&change)).map(|record| wire::StoredRecord {
            kind: record.kind as u32,
            key: record.key,
            value: record.value.unwrap_or_default(),
        });
    let seen = |node: &NodeId| Some(sighting_to_wire(node, cluster.sighting(node)?));
    let start = wire::FlightStart {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        identity: Some(wire::Identity {
            cluster: identity.cluster.to_string(),
            incarnation: identity.incarnation,
            epoch: identity.epoch,
        }),
        records: records.collect(),
        sightings: cluster.nodes().keys().filter_map(seen).collect(),
        max_changes: cluster.max_changes().try_into().unwrap_or(u32::MAX),
    };
    wire::FlightEntry { at_ms: now.as_millis(), entry: Some(Entry::Start(start)) }
}

/// One step's worth of what was heard.
pub(super) fn batch(
    sightings: &BTreeMap<NodeId, Sighting>,
    events: &[Event],
    now: Timestamp,
) -> wire::FlightEntry {
    let sightings = sightings.iter().map(|(node, seen)| sighting_to_wire(node, *seen));
    let event = |event: &Event| wire::FlightEvent { event: Some(to_wire(event, now)) };
    let batch = wire::FlightBatch {
        sightings: sightings.collect(),
        events: events.iter().map(event).collect(),
    };
    wire::FlightEntry { at_ms: now.as_millis(), entry: Some(Entry::Batch(batch)) }
}

fn sighting_to_wire(node: &NodeId, seen: Sighting) -> wire::FlightSighting {
    wire::FlightSighting {
        node: node.to_string(),
        at_ms: seen.at.as_millis(),
        engine_ready: seen.engine == EngineState::Ready,
        told_all: seen.has_told_all,
    }
}

/// Reads a sign of life.
pub(super) fn sighting_from_wire(
    from: &wire::FlightSighting,
) -> anyhow::Result<(NodeId, Sighting)> {
    let engine = if from.engine_ready { EngineState::Ready } else { EngineState::Silent };
    let (at, has_told_all) = (Timestamp::from_millis(from.at_ms), from.told_all);
    Ok((from.node.parse()?, Sighting { at, engine, has_told_all }))
}

fn service_to_wire(id: &ServiceId) -> wire::FlightService {
    wire::FlightService { project: id.project.to_string(), name: id.name.to_string() }
}

fn service_from_wire(from: &wire::FlightService) -> anyhow::Result<ServiceId> {
    Ok(ServiceId { project: from.project.parse()?, name: from.name.parse()? })
}

fn to_wire(event: &Event, now: Timestamp) -> Wire {
    match event {
        Event::Deploy { specs, remove, expect } => {
            let expect = expect.iter().map(|(service, generation)| wire::FlightExpect {
                service: Some(service_to_wire(service)),
                generation: *generation,
            });
            Wire::Deploy(wire::FlightDeploy {
                specs: specs.iter().map(spec_to_wire).collect(),
                remove: remove.iter().map(service_to_wire).collect(),
                expect: expect.collect(),
            })
        }
        Event::Restart(service) => Wire::Restart(service_to_wire(service)),
        Event::Job { service, order } => Wire::Job(wire::FlightJob {
            service: Some(service_to_wire(service)),
            order: job_order_to_wire(*order).into(),
        }),
        Event::Scale { service, replicas } => Wire::Scale(wire::FlightScale {
            service: Some(service_to_wire(service)),
            replicas: *replicas,
        }),
        Event::Rollback { service, to } => Wire::Rollback(wire::FlightRollback {
            service: Some(service_to_wire(service)),
            to: *to,
        }),
        Event::GoBack(back) => Wire::GoBack(go_back_to_wire(back)),
        Event::Steer { service, steering } => Wire::Steer(wire::FlightSteer {
            service: Some(service_to_wire(service)),
            steering: steering_to_wire(*steering).into(),
        }),
        Event::Remove(service) => Wire::Remove(service_to_wire(service)),
        Event::Joined(node) => Wire::Joined(node_to_wire(node)),
        Event::SetAvailability { node, availability } => {
            let availability = match availability {
                Availability::Active => wire::Availability::Active,
                Availability::Cordoned => wire::Availability::Cordoned,
                Availability::Dead => wire::Availability::Dead,
            };
            let availability = availability.into();
            Wire::Availability(wire::FlightAvailability { node: node.to_string(), availability })
        }
        Event::Drain { nodes, within, cause } => Wire::Drain(wire::FlightDrain {
            nodes: nodes.iter().map(ToString::to_string).collect(),
            within_ms: u64::try_from(within.as_millis()).unwrap_or(u64::MAX),
            cause: drain_cause_to_wire(*cause).into(),
        }),
        Event::Rebalance => Wire::Rebalance(wire::FlightRebalance {}),
        Event::Heard { node, engine } => Wire::Heard(sighting_to_wire(
            node,
            Sighting { at: now, engine: *engine, has_told_all: false },
        )),
        Event::Reported { node, tasks, is_complete } => Wire::Reported(wire::FlightReport {
            node: node.to_string(),
            complete: *is_complete,
            tasks: tasks.iter().map(report_to_wire).collect(),
        }),
        Event::Images { node, stock } => Wire::Images(wire::FlightImages {
            node: node.to_string(),
            stock: Some(stock_to_wire(stock)),
            ..wire::FlightImages::default()
        }),
        Event::Died(node) => Wire::Died(node.to_string()),
        Event::Fleet(event) => Wire::Fleet(fleet_to_wire(event)),
        Event::Bake(event) => Wire::Bake(bake_to_wire(event)),
        Event::Traffic(event) => Wire::Traffic(traffic_to_wire(event)),
        Event::Secret(event) => Wire::Secret(secret_to_wire(event)),
    }
}

fn report_to_wire(report: &Report) -> wire::TaskReport {
    wire::TaskReport {
        task: report.task.to_string(),
        state: Some(state_to_wire(&report.state)),
        restarts: report.restarts,
        note: report.note.clone(),
        containers: containers_to_wire(&report.containers),
        lease_until_ms: report.lease.map(Timestamp::as_millis),
    }
}

/// What an engine has. Releases before there was more to say wrote nothing but digests.
fn stock(from: &wire::FlightImages) -> anyhow::Result<Stock> {
    if let Some(stock) = &from.stock {
        return Ok(stock_from_wire(stock)?);
    }
    let digests = from.digests.iter().map(|one| one.parse());
    Ok(digests.collect::<Result<BTreeSet<_>, _>>()?.into())
}

/// Reads an event.
pub(super) fn from_wire(from: &wire::FlightEvent) -> anyhow::Result<Event> {
    use anyhow::Context as _;
    let named = |service: &Option<wire::FlightService>| {
        service_from_wire(service.as_ref().context("a service is not named")?)
    };
    Ok(match from.event.as_ref().context("an event that this version does not know")? {
        Wire::Deploy(deploy) => Event::Deploy {
            specs: deploy.specs.iter().map(spec_from_wire).collect::<Result<_, _>>()?,
            remove: deploy.remove.iter().map(service_from_wire).collect::<anyhow::Result<_>>()?,
            expect: deploy
                .expect
                .iter()
                .map(|one| Ok((named(&one.service)?, one.generation)))
                .collect::<anyhow::Result<_>>()?,
        },
        Wire::Restart(service) => Event::Restart(service_from_wire(service)?),
        Wire::Job(job) => {
            let order = job_order_from_wire(job.order()).context("nothing is asked of a job")?;
            Event::Job { service: named(&job.service)?, order }
        }
        Wire::Scale(scale) => {
            Event::Scale { service: named(&scale.service)?, replicas: scale.replicas }
        }
        Wire::Rollback(rollback) => {
            Event::Rollback { service: named(&rollback.service)?, to: rollback.to }
        }
        Wire::GoBack(back) => Event::GoBack(Box::new(go_back_from_wire(back)?)),
        Wire::Steer(steer) => Event::Steer {
            service: named(&steer.service)?,
            steering: steering_from_wire(steer.steering())?,
        },
        Wire::Remove(service) => Event::Remove(service_from_wire(service)?),
        Wire::Joined(node) => Event::Joined(Box::new(node_from_wire(node)?)),
        Wire::Availability(set) => {
            let availability = match set.availability() {
                wire::Availability::Active => Availability::Active,
                wire::Availability::Cordoned => Availability::Cordoned,
                wire::Availability::Dead => Availability::Dead,
                wire::Availability::Unspecified => anyhow::bail!("no availability is named"),
            };
            Event::SetAvailability { node: set.node.parse()?, availability }
        }
        Wire::Drain(drain) => Event::Drain {
            nodes: drain.nodes.iter().map(|node| node.parse()).collect::<Result<_, _>>()?,
            within: Duration::from_millis(drain.within_ms),
            cause: drain_cause_from_wire(drain.cause())?,
        },
        Wire::Rebalance(_) => Event::Rebalance,
        Wire::Heard(seen) => {
            let (node, seen) = sighting_from_wire(seen)?;
            Event::Heard { node, engine: seen.engine }
        }
        Wire::Reported(report) => Event::Reported {
            node: report.node.parse()?,
            tasks: report.tasks.iter().map(report_from_wire).collect::<anyhow::Result<_>>()?,
            is_complete: report.complete,
        },
        Wire::Images(images) => Event::Images { node: images.node.parse()?, stock: stock(images)? },
        Wire::Died(node) => Event::Died(node.parse()?),
        Wire::Fleet(event) => Event::Fleet(fleet_from_wire(event)?),
        Wire::Bake(event) => Event::Bake(bake_from_wire(event)?),
        Wire::Traffic(event) => Event::Traffic(traffic_from_wire(event)?),
        Wire::Secret(event) => Event::Secret(secret_from_wire(event)?),
    })
}

fn report_from_wire(from: &wire::TaskReport) -> anyhow::Result<Report> {
    Ok(Report {
        task: from.task.parse()?,
        state: state_from_wire(from.state.as_ref())?,
        restarts: from.restarts,
        note: from.note.clone(),
        containers: containers_from_wire(&from.containers)?,
        lease: from.lease_until_ms.map(Timestamp::from_millis),
    })
}

#[cfg(test)]
mod tests {
    use coordinator_core::event::JobOrder;

    use super::*;

    #[test]
    fn what_is_asked_of_a_job_is_read_as_it_was_written() {
        for order in [JobOrder::Run, JobOrder::Stop, JobOrder::Suspend, JobOrder::Resume] {
            let event = Event::Job { service: "shop/import".parse().unwrap(), order };
            let written = wire::FlightEvent { event: Some(to_wire(&event, Timestamp::default())) };
            let read = from_wire(&written).unwrap();
            assert_eq!(format!("{read:?}"), format!("{event:?}"));
        }
    }
}
