//! The table, against the descriptors and against what is meant.

use std::collections::BTreeSet;
use std::sync::Arc;

use coordinator_core::trust::{Asked, Join, Ledger};
use model::id::Serial;
use model::time::Timestamp;
use model::trust::{Fingerprint, Grant, Operator, Token};
use prost::Message;
use trust::Certificate;

use super::*;

/// Every call of our own services that the descriptors know.
fn described() -> BTreeSet<String> {
    let files = prost_types::FileDescriptorSet::decode(proto::DESCRIPTORS).unwrap().file;
    let services = files.iter().flat_map(|file| {
        file.service
            .iter()
            .map(move |service| (format!("{}.{}", file.package(), service.name()), service))
    });
    let calls = services.flat_map(|(name, service)| {
        service.method.iter().map(move |method| format!("/{name}/{}", method.name()))
    });
    calls.collect()
}

#[test]
fn every_call_that_there_is_has_a_row_and_no_row_is_of_a_call_that_there_is_not() {
    let ours = |path: &&str| path.starts_with("/wharf.");
    let rows: BTreeSet<String> =
        TABLE.iter().map(|(path, _)| *path).filter(ours).map(str::to_owned).collect();
    assert_eq!(rows, described(), "a call without a row is refused to everybody");
    let unique: BTreeSet<&str> = TABLE.iter().map(|(path, _)| *path).collect();
    assert_eq!(unique.len(), TABLE.len(), "a call has one row");
}

/// What is meant, a line for each call: S stranger, N node, V viewer, D deployer, O operator, A admin, R root of the machine.
const MEANT: &str = "
/wharf.v1.Enrolment/Join                 S
/wharf.v1.Enrolment/Challenge            S
/wharf.v1.Enrolment/Renew                N
/wharf.v1.Dispatcher/Session             N
/wharf.v1.Dispatcher/Relay               N
/wharf.v1.Dispatcher/Secrets             N
/wharf.v1.Secrets/SetSecret              OAR
/wharf.v1.Secrets/ListSecrets            VDOAR
/wharf.v1.Secrets/RemoveSecret           OAR
/wharf.v1.Secrets/AllowReferences        OAR
/wharf.v1.Control/Deploy                 DOAR
/wharf.v1.Control/Scale                  DOAR
/wharf.v1.Control/Restart                DOAR
/wharf.v1.Control/Rollback               DOAR
/wharf.v1.Control/Steer                  DOAR
/wharf.v1.Control/Job                    DOAR
/wharf.v1.Control/Remove                 DOAR
/wharf.v1.Control/Exec                   DOAR
/wharf.v1.Control/SetAvailability        OAR
/wharf.v1.Control/Drain                  OAR
/wharf.v1.Control/Rebalance              OAR
/wharf.v1.Control/ListServices           VDOAR
/wharf.v1.Control/ListTasks              VDOAR
/wharf.v1.Control/ListNodes              VDOAR
/wharf.v1.Control/Explain                VDOAR
/wharf.v1.Control/GetStatus              VDOAR
/wharf.v1.Control/Events                 VDOAR
/wharf.v1.Control/Logs                   VDOAR
/wharf.v1.Trust/CreateToken              AR
/wharf.v1.Trust/ListTokens               AR
/wharf.v1.Trust/RemoveToken              AR
/wharf.v1.Trust/AddOperator              AR
/wharf.v1.Trust/ListOperators            AR
/wharf.v1.Trust/RemoveOperator           AR
/wharf.v1.Trust/RevokeNode               AR
/wharf.v1.Fleet/ListPools                VDOAR
/wharf.v1.Fleet/PlanPool                 VDOAR
/wharf.v1.Fleet/PutPool                  AR
/wharf.v1.Fleet/RemovePool               AR
/wharf.v1.Releases/ListReleases          VDOAR
/wharf.v1.Releases/ShowRelease           VDOAR
/wharf.v1.Releases/GoBack                OAR
/wharf.v1.Refreshes/ListRefreshes        VDOAR
/wharf.v1.Refreshes/ListDrift            VDOAR
/wharf.v1.Refreshes/PlanRefresh          OAR
/wharf.v1.Refreshes/StartRefresh         OAR
/wharf.v1.Refreshes/SteerRefresh         OAR
/wharf.v1.Refreshes/OverrideRefresh      OAR
/wharf.v1.Refreshes/FreezeRefreshes      OAR
/wharf.v1.Refreshes/UnfreezeRefreshes    OAR
/wharf.v1.Refreshes/RollBackRefresh      OAR
/wharf.v1.Bakes/StartBake                AR
/wharf.v1.Bakes/ListBakes                VDOAR
/wharf.v1.Bakes/RetryBake                AR
/wharf.v1.Bakes/RemoveBake               AR
/wharf.v1.Bakes/PutRecipe                AR
/wharf.v1.Bakes/ListRecipes              VDOAR
/wharf.v1.Bakes/SteerRecipe              AR
/wharf.v1.Bakes/RemoveRecipe             AR
/wharf.v1.Bakes/BakeLogs                 OAR
/wharf.v1.Bakes/ListAmis                 VDOAR
/wharf.v1.Bakes/CollectAmis              AR
/wharf.v1.Trust/AddGrant                 AR
/wharf.v1.Trust/ListGrants               AR
/wharf.v1.Trust/RemoveGrant              AR
/wharf.v1.Trust/SetImagePolicy           AR
/wharf.v1.Trust/GetImagePolicy           VDOAR
/wharf.v1.Trust/Audit                    AR
/grpc.health.v1.Health/Check             VDOAR
/grpc.health.v1.Health/Watch             VDOAR
/grpc.health.v1.Health/List              VDOAR
/grpc.reflection.v1.ServerReflection/ServerReflectionInfo VDOAR
/wharf.v1.Control/NoSuchCall
/wharf.v1.Control/
/wharf.v1.Control/Deploy/
/wharf.v1.Control/deploy
//wharf.v1.Control/ListNodes
/
";

fn issued(serial: &str) -> Issued {
    Issued { serial: serial.parse().unwrap(), expires_at: Timestamp::from_millis(86_400_000) }
}

fn know(ledger: &mut Ledger, asked: &Asked) {
    let changes = ledger.decide(asked, Timestamp::from_millis(1)).unwrap();
    changes.iter().for_each(|change| ledger.apply(change));
}

/// A ledger that knows a node and an operator of each role.
fn ledger() -> Ledger {
    let mut ledger = Ledger::default();
    let digest = Fingerprint::new([7; 32]);
    know(
        &mut ledger,
        &Asked::CreateToken(Token {
            id: digest.token_id(),
            digest,
            grant: Grant::default(),
            node: None,
            made_by: String::new(),
            expires_at: Timestamp::from_millis(60_000),
            used: None,
        }),
    );
    let (node, key) = ("n1".parse().unwrap(), Fingerprint::new([8; 32]));
    know(&mut ledger, &Asked::Join(Join { token: digest, node, key, issued: issued("a1") }));
    let scope = vec!["shop/*".parse().unwrap()];
    for (name, role) in [
        ("v", Role::Viewer),
        ("d", Role::Deployer(scope)),
        ("o", Role::Operator),
        ("a", Role::Admin),
    ] {
        let name: OperatorName = name.parse().unwrap();
        let (issued, made_by) = (issued("b1"), String::new());
        know(&mut ledger, &Asked::AddOperator(Operator { name, role, issued, made_by }));
    }
    ledger
}

fn certified(name: Name, serial: &str) -> Peer {
    let certificate = Certificate {
        cluster: "c".parse().unwrap(),
        name,
        serial: serial.parse::<Serial>().unwrap(),
        not_before: Timestamp::default(),
        not_after: Timestamp::from_millis(86_400_000),
    };
    peer(Who::Certified(Arc::new(certificate)))
}

fn peer(who: Who) -> Peer {
    Peer { who, address: "test".into() }
}

fn operator(name: &str, serial: &str) -> Peer {
    certified(Name::Operator(name.parse().unwrap()), serial)
}

fn node(id: &str, serial: &str) -> Peer {
    certified(Name::Node(id.parse().unwrap()), serial)
}

#[test]
fn everybody_may_what_is_meant_and_nothing_else() {
    let ledger = ledger();
    let everybody = [
        ('S', peer(Who::Stranger)),
        ('N', node("n1", "a1")),
        ('V', operator("v", "b1")),
        ('D', operator("d", "b1")),
        ('O', operator("o", "b1")),
        ('A', operator("a", "b1")),
        ('R', peer(Who::Local { user: 0 })),
    ];
    let mut asked = 0;
    for line in MEANT.lines().filter(|line| !line.is_empty()) {
        let mut words = line.split_whitespace();
        let (path, meant) = (words.next().unwrap(), words.next().unwrap_or_default());
        for (letter, peer) in &everybody {
            let may = decide(path, peer, &ledger).is_ok();
            assert_eq!(may, meant.contains(*letter), "{letter} calls {path}");
            asked += 1;
        }
    }
    let meant: BTreeSet<String> = MEANT
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect();
    assert!(described().is_subset(&meant), "a new call needs a line here");
    assert!(asked > 200);
}

#[test]
fn whoever_the_ledger_does_not_know_may_nothing_with_a_certificate_that_was_genuine() {
    let mut ledger = ledger();
    let known = [node("n1", "a1"), operator("a", "b1")];
    let unknown = [node("n1", "a2"), node("n2", "a1"), operator("a", "b2"), operator("x", "b1")];
    for (path, _) in TABLE {
        for peer in &unknown {
            let status = decide(path, peer, &ledger).unwrap_err();
            assert_eq!(status.code(), tonic::Code::Unauthenticated, "{path} {peer:?}");
        }
    }
    assert!(decide("/wharf.v1.Dispatcher/Session", &known[0], &ledger).is_ok());
    know(&mut ledger, &Asked::Revoke("n1".parse().unwrap()));
    know(&mut ledger, &Asked::RemoveOperator("a".parse().unwrap()));
    for (path, _) in TABLE {
        assert!(known.iter().all(|peer| decide(path, peer, &ledger).is_err()), "{path}");
    }
}

#[test]
fn t4_a_node_speaks_for_itself_alone() {
    let ledger = ledger();
    let caller = Caller::of(&node("n1", "a1"), &ledger).unwrap();
    let other: NodeId = "n2".parse().unwrap();
    assert!(caller.is_node(&"n1".parse().unwrap()).is_ok());
    assert_eq!(caller.is_node(&other).unwrap_err().code(), tonic::Code::PermissionDenied);
    for operator in ["v", "d", "o", "a"] {
        let caller = Caller::of(&self::operator(operator, "b1"), &ledger).unwrap();
        assert!(caller.is_node(&other).is_err(), "an operator is no node");
    }
}

#[test]
fn a_deployer_changes_the_services_that_were_named_and_all_of_a_request_have_to_be() {
    let ledger = ledger();
    let service = |project: &str, name: &str| ServiceId {
        project: project.parse().unwrap(),
        name: name.parse().unwrap(),
    };
    let (ours, theirs) = (service("shop", "web"), service("shop-internal", "web"));
    let may = |name: &str, services: &[ServiceId]| {
        Caller::of(&operator(name, "b1"), &ledger).unwrap().may_change(services).is_ok()
    };
    assert!(may("d", std::slice::from_ref(&ours)));
    assert!(!may("d", std::slice::from_ref(&theirs)));
    assert!(!may("d", &[ours.clone(), theirs.clone()]));
    assert!(may("o", &[ours.clone(), theirs.clone()]) && may("a", &[theirs]));
    assert!(!may("v", std::slice::from_ref(&ours)));
    assert!(Caller::Stranger.may_change(&[]).is_err());
    let node = Caller::of(&node("n1", "a1"), &ledger).unwrap();
    assert!(node.may_change(&[ours]).is_err());
}
