//! Who is let in: tokens that nodes join by, what nodes were given, and operators with what they may do.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::id::{NodeId, OperatorName, Serial, ServiceId, TokenId};
use crate::time::Timestamp;

/// A SHA-256 digest: of a secret that is kept nowhere, of a public key, of a certificate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Takes a digest that was computed elsewhere: nothing here computes.
    #[must_use]
    pub const fn new(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// Gives the bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What a token is called by, of whose secret this is: 64 bits of it.
    #[must_use]
    pub fn token_id(&self) -> TokenId {
        let text: String = self.0.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        text.parse().expect("16 hexadecimal digits are a token's name")
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Why a text is no fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a fingerprint has 64 hexadecimal digits")]
pub struct NoFingerprint;

impl FromStr for Fingerprint {
    type Err = NoFingerprint;

    fn from_str(text: &str) -> Result<Self, NoFingerprint> {
        let digits = text.as_bytes();
        let mut bytes = [0; 32];
        if digits.len() != bytes.len() * 2 {
            return Err(NoFingerprint);
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let [high, low] = pair else { return Err(NoFingerprint) };
            let digit = |digit: u8| char::from(digit).to_digit(16).ok_or(NoFingerprint);
            *byte = u8::try_from(digit(*high)? * 16 + digit(*low)?).map_err(|_| NoFingerprint)?;
        }
        Ok(Self(bytes))
    }
}

/// What a join token stands for. The token itself is kept nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// What it is called by.
    pub id: TokenId,
    /// Of its secret.
    pub digest: Fingerprint,
    /// What the node that joins by it belongs to.
    pub grant: Grant,
    /// The only node that may join by it; it may have joined before. Any that has not, when there is none.
    pub node: Option<NodeId>,
    /// Who has made it.
    pub made_by: String,
    /// From then on it opens nothing.
    pub expires_at: Timestamp,
    /// By whom it was used, which happens once.
    pub used: Option<Use>,
}

/// What a node was given when it was let in, and does not say of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grant {
    /// The Auto Scaling group, or what takes its place.
    pub pool: Option<String>,
    /// What constraints can ask for.
    pub labels: BTreeMap<String, String>,
    /// What is known of the machine itself, where somebody else than the machine knows it.
    pub machine: Machine,
}

/// What somebody else than the machine says of it: nothing, where there is nobody else.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Machine {
    /// Where it fails together with others.
    pub zone: Option<String>,
    /// The image that it has booted.
    pub ami: Option<String>,
    /// What kind of machine it is.
    pub instance_type: Option<String>,
}

/// By whom a token was used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// As which node.
    pub node: NodeId,
    /// Of its public key: the same node may ask again with the same key, because the answer may have been lost.
    pub key: Fingerprint,
    /// When.
    pub at: Timestamp,
}

/// A certificate as far as it has to be remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// Which one.
    pub serial: Serial,
    /// Until when it holds.
    pub expires_at: Timestamp,
}

/// A node that was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// Which.
    pub node: NodeId,
    /// What it belongs to.
    pub grant: Grant,
    /// Whether it still is.
    pub standing: Standing,
    /// How it has shown which machine it is; none when it has joined by a token.
    pub attested: Option<Attested>,
}

/// How a machine has shown which one it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attested {
    /// By what.
    pub by: Method,
    /// Of the public key that it had then.
    pub key: Fingerprint,
    /// When.
    pub at: Timestamp,
}

/// By what a machine shows which one it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// A call of AWS's token service that it has signed.
    AwsSts,
    /// Its identity document, which AWS has signed.
    AwsIid,
}

impl Method {
    /// Its name, as operators write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AwsSts => "aws-sts",
            Self::AwsIid => "aws-iid",
        }
    }
}

/// Whether a node is let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// By these certificates and no others.
    Admitted {
        /// The one that it is known to have.
        current: Issued,
        /// One that it was given and has not been seen to use: until then the other one holds.
        next: Option<Issued>,
    },
    /// No certificate that it has counts any more.
    Revoked {
        /// Since when.
        at: Timestamp,
    },
}

/// Somebody who may give orders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// Who.
    pub name: OperatorName,
    /// What they may do.
    pub role: Role,
    /// The certificate that they are known by.
    pub issued: Issued,
    /// Who has made them one.
    pub made_by: String,
}

/// What an operator may do; each may do what the one before it may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// Looks at everything, and changes nothing.
    Viewer,
    /// Changes the services that one of these names.
    Deployer(Vec<ServiceGlob>),
    /// Changes all services, and opens, closes and empties nodes.
    Operator,
    /// Also says who is let in.
    Admin,
}

impl Role {
    /// Its name, without its services.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Deployer(_) => "deployer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// Says whether it changes this service.
    #[must_use]
    pub fn changes(&self, service: &ServiceId) -> bool {
        match self {
            Self::Viewer => false,
            Self::Deployer(globs) => globs.iter().any(|glob| glob.matches(service)),
            Self::Operator | Self::Admin => true,
        }
    }
}

/// Names services: `PROJECT/SERVICE`, where `*` stands for any characters of one of the two and never for the slash.
///
/// What it has to match is the whole of both names: `shop/*` is not `shop-internal/web`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceGlob {
    project: String,
    name: String,
}

/// Why a text names no services.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0:?} does not name services: it has the form PROJECT/SERVICE, of a-z, 0-9, - and _, with * for any characters of one of them"
)]
pub struct NoGlob(String);

impl ServiceGlob {
    /// Says whether it names this service.
    #[must_use]
    pub fn matches(&self, service: &ServiceId) -> bool {
        is_match(self.project.as_bytes(), service.project.as_str().as_bytes())
            && is_match(self.name.as_bytes(), service.name.as_str().as_bytes())
    }
}

/// Goes through both texts once; at each star it remembers where to go on when the rest does not fit.
fn is_match(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut here, mut star) = (0, 0, None);
    while here < text.len() {
        if pattern.get(at) == Some(&b'*') {
            star = Some((at, here));
            at += 1;
        } else if pattern.get(at) == text.get(here) {
            at += 1;
            here += 1;
        } else if let Some((starred, from)) = star {
            star = Some((starred, from + 1));
            at = starred + 1;
            here = from + 1;
        } else {
            return false;
        }
    }
    pattern.iter().skip(at).all(|byte| *byte == b'*')
}

impl FromStr for ServiceGlob {
    type Err = NoGlob;

    fn from_str(text: &str) -> Result<Self, NoGlob> {
        // As much of it as could be one.
        let wrong = || NoGlob(text.chars().take(128).collect());
        let (project, name) = text.split_once('/').ok_or_else(wrong)?;
        let is_fine = |part: &str| {
            let is_known =
                |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_*".contains(c);
            (1..=63).contains(&part.len()) && part.chars().all(is_known)
        };
        if !is_fine(project) || !is_fine(name) {
            return Err(wrong());
        }
        Ok(Self { project: project.to_owned(), name: name.to_owned() })
    }
}

impl fmt::Display for ServiceGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.project, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(glob: &str, project: &str, name: &str) -> bool {
        let service = ServiceId { project: project.parse().unwrap(), name: name.parse().unwrap() };
        glob.parse::<ServiceGlob>().unwrap().matches(&service)
    }

    /// Nomad took a prefix for the whole name (CVE-2025-4922).
    #[test]
    fn a_glob_names_whole_names_and_no_prefixes() {
        assert!(names("shop/web", "shop", "web"));
        assert!(!names("shop/web", "shop", "web-internal"));
        assert!(!names("shop/*", "shop-internal", "web"));
        assert!(!names("*/web", "shop", "web2"));
        assert!(names("shop/*", "shop", "web") && names("*/*", "a", "b"));
        assert!(
            names("shop/web-*-1", "shop", "web-a-1-1") && !names("shop/web-*-1", "shop", "web-1")
        );
        assert!(names("team-*/a*b*c", "team-x", "aXbXc".to_lowercase().as_str()));
    }

    #[test]
    fn what_names_nothing_is_refused() {
        for wrong in [
            "",
            "/",
            "shop",
            "shop/",
            "/web",
            "a/b/c",
            "shop/w?b",
            "shop/{a,b}",
            "Shop/web",
            "shop/we b",
        ] {
            assert!(wrong.parse::<ServiceGlob>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_deployer_without_services_changes_nothing() {
        let service = ServiceId { project: "a".parse().unwrap(), name: "b".parse().unwrap() };
        assert!(!Role::Deployer(Vec::new()).changes(&service));
        assert!(!Role::Viewer.changes(&service));
        assert!(Role::Operator.changes(&service) && Role::Admin.changes(&service));
    }

    #[test]
    fn fingerprints_are_read_as_they_are_written() {
        let one = Fingerprint::new(std::array::from_fn(|at| u8::try_from(at * 7 % 256).unwrap()));
        assert_eq!(one.to_string().parse(), Ok(one));
        for wrong in ["", "ab", &"g".repeat(64), &"a".repeat(63), &"a".repeat(66), &"+1".repeat(32)]
        {
            assert_eq!(wrong.parse::<Fingerprint>(), Err(NoFingerprint), "{wrong}");
        }
    }
}
