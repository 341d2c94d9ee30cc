//! Refreshes of pools, in every state that there is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::budget::Amount;
use model::refresh::{
    AtDeadline, Before, Blueprint, Freeze, Mode, Refresh, RefreshEnd, RefreshId, RefreshPhase,
    RefreshPolicy, Root, RootPhase, Skip, Stage,
};

use super::super::Records;
use super::super::stored::Stored;
use super::at;

pub(crate) fn records() -> Records {
    let why = || "2 of its machines never became nodes".to_owned();
    let phases = [
        ("refresh-making", RefreshPhase::Making { ami: "ami-0123456789abcdef0".to_owned() }),
        ("refresh-rolling", RefreshPhase::Rolling { stage: 1, watched_since: None }),
        ("refresh-watching", RefreshPhase::Rolling { stage: 0, watched_since: Some(at(300)) }),
        ("refresh-rolling-back", RefreshPhase::RollingBack { why: why() }),
        (
            "refresh-restoring",
            RefreshPhase::Restoring { end: RefreshEnd::Refreshed, since: at(600) },
        ),
        (
            "refresh-rolled-back",
            RefreshPhase::Done { end: RefreshEnd::RolledBack { why: why() }, at: at(900) },
        ),
        (
            "refresh-aborted",
            RefreshPhase::Done { end: RefreshEnd::Aborted { why: why() }, at: at(900) },
        ),
    ];
    let freeze =
        |until| Stored::Freeze(Freeze { why: "the summer sale".to_owned(), since: at(0), until });
    let rolling = refresh(RefreshPhase::Rolling { stage: 1, watched_since: None });
    let stages =
        vec![Stage::Machines(Amount::Count(1)), Stage::Zone, Stage::Machines(Amount::Percent(25))];
    let policy = RefreshPolicy { stages, ..rolling.policy.clone() };
    let in_place = ("refresh-in-place", Stored::Refresh(in_place(&rolling)));
    let by_zone = ("refresh-by-zone", Stored::Refresh(Refresh { policy, ..rolling }));
    let freezes = [("freeze", freeze(None)), ("freeze-for-a-time", freeze(Some(at(3_600))))];
    phases
        .map(|(name, phase)| (name, Stored::Refresh(refresh(phase))))
        .into_iter()
        .chain([by_zone, in_place])
        .chain(freezes)
        .collect()
}

fn in_place(rolling: &Refresh) -> Refresh {
    let root = |phase| Root {
        version: ("lt-0abc".to_owned(), 8),
        ami: "ami-0123456789abcdef0".to_owned(),
        since: at(120),
        phase,
    };
    let roots = BTreeMap::from([
        ("i-4".parse().unwrap(), root(RootPhase::Asked)),
        ("i-5".parse().unwrap(), root(RootPhase::Booting { since: at(180) })),
        ("i-6".parse().unwrap(), root(RootPhase::Joined)),
    ]);
    let policy = RefreshPolicy { mode: Mode::InPlace, takes_over: true, ..rolling.policy.clone() };
    let before = Before { rebalanced: false, heals: true, max: None };
    Refresh { policy, before, roots, ..rolling.clone() }
}

fn refresh(phase: RefreshPhase) -> Refresh {
    let blueprint = |version| Blueprint(BTreeMap::from([("lt-0abc".to_owned(), version)]));
    let is_made = !matches!(phase, RefreshPhase::Making { .. });
    let at_deadline = if is_made { AtDeadline::Skip } else { AtDeadline::Force };
    let skip = Skip { why: "shop/db.1 waits: no other node takes it".to_owned(), tries: 1 };
    Refresh {
        id: RefreshId { pool: "web".to_owned(), number: 3 },
        since: at(0),
        from: blueprint(7),
        to: if is_made { blueprint(8) } else { Blueprint::default() },
        policy: RefreshPolicy {
            surge: Amount::Percent(20),
            stages: vec![Stage::Machines(Amount::Count(1)), Stage::Machines(Amount::Percent(25))],
            hold: Duration::from_secs(600),
            drain_within: Duration::from_secs(1_800),
            at_deadline,
            urgent: is_made.then(|| "a hole in the kernel".to_owned()),
            mode: Mode::Replace,
            takes_over: false,
        },
        size: 6,
        before: Before { rebalanced: true, heals: false, max: Some(6) },
        after: BTreeSet::from([RefreshId { pool: "canary".to_owned(), number: 2 }]),
        phase,
        paused_at: is_made.then(|| at(60)),
        skipped: BTreeMap::from([("i-1".parse().unwrap(), skip)]),
        failed: BTreeSet::from(["i-2".parse().unwrap()]),
        ending: BTreeSet::from(["i-3".parse().unwrap()]),
        roots: BTreeMap::new(),
    }
}
