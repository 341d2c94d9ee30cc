//! Commands of administrators: what services may ask of machines.

use proto::wire;
use proto::wire::right::Kind;
use serde_json::json;

use crate::args::Global;
use crate::args::trust::{AddGrant, Grant};
use crate::client::{Client, unary};
use crate::exit::{Exit, from_status};
use crate::output::{self, Listing, Row};

pub(crate) async fn grant(
    client: &Client,
    global: &Global,
    command: Grant,
) -> anyhow::Result<Exit> {
    match command {
        Grant::Add(arguments) => add(client, arguments).await,
        Grant::Ls => {
            let grants = client.trust.clone().list_grants(unary(wire::ListGrantsRequest {})).await;
            let grants = grants.map_err(|status| from_status(&status))?.into_inner().grants;
            let head = vec!["SERVICES", "MAY", "MADE BY", "WHY"];
            let rows = grants.iter().map(row).collect();
            output::print(Listing { head, wide: 4, rows }, global.format(), &global.filters)?;
            Ok(Exit::Done)
        }
        Grant::Rm { services } => {
            let request = unary(wire::RemoveGrantRequest { services });
            let removed = client.trust.clone().remove_grant(request).await;
            removed.map_err(|status| from_status(&status))?;
            Ok(Exit::Done)
        }
    }
}

async fn add(client: &Client, arguments: AddGrant) -> anyhow::Result<Exit> {
    let AddGrant { services, host_paths, host_volumes, host_network, capabilities } = arguments;
    let path = |text: String| {
        let (path, writable) = access(&text);
        Kind::HostPath(wire::HostPath { path, writable })
    };
    let volume = |text: String| {
        let (name, writable) = access(&text);
        Kind::HostVolume(wire::HostVolumeRight { name, writable })
    };
    let network = host_network.then_some(Kind::HostNetwork(wire::HostNetworkRight {}));
    let volumes = host_volumes.into_iter().map(volume);
    let kinds = host_paths.into_iter().map(path).chain(volumes).chain(network);
    let kinds = kinds.chain(capabilities.into_iter().map(Kind::Capability));
    let rights = kinds.map(|kind| wire::Right { kind: Some(kind) }).collect();
    // Why is said as with every other command.
    let request = unary(wire::AddGrantRequest { services, rights, why: String::new() });
    let added = client.trust.clone().add_grant(request).await;
    added.map_err(|status| from_status(&status))?;
    Ok(Exit::Done)
}

/// Reads `NAME[:rw]`.
fn access(text: &str) -> (String, bool) {
    match text.strip_suffix(":rw") {
        Some(name) => (name.to_owned(), true),
        None => (text.strip_suffix(":ro").unwrap_or(text).to_owned(), false),
    }
}

fn word(right: &wire::Right) -> String {
    match &right.kind {
        Some(Kind::HostPath(path)) if path.writable => format!("write {}", path.path),
        Some(Kind::HostPath(path)) => format!("read {}", path.path),
        Some(Kind::HostVolume(volume)) if volume.writable => {
            format!("write volume {}", volume.name)
        }
        Some(Kind::HostVolume(volume)) => format!("read volume {}", volume.name),
        Some(Kind::HostNetwork(_)) => "host network".to_owned(),
        Some(Kind::Capability(name)) => name.clone(),
        None => "something that this version does not know".to_owned(),
    }
}

fn row(grant: &wire::StoredPermit) -> Row {
    let rights: Vec<String> = grant.rights.iter().map(word).collect();
    Row {
        id: grant.services.clone(),
        cells: vec![
            grant.services.clone(),
            rights.join(", "),
            grant.made_by.clone(),
            grant.why.clone(),
        ],
        json: json!({
            "services": grant.services,
            "rights": rights,
            "made_by": grant.made_by,
            "why": grant.why,
        }),
    }
}
