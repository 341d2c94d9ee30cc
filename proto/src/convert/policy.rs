//! What services may ask of machines.

use model::image::is_volume_name;
use model::policy::{Permit, Profile, Right, never_strict, plain_capability, plain_path};
use model::spec::TaskSpec;

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
        Kind::HostVolume(from) => {
            if !is_volume_name(&from.name) {
                let why = format!("{:?} is not the name of a volume of an engine", from.name);
                return Err(Invalid::new("grant.rights.host_volume", why));
            }
            Ok(Right::HostVolume { name: from.name.clone(), writable: from.writable })
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

/// Reads how much containers may do. Who says nothing means the default.
///
/// # Errors
/// When it is none of those that there are.
pub fn profile_from_wire(path: &str, from: Option<i32>) -> Valid<Profile> {
    let Some(from) = from else { return Ok(Profile::Default) };
    match wire::Profile::try_from(from) {
        Ok(wire::Profile::Default) => Ok(Profile::Default),
        Ok(wire::Profile::Strict) => Ok(Profile::Strict),
        Ok(wire::Profile::Unspecified) | Err(_) => None.at(path),
    }
}

/// Writes how much containers may do: nothing where that is the default.
#[must_use]
pub fn profile_to_wire(profile: Profile) -> Option<i32> {
    match profile {
        Profile::Default => None,
        Profile::Strict => Some(wire::Profile::Strict.into()),
    }
}

/// What is to be strict can be, as far as the spec tells.
pub(crate) fn check_profile(task: &TaskSpec) -> Valid<()> {
    match task.profile {
        Profile::Default => Ok(()),
        Profile::Strict => match never_strict(task) {
            None => Ok(()),
            Some(why) => {
                let why = format!("is strict, but {why}");
                Err(Invalid::new("task.profile", why))
            }
        },
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
            Right::HostVolume { name, writable } => {
                Kind::HostVolume(wire::HostVolumeRight { name: name.clone(), writable: *writable })
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
