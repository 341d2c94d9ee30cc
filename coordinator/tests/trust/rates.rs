//! Whoever asks too often is told when to come again, and keeps nobody else out.

use std::net::{IpAddr, UdpSocket};
use std::time::Instant;

use proto::wire;
use proto::wire::control_client::ControlClient;
use proto::wire::enrolment_client::EnrolmentClient;
use tonic::{Code, Status};
use trust::JoinToken;
use trust::key::Key;

use crate::world::{SOON, Session, World, machine};

/// The address by which others reach this machine; none where it has none.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent: the system only says from where it would be.
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback()).then_some(address)
}

fn says_when(refused: &Status) {
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    assert!(refused.message().contains("come again in"), "{refused:?}");
    assert!(refused.metadata().get(proto::HINT).is_some());
}

#[allow(clippy::print_stderr, reason = "what a machine lacks is said")]
#[tokio::test]
async fn t12_an_address_that_asks_to_join_without_end_is_told_when_to_come_again_and_keeps_nobody_out()
 {
    let Some(address) = own_address() else {
        eprintln!("skipped: this machine has no address but that of itself");
        return;
    };
    let mut world = World::start().await;
    world.end().await;
    world.address = format!("{address}:0");
    world.begin().await;
    let known = world.node("known").await;
    let token = world.token().await;
    let forged = JoinToken::draw(token.cluster.clone(), token.authority);
    let key = Key::generate().unwrap();
    let mut count = 0;
    let refused = loop {
        let refused = world.join(&forged, "n1", &key).await.unwrap_err();
        if refused.code() == Code::ResourceExhausted {
            break refused;
        }
        assert_eq!(refused.code(), Code::Unauthenticated);
        count += 1;
        assert!(count < 500, "nothing ends it");
    };
    assert!(count >= 50, "only {count} may be mistaken");
    says_when(&refused);
    // Who is known goes on, from there too.
    let mut enrolment = EnrolmentClient::new(world.channel(&known));
    let renewed = wire::RenewRequest { request: Key::generate().unwrap().request().unwrap() };
    enrolment.renew(renewed).await.unwrap();
    let _session = Session::open(world.channel(&known), machine("known")).await.unwrap();
    let mut local = ControlClient::new(world.local());
    local.get_status(wire::GetStatusRequest {}).await.unwrap();
    // Who waits as they were told gets in, while the flood goes on and is refused.
    let began = Instant::now();
    while let Err(refused) = world.join(&token, "n1", &key).await {
        says_when(&refused);
        assert!(began.elapsed() < SOON, "it never gets in");
        assert!(world.join(&forged, "n2", &key).await.is_err());
    }
}

#[tokio::test]
async fn t12_a_node_that_begins_sessions_without_end_is_told_when_to_come_again_and_keeps_nobody_out()
 {
    let world = World::start().await;
    let (one, other) = (world.node("one").await, world.node("other").await);
    let mut count = 0;
    let refused = loop {
        match Session::open(world.channel(&one), machine("one")).await {
            Ok(_) => count += 1,
            Err(refused) => break refused,
        }
        assert!(count < 100, "nothing ends it");
    };
    assert!(count >= 8, "only {count} sessions");
    says_when(&refused);
    assert!(refused.message().contains("node one"), "{refused:?}");
    let _session = Session::open(world.channel(&other), machine("other")).await.unwrap();
    let began = Instant::now();
    while let Err(refused) = Session::open(world.channel(&one), machine("one")).await {
        says_when(&refused);
        assert!(began.elapsed() < SOON, "it never gets in");
    }
}
