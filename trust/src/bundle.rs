//! A key with its certificate and that of the authority: what a program needs to say who it is. One file, replaced as a
//! whole, so that the three always belong together.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::time::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use zeroize::Zeroizing;

use crate::certificate::Certificate;
use crate::key::Key;

/// A key with its certificate and that of the authority.
#[derive(Debug)]
pub struct Bundle {
    /// The private key.
    pub key: Key,
    /// DER.
    pub certificate: CertificateDer<'static>,
    /// DER.
    pub authority: CertificateDer<'static>,
    /// What the certificate says.
    pub about: Certificate,
}

impl Bundle {
    /// Puts together what belongs together.
    ///
    /// # Errors
    /// When the certificate is not for that key, or is none of ours.
    pub fn new(key: Key, certificate: Vec<u8>, authority: Vec<u8>) -> anyhow::Result<Self> {
        use x509_parser::prelude::{FromDer, X509Certificate};
        let about = Certificate::read(&certificate)?;
        let (_, parsed) = X509Certificate::from_der(&certificate)
            .map_err(|error| anyhow::anyhow!("the certificate can not be read: {error}"))?;
        let is_ours = crate::digest::sha256(parsed.public_key().raw) == key.fingerprint();
        ensure!(is_ours, "the certificate is for another key");
        Ok(Self { key, certificate: certificate.into(), authority: authority.into(), about })
    }

    /// Reads what [`Bundle::to_pem`] has written.
    ///
    /// # Errors
    /// When something is missing or does not belong together.
    pub fn from_pem(text: &str) -> anyhow::Result<Self> {
        let certificates: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(text.as_bytes()).collect();
        let certificates = certificates.context("a certificate can not be read")?;
        let [certificate, authority] = certificates.as_slice() else {
            anyhow::bail!("there are {} certificates, and not two", certificates.len());
        };
        let begin = text.find("-----BEGIN PRIVATE KEY-----").context("there is no private key")?;
        let key = Key::from_pem(text.get(begin..).unwrap_or_default())?;
        Self::new(key, certificate.to_vec(), authority.to_vec())
    }

    /// Writes the certificate, that of the authority, and the key.
    #[must_use]
    pub fn to_pem(&self) -> Zeroizing<String> {
        let (certificate, authority) = (pem(&self.certificate), pem(&self.authority));
        Zeroizing::new(format!("{certificate}{authority}{}", *self.key.to_pem()))
    }

    /// Reads a file; none when there is none.
    ///
    /// # Errors
    /// When it can not be read, or is no bundle.
    pub fn load(path: &Path) -> anyhow::Result<Option<Self>> {
        let text = match fs::read_to_string(path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("can not read {}", path.display()));
            }
        };
        let bundle = Self::from_pem(&text);
        bundle.with_context(|| format!("{} is damaged", path.display())).map(Some)
    }

    /// Writes the file, readable by its owner alone, and returns when it is safe from a loss of power.
    ///
    /// # Errors
    /// When it was not written; the one before is still there.
    pub fn save(&self, path: &Path) -> anyhow::Result<()> {
        write_secret(path, self.to_pem().as_bytes())
    }

    /// Says whether it holds.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.about.not_after <= now
    }
}

/// Writes a file that its owner alone may read, as a whole, and returns when it is safe from a loss of power.
///
/// # Errors
/// When it was not written; what was there before is still there.
pub fn write_secret(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let new = path.with_extension(format!("new-{}", std::process::id()));
    let write = || -> std::io::Result<()> {
        // What an earlier process of that number has left may have other permissions.
        match fs::remove_file(&new) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        path.parent().map_or(Ok(()), |folder| {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            File::open(folder)?.sync_all()
        })
    };
    write().with_context(|| format!("can not write {}", path.display()))
}

/// A certificate as PEM.
#[must_use]
pub fn pem(certificate: &CertificateDer<'_>) -> String {
    use std::fmt::Write as _;
    let mut text = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for line in STANDARD.encode(certificate).as_bytes().chunks(64) {
        // A string takes whatever is written into it.
        let _written = writeln!(text, "{}", String::from_utf8_lossy(line));
    }
    text + "-----END CERTIFICATE-----\n"
}
