//! A key, and the request for a certificate that goes with it.

use anyhow::Context;
use model::trust::Fingerprint;
use rcgen::{
    CertificateParams, CertificateSigningRequestParams, DistinguishedName, KeyPair,
    PKCS_ECDSA_P256_SHA256, PublicKeyData,
};
use rustls::pki_types::{CertificateSigningRequestDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use crate::digest::sha256;

/// A request for a certificate is no longer than this, in bytes: one of ours has less than 300.
pub const REQUEST_LIMIT: usize = 4 << 10;

/// A private key on the curve P-256. It is shown nowhere.
pub struct Key(KeyPair);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    /// Makes one.
    ///
    /// # Errors
    /// When the cryptography fails.
    pub fn generate() -> anyhow::Result<Self> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256);
        Ok(Self(key.context("a key can not be made")?))
    }

    /// Reads one, PKCS #8 in PEM.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_pem(text: &str) -> anyhow::Result<Self> {
        Ok(Self(KeyPair::from_pem(text).context("this is no private key")?))
    }

    /// Writes it, PKCS #8 in PEM.
    #[must_use]
    pub fn to_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(self.0.serialize_pem())
    }

    /// What TLS signs with.
    #[must_use]
    pub fn to_der(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.0.serialize_der()).into()
    }

    /// The digest of its public half.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        sha256(&self.0.subject_public_key_info())
    }

    /// A request for a certificate, PKCS #10 in DER. It names nobody: who it is for is not the asker's to say.
    ///
    /// # Errors
    /// When the cryptography fails.
    pub fn request(&self) -> anyhow::Result<Vec<u8>> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&self.0);
        Ok(request.context("a request for a certificate can not be made")?.der().to_vec())
    }
}

/// Reads a request, and gives nothing of it but its key, which whoever made it has.
///
/// # Errors
/// When it is too long, not signed by its own key, or its key is not on P-256.
pub fn requested(request: &[u8]) -> anyhow::Result<rcgen::PublicKey> {
    anyhow::ensure!(request.len() <= REQUEST_LIMIT, "it is longer than {REQUEST_LIMIT} bytes");
    let request = CertificateSigningRequestDer::from(request);
    let read = CertificateSigningRequestParams::from_der(&request);
    let key = read.context("it is no PKCS #10 request that is signed by its own key")?.public_key;
    let is_ours = key.algorithm() == &PKCS_ECDSA_P256_SHA256;
    anyhow::ensure!(is_ours, "its key is not on the curve P-256");
    Ok(key)
}

/// The digest of a requested key.
#[must_use]
pub fn fingerprint(key: &rcgen::PublicKey) -> Fingerprint {
    sha256(&key.subject_public_key_info())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_request_only_the_key_is_taken() {
        let key = Key::generate().unwrap();
        let request = key.request().unwrap();
        assert_eq!(fingerprint(&requested(&request).unwrap()), key.fingerprint());
        assert_eq!(Key::from_pem(&key.to_pem()).unwrap().fingerprint(), key.fingerprint());
    }

    #[test]
    fn what_is_not_signed_by_its_own_key_is_refused() {
        let key = Key::generate().unwrap();
        let (request, mut refused) = (key.request().unwrap(), 0);
        for place in 0..request.len() {
            let mut forged = request.clone();
            forged[place] ^= 1;
            // The seal itself can be written in more than one way; what it seals can not.
            let taken = requested(&forged).ok().map(|key| fingerprint(&key));
            assert!(taken.is_none_or(|taken| taken == key.fingerprint()), "byte {place}");
            refused += usize::from(taken.is_none());
            assert!(requested(&request[..place]).is_err(), "cut at {place}");
        }
        assert!(refused + 3 > request.len(), "only {refused} of {}", request.len());
        assert!(requested(&vec![0; REQUEST_LIMIT + 1]).is_err());
        let other = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let request = CertificateParams::default().serialize_request(&other).unwrap();
        assert!(requested(request.der()).unwrap_err().to_string().contains("P-256"));
    }
}
