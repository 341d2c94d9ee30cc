//! Values of secrets: sealed with XChaCha20-Poly1305 under a key of their own, which is derived from that of the authority.

use anyhow::{Context, ensure};
use aws_lc_rs::{hkdf, hmac};
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use model::id::{ClusterId, SecretName};
use model::secret::{Sealed, SecretVersion};
use model::time::Timestamp;
use trust::digest::random;
use zeroize::Zeroizing;

/// So many bytes of a digest are kept: enough that two values of one secret are told apart.
const DIGEST_LENGTH: usize = 8;

/// Seals values and opens them again.
pub(crate) struct SecretKeys {
    cluster: ClusterId,
    cipher: XChaCha20Poly1305,
    digests: hmac::Key,
}

impl std::fmt::Debug for SecretKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretKeys").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

impl SecretKeys {
    /// Derives both keys from that of the authority (RFC 5869).
    pub(super) fn derive(cluster: &ClusterId, authority: &[u8]) -> anyhow::Result<Self> {
        let random = hkdf::Salt::new(hkdf::HKDF_SHA256, b"wharf").extract(authority);
        let derive = |purpose: &[u8]| {
            let mut key = Zeroizing::new([0; 32]);
            let purpose = [purpose];
            let expanded = random.expand(&purpose, hkdf::HKDF_SHA256);
            let filled = expanded.and_then(|expanded| expanded.fill(key.as_mut()).map(|()| key));
            filled.map_err(|_| anyhow::anyhow!("no key can be derived for secrets"))
        };
        let cipher = XChaCha20Poly1305::new(derive(b"secret values")?.as_ref().into());
        let digests = hmac::Key::new(hmac::HMAC_SHA256, derive(b"secret digests")?.as_ref());
        Ok(Self { cluster: cluster.clone(), cipher, digests })
    }

    /// A seal belongs to its cluster, its secret and its version: in the place of another it does not open. No name has a
    /// space.
    fn purpose(&self, name: &SecretName, version: u64) -> String {
        format!("wharf secret {} {name} {version}", self.cluster)
    }

    /// Seals a value.
    ///
    /// # Errors
    /// When the cryptography fails.
    pub(crate) fn seal(
        &self,
        (name, version): (&SecretName, u64),
        value: &[u8],
    ) -> anyhow::Result<Sealed> {
        let (nonce, purpose) = (random::<24>().to_vec(), self.purpose(name, version));
        let payload = Payload { msg: value, aad: purpose.as_bytes() };
        let ciphertext = self.cipher.encrypt(XNonce::from_slice(&nonce), payload);
        let ciphertext = ciphertext.map_err(|_| anyhow::anyhow!("the value can not be sealed"))?;
        Ok(Sealed { nonce, ciphertext })
    }

    /// Makes a value the next version of a secret.
    ///
    /// # Errors
    /// When the cryptography fails.
    pub(crate) fn version(
        &self,
        (name, number): (&SecretName, u64),
        value: &[u8],
        (set_by, set_at): (&str, Timestamp),
    ) -> anyhow::Result<SecretVersion> {
        Ok(SecretVersion {
            number,
            set_at,
            set_by: set_by.to_owned(),
            digest: self.digest(name, value),
            sealed: self.seal((name, number), value)?,
            origin: None,
        })
    }

    /// Opens a seal.
    ///
    /// # Errors
    /// When it is of something else, or was changed.
    pub(crate) fn open(
        &self,
        (name, version): (&SecretName, u64),
        sealed: &Sealed,
    ) -> anyhow::Result<Zeroizing<Vec<u8>>> {
        ensure!(sealed.nonce.len() == 24, "the seal of secret {name} is damaged");
        let purpose = self.purpose(name, version);
        let payload = Payload { msg: &sealed.ciphertext, aad: purpose.as_bytes() };
        let opened = self.cipher.decrypt(XNonce::from_slice(&sealed.nonce), payload);
        let opened = opened.ok().map(Zeroizing::new);
        opened.with_context(|| {
            format!("version {version} of secret {name} can not be opened: the store was changed, or is another cluster's")
        })
    }

    /// What tells values of one secret apart. Who has not the key can not try values against it, nor see that two secrets have
    /// the same one.
    pub(crate) fn digest(&self, name: &SecretName, value: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.digests);
        context.update(name.as_str().as_bytes());
        context.update(b" ");
        context.update(value);
        let tag = context.sign();
        let bytes = tag.as_ref().iter().take(DIGEST_LENGTH);
        bytes.map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(cluster: &str) -> SecretKeys {
        SecretKeys::derive(&cluster.parse().unwrap(), b"the authority's own").unwrap()
    }

    #[test]
    fn a_seal_opens_as_what_it_was_made_for_and_as_nothing_else() {
        let (keys, name, other) = (keys("c"), "db".parse().unwrap(), "mail".parse().unwrap());
        let other_cluster = self::keys("d");
        let sealed = keys.seal((&name, 2), b"swordfish").unwrap();
        assert_eq!(**keys.open((&name, 2), &sealed).unwrap(), *b"swordfish");
        assert!(keys.open((&name, 1), &sealed).is_err(), "as an earlier version");
        assert!(keys.open((&other, 2), &sealed).is_err(), "as another secret");
        assert!(other_cluster.open((&name, 2), &sealed).is_err(), "in another cluster");
        let mut changed = sealed.clone();
        changed.ciphertext[0] ^= 1;
        assert!(keys.open((&name, 2), &changed).is_err(), "after a bit was turned");
        let short = Sealed { nonce: vec![1], ..sealed };
        assert!(keys.open((&name, 2), &short).is_err(), "with half a nonce");
    }

    #[test]
    fn a_digest_tells_values_apart_and_says_nothing_without_the_key() {
        let (keys, name, other) = (keys("c"), "db".parse().unwrap(), "mail".parse().unwrap());
        assert_eq!(keys.digest(&name, b"a"), keys.digest(&name, b"a"));
        assert_ne!(keys.digest(&name, b"a"), keys.digest(&name, b"b"));
        assert_ne!(keys.digest(&name, b"a"), keys.digest(&other, b"a"), "equal values show");
        let cluster = "c".parse().unwrap();
        let foreign = SecretKeys::derive(&cluster, b"another authority").unwrap();
        assert_ne!(keys.digest(&name, b"a"), foreign.digest(&name, b"a"), "anybody can count it");
    }

    #[test]
    fn two_seals_of_one_value_are_different() {
        let (keys, name) = (keys("c"), "db".parse().unwrap());
        let seal = || keys.seal((&name, 1), b"a").unwrap();
        assert_ne!(seal(), seal());
    }
}
