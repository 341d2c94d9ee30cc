//! How the authority's key is kept at rest: XChaCha20-Poly1305 under a key that is derived from a secret outside of the
//! store. Whoever has the store, or a backup of it, has ciphertext.

use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::hkdf;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use model::id::ClusterId;
use proto::wire;
use trust::digest::random;
use zeroize::Zeroizing;

/// What Argon2id costs: OWASP's minimum. What RFC 9106 recommends (64 MiB) is much on the smallest machines.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
/// More than that is not from us, and would only keep a coordinator from starting.
const MEMORY_LIMIT_KIB: u32 = 1 << 20;
const PASSES_LIMIT: u32 = 64;
/// A secret of systemd is a key and no passphrase: with less chance in it, it would be guessed.
const CREDENTIAL_LENGTH: usize = 32;
/// A passphrase is no shorter than this.
const PASSPHRASE_LENGTH: usize = 12;
/// The name under which systemd hands the secret over.
pub const CREDENTIAL: &str = "wharf-authority";

/// Turns a secret from outside of the store into a key.
pub trait Sealer: Debug + Send + Sync {
    /// What goes beside the ciphertext, of a new seal.
    fn begin(&self) -> wire::SealedKey;

    /// The key of a seal.
    ///
    /// # Errors
    /// When the secret can not be had, or the seal is of another kind.
    fn key(&self, sealed: &wire::SealedKey) -> anyhow::Result<Zeroizing<[u8; 32]>>;

    /// Where the secret comes from, for people.
    fn describe(&self) -> String;
}

/// A passphrase in a file.
#[derive(Debug, Clone)]
pub struct Passphrase {
    /// The file.
    pub file: PathBuf,
}

/// A secret that systemd hands over (`LoadCredential=`).
#[derive(Debug, Clone)]
pub struct Credential {
    /// The file, in a folder that only this service sees.
    pub file: PathBuf,
}

impl Credential {
    /// Where systemd has put what it hands to this process, if it hands over anything.
    #[must_use]
    pub fn handed_over() -> Option<Self> {
        let folder = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from)?;
        Some(Self { file: folder.join(CREDENTIAL) })
    }
}

fn read(file: &Path) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let bytes = fs::read(file).map(Zeroizing::new);
    let bytes = bytes.with_context(|| format!("can not read {}", file.display()))?;
    let end = bytes.iter().rposition(|byte| !byte.is_ascii_whitespace()).map_or(0, |at| at + 1);
    Ok(Zeroizing::new(bytes.get(..end).unwrap_or_default().to_vec()))
}

fn blank(kind: wire::SealKind) -> wire::SealedKey {
    let (salt, nonce) = (random::<16>().to_vec(), random::<24>().to_vec());
    wire::SealedKey { kind: kind.into(), salt, nonce, ..wire::SealedKey::default() }
}

impl Sealer for Passphrase {
    fn begin(&self) -> wire::SealedKey {
        let blank = blank(wire::SealKind::Passphrase);
        wire::SealedKey { memory_kib: MEMORY_KIB, passes: PASSES, ..blank }
    }

    fn key(&self, sealed: &wire::SealedKey) -> anyhow::Result<Zeroizing<[u8; 32]>> {
        ensure!(
            sealed.kind() == wire::SealKind::Passphrase,
            "it was sealed with a secret of systemd and not with a passphrase"
        );
        let passphrase = read(&self.file)?;
        ensure!(
            passphrase.len() >= PASSPHRASE_LENGTH,
            "the passphrase in {} has fewer than {PASSPHRASE_LENGTH} characters",
            self.file.display()
        );
        let is_sane = sealed.memory_kib <= MEMORY_LIMIT_KIB && sealed.passes <= PASSES_LIMIT;
        ensure!(is_sane, "the seal says that it costs more than any that we have made");
        let params = Params::new(sealed.memory_kib, sealed.passes, 1, None)
            .map_err(|error| anyhow::anyhow!("the seal is damaged: {error}"))?;
        let mut key = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(&passphrase, &sealed.salt, key.as_mut())
            .map_err(|error| anyhow::anyhow!("the seal is damaged: {error}"))?;
        Ok(key)
    }

    fn describe(&self) -> String {
        format!("the passphrase in {}", self.file.display())
    }
}

impl Sealer for Credential {
    fn begin(&self) -> wire::SealedKey {
        blank(wire::SealKind::Credential)
    }

    fn key(&self, sealed: &wire::SealedKey) -> anyhow::Result<Zeroizing<[u8; 32]>> {
        ensure!(
            sealed.kind() == wire::SealKind::Credential,
            "it was sealed with a passphrase and not with a secret of systemd"
        );
        let secret = read(&self.file)?;
        ensure!(
            secret.len() >= CREDENTIAL_LENGTH,
            "{} has fewer than {CREDENTIAL_LENGTH} bytes, which is too few for a key",
            self.file.display()
        );
        let mut key = Zeroizing::new([0; 32]);
        hkdf::Salt::new(hkdf::HKDF_SHA256, &sealed.salt)
            .extract(&secret)
            .expand(&[b"wharf authority 1"], hkdf::HKDF_SHA256)
            .and_then(|expanded| expanded.fill(key.as_mut()))
            .map_err(|_| anyhow::anyhow!("a key can not be derived"))?;
        Ok(key)
    }

    fn describe(&self) -> String {
        format!("the secret of systemd in {}", self.file.display())
    }
}

/// A seal belongs to its cluster: moved to the store of another one it does not open.
fn purpose(cluster: &ClusterId) -> String {
    format!("wharf authority of {cluster}")
}

/// Seals a secret.
///
/// # Errors
/// When there is no key to seal it with.
pub(crate) fn seal(
    sealer: &dyn Sealer,
    cluster: &ClusterId,
    secret: &[u8],
) -> anyhow::Result<wire::SealedKey> {
    let mut sealed = sealer.begin();
    let key = sealer.key(&sealed)?;
    let purpose = purpose(cluster);
    let payload = Payload { msg: secret, aad: purpose.as_bytes() };
    let cipher = XChaCha20Poly1305::new(key.as_ref().into());
    sealed.ciphertext = cipher
        .encrypt(XNonce::from_slice(&sealed.nonce), payload)
        .map_err(|_| anyhow::anyhow!("the key of the authority can not be sealed"))?;
    Ok(sealed)
}

/// Opens a seal.
///
/// # Errors
/// When the secret is another one than that it was made with, or somebody has changed it.
pub(crate) fn open(
    sealer: &dyn Sealer,
    cluster: &ClusterId,
    sealed: &wire::SealedKey,
) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let closed =
        || format!("the key of the authority can not be opened with {}", sealer.describe());
    let key = sealer.key(sealed).with_context(closed)?;
    ensure!(sealed.nonce.len() == 24, "the seal of the authority's key is damaged");
    let purpose = purpose(cluster);
    let payload = Payload { msg: &sealed.ciphertext, aad: purpose.as_bytes() };
    let cipher = XChaCha20Poly1305::new(key.as_ref().into());
    let opened = cipher.decrypt(XNonce::from_slice(&sealed.nonce), payload);
    opened.map(Zeroizing::new).map_err(|_| {
        anyhow::anyhow!("{}: it was sealed with another one, or was changed since", closed())
    })
}
