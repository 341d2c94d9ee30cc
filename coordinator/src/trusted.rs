//! What a coordinator has that lets others in: the authority, what it shows itself, and the connections that stand.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use model::id::ClusterId;
use trust::connections::Connections;
use trust::tls::Server;

use crate::attest::Attestation;
use crate::authority::{Authority, OWN_LIFE};
use crate::store::Store;
use crate::{Tls, authority};

/// So often it is looked whether our own certificate is to be replaced: a machine may have slept.
const OWN_LOOK: Duration = Duration::from_secs(60);

/// What lets others in.
#[derive(Debug)]
pub(crate) struct Trusted {
    pub(crate) authority: Authority,
    /// Lets machines in that show which one they are.
    pub(crate) attestation: Option<Attestation>,
    pub(crate) connections: Arc<Connections>,
    pub(crate) server: Server,
    /// The certificate of a node holds for so long.
    pub(crate) node_life: Duration,
    /// Where operators reach it.
    pub(crate) addresses: Vec<String>,
    hosts: Vec<String>,
}

impl Trusted {
    /// Opens the authority in the store, or makes one.
    ///
    /// # Errors
    /// When its key can not be opened or stored.
    pub(crate) fn open(
        store: &mut dyn Store,
        tls: &Tls,
        address: SocketAddr,
    ) -> anyhow::Result<Self> {
        let cluster: ClusterId = store.identity().cluster.clone();
        let authority = match store.authority()? {
            Some(stored) => Authority::open(&cluster, &*tls.sealer, &stored)?,
            None => {
                let (authority, stored) = Authority::create(&cluster, &*tls.sealer, trust::now())?;
                store.keep_authority(&stored)?;
                tracing::info!(authority = %authority.fingerprint(), "the cluster has an authority");
                authority
            }
        };
        let hosts = hosts(&tls.names, address);
        let own = authority.own(&hosts, trust::now());
        let own = own.context("the coordinator's own certificate can not be made")?;
        let named = tls.names.iter().map(|name| with_port(name, address.port()));
        let heard = (!address.ip().is_unspecified()).then(|| address.to_string());
        Ok(Self {
            server: Server::new(&own)?,
            authority,
            attestation: tls.aws.clone().map(Attestation::new).transpose()?,
            connections: Arc::default(),
            node_life: tls.node_life,
            addresses: named.chain(heard).collect(),
            hosts,
        })
    }

    /// Shows a new certificate long before the old one ends. Never ends itself.
    pub(crate) async fn renew_own(&self) {
        let mut made_at = trust::now();
        let mut looking = tokio::time::interval(OWN_LOOK);
        loop {
            looking.tick().await;
            let now = trust::now();
            // A clock that was set back makes what was signed before hold only later.
            let is_due =
                now.since(made_at) > OWN_LIFE / 4 || made_at.since(now) > authority::BACKDATE / 2;
            if !is_due {
                continue;
            }
            let renewed = self.authority.own(&self.hosts, now);
            match renewed.and_then(|own| self.server.replace(&own)) {
                Ok(()) => made_at = now,
                Err(error) => tracing::error!("our own certificate is not renewed: {error:#}"),
            }
        }
    }
}

/// The hosts by which it may be dialled: those that were named, and those that are certain.
fn hosts(names: &[String], address: SocketAddr) -> Vec<String> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let own = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let heard = (!address.ip().is_unspecified()).then(|| address.ip().to_string());
    let all = names.iter().cloned().chain(own).chain(heard).chain([host]);
    let mut hosts: Vec<String> = all.filter(|host| is_host(host)).collect();
    hosts.sort();
    hosts.dedup();
    hosts
}

/// An IP address or a DNS name (RFC 1123, 2.1).
pub(crate) fn is_host(host: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.parse::<std::net::IpAddr>().is_ok() || (host.len() <= 253 && host.split('.').all(is_label))
}

fn with_port(host: &str, port: u16) -> String {
    let is_ipv6 = host.parse::<std::net::Ipv6Addr>().is_ok();
    if is_ipv6 { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests;
