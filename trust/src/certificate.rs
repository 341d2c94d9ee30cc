//! What a certificate of ours says.

use model::id::{ClusterId, Serial};
use model::time::Timestamp;
use thiserror::Error;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::name::Name;

/// What a certificate of ours says. That it is genuine is for whoever has verified its chain to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The cluster whose authority has signed it.
    pub cluster: ClusterId,
    /// Who it is for.
    pub name: Name,
    /// What tells it from all others of the authority.
    pub serial: Serial,
    /// It does not hold before.
    pub not_before: Timestamp,
    /// It does not hold after.
    pub not_after: Timestamp,
}

/// Why a certificate is none of ours.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the certificate is not one of this system: {0}")]
pub struct NotOurs(String);

impl Certificate {
    /// Reads one, DER. It has exactly one URI, which says who it is for; whatever else it has counts for nothing.
    ///
    /// # Errors
    /// When it is none of ours.
    pub fn read(der: &[u8]) -> Result<Self, NotOurs> {
        let wrong = |why: &str| NotOurs(why.to_owned());
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|error| NotOurs(error.to_string()))?;
        if !rest.is_empty() {
            return Err(wrong("something follows it"));
        }
        let names = certificate.subject_alternative_name();
        let names = names.map_err(|error| NotOurs(error.to_string()))?;
        let names = names.ok_or_else(|| wrong("it names nobody"))?;
        let mut ids = names.value.general_names.iter().filter_map(|name| match name {
            GeneralName::URI(id) => Some(*id),
            _ => None,
        });
        let id = ids.next().ok_or_else(|| wrong("it has no id"))?;
        if ids.next().is_some() {
            return Err(wrong("it has several ids"));
        }
        let (cluster, name) = Name::read(id).map_err(|error| NotOurs(error.to_string()))?;
        let serial = hexadecimal(certificate.raw_serial());
        let serial = serial.parse().map_err(|_| wrong("its serial number is too long"))?;
        let validity = certificate.validity();
        let instant = |time: x509_parser::time::ASN1Time| {
            let seconds = u64::try_from(time.timestamp()).unwrap_or_default();
            Timestamp::from_millis(seconds.saturating_mul(1_000))
        };
        let (not_before, not_after) = (instant(validity.not_before), instant(validity.not_after));
        Ok(Self { cluster, name, serial, not_before, not_after })
    }
}

/// A serial number as it is remembered.
#[must_use]
pub fn serial(bytes: &[u8]) -> Serial {
    hexadecimal(bytes).parse().expect("a serial number that we have drawn is short")
}

/// Without zeros in front, which DER adds and takes away.
fn hexadecimal(bytes: &[u8]) -> String {
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let short = text.trim_start_matches('0');
    if short.is_empty() { "0".to_owned() } else { short.to_owned() }
}
