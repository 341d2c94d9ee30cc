//! Decides again what was decided, and says what and why.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, ensure};
use coordinator_core::cluster::Cluster;
use coordinator_core::event::{Event, FleetEvent, RefreshEvent, Reply, TrafficEvent};
use coordinator_core::narrate::{Subject, narrate};
use coordinator_core::{Step, invariant, step};
use jiff::Timestamp as Clock;
use model::time::Timestamp;
use model::traffic::RegistrationPhase;
use prost::Message;
use proto::wire;
use proto::wire::flight_entry::Entry;

use super::{HEAD, entry};
use crate::store::record::from_record;

/// Reads a file of the recorder and writes to `out` what each step heard and decided. Ends with the state that the
/// coordinator had come to.
///
/// # Errors
/// When the file is not one of the recorder. One that was cut short in its last entry is read up to there.
pub fn replay(path: &Path, out: &mut dyn Write) -> anyhow::Result<Cluster> {
    let bytes = fs::read(path).with_context(|| format!("can not read {}", path.display()))?;
    let mut rest = bytes.as_slice();
    let mut cluster = Cluster::default();
    let mut steps = 0;
    while let Some(payload) = next(&mut rest) {
        let payload = payload.with_context(|| format!("{} is damaged", path.display()))?;
        let read = wire::FlightEntry::decode(payload).context("an entry can not be read")?;
        let at = Timestamp::from_millis(read.at_ms);
        match read.entry.context("an entry that this version does not know")? {
            Entry::Start(start) => cluster = begin(&start, at, out)?,
            Entry::Batch(batch) => {
                steps += 1;
                turn(&mut cluster, &batch, at, out)?;
            }
        }
    }
    ensure!(steps > 0 || !cluster.nodes().is_empty() || !bytes.is_empty(), "nothing is in it");
    let broken = invariant::check(&cluster);
    let verdict = if broken.is_empty() { "every invariant holds" } else { "INVARIANTS ARE BROKEN" };
    writeln!(
        out,
        "{steps} steps, {} services, {} tasks; {verdict}",
        cluster.services().len(),
        cluster.tasks().len()
    )?;
    Ok(cluster)
}

/// The next entry, if there is a whole one.
fn next<'a>(rest: &mut &'a [u8]) -> Option<anyhow::Result<&'a [u8]>> {
    let (head, after) = rest.split_at_checked(HEAD)?;
    let (length, sum) = head.split_at(HEAD / 2);
    let number = |bytes: &[u8]| bytes.try_into().map(u32::from_le_bytes).unwrap_or_default();
    let length = usize::try_from(number(length)).ok()?;
    let (payload, after) = after.split_at_checked(length)?;
    *rest = after;
    let is_sound = number(sum) == crc32fast::hash(payload);
    Some(is_sound.then_some(payload).context("the checksum of an entry is wrong"))
}

fn begin(start: &wire::FlightStart, at: Timestamp, out: &mut dyn Write) -> anyhow::Result<Cluster> {
    let read = |record: &wire::StoredRecord| {
        let read = from_record(i64::from(record.kind), &record.key, &record.value);
        read.map_err(anyhow::Error::msg)
    };
    let stored = start.records.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
    let mut cluster = Cluster::load(&stored, at);
    cluster.bound(start.max_changes as usize);
    for sighting in &start.sightings {
        let (node, sighting) = entry::sighting_from_wire(sighting)?;
        cluster.saw(&node, sighting);
    }
    let identity = start.identity.clone().unwrap_or_default();
    writeln!(
        out,
        "{} cluster {} (epoch {}, version {}): {} services, {} tasks, {} nodes",
        shown(at),
        identity.cluster,
        identity.epoch,
        start.version,
        cluster.services().len(),
        cluster.tasks().len(),
        cluster.nodes().len()
    )?;
    Ok(cluster)
}

fn turn(
    cluster: &mut Cluster,
    batch: &wire::FlightBatch,
    at: Timestamp,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    for sighting in &batch.sightings {
        let (node, sighting) = entry::sighting_from_wire(sighting)?;
        cluster.saw(&node, sighting);
    }
    let events = batch.events.iter().map(entry::from_wire).collect::<anyhow::Result<Vec<_>>>()?;
    let before = cluster.clone();
    let done = step(cluster, &events, at);
    if done.changes.is_empty() && done.replies.iter().all(|reply| *reply == Reply::Noted) {
        return Ok(());
    }
    writeln!(out, "{}", shown(at))?;
    tell(&before, &events, &done, out)
}

fn tell(
    before: &Cluster,
    events: &[Event],
    done: &Step,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    for (event, reply) in events.iter().zip(&done.replies) {
        match reply {
            Reply::Refused(why) => writeln!(out, "  heard    {}: refused, {why}", brief(event))?,
            Reply::Noted
            | Reply::Accepted { .. }
            | Reply::Run { .. }
            | Reply::Baking(_)
            | Reply::SecretSet(_)
            | Reply::Deployed(_) => {
                writeln!(out, "  heard    {}", brief(event))?;
            }
        }
    }
    let mut known = before.clone();
    for change in &done.changes {
        if let Some(occurrence) = narrate(&known, change) {
            let subject = match &occurrence.subject {
                Subject::Service(service) => format!("service {service}"),
                Subject::Task(task, _) => format!("task {task}"),
                Subject::Node(node) => format!("node {node}"),
                Subject::Pool(name) => format!("pool {name}"),
                Subject::Pools => "all pools".to_owned(),
                Subject::Bake(id) => format!("bake {id}"),
                Subject::Ami(id) => format!("image {id}"),
                Subject::Recipe(name) => format!("recipe {name}"),
                Subject::Secret(name) => format!("secret {name}"),
            };
            writeln!(out, "  decided  {subject} {}", occurrence.message)?;
        }
        known.apply(change);
    }
    for (task, note) in &done.notes {
        writeln!(out, "  waits    task {task} {note}")?;
    }
    Ok(())
}

fn brief(event: &Event) -> String {
    match event {
        Event::Deploy { specs, remove, .. } => {
            let put = specs.iter().map(|spec| spec.id.to_string());
            let gone = remove.iter().map(|id| format!("without {id}"));
            format!("deploy {}", put.chain(gone).collect::<Vec<_>>().join(", "))
        }
        Event::Restart(service) => format!("restart {service}"),
        Event::Job { service, order } => format!("{order:?} job {service}").to_lowercase(),
        Event::Scale { service, replicas } => format!("scale {service} to {replicas}"),
        Event::Rollback { service, to: Some(to) } => format!("roll {service} back to {to}"),
        Event::GoBack(back) => format!(
            "{} services and {} pools go back to what ran at {}",
            back.services.len(),
            back.pools.len(),
            back.then
        ),
        Event::Rollback { service, to: None } => format!("roll {service} back"),
        Event::Rebalance => "look for tasks that would be better elsewhere".to_owned(),
        Event::Steer { service, steering } => {
            format!("{steering:?} the rollout of {service}").to_lowercase()
        }
        Event::Remove(service) => format!("remove {service}"),
        Event::Joined(node) => format!("node {} has joined", node.id),
        Event::SetAvailability { node, availability } => {
            format!("node {node} shall be {availability:?}").to_lowercase()
        }
        Event::Drain { nodes, within, .. } => {
            let nodes: Vec<String> = nodes.iter().map(ToString::to_string).collect();
            format!("{} are to be emptied within {} s", nodes.join(", "), within.as_secs())
        }
        Event::Heard { node, .. } => format!("node {node} lives"),
        Event::Reported { node, tasks, .. } => {
            let tasks = tasks.iter().map(|report| format!("{} {}", report.task, report.state));
            format!("node {node} reports {}", tasks.collect::<Vec<_>>().join(", "))
        }
        Event::Images { node, stock } => {
            let (images, volumes) = (stock.digests.len(), stock.volumes.len());
            format!("node {node} has {images} images and {volumes} volumes")
        }
        Event::Died(node) => format!("node {node} is gone"),
        Event::Traffic(event) => brief_of_traffic(event),
        Event::Fleet(event) => brief_of_fleet(event),
        Event::Bake(event) => super::bake::brief(event),
        Event::Secret(event) => super::secret::brief(event),
    }
}

fn brief_of_traffic(event: &TrafficEvent) -> String {
    match event {
        TrafficEvent::Looked(looks) => {
            let groups: Vec<String> = looks.iter().map(|look| look.group.to_string()).collect();
            format!("target groups were looked at: {}", groups.join(", "))
        }
        TrafficEvent::Told { group, phase, targets, failure } => {
            let targets: Vec<String> = targets.iter().map(ToString::to_string).collect();
            let word = match phase {
                RegistrationPhase::Entering => "has",
                RegistrationPhase::Leaving => "leaves out",
            };
            let why = failure.as_ref().map(|why| format!(", it was told in vain: {why}"));
            format!("{group} {word} {}{}", targets.join(", "), why.unwrap_or_default())
        }
    }
}

fn brief_of_fleet(event: &FleetEvent) -> String {
    match event {
        FleetEvent::PutPool { name, .. } => format!("{name} is a pool"),
        FleetEvent::SetWindows { name, windows } => {
            format!("{name} has {} maintenance windows", windows.len())
        }
        FleetEvent::RemovePool(name) => format!("{name} is no pool any more"),
        FleetEvent::Surveyed(survey) => format!(
            "the cloud shows {} groups and {} machines",
            survey.groups.len(),
            survey.instances.len()
        ),
        FleetEvent::Hooked(call) => format!("{} waits for an answer about {}", call.pool, call.id),
        FleetEvent::Noticed { node, notice } => format!("{node} has to expect {notice:?}"),
        FleetEvent::Foreseen { node, outlook } => {
            format!("the agent of {node} says what it has to expect: {outlook:?}")
        }
        FleetEvent::Performed { key, outcome } => format!("the cloud on {key:?}: {outcome:?}"),
        FleetEvent::Refresh(RefreshEvent::Start { pool, .. }) => format!("{pool} is refreshed"),
        FleetEvent::Refresh(RefreshEvent::Steer { pool, steering }) => {
            format!("the refresh of {pool} is told to {steering:?}")
        }
        FleetEvent::Refresh(RefreshEvent::Override { pool, reason }) => {
            format!("the refresh of {pool} waits for nothing any more: {reason}")
        }
        FleetEvent::Refresh(RefreshEvent::Freeze { why, .. }) => {
            format!("no machines are replaced: {why}")
        }
        FleetEvent::Refresh(RefreshEvent::Unfreeze) => "machines are replaced again".to_owned(),
        FleetEvent::Refresh(RefreshEvent::RollBack { pool }) => format!("{pool} is rolled back"),
    }
}

fn shown(at: Timestamp) -> String {
    let at_millis = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
    Clock::from_millisecond(at_millis).map_or_else(|_| format!("{at:?}"), |at| format!("{at:.3}"))
}
