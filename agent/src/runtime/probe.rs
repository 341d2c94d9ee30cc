//! Tries once whether a container works, from the host.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use agent_core::action::{Fault, FaultKind, Outcome};
use bollard::models::ContainerInspectResponse;
use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use model::spec::Probe;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::Docker;
use super::ask::{chain, fault};

impl Docker {
    pub(super) async fn probe(&self, id: &str, probe: &Probe, timeout: Duration) -> Outcome {
        let address = match self.address(id).await {
            Ok(address) => address,
            Err(outcome) => return *outcome,
        };
        let tried = tokio::time::timeout(timeout, attempt(address, probe)).await;
        let late = || Err(format!("no answer within {} ms", timeout.as_millis()));
        match tried.unwrap_or_else(|_| late()) {
            Ok(()) => Outcome::Done,
            Err(why) => failed(describe(probe, &why)),
        }
    }

    /// Finds where the ports of a container are reached from the host.
    async fn address(&self, id: &str) -> Result<IpAddr, Box<Outcome>> {
        let mut inspect = self.own(id).await?;
        if let Some(owner) = mode(&inspect).and_then(|mode| mode.strip_prefix("container:")) {
            let owner = owner.to_owned();
            inspect = self.own(&owner).await?;
        }
        match mode(&inspect) {
            Some("host") => Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            Some(_) | None => bridge_address(&inspect).ok_or_else(|| {
                Box::new(failed("the container has no address that could be probed".into()))
            }),
        }
    }
}

fn failed(message: String) -> Outcome {
    let fault: Fault = fault(FaultKind::Refused, message);
    Outcome::Failed(fault)
}

fn describe(probe: &Probe, why: &str) -> String {
    match probe {
        Probe::Http { port, path } => format!("GET {path} on port {port}: {why}"),
        Probe::Tcp { port } => format!("port {port}: {why}"),
        Probe::Disabled | Probe::Command(_) => why.to_owned(),
    }
}

fn mode(inspect: &ContainerInspectResponse) -> Option<&str> {
    inspect.host_config.as_ref()?.network_mode.as_deref()
}

/// The address in the first network by name that has one, IPv4 before IPv6.
fn bridge_address(inspect: &ContainerInspectResponse) -> Option<IpAddr> {
    let networks = inspect.network_settings.as_ref()?.networks.as_ref()?;
    let mut endpoints: Vec<_> = networks.iter().collect();
    endpoints.sort_unstable_by_key(|(name, _)| *name);
    let v4 = endpoints.iter().filter_map(|(_, endpoint)| endpoint.ip_address.as_ref());
    let v6 = endpoints.iter().filter_map(|(_, endpoint)| endpoint.global_ipv6_address.as_ref());
    v4.chain(v6).find_map(|address| address.parse().ok())
}

async fn attempt(address: IpAddr, probe: &Probe) -> Result<(), String> {
    match probe {
        Probe::Tcp { port } => dial(address, *port).await.map(drop),
        Probe::Http { port, path } => get(address, *port, path).await,
        // The engine runs these itself.
        Probe::Disabled | Probe::Command(_) => Ok(()),
    }
}

async fn dial(address: IpAddr, port: u16) -> Result<TcpStream, String> {
    let dialled = TcpStream::connect(SocketAddr::new(address, port)).await;
    dialled.map_err(|error| error.to_string())
}

/// Asks for a page over HTTP/1.1. Only the status counts; the body is not read.
async fn get(address: IpAddr, port: u16, path: &str) -> Result<(), String> {
    let stream = dial(address, port).await?;
    let request = Request::get(path)
        .header(HOST, SocketAddr::new(address, port).to_string())
        .header(USER_AGENT, "wharf-agent")
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| format!("the path can not be asked for: {error}"))?;
    let (mut sender, driver) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| chain(&error))?;
    let mut connection = JoinSet::new();
    // Its end shows in the answer.
    connection.spawn(async move { drop(driver.await) });
    let answer = sender.send_request(request).await.map_err(|error| chain(&error))?;
    let status = answer.status();
    if status >= StatusCode::OK && status < StatusCode::BAD_REQUEST {
        return Ok(());
    }
    Err(format!("answered {status}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_reached_by_the_address_of_its_network_which_is_all_that_docker_29_tells() {
        let told = r#"{"NetworkSettings":{"SandboxID":"2067e0","Ports":{},"Networks":{
            "b":{"IPAddress":"172.19.0.2","GlobalIPv6Address":""},"a":{"IPAddress":"","GlobalIPv6Address":"fd00::2"}}}}"#;
        let address = bridge_address(&serde_json::from_str(told).unwrap());
        assert_eq!(address, Some(IpAddr::V4(Ipv4Addr::new(172, 19, 0, 2))));
    }
}
