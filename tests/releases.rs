//! What ran when, and the way back to it.

#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

extern crate coordinator_core;

#[allow(dead_code, reason = "each test file needs a part of it")]
mod story;

use std::collections::BTreeMap;
use std::time::Duration;

use coordinator_core::cluster::Change;
use coordinator_core::event::{
    Event, FleetEvent, PoolRefusal, RefreshEvent, Refusal, Reply, Target,
};
use coordinator_core::view::{Began, Then, ran_at, releases};
use coordinator_core::{command, step};
use model::fleet::{Group, PoolPolicy, Survey};
use model::id::ServiceId;
use model::refresh::{Blueprint, Refresh, RefreshEnd, RefreshId, RefreshPhase, RefreshPolicy};
use model::release::{GoBack, PoolBack, ServiceBack};
use model::service::Origin;
use model::time::Timestamp;

use story::{Story, specs};

const POOL: &str = "web";
const SERVICES: [&str; 2] = ["shop/front", "ops/log"];

fn blueprint(version: u64) -> Blueprint {
    Blueprint(BTreeMap::from([("lt-1".to_owned(), version)]))
}

/// The group launches from this version, and its two machines were.
fn shown(version: u64) -> Event {
    let group = Group {
        name: POOL.to_owned(),
        max: 10,
        desired: 2,
        hooks: command::hooks().to_vec(),
        blueprint: Some(blueprint(version)),
        ..Group::default()
    };
    let instances = ["a", "b"].map(|name| story::machine(POOL, name, version)).to_vec();
    let survey = Survey { groups: vec![group], instances, ..Survey::default() };
    Event::Fleet(FleetEvent::Surveyed(Box::new(survey)))
}

fn service(name: &str) -> ServiceId {
    name.parse().unwrap()
}

/// Deploys both with this image, and has all of it run for a while.
fn deploy(story: &mut Story, image: u32) {
    let specs = SERVICES.map(|name| {
        let mut spec = specs::spec_of(&service(name), image, 2);
        (spec.preferences, spec.task.max_per_node, spec.update.trial) = (Vec::new(), None, None);
        spec
    });
    let specs = specs.to_vec();
    story.hear(&[Event::Deploy { specs, remove: Vec::new(), expect: Vec::new() }]);
    settle(story);
}

fn settle(story: &mut Story) {
    for _ in 0..20 {
        story.start_all();
        story.stop_all();
        story.pass(10, &["a", "b"]);
    }
}

fn fleet() -> Story {
    let mut story = Story::new(&[("a", "z"), ("b", "z")]);
    let (name, policy) = (POOL.to_owned(), PoolPolicy::default());
    story.hear(&[Event::Fleet(FleetEvent::PutPool { name, policy }), shown(1)]);
    story.report_all("a", true);
    story.report_all("b", true);
    story
}

/// The way back to everything that ran then.
fn way_back(story: &Story, then: Timestamp) -> GoBack {
    let (services, pools) = ran_at(&story.cluster, then);
    let services = services.into_iter().filter_map(|one| {
        let to = one.way_back()?.number;
        Some(ServiceBack { service: one.id.clone(), from: one.now.number, to })
    });
    let pools = pools.into_iter().filter_map(|one| {
        let (from, to) = (one.now.clone()?, one.way_back()?.clone());
        Some(PoolBack { pool: one.pool, from, to })
    });
    let (services, pools) = (services.collect(), pools.collect());
    GoBack { then, services, pools }
}

fn ask(story: &mut Story, back: GoBack) -> Reply {
    let before = story.cluster.services().clone();
    let event = Event::GoBack(Box::new(back));
    let done = step(&mut story.cluster, &[event], story.now);
    let reply = done.replies.into_iter().next().unwrap();
    if matches!(reply, Reply::Refused(_)) {
        assert_eq!(story.cluster.services(), &before, "what is refused changes nothing");
        assert_eq!(story.cluster.open_refreshes().count(), 0);
    }
    reply
}

#[test]
fn services_and_machines_go_back_together_to_what_ran_at_a_time() {
    let mut story = fleet();
    deploy(&mut story, 0);
    let then = story.now;
    story.pass(60, &["a", "b"]);
    deploy(&mut story, 1);
    story.hear(&[shown(2)]);
    let back = way_back(&story, then);
    let generations: Vec<_> = back.services.iter().map(|one| (one.from, one.to)).collect();
    assert_eq!(generations, [(2, 1), (2, 1)]);
    // It was never refreshed, so that nobody knows of another version.
    assert_eq!(back.pools, []);
    let pool = PoolBack { pool: POOL.to_owned(), from: blueprint(2), to: blueprint(1) };
    let reply = ask(&mut story, GoBack { pools: vec![pool], ..back });
    let expected = ["ops/log", "shop/front"].map(|name| (service(name), 3)).to_vec();
    assert_eq!(reply, Reply::Deployed(expected));
    for name in SERVICES {
        let target = &story.cluster.services()[&service(name)].target;
        assert_eq!((target.template, target.origin), (1, Origin::RolledBack { to: 1 }));
    }
    let refresh = story.cluster.open_refreshes().next().unwrap();
    assert_eq!((&refresh.from, &refresh.to), (&blueprint(2), &blueprint(1)));
}

#[test]
fn what_has_run_to_its_end_is_not_done_again() {
    let mut story = fleet();
    let name = "ops/import";
    let deploy = |story: &mut Story, image| {
        let specs = vec![specs::spec_of(&service(name), image, 1)];
        story.hear(&[Event::Deploy { specs, remove: Vec::new(), expect: Vec::new() }]);
        settle(story);
    };
    deploy(&mut story, 0);
    let then = story.now;
    story.pass(10, &["a", "b"]);
    deploy(&mut story, 1);
    let is_listed =
        |story: &Story| ran_at(&story.cluster, then).0.iter().any(|one| one.id == service(name));
    assert!(story.cluster.services().contains_key(&service(name)) && !is_listed(&story));
    let from = story.cluster.services()[&service(name)].target.number;
    let services = vec![ServiceBack { service: service(name), from, to: 1 }];
    let reply = ask(&mut story, GoBack { then, services, pools: Vec::new() });
    assert_eq!(reply, Reply::Refused(Refusal::RunsToEnd(service(name))));
}

#[test]
fn it_is_all_or_nothing() {
    let mut story = fleet();
    deploy(&mut story, 0);
    let then = story.now;
    story.pass(10, &["a", "b"]);
    deploy(&mut story, 1);
    let back = way_back(&story, then);
    assert_eq!(
        ask(&mut story, GoBack { services: Vec::new(), ..back.clone() }),
        Reply::Refused(Refusal::NothingElseRan(then))
    );
    // Somebody else was faster with one of them.
    let mut late = back.clone();
    late.services[1].from = 1;
    let reply = ask(&mut story, late);
    assert!(matches!(reply, Reply::Refused(Refusal::Overtaken { .. })), "{reply:?}");
    let mut unknown = back.clone();
    unknown.services[1].to = 7;
    let reply = ask(&mut story, unknown);
    assert!(matches!(reply, Reply::Refused(Refusal::NoGeneration(_, 7))), "{reply:?}");
    let mut twice = back.clone();
    twice.services.push(twice.services[0].clone());
    let reply = ask(&mut story, twice);
    assert!(matches!(reply, Reply::Refused(Refusal::NamedTwice(_))), "{reply:?}");
    // The group launches something else by now.
    let pool = |from, to| {
        vec![PoolBack { pool: POOL.to_owned(), from: blueprint(from), to: blueprint(to) }]
    };
    let reply = ask(&mut story, GoBack { pools: pool(5, 6), ..back.clone() });
    let overtaken = PoolRefusal::Overtaken(POOL.to_owned());
    assert_eq!(reply, Reply::Refused(Refusal::Pool(overtaken)));
    let reply =
        ask(&mut story, GoBack { pools: [pool(1, 6), pool(1, 6)].concat(), ..back.clone() });
    assert!(
        matches!(reply, Reply::Refused(Refusal::Pool(PoolRefusal::Refreshing(_)))),
        "{reply:?}"
    );
    let reply = ask(&mut story, back);
    assert!(matches!(reply, Reply::Deployed(_)), "{reply:?}");
}

#[test]
fn what_failed_or_is_forgotten_is_not_called_what_ran() {
    let mut story = fleet();
    let before = story.now;
    story.pass(10, &["a", "b"]);
    deploy(&mut story, 0);
    let one = |story: &Story, then| ran_at(&story.cluster, then).0.remove(1).then;
    let number = |then: Then<_>| match then {
        Then::Was(generation) => {
            Some(std::sync::Arc::<model::service::Generation>::as_ref(&generation).number)
        }
        Then::Nothing | Then::Forgotten => None,
    };
    assert_eq!(one(&story, before), Then::Nothing);
    // One that is still tried has not run everywhere.
    let specs = vec![specs::spec_of(&service("shop/front"), 2, 2)];
    story.hear(&[Event::Deploy { specs, remove: Vec::new(), expect: Vec::new() }]);
    assert_eq!(number(one(&story, story.now)), Some(1));
    settle(&mut story);
    let last = story.now;
    for image in 3..16 {
        deploy(&mut story, image);
    }
    assert_eq!(one(&story, before), Then::Forgotten);
    assert_eq!(one(&story, last), Then::Forgotten);
    let all = releases(&story.cluster);
    assert!(all.windows(2).all(|pair| pair[0].0 >= pair[1].0), "the newest first");
    let newest = all.iter().find_map(|(_, began)| match began {
        Began::Service(id, generation) if *id == service("shop/front") => Some(generation.number),
        Began::Service(..) | Began::Pool(_) => None,
    });
    let stable = story.cluster.services()[&service("shop/front")].stable.clone().unwrap();
    assert_eq!(newest, Some(stable.number));
}

#[test]
fn machines_count_as_they_were_when_their_refresh_was_through() {
    let mut story = fleet();
    let pool_at = |story: &Story, then| ran_at(&story.cluster, then).1.remove(0).then;
    let began = story.now;
    // Three that are over: one was rolled back, and the first of all is not remembered.
    let ends = [
        RefreshEnd::Refreshed,
        RefreshEnd::RolledBack { why: String::new() },
        RefreshEnd::Refreshed,
    ];
    for (number, end) in (2..).zip(ends) {
        let start = RefreshEvent::Start {
            pool: POOL.to_owned(),
            target: Target::Blueprint(blueprint(number + 10)),
            policy: RefreshPolicy::default(),
            expect: None,
            after: Vec::new(),
        };
        let mut copy = story.cluster.clone();
        step(&mut copy, &[Event::Fleet(FleetEvent::Refresh(start))], story.now);
        let refresh = (**copy.open_refreshes().next().unwrap()).clone();
        story.pass(100, &["a", "b"]);
        let phase = RefreshPhase::Done { end, at: story.now };
        let id = RefreshId { number, ..refresh.id.clone() };
        let over = Refresh { id, phase, ..refresh };
        story.cluster.apply(&Change::PutRefresh(over.into()));
        let launches = if number == 2 { 12 } else { number + 10 };
        story.hear(&[shown(launches)]);
        story.pass(100, &["a", "b"]);
    }
    let at = |seconds| began + Duration::from_secs(seconds);
    assert_eq!(pool_at(&story, began), Then::Was(blueprint(1)), "as the oldest one found it");
    let earlier = Timestamp::from_millis(began.as_millis() - 1);
    assert_eq!(pool_at(&story, earlier), Then::Forgotten);
    assert_eq!(pool_at(&story, at(99)), Then::Was(blueprint(1)), "while they are replaced");
    assert_eq!(pool_at(&story, at(100)), Then::Was(blueprint(12)));
    assert_eq!(pool_at(&story, at(399)), Then::Was(blueprint(12)), "one was rolled back");
    assert_eq!(pool_at(&story, at(599)), Then::Was(blueprint(14)));
    let back = way_back(&story, at(150));
    assert_eq!(
        back.pools,
        [PoolBack { pool: POOL.to_owned(), from: blueprint(14), to: blueprint(12) }]
    );
    assert!(matches!(ask(&mut story, back), Reply::Deployed(none) if none.is_empty()));
    assert_eq!(story.cluster.open_refreshes().next().unwrap().to, blueprint(12));
}
