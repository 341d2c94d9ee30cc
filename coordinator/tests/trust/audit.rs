//! Who did what is on the record, whatever becomes of the coordinator, and whoever changes the record is found out.

use std::collections::BTreeSet;
use std::time::Duration;

use model::audit::{Act, Verdict};
use model::trust::Fingerprint;
use prost::Message;
use proto::convert::act_from_wire;
use proto::wire;
use proto::wire::control_client::ControlClient;
use rusqlite::{Connection, params};
use tonic::metadata::MetadataValue;
use tonic::{Code, Request};
use trust::audit::{Flaw, Mark, Verifier};
use trust::key::Key;

use crate::calls::{service, spec};
use crate::world::{SOON, World};

const ACTS: i64 = 24;
const MARKS: i64 = 25;

async fn pages(world: &World, request: wire::AuditRequest) -> Vec<wire::AuditPage> {
    let mut stream =
        world.admin().max_decoding_message_size(16 << 20).audit(request).await.unwrap();
    let mut pages = Vec::new();
    while let Some(page) = stream.get_mut().message().await.unwrap() {
        pages.push(page);
    }
    pages
}

fn read(record: &wire::AuditRecord) -> Act {
    act_from_wire(&wire::Act::decode(record.act.as_slice()).unwrap()).unwrap().1
}

pub(crate) async fn acts(world: &World) -> Vec<Act> {
    let pages = pages(world, wire::AuditRequest::default()).await;
    pages.iter().flat_map(|page| page.records.iter().map(read)).collect()
}

/// Waits for an act that nobody waits for when it is written.
async fn act(world: &World, is_meant: impl Fn(&Act) -> bool) -> Act {
    let found = async {
        loop {
            if let Some(found) = acts(world).await.into_iter().find(&is_meant) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, found).await.expect("it is on the record")
}

fn mark(of: Option<&wire::AuditMark>) -> Mark {
    let Some(of) = of else { return Mark::ORIGIN };
    let hash = Fingerprint::new(of.hash.as_slice().try_into().unwrap());
    Mark { sequence: of.sequence, hash }
}

/// What is wrong with the record, as an operator finds out, and whether its ends are genuine.
async fn verify(world: &World) -> (Vec<Flaw>, bool) {
    let all = pages(world, wire::AuditRequest { verify: true, ..Default::default() }).await;
    let last = all.last().unwrap();
    let is_genuine = last.begin_seal() == wire::AuditSeal::Genuine
        && last.end_seal() == wire::AuditSeal::Genuine;
    let mut verifier = Verifier::new(mark(all[0].begin.as_ref()));
    let mut flaws = Vec::new();
    for record in all.iter().flat_map(|page| &page.records) {
        let sequence = wire::Act::decode(record.act.as_slice()).unwrap().sequence;
        let hash = Fingerprint::new(record.hash.as_slice().try_into().unwrap());
        flaws.extend(verifier.take(sequence, &record.act, &hash).err());
    }
    flaws.extend(verifier.end(&mark(last.end.as_ref())).err());
    (flaws, is_genuine)
}

fn deployment(project: &str) -> wire::DeployRequest {
    wire::DeployRequest { services: vec![spec(project, "web")], ..Default::default() }
}

fn scale(replicas: u32) -> wire::ScaleRequest {
    wire::ScaleRequest { service: service("shop", "web"), replicas, dry_run: false }
}

#[tokio::test]
async fn what_is_done_is_on_the_record_with_who_where_what_and_why() {
    let mut world = World::start().await;
    let kim = world.operator("kim", wire::OperatorRole::Deployer, &["shop/*"]).await;
    let mut control = ControlClient::new(world.channel(&kim));
    let mut request = Request::new(deployment("shop"));
    let why = MetadataValue::from_bytes("ticket 7, größer".as_bytes());
    request.metadata_mut().insert_bin(proto::REASON, why);
    request.metadata_mut().insert(proto::REQUEST, "build-7".parse().unwrap());
    let _done = control.deploy(request).await.unwrap();
    let _done = control.scale(scale(3)).await.unwrap();
    let dry = wire::ScaleRequest { dry_run: true, ..scale(9) };
    let _looked = control.scale(dry).await.unwrap();
    world.end().await;
    world.begin().await;
    let acts = acts(&world).await;
    let by_kim: Vec<&Act> = acts.iter().filter(|act| act.who == "kim (deployer)").collect();
    let [deploy, scaled] = by_kim.as_slice() else { panic!("{by_kim:#?}") };
    assert_eq!((deploy.what.as_str(), deploy.request.as_str()), ("deploy", "build-7"));
    assert_eq!(deploy.why, "ticket 7, größer");
    assert!(deploy.from.starts_with("127.0.0.1:"), "{}", deploy.from);
    let generations = |act: &Act| {
        let object = &act.objects[0];
        (object.name.clone(), object.before, object.after)
    };
    assert_eq!(generations(deploy), ("shop/web".to_owned(), None, Some(1)));
    assert_eq!(generations(scaled), ("shop/web".to_owned(), Some(1), Some(2)));
    assert_eq!((scaled.note.as_str(), scaled.verdict), ("3 replicas", Verdict::Done));
    let added = acts.iter().find(|act| act.what == "add-operator").unwrap();
    assert!(added.who.starts_with("user ") && added.objects[0].name == "operator kim");
    assert_eq!(verify(&world).await, (Vec::new(), true));
}

#[tokio::test]
async fn every_call_that_changes_something_is_on_the_record() {
    let world = World::start().await;
    let node = world.node("n1").await;
    let mut enrolment = wire::enrolment_client::EnrolmentClient::new(world.channel(&node));
    let request = Key::generate().unwrap().request().unwrap();
    let _renewed = enrolment.renew(wire::RenewRequest { request }).await.unwrap();
    let _session =
        crate::world::Session::open(world.channel(&node), crate::world::machine("n1")).await;
    let mut control = ControlClient::new(world.local());
    let _done = control.deploy(deployment("shop")).await.unwrap();
    let _done = control.scale(scale(2)).await.unwrap();
    let name = || service("shop", "web");
    let _done = control.restart(wire::RestartRequest { service: name() }).await.unwrap();
    let steering = wire::Steering::Pause.into();
    let _done = control.steer(wire::SteerRequest { service: name(), steering }).await.unwrap();
    let rollback = wire::RollbackRequest { service: name(), to: Some(1) };
    let _done = control.rollback(rollback).await.unwrap();
    let availability = wire::Availability::Cordoned.into();
    let node = "n1".to_owned();
    let closed = wire::SetAvailabilityRequest { node: node.clone(), availability };
    let _done = control.set_availability(closed).await.unwrap();
    let drain = wire::DrainRequest { nodes: vec![node.clone()], ..Default::default() };
    let _done = control.drain(drain).await.unwrap();
    let _done = control.rebalance(wire::RebalanceRequest::default()).await.unwrap();
    let project = "shop".to_owned();
    let remove = wire::RemoveRequest { project, services: vec!["web".to_owned()] };
    let _done = control.remove(remove).await.unwrap();
    let _kim = world.operator("kim", wire::OperatorRole::Viewer, &[]).await;
    let mut admin = world.admin();
    let name = "kim".to_owned();
    let _done = admin.remove_operator(wire::RemoveOperatorRequest { name }).await.unwrap();
    let token = wire::CreateTokenRequest { valid_ms: 60_000, ..Default::default() };
    let id = admin.create_token(token).await.unwrap().into_inner().id;
    let _done = admin.remove_token(wire::RemoveTokenRequest { id }).await.unwrap();
    let _done = admin.revoke_node(wire::RevokeNodeRequest { node }).await.unwrap();
    let acts = acts(&world).await;
    let done = acts.iter().filter(|act| act.verdict == Verdict::Done);
    let done: BTreeSet<&str> = done.map(|act| act.what.as_str()).collect();
    // Of a job and of a command in a container there is more to set up than here: see the tests of these.
    let expected = "join renew deploy scale restart steer rollback set-availability drain rebalance remove add-operator remove-operator create-token remove-token revoke-node";
    assert_eq!(done, expected.split(' ').collect());
    let join = acts.iter().find(|act| act.what == "join").unwrap();
    assert_eq!(join.objects[0].name, "node n1");
    assert!(join.objects[1].name.starts_with("token "), "{join:?}");
    assert_eq!(verify(&world).await, (Vec::new(), true));
}

#[tokio::test]
async fn what_is_refused_is_on_the_record_wherever_it_was_refused() {
    let world = World::start().await;
    let kim = world.operator("kim", wire::OperatorRole::Deployer, &["shop/*"]).await;
    let mut control = ControlClient::new(world.channel(&kim));
    // By the table, by the services that somebody may change, and by what is there.
    let drain = wire::DrainRequest { nodes: vec!["n1".to_owned()], ..Default::default() };
    assert_eq!(control.drain(drain).await.unwrap_err().code(), Code::PermissionDenied);
    let denied = act(&world, |act| act.what == "drain").await;
    assert_eq!((denied.who.as_str(), denied.verdict), ("kim (deployer)", Verdict::Denied));
    let lee = world.operator("lee", wire::OperatorRole::Deployer, &["mail/*"]).await;
    let refused = ControlClient::new(world.channel(&lee)).deploy(deployment("shop")).await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
    let denied = act(&world, |act| act.who == "lee (deployer)").await;
    assert!(denied.note.contains("service shop/web"), "{denied:?}");
    let missing = wire::RestartRequest { service: service("shop", "web") };
    let mut local = ControlClient::new(world.local());
    assert_eq!(local.restart(missing).await.unwrap_err().code(), Code::NotFound);
    let refused = act(&world, |act| act.verdict == Verdict::Refused).await;
    assert!(refused.what == "restart" && refused.note.contains("no service"), "{refused:?}");
    // Somebody with a token that opens nothing, and somebody whose certificate does not count any more.
    let token = world.token().await;
    let _in = world.join(&token, "n1", &Key::generate().unwrap()).await.unwrap();
    let _out = world.join(&token, "n2", &Key::generate().unwrap()).await.unwrap_err();
    let denied = act(&world, |act| act.what == "join" && act.verdict == Verdict::Denied).await;
    assert!(denied.who.contains("without a certificate"), "{denied:?}");
    let gone = wire::RemoveOperatorRequest { name: "lee".to_owned() };
    world.admin().remove_operator(gone).await.unwrap();
    let status =
        ControlClient::new(world.channel(&lee)).get_status(wire::GetStatusRequest {}).await;
    assert_eq!(status.unwrap_err().code(), Code::Unauthenticated);
    let denied = act(&world, |act| act.what == "get-status").await;
    assert_eq!(denied.who, "operator lee");
}

#[tokio::test]
async fn t12_whoever_is_refused_a_thousand_times_is_counted_and_fills_nothing() {
    let mut world = World::start().await;
    let kim = world.operator("kim", wire::OperatorRole::Viewer, &[]).await;
    let mut control = ControlClient::new(world.channel(&kim));
    for _ in 0..1_000 {
        assert!(control.scale(scale(2)).await.is_err());
    }
    world.end().await;
    world.begin().await;
    let acts = acts(&world).await;
    let denied: Vec<&Act> = acts.iter().filter(|act| act.verdict == Verdict::Denied).collect();
    assert!(denied.len() < 5, "{} records", denied.len());
    assert_eq!(denied.iter().map(|act| act.count).sum::<u64>(), 1_000);
    assert_eq!(verify(&world).await, (Vec::new(), true));
}

/// A store with some acts, and somebody who has its file.
async fn with_acts() -> World {
    let mut world = World::start().await;
    for _ in 0..20 {
        let _token = world.token().await;
    }
    world.end().await;
    world
}

fn database(world: &World) -> Connection {
    Connection::open(world.data().join("wharf.db")).unwrap()
}

fn key(sequence: u64) -> String {
    format!("{sequence:020}")
}

fn value(connection: &Connection, sequence: u64) -> Vec<u8> {
    let sql = "SELECT value FROM objects WHERE kind = ?1 AND key = ?2";
    connection.query_row(sql, params![ACTS, key(sequence)], |row| row.get(0)).unwrap()
}

fn put(connection: &Connection, kind: i64, key: &str, value: &[u8]) {
    let sql = "INSERT OR REPLACE INTO objects VALUES (?1, ?2, ?3)";
    connection.execute(sql, params![kind, key, value]).unwrap();
}

fn drop_from(connection: &Connection, first: u64, last: u64) {
    let sql = "DELETE FROM objects WHERE kind = ?1 AND key BETWEEN ?2 AND ?3";
    let gone = connection.execute(sql, params![ACTS, key(first), key(last)]).unwrap();
    assert!(gone > 0);
}

#[tokio::test]
async fn whoever_edits_drops_moves_or_cuts_records_is_found_out_and_where() {
    type Tamper = fn(&Connection);
    let tampers: [(Tamper, &str); 5] = [
        (
            |store| {
                let mut record = wire::AuditRecord::decode(value(store, 7).as_slice()).unwrap();
                let mut act = wire::Act::decode(record.act.as_slice()).unwrap();
                act.who = "somebody else".to_owned();
                record.act = act.encode_to_vec();
                put(store, ACTS, &key(7), &record.encode_to_vec());
            },
            "record 7 was changed",
        ),
        (|store| drop_from(store, 9, 11), "records 9 to 11 are missing"),
        (
            |store| {
                let (one, other) = (value(store, 4), value(store, 5));
                put(store, ACTS, &key(4), &other);
                put(store, ACTS, &key(5), &one);
            },
            "record 4 is missing",
        ),
        (|store| drop_from(store, 19, 20), "records 19 to 20 are missing"),
        (|store| drop_from(store, 1, 3), "records 1 to 3 are missing"),
    ];
    for (tamper, found) in tampers {
        let mut world = with_acts().await;
        tamper(&database(&world));
        world.begin().await;
        let (flaws, _) = verify(&world).await;
        let said: Vec<String> = flaws.iter().map(Flaw::to_string).collect();
        assert!(said[0].contains(found), "{found}: {said:?}");
        // What is done afterwards does not hide it.
        let _token = world.token().await;
        world.end().await;
        world.begin().await;
        let (flaws, _) = verify(&world).await;
        assert!(!flaws.is_empty(), "{found} is hidden by what came later");
    }
}

/// Makes the whole chain anew, as somebody does who has read how it is made.
fn forge(store: &Connection) {
    let mut at = Mark::ORIGIN;
    for sequence in 1..=20 {
        let mut record = wire::AuditRecord::decode(value(store, sequence).as_slice()).unwrap();
        let mut act = wire::Act::decode(record.act.as_slice()).unwrap();
        act.who = "somebody else".to_owned();
        record.act = act.encode_to_vec();
        at = at.follow(&record.act);
        record.hash = at.hash.as_bytes().to_vec();
        put(store, ACTS, &key(sequence), &record.encode_to_vec());
    }
    let hash = at.hash.as_bytes().to_vec();
    let end = wire::AuditMark { sequence: 20, hash, seal: vec![7; 32] };
    put(store, MARKS, "end", &end.encode_to_vec());
}

#[tokio::test]
async fn t9_whoever_makes_all_of_it_anew_can_not_seal_it_and_an_alarm_stays() {
    let mut world = with_acts().await;
    forge(&database(&world));
    world.begin().await;
    let alarm = act(&world, |act| act.verdict == Verdict::Alarm).await;
    assert!(alarm.note.contains("written by somebody else"), "{alarm:?}");
    world.end().await;
    world.begin().await;
    assert!(acts(&world).await.iter().any(|act| act.verdict == Verdict::Alarm), "it stays");
    // An end that was cut off is an alarm as well, and nothing that is there is written over.
    let mut world = with_acts().await;
    let store = database(&world);
    store.execute("DELETE FROM objects WHERE kind = ?1", [MARKS]).unwrap();
    drop(store);
    world.begin().await;
    let _alarm = act(&world, |act| act.verdict == Verdict::Alarm).await;
    assert_eq!(acts(&world).await.len(), 21);
}

#[tokio::test]
async fn what_is_given_up_leaves_a_whole_record_and_is_in_the_file() {
    let mut world = World::start().await;
    world.end().await;
    world.audit.records = 100;
    let file = world.data().join("audit.jsonl");
    world.audit.file = Some(file.clone());
    world.begin().await;
    for _ in 0..250 {
        let _token = world.token().await;
    }
    let last = async {
        while !std::fs::read_to_string(&file).is_ok_and(|text| text.lines().count() == 250) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, last).await.expect("all of it is in the file");
    world.end().await;
    world.begin().await;
    for _ in 0..20 {
        let _token = world.token().await;
    }
    let kept = acts(&world).await.len();
    assert!((100..=110).contains(&kept), "{kept} records are kept");
    assert_eq!(verify(&world).await, (Vec::new(), true));
    world.end().await;
    // The file has everything, once and in order, and is a chain of its own.
    let text = std::fs::read_to_string(&file).unwrap();
    let mut verifier = Verifier::new(Mark::ORIGIN);
    for (number, line) in text.lines().enumerate() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        let (act, hash) = trust::audit::from_json(&value).unwrap();
        let sequence = value["sequence"].as_u64().unwrap();
        assert_eq!(sequence, u64::try_from(number).unwrap() + 1);
        verifier.take(sequence, &act, &hash).unwrap();
    }
    assert!(verifier.at().sequence >= 250);
}

#[tokio::test]
async fn the_record_is_read_by_who_what_and_when_and_followed() {
    let world = World::start().await;
    let kim = world.operator("kim", wire::OperatorRole::Deployer, &["shop/*"]).await;
    let mut control = ControlClient::new(world.channel(&kim));
    let _done = control.deploy(deployment("shop")).await.unwrap();
    for replicas in 2..6 {
        let _done = control.scale(scale(replicas)).await.unwrap();
    }
    let count = |request: wire::AuditRequest| async {
        pages(&world, request).await.iter().map(|page| page.records.len()).sum::<usize>()
    };
    let who = wire::AuditRequest { who: "kim".to_owned(), ..Default::default() };
    assert_eq!(count(who.clone()).await, 5);
    assert_eq!(count(wire::AuditRequest { what: "scale".to_owned(), ..who.clone() }).await, 4);
    assert_eq!(count(wire::AuditRequest { tail: Some(2), ..who.clone() }).await, 2);
    let later = trust::now().as_millis() + 1_000;
    assert_eq!(count(wire::AuditRequest { since_ms: Some(later), ..who.clone() }).await, 0);
    let follow = wire::AuditRequest { follow: true, tail: Some(0), ..who };
    let mut followed = world.admin().audit(follow).await.unwrap().into_inner();
    assert!(followed.message().await.unwrap().unwrap().records.is_empty());
    let _done = control.scale(scale(7)).await.unwrap();
    let page = tokio::time::timeout(SOON, followed.message()).await.unwrap().unwrap().unwrap();
    assert_eq!(read(&page.records[0]).note, "7 replicas");
}
