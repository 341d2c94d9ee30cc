//! What services may ask of machines.

use model::policy::{Permit, Right, plain_capability, plain_path};

use super::{At, Invalid, Valid};
use crate::wire;

/// One permit has no more rights than this.
const RIGHTS_LIMIT: usize = 64;
/// A reason is no longer than this, in bytes.
const TEXT_LIMIT: usize = 512;

/// Reads a permit.
///
/// # Errors
/// Says where and what is wrong.
pub fn permit_from_wire(from: &wire::StoredPermit) -> Valid<Permit> {
    if from.rights.is_empty() || from.rights.len() > RIGHTS_LIMIT {
        let why = format!("a grant is of something, and of at most {RIGHTS_LIMIT} things");
        return Err(Invalid::new("grant.rights", why));
    }
    if from.why.len() > TEXT_LIMIT || from.why.chars().any(char::is_control) {
        let why = format!("a reason is plain text of at most {TEXT_LIMIT} bytes");
        return Err(Invalid::new("grant.why", why));
    }
    let services = from.services.parse();
    Ok(Permit {
        services: services.map_err(|error| Invalid::new("grant.services", format!("{error}")))?,
        rights: from.rights.iter().map(right).collect::<Valid<_>>()?,
        made_by: from.made_by.clone(),
        why: from.why.clone(),
    })
}

fn right(from: &wire::Right) -> Valid<Right> {
    use wire::right::Kind;
    match from.kind.as_ref().at("grant.rights")? {
        Kind::HostNetwork(_) => Ok(Right::HostNetwork),
        Kind::HostPath(from) => {
            let wrong = || {
                let why = format!("{:?} is no absolute path without `..`", from.path);
                Invalid::new("grant.rights.host_path", why)
            };
            let path = plain_path(&from.path).ok_or_else(wrong)?;
            Ok(Right::HostPath { path, writable: from.writable })
        }
        Kind::Capability(name) => {
            let plain = plain_capability(name);
            let is_fine = (2..=32).contains(&plain.len())
                && plain.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
            if !is_fine {
                let why = format!("{name:?} is no capability: write it as in NET_ADMIN");
                return Err(Invalid::new("grant.rights.capability", why));
            }
            Ok(Right::Capability(plain))
        }
    }
}

/// Writes a permit.
#[must_use]
pub fn permit_to_wire(permit: &Permit) -> wire::StoredPermit {
    use wire::right::Kind;
    let right = |right: &Right| {
        let kind = match right {
            Right::HostPath { path, writable } => {
                Kind::HostPath(wire::HostPath { path: path.clone(), writable: *writable })
            }
            Right::HostNetwork => Kind::HostNetwork(wire::HostNetworkRight {}),
            Right::Capability(name) => Kind::Capability(name.clone()),
        };
        wire::Right { kind: Some(kind) }
    };
    wire::StoredPermit {
        services: permit.services.to_string(),
        rights: permit.rights.iter().map(right).collect(),
        made_by: permit.made_by.clone(),
        why: permit.why.clone(),
    }
}
