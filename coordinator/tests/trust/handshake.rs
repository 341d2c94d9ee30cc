//! What happens before the first word: versions, clocks, authorities, and those who say nothing.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use proto::wire;
use proto::wire::control_client::ControlClient;
use proto::wire::enrolment_client::EnrolmentClient;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;
use trust::incoming::{HANDSHAKE_TIMEOUT, HANDSHAKES, STRANGERS};
use trust::key::Key;
use trust::tls::Client;
use trust::{Bundle, DialError};

use crate::world::{SOON, Session, World, machine};

/// The first word of a client that speaks TLS 1.2 and nothing newer.
fn hello_of_tls_1_2() -> Vec<u8> {
    let extensions: Vec<u8> = [
        // supported_groups: secp256r1
        &[0, 10, 0, 4, 0, 2, 0, 23][..],
        // signature_algorithms: ecdsa_secp256r1_sha256
        &[0, 13, 0, 4, 0, 2, 4, 3],
        // application_layer_protocol_negotiation: h2
        &[0, 16, 0, 5, 0, 3, 2, b'h', b'2'],
    ]
    .concat();
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    // No session, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, no compression.
    body.extend([0, 0, 2, 0xc0, 0x2b, 1, 0, 0, u8::try_from(extensions.len()).unwrap()]);
    body.extend(extensions);
    let length = u8::try_from(body.len()).unwrap();
    [&[22, 3, 1, 0, length + 4, 1, 0, 0, length][..], &body].concat()
}

#[tokio::test]
async fn tls_1_2_is_not_spoken() {
    let world = World::start().await;
    let mut stream = TcpStream::connect(&world.address).await.unwrap();
    stream.write_all(&hello_of_tls_1_2()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    // An alert, fatal: protocol_version (RFC 8446, 6.2).
    assert_eq!((answer.first(), answer.get(5..7)), (Some(&21), Some(&[2, 70][..])), "{answer:?}");
}

#[tokio::test]
async fn who_does_not_encrypt_gets_no_answer() {
    let world = World::start().await;
    let plain = trust::transport::Dial::Plaintext { address: world.address.clone() };
    let mut control = ControlClient::new(plain.channel().unwrap());
    assert!(control.get_status(wire::GetStatusRequest {}).await.is_err());
}

#[tokio::test]
async fn t12_whoever_says_nothing_is_shown_out_and_keeps_nobody_out() {
    let world = World::start().await;
    let bundle = world.node("n1").await;
    let mut idle = Vec::new();
    for _ in 0..HANDSHAKES {
        idle.push(TcpStream::connect(&world.address).await.unwrap());
    }
    let began = std::time::Instant::now();
    let session = Session::open(world.channel(&bundle), machine("n1")).await;
    assert!(session.is_ok(), "{:?}", session.err());
    assert!(began.elapsed() < HANDSHAKE_TIMEOUT * 2, "{:?}", began.elapsed());
    for mut stream in idle {
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(HANDSHAKE_TIMEOUT * 2, stream.read_to_end(&mut rest));
        assert!(closed.await.is_ok(), "it is still open");
    }
}

#[tokio::test]
async fn t12_strangers_are_bounded_and_keep_out_nobody_who_is_known() {
    let world = World::start().await;
    let bundle = world.node("n1").await;
    let authority = world.token().await.authority;
    let mut strangers = Vec::new();
    let knock = || {
        let channel = world.dial(Client::pinned(authority).unwrap());
        async move {
            let mut client = EnrolmentClient::new(channel);
            let answer = client.renew(wire::RenewRequest::default()).await;
            (client, answer.unwrap_err().code())
        }
    };
    for number in 0..STRANGERS {
        let (client, code) = knock().await;
        assert_eq!(code, Code::PermissionDenied, "stranger {number} is answered");
        strangers.push(client);
    }
    let (_one_more, code) = knock().await;
    assert_ne!(code, Code::PermissionDenied, "one more is not");
    let session = Session::open(world.channel(&bundle), machine("n1")).await;
    assert!(session.is_ok(), "{:?}", session.err());
    // Room is made by those who go.
    strangers.clear();
    let came = async {
        while knock().await.1 != Code::PermissionDenied {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(SOON, came).await.expect("there is room again");
}

async fn refused(world: &World, bundle: &Bundle) -> DialError {
    let refused = Session::open(world.channel(bundle), machine("n1")).await.err().unwrap();
    trust::failure::find(&refused).unwrap_or_else(|| panic!("{refused:?}")).clone()
}

#[tokio::test]
async fn t10_neither_side_takes_the_authority_of_another_cluster() {
    let (ours, theirs) = (World::start().await, World::start().await);
    let foreign = theirs.node("n1").await;
    // The node notices first, and sends nothing.
    let said = refused(&ours, &foreign).await;
    assert!(said.message.contains("another authority"), "{said:?}");
    // A node that would trust us all the same is not let in.
    let ours_of = ours.node("n2").await;
    let mixed = Bundle::from_pem(
        &(trust::bundle::pem(&foreign.certificate)
            + &trust::bundle::pem(&ours_of.authority)
            + &foreign.key.to_pem()),
    )
    .unwrap();
    let said = refused(&ours, &mixed).await;
    assert!(said.is_denied && said.message.contains("does not accept"), "{said:?}");
    assert!(said.hint.contains("another cluster"), "{said:?}");
}

#[tokio::test]
async fn a_certificate_that_has_ended_ends_the_connection_and_opens_none() {
    let world = World::with_node_life(coordinator::SHORTEST_NODE_LIFE).await;
    let bundle = world.node("n1").await;
    let session = Session::open(world.channel(&bundle), machine("n1")).await.unwrap();
    session.ended().await;
    assert!(bundle.is_expired(trust::now()), "it was ended too early");
    // A certificate knows whole seconds: during the last one a handshake is still made, and cut off.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let said = refused(&world, &bundle).await;
    assert!(said.is_denied && said.message.contains("has expired at"), "{said:?}");
}

#[tokio::test]
async fn a_node_can_not_be_taken_for_the_coordinator() {
    let world = World::start().await;
    let (node, victim) = (world.node("n1").await, world.node("n2").await);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = trust::tls::Server::new(&node).unwrap();
    let cluster = node.about.cluster.clone();
    let _accepting = trust::incoming::accept(listener, server, cluster, std::sync::Arc::default());
    let client = Client::mutual(&victim).unwrap();
    let dial = trust::transport::Dial::Tls { address, client };
    let refused = Session::open(dial.channel().unwrap(), machine("n2")).await.err().unwrap();
    assert!(trust::failure::find(&refused).is_some(), "{refused:?}");
}

#[tokio::test]
async fn the_socket_of_administrators_is_for_its_owner_alone() {
    let mut world = World::start().await;
    let mode = || std::fs::metadata(world.socket()).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o600);
    // Of a coordinator that was killed something is left.
    world.end().await;
    assert!(world.socket().exists());
    world.begin().await;
    let mut control = ControlClient::new(world.local());
    assert!(control.get_status(wire::GetStatusRequest {}).await.is_ok());
    if !rustix::process::geteuid().is_root() {
        return;
    }
    // Whoever has got past the mode is asked by the system who they are.
    let open = |mode| std::fs::set_permissions(world.socket(), PermissionsExt::from_mode(mode));
    open(0o666).unwrap();
    let program = "alarm 20; socket(S, AF_UNIX, SOCK_STREAM, 0); connect(S, sockaddr_un($ARGV[0])) or die; exit(sysread(S, $byte, 1) || 0)";
    for (user, bytes) in [("0", 1), ("65534", 0)] {
        let mut command = std::process::Command::new("setpriv");
        command.args([&format!("--reuid={user}"), "--clear-groups", "perl", "-MSocket", "-e"]);
        command.arg(program).arg(world.socket());
        let ended = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(bytes), "user {user} is told something: {said}");
    }
}

#[tokio::test]
async fn the_authority_is_the_same_after_a_restart_and_opens_only_with_its_secret() {
    let mut world = World::start().await;
    let token = world.token().await;
    let bundle = world.node("n1").await;
    world.end().await;
    world.begin().await;
    assert_eq!(world.token().await.authority, token.authority);
    assert!(Session::open(world.channel(&bundle), machine("n1")).await.is_ok());
    assert!(world.join(&token, "n2", &Key::generate().unwrap()).await.is_ok());
}
