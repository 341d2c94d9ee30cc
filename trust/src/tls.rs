//! TLS in both directions: version 1.3 and nothing older, one provider, and no sessions that are resumed, so that each
//! connection shows a certificate.

use std::sync::{Arc, PoisonError, RwLock};

use anyhow::Context;
use model::trust::Fingerprint;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig,
    SignatureScheme, version,
};

use crate::bundle::Bundle;
use crate::certificate::Certificate;
use crate::digest::sha256;

/// What both sides speak inside.
const PROTOCOL: &[u8] = b"h2";

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn roots(authority: &CertificateDer<'_>) -> anyhow::Result<Arc<RootCertStore>> {
    let mut roots = RootCertStore::empty();
    let added = roots.add(authority.clone().into_owned());
    added.context("the certificate of the authority can not be used")?;
    Ok(Arc::new(roots))
}

fn certified(bundle: &Bundle) -> anyhow::Result<CertifiedKey> {
    let chain = vec![bundle.certificate.clone(), bundle.authority.clone()];
    let certified = CertifiedKey::from_der(chain, bundle.key.to_der(), &provider());
    certified.context("the key and the certificate do not belong together")
}

/// How a program shows who it is when it dials, and knows whom it has dialled.
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) config: Arc<ClientConfig>,
    /// The certificate that is shown, if one is.
    pub(crate) shown: Option<Arc<Certificate>>,
}

impl Client {
    /// Shows this certificate, and trusts the authority beside it.
    ///
    /// # Errors
    /// When they can not be used.
    pub fn mutual(bundle: &Bundle) -> anyhow::Result<Self> {
        let config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&version::TLS13])
            .context("TLS 1.3 is not to be had")?
            .with_root_certificates(roots(&bundle.authority)?)
            .with_client_auth_cert(
                vec![bundle.certificate.clone(), bundle.authority.clone()],
                bundle.key.to_der(),
            )
            .context("the key and the certificate do not belong together")?;
        Ok(Self::finish(config, Some(Arc::new(bundle.about.clone()))))
    }

    /// Shows nothing, and trusts the authority whose certificate has this digest. For somebody who joins.
    ///
    /// # Errors
    /// When TLS can not be used.
    pub fn pinned(authority: Fingerprint) -> anyhow::Result<Self> {
        let config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&version::TLS13])
            .context("TLS 1.3 is not to be had")?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Pinned(authority)))
            .with_no_client_auth();
        Ok(Self::finish(config, None))
    }

    fn finish(mut config: ClientConfig, shown: Option<Arc<Certificate>>) -> Self {
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        config.resumption = rustls::client::Resumption::disabled();
        Self { config: Arc::new(config), shown }
    }
}

/// Trusts the authority whose certificate has this digest, and that the other side sends along.
#[derive(Debug)]
struct Pinned(Fingerprint);

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let pinned = intermediates.iter().find(|one| sha256(one) == self.0);
        let pinned = pinned.ok_or(CertificateError::ApplicationVerificationFailure)?;
        let mut roots = RootCertStore::empty();
        roots.add(pinned.clone().into_owned())?;
        // From here on as with any authority: signature, time, use and name.
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider());
        let verifier = verifier.build().map_err(|error| Error::General(error.to_string()))?;
        verifier.verify_server_cert(end_entity, &[], server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// How a program that is dialled shows who it is. Its certificate can be replaced while it listens.
#[derive(Debug, Clone)]
pub struct Server {
    pub(crate) config: Arc<ServerConfig>,
    current: Arc<Current>,
}

/// The certificate that is shown to whoever dials next.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Server {
    /// Shows this certificate. Who dials shows one of the same authority, or none.
    ///
    /// # Errors
    /// When they can not be used.
    pub fn new(bundle: &Bundle) -> anyhow::Result<Self> {
        let current = Arc::new(Current(RwLock::new(Arc::new(certified(bundle)?))));
        let roots = roots(&bundle.authority)?;
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
        let verifier = verifier.allow_unauthenticated().build();
        let resolver: Arc<dyn ResolvesServerCert> = Arc::<Current>::clone(&current);
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&version::TLS13])
            .context("TLS 1.3 is not to be had")?
            .with_client_cert_verifier(verifier.context("clients can not be verified")?)
            .with_cert_resolver(resolver);
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        // A resumed session would show no certificate, and what was revoked meanwhile would be let in.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self { config: Arc::new(config), current })
    }

    /// Shows another certificate from now on. Connections that stand go on.
    ///
    /// # Errors
    /// When it can not be used; then the one before is shown.
    pub fn replace(&self, bundle: &Bundle) -> anyhow::Result<()> {
        let certified = Arc::new(certified(bundle)?);
        *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = certified;
        Ok(())
    }
}
