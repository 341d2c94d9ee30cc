//! Who is let in.

use model::time::Timestamp;
use model::trust::{
    Admission, Attested, Fingerprint, Grant, Issued, Machine, Method, Operator, Role, ServiceGlob,
    Standing, Token, Use,
};

use super::{At, Invalid, Named, Valid};
use crate::wire;

/// A pool or a label is no longer than this, in bytes.
const TEXT_LIMIT: usize = 256;
/// A node is given no more labels than this.
const LABELS_LIMIT: usize = 64;
/// A deployer is given no more patterns of services than this.
const SERVICES_LIMIT: usize = 256;

/// Reads what a node is given with its token.
fn grant_from_wire(from: Option<&wire::Grant>, path: &str) -> Valid<Grant> {
    let from = from.cloned().unwrap_or_default();
    let wrong = |why: String| Err(Invalid::new(path, why));
    if from.labels.len() > LABELS_LIMIT {
        return wrong(format!("a node has at most {LABELS_LIMIT} labels"));
    }
    let machine = from.zone.iter().chain(&from.ami).chain(&from.instance_type);
    let texts = from.labels.iter().flat_map(|(key, value)| [key, value]);
    let texts = texts.chain(&from.pool).chain(machine.clone());
    for text in texts {
        if text.len() > TEXT_LIMIT || text.chars().any(char::is_control) {
            return wrong(format!("a text is longer than {TEXT_LIMIT} bytes, or not plain"));
        }
    }
    if from.labels.keys().chain(&from.pool).chain(machine).any(String::is_empty) {
        return wrong("a pool, the key of a label and what a machine is are not empty".to_owned());
    }
    let machine = Machine { zone: from.zone, ami: from.ami, instance_type: from.instance_type };
    Ok(Grant { pool: from.pool, labels: from.labels, machine })
}

fn grant_to_wire(grant: &Grant) -> wire::Grant {
    wire::Grant {
        pool: grant.pool.clone(),
        labels: grant.labels.clone(),
        zone: grant.machine.zone.clone(),
        ami: grant.machine.ami.clone(),
        instance_type: grant.machine.instance_type.clone(),
    }
}

fn fingerprint(from: &[u8], path: &str) -> Valid<Fingerprint> {
    let digest = from.try_into().map_err(|_| Invalid::new(path, "a digest has 32 bytes"))?;
    Ok(Fingerprint::new(digest))
}

/// Reads a token.
///
/// # Errors
/// Says where and what is wrong.
pub fn token_from_wire(from: &wire::JoinToken) -> Valid<Token> {
    let read_use = |used: &wire::TokenUse| -> Valid<Use> {
        Ok(Use {
            node: used.node.named("token.used.node")?,
            key: fingerprint(&used.key, "token.used.key")?,
            at: Timestamp::from_millis(used.at_ms),
        })
    };
    Ok(Token {
        id: from.id.named("token.id")?,
        digest: fingerprint(&from.digest, "token.digest")?,
        grant: grant_from_wire(from.grant.as_ref(), "token.grant")?,
        node: from.node.as_deref().map(|node| node.named("token.node")).transpose()?,
        made_by: from.made_by.clone(),
        expires_at: Timestamp::from_millis(from.expires_at_ms),
        used: from.used.as_ref().map(read_use).transpose()?,
    })
}

/// Writes a token.
#[must_use]
pub fn token_to_wire(token: &Token) -> wire::JoinToken {
    let used = token.used.as_ref().map(|used| wire::TokenUse {
        node: used.node.to_string(),
        key: used.key.as_bytes().to_vec(),
        at_ms: used.at.as_millis(),
    });
    wire::JoinToken {
        id: token.id.to_string(),
        digest: token.digest.as_bytes().to_vec(),
        grant: Some(grant_to_wire(&token.grant)),
        node: token.node.as_ref().map(ToString::to_string),
        made_by: token.made_by.clone(),
        expires_at_ms: token.expires_at.as_millis(),
        used,
    }
}

fn issued_from_wire(from: &wire::IssuedCertificate, path: &str) -> Valid<Issued> {
    let expires_at = Timestamp::from_millis(from.expires_at_ms);
    Ok(Issued { serial: from.serial.named(path)?, expires_at })
}

fn issued_to_wire(issued: &Issued) -> wire::IssuedCertificate {
    wire::IssuedCertificate {
        serial: issued.serial.to_string(),
        expires_at_ms: issued.expires_at.as_millis(),
    }
}

/// Reads a node that was let in.
///
/// # Errors
/// Says where and what is wrong.
pub fn admission_from_wire(from: &wire::Admission) -> Valid<Admission> {
    let read = |issued: &Option<wire::IssuedCertificate>, path: &str| {
        issued.as_ref().map(|issued| issued_from_wire(issued, path)).transpose()
    };
    let current = read(&from.current, "admission.current")?;
    let next = read(&from.next, "admission.next")?;
    let standing = match (current, from.revoked_at_ms) {
        (Some(current), None) => Standing::Admitted { current, next },
        (None, Some(at)) => Standing::Revoked { at: Timestamp::from_millis(at) },
        (Some(_), Some(_)) | (None, None) => {
            return Err(Invalid::new("admission", "either has a certificate or is revoked"));
        }
    };
    Ok(Admission {
        node: from.node.named("admission.node")?,
        grant: grant_from_wire(from.grant.as_ref(), "admission.grant")?,
        standing,
        attested: from.attested.as_ref().map(attested_from_wire).transpose()?,
    })
}

fn attested_from_wire(from: &wire::Attested) -> Valid<Attested> {
    let by = match from.by() {
        wire::AttestedBy::AwsSts => Method::AwsSts,
        wire::AttestedBy::AwsIid => Method::AwsIid,
        wire::AttestedBy::Unspecified => return None.at("admission.attested.by"),
    };
    let key = fingerprint(&from.key, "admission.attested.key")?;
    Ok(Attested { by, key, at: Timestamp::from_millis(from.at_ms) })
}

fn attested_to_wire(attested: &Attested) -> wire::Attested {
    let by = match attested.by {
        Method::AwsSts => wire::AttestedBy::AwsSts,
        Method::AwsIid => wire::AttestedBy::AwsIid,
    };
    let (key, at_ms) = (attested.key.as_bytes().to_vec(), attested.at.as_millis());
    wire::Attested { by: by.into(), key, at_ms }
}

/// Writes a node that was let in.
#[must_use]
pub fn admission_to_wire(admission: &Admission) -> wire::Admission {
    let (current, next, revoked_at_ms) = match &admission.standing {
        Standing::Admitted { current, next } => {
            (Some(issued_to_wire(current)), next.as_ref().map(issued_to_wire), None)
        }
        Standing::Revoked { at } => (None, None, Some(at.as_millis())),
    };
    wire::Admission {
        node: admission.node.to_string(),
        grant: Some(grant_to_wire(&admission.grant)),
        current,
        next,
        revoked_at_ms,
        attested: admission.attested.as_ref().map(attested_to_wire),
    }
}

/// Reads what an operator may do.
///
/// # Errors
/// When it is not known, or names services where it has none. No services never means all.
pub fn role_from_wire(role: wire::OperatorRole, services: &[String]) -> Valid<Role> {
    let read = |glob: &String| {
        glob.parse::<ServiceGlob>()
            .map_err(|error| Invalid::new("operator.services", error.to_string()))
    };
    let plain = match role {
        wire::OperatorRole::Viewer => Role::Viewer,
        wire::OperatorRole::Operator => Role::Operator,
        wire::OperatorRole::Admin => Role::Admin,
        wire::OperatorRole::Deployer if services.is_empty() => {
            let why = "a deployer changes the services that are named, and none is";
            return Err(Invalid::new("operator.services", why));
        }
        wire::OperatorRole::Deployer if services.len() > SERVICES_LIMIT => {
            let why = format!("at most {SERVICES_LIMIT} patterns can be given");
            return Err(Invalid::new("operator.services", why));
        }
        wire::OperatorRole::Deployer => {
            return services.iter().map(read).collect::<Valid<_>>().map(Role::Deployer);
        }
        wire::OperatorRole::Unspecified => return None.at("operator.role"),
    };
    if services.is_empty() {
        return Ok(plain);
    }
    let why = format!("only a deployer is limited to services, and this is a {}", plain.as_str());
    Err(Invalid::new("operator.services", why))
}

/// Reads an operator.
///
/// # Errors
/// Says where and what is wrong.
pub fn operator_from_wire(from: &wire::StoredOperator) -> Valid<Operator> {
    let issued = from.issued.as_ref().at("operator.issued")?;
    Ok(Operator {
        name: from.name.named("operator.name")?,
        role: role_from_wire(from.role(), &from.services)?,
        issued: issued_from_wire(issued, "operator.issued")?,
        made_by: from.made_by.clone(),
    })
}

/// Writes an operator.
#[must_use]
pub fn operator_to_wire(operator: &Operator) -> wire::StoredOperator {
    let (role, services) = match &operator.role {
        Role::Viewer => (wire::OperatorRole::Viewer, Vec::new()),
        Role::Deployer(globs) => {
            (wire::OperatorRole::Deployer, globs.iter().map(ToString::to_string).collect())
        }
        Role::Operator => (wire::OperatorRole::Operator, Vec::new()),
        Role::Admin => (wire::OperatorRole::Admin, Vec::new()),
    };
    wire::StoredOperator {
        name: operator.name.to_string(),
        role: role.into(),
        services,
        issued: Some(issued_to_wire(&operator.issued)),
        made_by: operator.made_by.clone(),
    }
}
