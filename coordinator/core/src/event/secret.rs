//! What is heard about secrets.

use std::fmt;

use model::id::{SecretName, ServiceId};
use model::secret::{SECRETS_LIMIT, SecretVersion};
use model::trust::ServiceGlob;

/// What an operator wants of secrets.
#[derive(Debug, Clone)]
pub enum SecretEvent {
    /// It shall have this value.
    Set {
        /// Which.
        name: SecretName,
        /// The value, sealed under the number that it is to have: one more than the newest, because the seal says so.
        version: SecretVersion,
    },
    /// These services may name it, also when they are deployed by somebody who may do nothing to others.
    Own {
        /// Which.
        name: SecretName,
        /// Patterns, all that there are from now on.
        owners: Vec<ServiceGlob>,
    },
    /// It shall be forgotten.
    Remove(SecretName),
}

/// What came of a new value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretSet {
    /// The number of the newest version.
    pub version: u64,
    /// Whether that was made now. It is not when it has this value already.
    pub is_new: bool,
    /// Services whose tasks are exchanged for it.
    pub restarted: Vec<ServiceId>,
    /// Services whose tasks have it exchanged where they are.
    pub signalled: Vec<ServiceId>,
}

/// Why nothing was done about secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretRefusal {
    /// There is none of this name.
    None(SecretName),
    /// A service names one that is not there.
    Missing {
        /// Which service.
        service: ServiceId,
        /// What it names.
        secret: SecretName,
    },
    /// Services refer to it.
    Used(SecretName, Vec<ServiceId>),
    /// Somebody else has set it meanwhile.
    Overtaken(SecretName),
    /// There are as many as there may be.
    TooMany,
}

impl fmt::Display for SecretRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None(name) => write!(f, "there is no secret {name}"),
            Self::Missing { service, secret } => {
                write!(f, "{service} needs secret {secret}, which is not there")
            }
            Self::Used(name, services) => {
                let services: Vec<String> = services.iter().map(ToString::to_string).collect();
                write!(f, "secret {name} is needed by {}", services.join(", "))
            }
            Self::Overtaken(name) => {
                write!(f, "somebody else has set secret {name} at the same time: try again")
            }
            Self::TooMany => write!(f, "a cluster has at most {SECRETS_LIMIT} secrets"),
        }
    }
}
