//! Services, tasks and nodes that are valid, in every state.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::id::{SecretName, Slot, TaskId};
use model::job::Runs;
use model::node::{Availability, Drain, DrainCause, DrainPhase, Node};
use model::rollout::{Pace, Rollout, Stage};
use model::service::{Generation, HISTORY_LIMIT, Origin, Past, Service, ServicePhase, Verdict};
use model::spec::{Mode, Protocol, ServiceSpec};
use model::task::*;
use model::time::Timestamp;
use model::traffic::Traffic;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::jobs::{self, with_target};
use super::specs;
use super::values::{instant, map, name, node_id, one_of, port, resources, text, word};

/// A service whose generations are one line. Their specs differ in how often they were restarted.
pub(crate) fn service() -> BoxedStrategy<Service> {
    let phase = prop_oneof![
        rollout().prop_map(ServicePhase::Rolling),
        Just(ServicePhase::Steady),
        (text(), stage()).prop_map(|(reason, stage)| ServicePhase::Halted { reason, stage }),
        Just(ServicePhase::Removing),
    ];
    let verdicts = [Verdict::Stable, Verdict::Failed, Verdict::Superseded, Verdict::Aborted];
    let verdicts = one_of(verdicts);
    let history = vec((verdicts, origin()), 0..=HISTORY_LIMIT);
    (specs::service(), 20..1_u64 << 62, instant(), origin(), history, (phase, jobs::runs()))
        .prop_map(|(spec, number, at, last, history, (phase, runs))| {
            let first = number - u64::try_from(history.len()).unwrap();
            let make = |number, origin: Origin| {
                let mut spec = spec.clone();
                spec.task.restarts_asked = number % (1 << 32);
                Arc::new(generation(number, origin, at, spec))
            };
            let history = history.into_iter().zip(first..).map(|((verdict, origin), number)| {
                Past { generation: make(number, origin), verdict }
            });
            let history: Vec<Past> = history.collect();
            let target = make(number, last);
            let stable = match phase {
                ServicePhase::Steady => Some(Arc::clone(&target)),
                ServicePhase::Rolling(_) | ServicePhase::Halted { .. } | ServicePhase::Removing => {
                    history.first().map(|past| Arc::clone(&past.generation))
                }
            };
            let runs = if matches!(target.spec.mode, Mode::Job(_)) {
                with_target(runs, &target)
            } else {
                Runs { active: Vec::new(), ..runs }
            };
            Service { id: target.spec.id.clone(), target, stable, history, phase, runs }
        })
        .boxed()
}

fn stage() -> impl Strategy<Value = Stage> {
    prop_oneof![
        Just(Stage::Trial),
        instant().prop_map(|since| Stage::Holding { since }),
        instant().prop_map(|since| Stage::Switching { since }),
        instant().prop_map(|since| Stage::Keeping { since }),
        Just(Stage::Everywhere),
    ]
}

fn rollout() -> impl Strategy<Value = Rollout> {
    let pace = prop_oneof![
        instant().prop_map(|since| Pace::Going { since }),
        instant().prop_map(|since| Pace::Paused { since }),
    ];
    (instant(), stage(), pace).prop_map(|(since, stage, pace)| Rollout { since, stage, pace })
}

fn origin() -> impl Strategy<Value = Origin> {
    prop_oneof![
        Just(Origin::Deployed),
        Just(Origin::Scaled),
        Just(Origin::Restarted),
        (1..10_u64).prop_map(|to| Origin::RolledBack { to }),
    ]
}

fn generation(
    number: u64,
    origin: Origin,
    accepted_at: Timestamp,
    spec: ServiceSpec,
) -> Generation {
    Generation { number, template: number.div_ceil(2), origin, accepted_at, spec }
}

/// A task in any state, wanted or not.
pub(crate) fn task() -> BoxedStrategy<Task> {
    let slot = prop_oneof![
        (1..=u32::MAX).prop_map(Slot::Replica),
        node_id().prop_map(Slot::Node),
        (1..=u64::MAX, 1..=u32::MAX).prop_map(|(run, number)| Slot::RunReplica { run, number }),
        (1..=u64::MAX, node_id()).prop_map(|(run, node)| Slot::RunNode { run, node }),
    ];
    (
        (specs::service(), 10..1_u64 << 62, origin(), slot, any::<u64>()),
        (option::of(node_id()), desired(), state(), any::<u32>(), text()),
        (vec(container(), 0..3), instant(), instant(), some_instants()),
        (option::of(instant()), any::<u32>(), option::of(node_id()), pins(), traffic()),
    )
        .prop_map(
            |(
                (spec, number, origin, slot, count),
                (node, desired, state, restarts, note),
                (containers, created_at, accepted_at, [clock_since, moving_since, missed_at]),
                (ended_at, failures, room_on, secrets, traffic),
            )| Task {
                id: TaskId::new(&spec.id, &slot, count),
                service: spec.id.clone(),
                slot,
                generation: Arc::new(generation(number, origin, accepted_at, spec)),
                node,
                room_on,
                desired,
                state,
                restarts,
                note,
                containers,
                created_at,
                clock_since,
                moving_since,
                missed_at,
                ended_at,
                failures,
                traffic,
                secrets,
            },
        )
        .boxed()
}

fn traffic() -> impl Strategy<Value = Traffic> {
    prop_oneof![
        Just(Traffic::Out),
        instant().prop_map(|since| Traffic::In { since }),
        instant().prop_map(|until| Traffic::Leaving { until }),
    ]
}

fn pins() -> impl Strategy<Value = BTreeMap<SecretName, u64>> {
    let name = "[A-Za-z][A-Za-z0-9._-]{0,9}".prop_map(|name| name.parse().unwrap());
    proptest::collection::btree_map(name, 1..1_u64 << 32, 0..3)
}

fn some_instants() -> impl Strategy<Value = [Option<Timestamp>; 3]> {
    [option::of(instant()), option::of(instant()), option::of(instant())]
}

fn desired() -> impl Strategy<Value = DesiredState> {
    let causes = [
        StopCause::Operator,
        StopCause::Drain,
        StopCause::Balance,
        StopCause::Preemption,
        StopCause::Update,
        StopCause::Duplicate,
        StopCause::Ended,
        StopCause::NodeDead,
        StopCause::RunOver,
    ];
    prop_oneof![
        Just(DesiredState::Run),
        (one_of(causes), option::of(instant()))
            .prop_map(|(cause, patience)| { DesiredState::Stop { cause, patience } }),
    ]
}

/// Any state of a task.
pub(crate) fn state() -> impl Strategy<Value = TaskState> {
    let kinds = [FailureKind::Application, FailureKind::Image, FailureKind::Host];
    prop_oneof![
        Just(TaskState::Pending),
        Just(TaskState::Assigned),
        Just(TaskState::Fetching),
        Just(TaskState::Preparing),
        (instant(), health()).prop_map(|(since, health)| TaskState::Running { since, health }),
        Just(TaskState::Completed),
        (one_of(kinds), text()).prop_map(|(kind, reason)| TaskState::Failed { kind, reason }),
        Just(TaskState::Lost),
    ]
}

fn health() -> BoxedStrategy<Health> {
    one_of([Health::Unchecked, Health::Starting, Health::Healthy, Health::Unhealthy]).boxed()
}

fn container() -> BoxedStrategy<ContainerStatus> {
    let exit = (any::<i64>(), any::<bool>(), text(), instant())
        .prop_map(|(code, is_oom, error, at)| Exit { code, is_oom, error, at });
    let protocol = one_of([Protocol::Tcp, Protocol::Udp]);
    let published = (port(), port(), protocol)
        .prop_map(|(container, host, protocol)| PublishedPort { container, host, protocol });
    let id = "([0-9a-f]{64})?";
    (
        name(),
        id,
        any::<u32>(),
        option::of(instant()),
        option::of(exit),
        health(),
        vec(published, 0..3),
    )
        .prop_map(|(name, container_id, attempt, started_at, exit, health, ports)| {
            ContainerStatus { name, container_id, attempt, started_at, exit, health, ports }
        })
        .boxed()
}

/// A node with everything that it can say.
pub(crate) fn node() -> BoxedStrategy<Node> {
    let line = || prop_oneof![word(), Just(String::new())];
    let open = [Availability::Active, Availability::Cordoned, Availability::Dead];
    let open = one_of(open).prop_map(|availability| (availability, None));
    let draining = drain().prop_map(|drain| (Availability::Cordoned, Some(drain)));
    let availability = prop_oneof![open, draining];
    let who = (node_id(), word(), word(), line(), line());
    let fact = || option::of(word());
    let facts = (fact(), fact(), fact(), fact(), fact(), fact(), option::of(instant()));
    (who, map(line()), resources(), availability, facts)
        .prop_map(
            |(
                (id, hostname, engine, zone, arch),
                labels,
                capacity,
                (availability, drain),
                facts,
            )| {
                let (pool, ami, instance_type, os, engine_version, kernel_version, until) = facts;
                Node {
                    id,
                    hostname,
                    engine,
                    zone,
                    arch,
                    labels,
                    capacity,
                    availability,
                    pool,
                    ami,
                    instance_type,
                    os,
                    engine_version,
                    kernel_version,
                    preparing_until: until,
                    drain,
                }
            },
        )
        .boxed()
}

fn drain() -> impl Strategy<Value = Drain> {
    let phase = prop_oneof![
        Just(DrainPhase::Moving),
        instant().prop_map(|since| DrainPhase::Forced { since }),
        instant().prop_map(|since| DrainPhase::Drained { since }),
    ];
    let cause = one_of([
        DrainCause::ScaleIn,
        DrainCause::Operator,
        DrainCause::Refresh,
        DrainCause::AtRisk,
        DrainCause::Terminating,
        DrainCause::Interrupted,
    ]);
    (cause, instant(), instant(), phase).prop_map(|(cause, since, deadline, phase)| Drain {
        cause,
        since,
        deadline,
        phase,
    })
}
