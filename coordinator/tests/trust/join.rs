//! How a node comes in: by a token of this cluster that was not used, to a coordinator that it knows.

use std::time::Duration;

use proto::wire;
use proto::wire::enrolment_client::EnrolmentClient;
use tonic::Code;
use trust::digest::sha256;
use trust::key::Key;
use trust::tls::Client;
use trust::{Bundle, Certificate, JoinToken, Name};

use crate::world::{Session, World, files, machine, nodes};

#[tokio::test]
async fn a_node_joins_by_a_token_and_is_what_the_token_says() {
    let world = World::start().await;
    let request = wire::CreateTokenRequest {
        pool: Some("web".to_owned()),
        labels: [("disk".to_owned(), "ssd".to_owned())].into(),
        valid_ms: 60_000,
        ..Default::default()
    };
    let (token, key) = (world.token_for(request).await, Key::generate().unwrap());
    let answer = world.join(&token, "n1", &key).await.unwrap();
    let about = Certificate::read(&answer.certificate).unwrap();
    assert_eq!(about.name, Name::Node("n1".parse().unwrap()));
    assert_eq!(
        (about.cluster.as_str(), &answer.cluster),
        (token.cluster.as_str(), &answer.cluster)
    );
    let bundle = Bundle::new(key, answer.certificate, answer.authority).unwrap();
    // T5: what it says of itself is not what it was given.
    let liar = wire::Node {
        pool: Some("gpu".to_owned()),
        labels: [("disk".to_owned(), "nvme".to_owned()), ("trusted".to_owned(), "yes".to_owned())]
            .into(),
        ..machine("n1")
    };
    let session = Session::open(world.channel(&bundle), liar.clone()).await.unwrap();
    let again = wire::agent_message::Message::Hello(crate::world::hello(liar));
    session.outbox.send(wire::AgentMessage { message: Some(again) }).await.unwrap();
    let known = nodes(world.local()).await;
    assert_eq!(known.len(), 1);
    assert_eq!(known[0].pool.as_deref(), Some("web"));
    assert_eq!(known[0].labels, [("disk".to_owned(), "ssd".to_owned())].into());
}

#[tokio::test]
async fn t1_a_token_that_is_forged_replayed_or_expired_opens_nothing() {
    let world = World::start().await;
    let (token, key) = (world.token().await, Key::generate().unwrap());
    let forged = JoinToken::draw(token.cluster.clone(), token.authority);
    let refused = world.join(&forged, "n1", &key).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert!(refused.message().contains("no such join token"), "{refused:?}");
    assert!(refused.metadata().get(proto::HINT).is_some());
    let _joined = world.join(&token, "n1", &key).await.unwrap();
    let thief = world.join(&token, "n2", &Key::generate().unwrap()).await.unwrap_err();
    assert!(thief.message().contains("was used by node n1"), "{thief:?}");
    let thief = world.join(&token, "n1", &Key::generate().unwrap()).await.unwrap_err();
    assert_eq!(thief.code(), Code::Unauthenticated);
    let short = wire::CreateTokenRequest { valid_ms: 500, ..Default::default() };
    let expired = world.admin().create_token(short).await.unwrap().into_inner();
    while trust::now().as_millis() <= expired.expires_at_ms {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let expired: JoinToken = expired.token.parse().unwrap();
    let refused = world.join(&expired, "n3", &key).await.unwrap_err();
    assert!(refused.message().contains("has expired"), "{refused:?}");
    assert_eq!(world.token().await.authority, token.authority);
}

#[tokio::test]
async fn a_token_of_another_cluster_is_not_even_shown() {
    let (ours, theirs) = (World::start().await, World::start().await);
    let (token, key) = (theirs.token().await, Key::generate().unwrap());
    assert_ne!(token.cluster, ours.token().await.cluster);
    // The pin of the token is of the other authority.
    let refused = ours.join(&token, "n1", &key).await.unwrap_err();
    let found = trust::failure::find(&refused).expect("the connection was not made");
    assert!(found.message.contains("Nothing was sent"), "{found:?}");
    assert!(found.hint.contains("wharf token create"), "{found:?}");
    // Nor does it open when somebody lies about the pin.
    let right = ours.token().await.authority;
    let request = wire::JoinRequest {
        node: "n1".to_owned(),
        request: key.request().unwrap(),
        token: token.secret().to_owned(),
        ..Default::default()
    };
    let channel = ours.dial(Client::pinned(right).unwrap());
    let refused = EnrolmentClient::new(channel).join(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    let joined = theirs.join(&token, "n1", &key).await;
    assert!(joined.is_ok(), "and it is still good where it is from: {joined:?}");
}

#[tokio::test]
async fn a_wrong_pin_keeps_the_token_secret() {
    let world = World::start().await;
    let token = world.token().await;
    let channel = world.dial(Client::pinned(sha256(b"another authority")).unwrap());
    let request = wire::JoinRequest {
        node: "n1".to_owned(),
        request: Key::generate().unwrap().request().unwrap(),
        token: token.secret().to_owned(),
        ..Default::default()
    };
    let refused = EnrolmentClient::new(channel).join(request).await.unwrap_err();
    assert!(trust::failure::find(&refused).is_some(), "{refused:?}");
    let joined = world.join(&token, "n1", &Key::generate().unwrap()).await;
    assert!(joined.is_ok(), "the token was not used");
}

#[tokio::test]
async fn of_two_who_show_one_token_at_once_one_is_let_in() {
    let world = World::start().await;
    for round in 0..10 {
        let token = world.token().await;
        let keys = [Key::generate().unwrap(), Key::generate().unwrap()];
        let names = [format!("a{round}"), format!("b{round}")];
        let (one, other) = tokio::join!(
            world.join(&token, &names[0], &keys[0]),
            world.join(&token, &names[1], &keys[1])
        );
        assert_ne!(one.is_ok(), other.is_ok(), "{one:?} {other:?}");
    }
}

/// The coordinator is ended before and after each step: what was not acknowledged can be asked again, and what was is
/// known.
#[tokio::test]
async fn a_coordinator_that_ends_between_any_two_steps_of_a_join_loses_nothing() {
    let mut world = World::start().await;
    let (token, key) = (world.token().await, Key::generate().unwrap());
    world.end().await;
    let refused = world.join(&token, "n1", &key).await.unwrap_err();
    assert!(trust::failure::find(&refused).is_some(), "nobody is there: {refused:?}");
    world.begin().await;
    let lost = world.join(&token, "n1", &key).await.unwrap();
    world.end().await;
    world.begin().await;
    // The agent was killed before it had written down the answer, or never saw it: it asks again, with the same key.
    let answer = world.join(&token, "n1", &key).await.unwrap();
    assert_ne!(answer.certificate, lost.certificate);
    let pem = key.to_pem();
    let first = Bundle::new(Key::from_pem(&pem).unwrap(), lost.certificate, lost.authority);
    let bundle = Bundle::new(key, answer.certificate, answer.authority).unwrap();
    world.end().await;
    world.begin().await;
    let session = Session::open(world.channel(&bundle), machine("n1")).await.unwrap();
    world.end().await;
    session.ended().await;
    world.begin().await;
    let _session = Session::open(world.channel(&bundle), machine("n1")).await.unwrap();
    let denied = Session::open(world.channel(&first.unwrap()), machine("n1")).await.err().unwrap();
    assert_eq!(denied.code(), Code::Unauthenticated, "what was lost counts for nothing");
    let thief = world.join(&token, "n2", &Key::generate().unwrap()).await;
    assert_eq!(
        thief.unwrap_err().code(),
        Code::Unauthenticated,
        "used is used, also after a restart"
    );
}

#[tokio::test]
async fn the_old_certificate_holds_until_the_new_one_is_used() {
    let mut world = World::start().await;
    let old = world.node("n1").await;
    let first = Session::open(world.channel(&old), machine("n1")).await.unwrap();
    let key = Key::generate().unwrap();
    let request = wire::RenewRequest { request: key.request().unwrap() };
    let answer = EnrolmentClient::new(world.channel(&old)).renew(request).await.unwrap();
    let answer = answer.into_inner();
    let new = Bundle::new(key, answer.certificate, answer.authority).unwrap();
    // The agent may be killed here, and with it what it has just been given.
    world.end().await;
    first.ended().await;
    world.begin().await;
    let again = Session::open(world.channel(&old), machine("n1")).await.unwrap();
    let _newer = Session::open(world.channel(&new), machine("n1")).await.unwrap();
    again.ended().await;
    world.end().await;
    world.begin().await;
    let denied = Session::open(world.channel(&old), machine("n1")).await.err().unwrap();
    assert!(denied.message().contains("replaced by another one"), "{denied:?}");
    assert!(Session::open(world.channel(&new), machine("n1")).await.is_ok());
}

#[tokio::test]
async fn who_is_revoked_is_cut_off_at_once_and_can_not_come_back_by_itself() {
    let world = World::start().await;
    let (token, key) = (world.token().await, Key::generate().unwrap());
    let answer = world.join(&token, "n1", &key).await.unwrap();
    let pem = key.to_pem();
    let bundle = Bundle::new(key, answer.certificate, answer.authority).unwrap();
    let other = world.node("n2").await;
    let mut bystander = Session::open(world.channel(&other), machine("n2")).await.unwrap();
    let session = Session::open(world.channel(&bundle), machine("n1")).await.unwrap();
    let revoke = wire::RevokeNodeRequest { node: "n1".to_owned() };
    world.admin().revoke_node(revoke).await.unwrap();
    session.ended().await;
    let denied = Session::open(world.channel(&bundle), machine("n1")).await.err().unwrap();
    assert_eq!(denied.code(), Code::Unauthenticated);
    assert!(denied.message().contains("was revoked"), "{denied:?}");
    let key = Key::from_pem(&pem).unwrap();
    assert!(world.join(&token, "n1", &key).await.is_err(), "not by what it has joined by");
    assert!(world.join(&world.token().await, "n1", &key).await.is_err(), "nor by any other token");
    let named = wire::CreateTokenRequest {
        node: Some("n1".to_owned()),
        valid_ms: 60_000,
        ..Default::default()
    };
    let named = world.token_for(named).await;
    assert!(world.join(&named, "n1", &Key::generate().unwrap()).await.is_ok());
    let still = tokio::time::timeout(Duration::from_millis(100), async {
        while bystander.incoming.message().await.unwrap().is_some() {}
    });
    assert!(still.await.is_err(), "the other one goes on");
}

#[tokio::test]
async fn t9_t13_neither_the_store_nor_anything_beside_it_holds_a_secret() {
    let mut world = World::start().await;
    let (open, used) = (world.token().await, world.token().await);
    let key = Key::generate().unwrap();
    let _answer = world.join(&used, "n1", &key).await.unwrap();
    world.end().await;
    let mut looked = 0;
    for path in files(&world.data()) {
        // A socket can not be read.
        let Ok(bytes) = std::fs::read(&path) else { continue };
        looked += 1;
        for secret in [open.secret(), used.secret(), "correct horse", "PRIVATE KEY"] {
            let is_there = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!is_there, "{} holds {secret}", path.display());
        }
    }
    assert!(looked >= 2);
}

#[tokio::test]
async fn a_node_that_is_forgotten_does_not_come_back_by_itself() {
    use proto::wire::control_client::ControlClient;
    let world = World::start().await;
    let bundle = world.node("n1").await;
    let session = Session::open(world.channel(&bundle), machine("n1")).await.unwrap();
    let forget = wire::SetAvailabilityRequest {
        node: "n1".to_owned(),
        availability: wire::Availability::Dead.into(),
    };
    let mut control = ControlClient::new(world.local());
    let refused = control.set_availability(forget.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "while it is connected: {refused:?}");
    let again = Session::open(world.channel(&bundle), machine("n1")).await.unwrap();
    drop((session, again));
    // The coordinator hears a moment later that it has gone.
    let forgotten = async {
        while control.set_availability(forget.clone()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(crate::world::SOON, forgotten).await.expect("it is forgotten");
    let denied = Session::open(world.channel(&bundle), machine("n1")).await.err().unwrap();
    assert_eq!(denied.code(), Code::Unauthenticated);
    assert!(denied.message().contains("was revoked"), "{denied:?}");
}
