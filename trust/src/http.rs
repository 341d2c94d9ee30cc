//! One request to somebody outside of the cluster: bounded in time and in length, and nobody is followed to another place.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore, version};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::tls::provider;

/// A request is over by then, whatever has come.
pub const TIMEOUT: Duration = Duration::from_secs(5);
/// An answer is no longer than this, in bytes.
pub const ANSWER_LIMIT: usize = 64 << 10;
/// Where systems keep the authorities of the world.
const ROOTS: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// Where requests go.
#[derive(Debug, Clone)]
pub struct Place {
    /// Host and port.
    address: String,
    /// None where nothing protects the way.
    tls: Option<(ServerName<'static>, std::sync::Arc<ClientConfig>)>,
}

/// What is asked.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    /// `GET`, `PUT` or `POST`.
    pub method: Method,
    /// From `/` on.
    pub path: String,
    /// All of them.
    pub headers: Vec<(&'static str, String)>,
    /// What is sent along.
    pub body: String,
}

/// What was answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The number that says what became of it.
    pub status: u16,
    /// What came with it.
    pub body: Vec<u8>,
}

/// The authorities that this machine's system trusts.
#[derive(Debug, Clone)]
pub struct World(std::sync::Arc<ClientConfig>);

impl World {
    /// Reads them from where systems keep them.
    ///
    /// # Errors
    /// When there are none.
    pub fn load() -> anyhow::Result<Self> {
        let found = ROOTS.iter().find_map(|path| std::fs::read(path).ok());
        let Some(pem) = found else {
            bail!("no authorities are found in {}: install ca-certificates", ROOTS.join(", "));
        };
        let mut roots = RootCertStore::empty();
        for root in rustls::pki_types::CertificateDer::pem_slice_iter(&pem).flatten() {
            // Systems keep some that are of no use here, and a few more or less say nothing.
            drop(roots.add(root));
        }
        ensure!(!roots.is_empty(), "no authorities are found in {}", ROOTS.join(", "));
        let config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&version::TLS13])
            .context("TLS 1.3 is not to be had")?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(std::sync::Arc::new(config)))
    }
}

impl Place {
    /// A host of the world, over TLS.
    ///
    /// # Errors
    /// When it is no host.
    pub fn of_world(host: &str, world: &World) -> anyhow::Result<Self> {
        let name = ServerName::try_from(host.to_owned());
        let name = name.with_context(|| format!("{host:?} is no host"))?;
        let tls = Some((name, std::sync::Arc::clone(&world.0)));
        Ok(Self { address: format!("{host}:443"), tls })
    }

    /// A place in plain text, `http://HOST:PORT`: this machine's, or what stands between it and its hypervisor.
    ///
    /// # Errors
    /// When it can be reached from other machines, or is of another form.
    pub fn nearby(url: &str) -> anyhow::Result<Self> {
        let rest = url.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
        let address =
            rest.with_context(|| format!("{url:?} is not of the form http://HOST:PORT"))?;
        let host = address.trim_start_matches('[');
        let host = host
            .rsplit_once(']')
            .map_or_else(|| host.rsplit_once(':').map_or(host, |(host, _)| host), |(host, _)| host);
        let address = if address.rsplit_once(':').is_some_and(|(_, port)| {
            port.parse::<u16>().is_ok() && !port.is_empty() && !address.ends_with(']')
        }) {
            address.to_owned()
        } else {
            format!("{address}:80")
        };
        let ip: std::net::IpAddr =
            host.parse().with_context(|| format!("{url:?} names no IP address"))?;
        let is_near = match ip {
            std::net::IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local(),
            // Where AWS has its metadata service for IPv6.
            std::net::IpAddr::V6(ip) => {
                ip.is_loopback() || ip == "fd00:ec2::254".parse::<std::net::Ipv6Addr>()?
            }
        };
        ensure!(is_near, "{url} is another machine's, and nothing would protect the way there");
        Ok(Self { address, tls: None })
    }

    /// Asks once.
    ///
    /// # Errors
    /// When there is no answer in time, or one that is too long.
    pub async fn ask(&self, ask: Ask) -> anyhow::Result<Answer> {
        let asked = tokio::time::timeout(TIMEOUT, self.ask_at_leisure(ask)).await;
        let asked = asked.map_err(|_| anyhow::anyhow!("{} does not answer", self.address))?;
        asked.with_context(|| format!("{} can not be asked", self.address))
    }

    async fn ask_at_leisure(&self, ask: Ask) -> anyhow::Result<Answer> {
        let stream = TcpStream::connect(&self.address).await?;
        match &self.tls {
            None => exchange(stream, ask, &self.address).await,
            Some((name, config)) => {
                let connector = TlsConnector::from(std::sync::Arc::clone(config));
                let stream = connector.connect(name.clone(), stream).await?;
                exchange(stream, ask, &self.address).await
            }
        }
    }
}

async fn exchange<S>(stream: S, ask: Ask, address: &str) -> anyhow::Result<Answer>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut request = Request::builder().method(ask.method).uri(&ask.path);
    if !ask.headers.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", address);
    }
    for (name, value) in &ask.headers {
        request = request.header(*name, value);
    }
    let request = request.body(Full::new(Bytes::from(ask.body)))?;
    let answered = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), ANSWER_LIMIT).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!("its answer can not be read: {error}"))?;
        Ok(Answer { status, body: body.to_bytes().to_vec() })
    };
    let mut connection = std::pin::pin!(connection);
    let mut answered = std::pin::pin!(answered);
    // Both go on together: the answer comes while the connection is driven, and is there when it has ended.
    tokio::select! {
        answer = &mut answered => answer,
        ended = &mut connection => {
            ended?;
            answered.await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_the_machine_in_plain_text() {
        for near in [
            "http://169.254.169.254",
            "http://127.0.0.1:8080/",
            "http://[::1]:80",
            "http://[fd00:ec2::254]",
        ] {
            assert!(Place::nearby(near).is_ok(), "{near}");
        }
        assert_eq!(Place::nearby("http://169.254.169.254").unwrap().address, "169.254.169.254:80");
        assert_eq!(Place::nearby("http://[fd00:ec2::254]").unwrap().address, "[fd00:ec2::254]:80");
        for far in [
            "http://10.0.0.1",
            "http://example.org",
            "https://127.0.0.1",
            "127.0.0.1",
            "http://",
            "http://[2001:db8::1]:80",
        ] {
            assert!(Place::nearby(far).is_err(), "{far}");
        }
    }
}
