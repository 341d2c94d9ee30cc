//! The identity document of an instance, signed by AWS: PKCS #7 with RSA of 2,048 bits and SHA-256, as `rsa2048` of the
//! metadata service is (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/verify-rsa2048.html>).
//!
//! Nothing in the signature chooses anything: there is one signer, and it is the one whose certificate is pinned. What the
//! document says is read from what was verified, and from nowhere else.

use anyhow::{Context, ensure};
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use x509_parser::pem::parse_x509_pem;

use super::ber::{INTEGER, MARKED_0, MARKED_1, NAME, SEQUENCE, SET, expect, octets, take};
use crate::digest::sha256;

/// A signed document is no longer than this, in bytes: those of AWS have some 1,100.
pub const SIGNED_LIMIT: usize = 16 << 10;

/// `pkcs7-signedData`, 1.2.840.113549.1.7.2.
const SIGNED: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
/// `pkcs7-data`, 1.2.840.113549.1.7.1.
const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
/// `contentType` of PKCS #9, 1.2.840.113549.1.9.3.
const CONTENT_TYPE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x03];
/// `messageDigest` of PKCS #9, 1.2.840.113549.1.9.4.
const MESSAGE_DIGEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x04];
/// `id-sha256`, 2.16.840.1.101.3.4.2.1.
const SHA_256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
/// `rsaEncryption`, 1.2.840.113549.1.1.1.
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
/// `sha256WithRSAEncryption`, 1.2.840.113549.1.1.11.
const RSA_SHA_256: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b];

/// A certificate of AWS that signs the documents of a region.
#[derive(Debug, Clone)]
pub struct Signer {
    /// PKCS #1.
    key: Vec<u8>,
}

impl Signer {
    /// Reads a certificate, PEM. That it has ended says nothing: it is pinned, and AWS replaces it by saying so.
    ///
    /// # Errors
    /// When it is none, or its key is not one of RSA.
    pub fn from_pem(text: &[u8]) -> anyhow::Result<Self> {
        let (_, pem) = parse_x509_pem(text).context("this is no certificate in PEM")?;
        let certificate = pem.parse_x509().context("the certificate can not be read")?;
        let key = certificate.public_key();
        let parsed = key.parsed().context("the key of the certificate can not be read")?;
        let is_rsa = matches!(&parsed, x509_parser::public_key::PublicKey::RSA(key) if key.key_size() >= 2_048);
        ensure!(is_rsa, "its key is not one of RSA with 2,048 bits: take that for `rsa2048`");
        Ok(Self { key: key.subject_public_key.data.to_vec() })
    }

    /// Gives the document, if this signer has signed it.
    ///
    /// # Errors
    /// When it is no document that it has signed.
    pub fn verify(&self, signed: &[u8]) -> anyhow::Result<Vec<u8>> {
        ensure!(signed.len() <= SIGNED_LIMIT, "it is longer than {SIGNED_LIMIT} bytes");
        let parts = Parts::read(signed).context("it is no PKCS #7 with one signer and SHA-256")?;
        let message = parts.message()?;
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.key);
        let verified = key.verify(&message, &parts.signature);
        verified
            .map_err(|_| anyhow::anyhow!("it is not signed by the certificate of its region"))?;
        Ok(parts.content)
    }
}

/// What there is in a signed document that has to do with anything.
struct Parts<'a> {
    content: Vec<u8>,
    /// What is signed instead of the content, with its digest in it.
    attributes: Option<&'a [u8]>,
    signature: Vec<u8>,
}

impl<'a> Parts<'a> {
    fn read(signed: &'a [u8]) -> Option<Self> {
        let mut input = signed;
        let mut outer = expect(&mut input, SEQUENCE)?;
        let is_signed = expect(&mut outer, NAME)? == SIGNED;
        let mut marked = expect(&mut outer, MARKED_0)?;
        let mut data = expect(&mut marked, SEQUENCE)?;
        if !is_signed || ![input, outer, marked].iter().all(|rest| rest.is_empty()) {
            return None;
        }
        let _version = expect(&mut data, INTEGER)?;
        let _digests = expect(&mut data, SET)?;
        let mut inner = expect(&mut data, SEQUENCE)?;
        let is_data = expect(&mut inner, NAME)? == DATA;
        let mut content = expect(&mut inner, MARKED_0)?;
        let document = octets(&mut content)?;
        if !is_data || !content.is_empty() || !inner.is_empty() {
            return None;
        }
        // Certificates and lists of revoked ones, of which none is asked.
        let mut next = take(&mut data)?;
        while matches!(next.tag, MARKED_0 | MARKED_1) {
            next = take(&mut data)?;
        }
        let mut signers = next.body;
        let signer = expect(&mut signers, SEQUENCE)?;
        if next.tag != SET || !signers.is_empty() || !data.is_empty() {
            return None;
        }
        Self::of_signer(document, signer)
    }

    fn of_signer(content: Vec<u8>, mut signer: &'a [u8]) -> Option<Self> {
        let _version = expect(&mut signer, INTEGER)?;
        // Who has signed is not for the signature to say.
        let _name = take(&mut signer)?;
        let mut digest = expect(&mut signer, SEQUENCE)?;
        let is_sha = expect(&mut digest, NAME)? == SHA_256;
        let mut next = take(&mut signer)?;
        let mut attributes = None;
        if next.tag == MARKED_0 {
            // What is signed is their DER; in any other form it is not known what that is.
            attributes = Some(next.whole).filter(|_| next.is_definite);
            attributes?;
            next = take(&mut signer)?;
        }
        let mut algorithm = next.body;
        let named = expect(&mut algorithm, NAME)?;
        let is_rsa = next.tag == SEQUENCE && (named == RSA || named == RSA_SHA_256);
        let signature = octets(&mut signer)?;
        // Attributes that are not signed may follow, and say nothing.
        (is_sha && is_rsa).then_some(Self { content, attributes, signature })
    }

    /// What the signature is of.
    fn message(&self) -> anyhow::Result<Vec<u8>> {
        let Some(attributes) = self.attributes else { return Ok(self.content.clone()) };
        let digest = sha256(&self.content);
        let is_whole =
            says(attributes, digest.as_bytes()).context("its attributes can not be read")?;
        ensure!(is_whole, "the document is not the one that was signed");
        // They are signed as a set, and written as part 0 (RFC 5652, 5.4).
        let (_, rest) = attributes.split_first().context("its attributes are empty")?;
        Ok([&[SET], rest].concat())
    }
}

/// Whether the attributes say, each once, that this is data and what its digest is.
fn says(attributes: &[u8], digest: &[u8]) -> Option<bool> {
    let mut all = expect(&mut &attributes[..], MARKED_0)?;
    let (mut types, mut digests) = (Vec::new(), Vec::new());
    while !all.is_empty() {
        let mut attribute = expect(&mut all, SEQUENCE)?;
        let name = expect(&mut attribute, NAME)?;
        let mut values = expect(&mut attribute, SET)?;
        if name == CONTENT_TYPE {
            types.push(expect(&mut values, NAME)?);
        } else if name == MESSAGE_DIGEST {
            digests.push(octets(&mut values)?);
        } else {
            continue;
        }
        if !values.is_empty() {
            return None;
        }
    }
    Some(types == [DATA] && digests == [digest])
}

#[cfg(test)]
mod tests;
