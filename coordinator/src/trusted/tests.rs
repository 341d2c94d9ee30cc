//! A certificate that is replaced while others are connected, and hosts.

use std::fs;

use proto::wire;
use proto::wire::enrolment_client::EnrolmentClient;
use tokio::net::TcpListener;
use tonic::Code;
use trust::incoming::accept;
use trust::tls::Client;
use trust::transport::Dial;

use super::*;
use crate::authority::seal::Credential;

/// Whoever is connected is answered by a server that knows no call.
#[tokio::test]
async fn another_certificate_is_shown_to_whoever_dials_next_and_connections_stand() {
    let secret = std::env::temp_dir().join(format!("wharf-replaced-{}", std::process::id()));
    fs::write(&secret, "k".repeat(32)).unwrap();
    let cluster: ClusterId = "c1".parse().unwrap();
    let sealer = Credential { file: secret.clone() };
    let (authority, _) = Authority::create(&cluster, &sealer, trust::now()).unwrap();
    fs::remove_file(secret).unwrap();
    let own = |host: &str| authority.own(&[host.to_owned()], trust::now()).unwrap();
    let server = Server::new(&own("127.0.0.1")).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let accepted = accept(listener, server.clone(), cluster, Arc::default());
    let router = tonic::transport::Server::builder().add_routes(tonic::service::Routes::default());
    tokio::spawn(router.serve_with_incoming(accepted.strangers));
    let dial = || {
        let client = Client::pinned(authority.fingerprint()).unwrap();
        EnrolmentClient::new(Dial::Tls { address: address.clone(), client }.channel().unwrap())
    };
    let mut standing = dial();
    let ask = || wire::RenewRequest::default();
    assert_eq!(standing.renew(ask()).await.unwrap_err().code(), Code::Unimplemented);
    server.replace(&own("wharf.test")).unwrap();
    let refused = dial().renew(ask()).await.unwrap_err();
    let found = trust::failure::find(&refused).expect("the new one is for another host");
    assert!(found.message.contains(&address) && found.hint.contains("--name"), "{found:?}");
    assert_eq!(standing.renew(ask()).await.unwrap_err().code(), Code::Unimplemented);
    server.replace(&own("127.0.0.1")).unwrap();
    assert_eq!(dial().renew(ask()).await.unwrap_err().code(), Code::Unimplemented);
}

#[test]
fn hosts_are_names_or_addresses() {
    for host in ["wharf", "a-b.example.org", "10.0.0.1", "::1", "i-0abc.eu-west-1.compute.internal"]
    {
        assert!(is_host(host), "{host}");
    }
    let long = format!("{}.org", "a".repeat(64));
    for wrong in ["", ".", "a..b", "-a", "a-", "a b", "a:1", "http://a", "*.example.org", &long] {
        assert!(!is_host(wrong), "{wrong:?}");
    }
    let address = "0.0.0.0:7421".parse().unwrap();
    let hosts = hosts(&["wharf.test".to_owned()], address);
    assert!(hosts.contains(&"wharf.test".to_owned()) && hosts.contains(&"localhost".to_owned()));
    assert!(!hosts.contains(&"0.0.0.0".to_owned()), "nobody dials that");
    assert_eq!(with_port("::1", 7), "[::1]:7");
    assert_eq!(with_port("wharf.test", 7), "wharf.test:7");
}
