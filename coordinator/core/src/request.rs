//! Whether a request can be taken at all. Checked as a whole before anything is changed.

use std::collections::{BTreeMap, BTreeSet};

use model::id::{ServiceId, ServiceName};
use model::rollout::Trial;
use model::service::{Service, ServicePhase};
use model::spec::{Dependency, Mode, REPLICAS_LIMIT, ServiceSpec, UpdateOrder};

use crate::cluster::Cluster;
use crate::event::{Refusal, SecretRefusal, TrialRefusal};

/// Checks a deployment against what is there.
pub(crate) fn check(
    cluster: &Cluster,
    specs: &[ServiceSpec],
    remove: &[ServiceId],
) -> Result<(), Refusal> {
    let mut named = BTreeSet::new();
    for id in specs.iter().map(|spec| &spec.id).chain(remove) {
        if !named.insert(id) {
            return Err(Refusal::NamedTwice(id.clone()));
        }
    }
    for spec in specs {
        if let Mode::Replicated { replicas } = spec.mode {
            check_replicas(replicas)?;
        }
        cluster.services().get(&spec.id).map_or(Ok(()), |service| check_stays(service))?;
        check_secrets(cluster, spec)?;
        check_blue_green(spec)?;
    }
    for id in remove {
        if !cluster.services().contains_key(id) {
            return Err(Refusal::NoService(id.clone()));
        }
    }
    check_dependencies(cluster, specs, remove)
}

pub(crate) fn check_stays(service: &Service) -> Result<(), Refusal> {
    match service.phase {
        ServicePhase::Removing => Err(Refusal::Removing(service.id.clone())),
        ServicePhase::Rolling(_) | ServicePhase::Steady | ServicePhase::Halted { .. } => Ok(()),
    }
}

/// What a spec names has to be there.
pub(crate) fn check_secrets(cluster: &Cluster, spec: &ServiceSpec) -> Result<(), Refusal> {
    let missing = cluster.lacks_secret(&spec.task);
    missing.map_or(Ok(()), |secret| {
        Err(Refusal::Secret(SecretRefusal::Missing { service: spec.id.clone(), secret }))
    })
}

/// Two generations of it have to be up side by side, and something has to switch from one to the other.
fn check_blue_green(spec: &ServiceSpec) -> Result<(), Refusal> {
    let Some(Trial::BlueGreen(_)) = spec.update.trial else { return Ok(()) };
    let why = match (spec.mode, spec.update.order) {
        (Mode::Global | Mode::Once | Mode::Job(_), _) => {
            "it is for services with a number of replicas; leave it out, or try a `canary`"
        }
        (Mode::Replicated { .. }, UpdateOrder::StopFirst) => {
            "its `order` is stop-first, and all of the new tasks start before an old one stops; leave `order` out"
        }
        (Mode::Replicated { .. }, _) if spec.task.is_exclusive() => {
            "two of its tasks can not run side by side: publish its ports without a number of the host, and share no volume"
        }
        (Mode::Replicated { .. }, _) if spec.task.routes.is_empty() => {
            "requests are switched at load balancers, and it has none: say which with `target_groups`, or try a `canary`"
        }
        (Mode::Replicated { .. }, UpdateOrder::Auto | UpdateOrder::StartFirst) => return Ok(()),
    };
    Err(Refusal::Trial(spec.id.clone(), TrialRefusal::NotBlueGreen(why)))
}

pub(crate) const fn check_replicas(replicas: u32) -> Result<(), Refusal> {
    if replicas > REPLICAS_LIMIT { Err(Refusal::TooManyReplicas(replicas)) } else { Ok(()) }
}

type Edges<'a> = BTreeMap<ServiceId, &'a [Dependency<ServiceName>]>;

fn check_dependencies(
    cluster: &Cluster,
    specs: &[ServiceSpec],
    remove: &[ServiceId],
) -> Result<(), Refusal> {
    let stays = cluster.services().values().filter(|service| !remove.contains(&service.id));
    let mut edges: Edges<'_> = stays
        .filter(|service| service.phase != ServicePhase::Removing)
        .map(|service| (service.id.clone(), service.target.spec.after.as_slice()))
        .collect();
    edges.extend(specs.iter().map(|spec| (spec.id.clone(), spec.after.as_slice())));
    for spec in specs {
        for on in spec.after.iter().map(|after| sibling(&spec.id, &after.on)) {
            if !edges.contains_key(&on) {
                return Err(Refusal::NoDependency { service: spec.id.clone(), on });
            }
        }
    }
    let mut done = BTreeSet::new();
    specs.iter().try_for_each(|spec| follow(&edges, &spec.id, &mut done))
}

fn sibling(id: &ServiceId, name: &ServiceName) -> ServiceId {
    ServiceId { project: id.project.clone(), name: name.clone() }
}

/// Walks along the dependencies, and fails on its own track. With a track of its own and not the stack of the thread: a
/// project may have more services in a row than that is deep.
fn follow(
    edges: &Edges<'_>,
    start: &ServiceId,
    done: &mut BTreeSet<ServiceId>,
) -> Result<(), Refusal> {
    let (mut track, mut passed) = (vec![(start.clone(), 0)], BTreeSet::from([start.clone()]));
    while let Some((id, next)) = track.last_mut() {
        let after = edges.get(id).and_then(|after| after.get(*next));
        let on = after.map(|after| sibling(id, &after.on));
        *next += 1;
        match on {
            None => {
                passed.remove(id);
                done.extend(track.pop().map(|(id, _)| id));
            }
            Some(on) if passed.contains(&on) => {
                let mut cycle: Vec<ServiceId> = track.into_iter().map(|(id, _)| id).collect();
                let start = cycle.iter().position(|id| *id == on).unwrap_or_default();
                cycle.drain(..start);
                cycle.push(on);
                return Err(Refusal::DependencyCycle(cycle));
            }
            Some(on) if done.contains(&on) => {}
            Some(on) => {
                passed.insert(on.clone());
                track.push((on, 0));
            }
        }
    }
    Ok(())
}
