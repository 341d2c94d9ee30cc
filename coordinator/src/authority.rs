//! The authority of the cluster: signs who is who. Its key is in the memory of this process, and sealed in the store.

pub mod seal;
pub(crate) mod secret;

use std::net::IpAddr;
use std::time::Duration;

use anyhow::Context;
use aws_lc_rs::hkdf;
use model::id::{ClusterId, Serial};
use model::time::Timestamp;
use model::trust::Fingerprint;
use proto::wire;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType, SerialNumber,
    SigningKey as _, date_time_ymd,
};
use trust::audit::Sealing;
use trust::certificate::serial;
use trust::digest::{random, sha256};
use trust::key::Key;
use trust::{Bundle, Name};
use zeroize::Zeroizing;

use crate::authority::seal::{Sealer, open, seal};
use crate::authority::secret::SecretKeys;

/// The authority holds for so long; by then it has to be replaced.
const AUTHORITY_LIFE: Duration = Duration::from_secs(3_653 * 86_400);
/// What is signed now holds also by a clock that is so much behind.
pub(crate) const BACKDATE: Duration = Duration::from_secs(3_600);
/// The coordinator's own certificate.
pub(crate) const OWN_LIFE: Duration = Duration::from_secs(2 * 86_400);

/// The authority of the cluster.
pub(crate) struct Authority {
    cluster: ClusterId,
    certificate: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
    sealing: Sealing,
    secrets: SecretKeys,
    /// The same key, for what is no certificate.
    signer: KeyPair,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

/// A serial number that was never used: 127 bits of chance, and positive (RFC 5280, 4.1.2.2).
fn draw_serial() -> [u8; 16] {
    let mut bytes = random::<16>();
    bytes[0] = bytes[0] & 0x7f | 0x40;
    bytes
}

impl Authority {
    /// Makes one, and how it is to be stored.
    ///
    /// # Errors
    /// When the cryptography fails, or the key can not be sealed.
    pub(crate) fn create(
        cluster: &ClusterId,
        sealer: &dyn Sealer,
        now: Timestamp,
    ) -> anyhow::Result<(Self, wire::Authority)> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256);
        let key = key.context("the key of the authority can not be made")?;
        let mut params = blank(now, AUTHORITY_LIFE);
        params.distinguished_name.push(DnType::CommonName, format!("Wharf cluster {cluster}"));
        // It signs certificates of nodes, operators and the coordinator, and no other authorities.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.serial_number = Some(SerialNumber::from_slice(&draw_serial()));
        let certificate = params.self_signed(&key).context("the authority can not be made")?;
        let secret = Zeroizing::new(key.serialize_der());
        let sealed = seal(sealer, cluster, &secret)?;
        let certificate = certificate.der().to_vec();
        let stored = wire::Authority { certificate: certificate.clone(), key: Some(sealed) };
        Ok((Self::new(cluster, certificate, key)?, stored))
    }

    /// Opens one that was stored.
    ///
    /// # Errors
    /// When its key was sealed with another secret, or is damaged.
    pub(crate) fn open(
        cluster: &ClusterId,
        sealer: &dyn Sealer,
        stored: &wire::Authority,
    ) -> anyhow::Result<Self> {
        let sealed = stored.key.as_ref().context("the authority in the store has no key")?;
        let secret = open(sealer, cluster, sealed)?;
        let key = KeyPair::try_from(secret.as_slice());
        let key = key.context("the key of the authority can not be read")?;
        Self::new(cluster, stored.certificate.clone(), key)
    }

    fn new(cluster: &ClusterId, certificate: Vec<u8>, key: KeyPair) -> anyhow::Result<Self> {
        let secret = Zeroizing::new(key.serialize_der());
        let sealing = sealing(&secret)?;
        let secrets = SecretKeys::derive(cluster, &secret)?;
        let signer = KeyPair::try_from(secret.as_slice()).context("the key can not be copied")?;
        let issuer = Issuer::from_ca_cert_der(&certificate.as_slice().into(), key);
        let issuer = issuer.context("the certificate of the authority can not be read")?;
        Ok(Self { cluster: cluster.clone(), certificate, issuer, sealing, secrets, signer })
    }

    /// Signs a text that says what it is, so that it can be taken for nothing else: ECDSA P-256 with SHA-256, in DER.
    ///
    /// # Errors
    /// When the cryptography fails.
    pub(crate) fn sign_text(&self, text: &[u8]) -> anyhow::Result<Vec<u8>> {
        self.signer.sign(text).context("the cryptography fails")
    }

    /// Seals the ends of the record of who did what.
    pub(crate) fn sealing(&self) -> Sealing {
        self.sealing.clone()
    }

    /// What values of secrets are sealed with.
    pub(crate) const fn secret_keys(&self) -> &SecretKeys {
        &self.secrets
    }

    /// Its certificate, DER.
    pub(crate) fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// What a join token carries, so that a node knows whom it calls.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        sha256(&self.certificate)
    }

    /// A serial number for a certificate that is to be signed once it is written down.
    pub(crate) fn next_serial() -> Serial {
        serial(&draw_serial())
    }

    /// Signs a certificate for somebody who dials us.
    ///
    /// # Errors
    /// When the cryptography fails.
    pub(crate) fn sign(
        &self,
        name: &Name,
        key: &rcgen::PublicKey,
        serial: &Serial,
        until: (Timestamp, Timestamp),
    ) -> anyhow::Result<Vec<u8>> {
        let mut params = self.certificate_of(name, until)?;
        params.serial_number = Some(SerialNumber::from_slice(&bytes(serial)));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.signed(&params, key)
    }

    /// Makes what this coordinator shows to whoever dials one of these hosts.
    ///
    /// # Errors
    /// When a host is no name, or the cryptography fails.
    pub(crate) fn own(&self, hosts: &[String], now: Timestamp) -> anyhow::Result<Bundle> {
        let mut params = self.certificate_of(&Name::Coordinator, (now, now + OWN_LIFE))?;
        for host in hosts {
            let name = match host.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(ia5(host)?),
            };
            params.subject_alt_names.push(name);
        }
        params.serial_number = Some(SerialNumber::from_slice(&draw_serial()));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = Key::generate()?;
        let request = trust::key::requested(&key.request()?)?;
        let certificate = self.signed(&params, &request)?;
        Bundle::new(key, certificate, self.certificate.clone())
    }

    fn certificate_of(
        &self,
        name: &Name,
        (now, until): (Timestamp, Timestamp),
    ) -> anyhow::Result<CertificateParams> {
        let mut params = blank(now, until.since(now));
        params.distinguished_name.push(DnType::CommonName, name.to_string());
        params.subject_alt_names = vec![SanType::URI(ia5(&name.id(&self.cluster))?)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        Ok(params)
    }

    fn signed(
        &self,
        params: &CertificateParams,
        key: &impl PublicKeyData,
    ) -> anyhow::Result<Vec<u8>> {
        let signed = params.signed_by(key, &self.issuer);
        Ok(signed.context("the certificate can not be signed")?.der().to_vec())
    }
}

/// A key of its own, out of that of the authority (RFC 5869): what it seals says nothing about that one.
fn sealing(secret: &[u8]) -> anyhow::Result<Sealing> {
    let mut key = Zeroizing::new([0; 32]);
    let random = hkdf::Salt::new(hkdf::HKDF_SHA256, b"wharf").extract(secret);
    let derived = random.expand(&[b"audit"], hkdf::HKDF_SHA256);
    let filled = derived.and_then(|derived| derived.fill(key.as_mut()));
    filled.map_err(|_| anyhow::anyhow!("no key can be derived for the audit record"))?;
    Ok(Sealing::new(&key))
}

fn ia5(text: &str) -> anyhow::Result<Ia5String> {
    Ia5String::try_from(text).with_context(|| format!("{text:?} is no name for a certificate"))
}

/// Says nothing but when it holds.
fn blank(now: Timestamp, life: Duration) -> CertificateParams {
    let instant = |at: Timestamp| {
        // Whole seconds are all that a certificate knows.
        date_time_ymd(1970, 1, 1) + Duration::from_secs(at.as_millis() / 1_000)
    };
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.not_before = instant(now - BACKDATE);
    params.not_after = instant(now + life);
    params
}

fn bytes(serial: &Serial) -> Vec<u8> {
    let text = serial.as_str();
    let padded = if text.len().is_multiple_of(2) { text.to_owned() } else { format!("0{text}") };
    let digit = |digit: u8| char::from(digit).to_digit(16).unwrap_or_default();
    let pair = |pair: &[u8]| pair.iter().fold(0, |byte, one| byte << 4 | digit(*one));
    padded.as_bytes().chunks(2).filter_map(|two| u8::try_from(pair(two)).ok()).collect()
}

#[cfg(test)]
mod tests;
