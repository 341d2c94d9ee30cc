//! Pools, and what their groups wait for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::fleet::{
    Answer, Asked, Headroom, Hook, HookId, HookPhase, Pool, PoolPolicy, Precaution, Transition,
    Unreachable,
};
use model::node::{Availability, Drain, DrainCause, DrainPhase, Node};
use model::policy::Profile;
use model::resources::Resources;

use super::super::Records;
use super::super::stored::Stored;
use super::at;

fn pools() -> Records {
    let policy = PoolPolicy {
        drain_within: Duration::from_secs(1_800),
        join_within: Duration::from_secs(300),
        grows: true,
        shrinks: true,
        least: 2,
        most: Some(9),
        headroom: Headroom {
            count: 3,
            each: Resources {
                cpu_millis: 500,
                memory_bytes: 1 << 29,
                gpus: 1,
                ..Resources::default()
            },
        },
        shrink_after: Duration::from_secs(900),
        profile: Profile::Default,
        precaution: Precaution::Drain,
        unreachable: Unreachable::Keep,
        unreachable_after: Duration::from_secs(600),
    };
    let ending = BTreeSet::from(["i-0123456789abcdef0".parse().expect("an id")]);
    let why = "nothing needs i-0123456789abcdef0".to_owned();
    let asked = Some(Asked { at: at(30), from: 4, to: 3, why });
    let windows = vec!["mon-fri 22:00-05:00 Europe/Berlin".parse().expect("a window")];
    let root = ("i-0fedcba9876543210".parse().expect("an id"), ("lt-0abc".to_owned(), 8));
    let (name, roots) = ("web".to_owned(), BTreeMap::from([root]));
    let (condemned, condemned_in) = (BTreeMap::new(), BTreeMap::new());
    let pool =
        Pool { name, since: at(0), policy, ending, asked, windows, roots, condemned, condemned_in };
    let strict = PoolPolicy { profile: Profile::Strict, ..policy };
    let warned = |precaution| {
        let policy = PoolPolicy { precaution, ..policy };
        Stored::Pool(Pool { policy, ..pool.clone() })
    };
    let ends = |unreachable| {
        let unreachable_after = Duration::from_secs(1_200);
        PoolPolicy { unreachable, unreachable_after, ..policy }
    };
    let silent = Pool {
        policy: ends(Unreachable::End),
        condemned: BTreeMap::from([("i-00000000000000def".parse().expect("an id"), at(700))]),
        condemned_in: BTreeMap::from([("eu-west-1a".to_owned(), at(700))]),
        ..pool.clone()
    };
    let protected = Pool { policy: ends(Unreachable::EndProtected), ..pool.clone() };
    vec![
        ("pool-silent-ended", Stored::Pool(silent)),
        ("pool-silent-and-protected-ended", Stored::Pool(protected)),
        ("pool-at-risk-closed", warned(Precaution::Close)),
        ("pool-at-risk-ignored", warned(Precaution::Ignore)),
        ("pool-strict", Stored::Pool(Pool { policy: strict, ..pool.clone() })),
        ("pool", Stored::Pool(pool)),
    ]
}

pub(crate) fn records() -> Records {
    let answered =
        |answer, why: &str| HookPhase::Answered { answer, why: why.to_owned(), at: at(60) };
    let launching = hook(Transition::Launching, HookPhase::Waiting);
    let mut records = pools();
    records.extend([
        ("hook-launching", Stored::Hook(Hook { token: None, ..launching.clone() })),
        (
            "hook-abandoned",
            Stored::Hook(Hook {
                phase: answered(Answer::Abandon, "no agent has joined from it"),
                ..launching
            }),
        ),
        ("hook-terminating", Stored::Hook(hook(Transition::Terminating, HookPhase::Waiting))),
        (
            "hook-answered",
            Stored::Hook(hook(Transition::Terminating, answered(Answer::Continue, "it is empty"))),
        ),
        (
            "hook-done",
            Stored::Hook(hook(
                Transition::Terminating,
                HookPhase::Done { at: at(61), answer: Some(Answer::Continue) },
            )),
        ),
    ]);
    let given_back = HookPhase::Done { at: at(61), answer: Some(Answer::Abandon) };
    records.push(("hook-done-abandoned", Stored::Hook(hook(Transition::Launching, given_back))));
    let causes = [
        ("node-scale-in", DrainCause::ScaleIn),
        ("node-replaced", DrainCause::Refresh),
        ("node-at-risk", DrainCause::AtRisk),
        ("node-terminating", DrainCause::Terminating),
        ("node-interrupted", DrainCause::Interrupted),
    ];
    records.extend(causes.map(|(name, cause)| (name, Stored::Node(leaving(cause)))));
    records
}

fn hook(transition: Transition, phase: HookPhase) -> Hook {
    let instance = "i-0123456789abcdef0".parse().unwrap();
    Hook {
        id: HookId { instance, transition },
        pool: "web".to_owned(),
        token: Some("71514b9d-6a40-4b26-8523-05e7eeEXAMPLE".to_owned()),
        since: at(0),
        deadline: at(1_800),
        phase,
    }
}

fn leaving(cause: DrainCause) -> Node {
    let drain = Drain { cause, since: at(0), deadline: at(120), phase: DrainPhase::Moving };
    Node {
        id: "i-0123456789abcdef0".parse().unwrap(),
        hostname: "ip-10-0-0-7".to_owned(),
        engine: "SOME:ENGINE".to_owned(),
        zone: "eu-west-1a".to_owned(),
        arch: "arm64".to_owned(),
        labels: [("lifecycle".to_owned(), "spot".to_owned())].into(),
        capacity: Resources { cpu_millis: 4_000, memory_bytes: 16 << 30, ..Resources::default() },
        availability: Availability::Cordoned,
        pool: Some("web".to_owned()),
        ami: Some("ami-0123456789abcdef0".to_owned()),
        instance_type: Some("m7g.xlarge".to_owned()),
        os: Some("linux".to_owned()),
        engine_version: None,
        kernel_version: None,
        preparing_until: None,
        drain: Some(drain),
    }
}
