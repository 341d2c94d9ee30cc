//! Documents that OpenSSL has signed, and everything that can be done to them.

use super::*;
use crate::fuzz::replay::replay;

const DOCUMENT: &[u8] = include_bytes!("fixtures/document.json");
const ATTRIBUTES: &[u8] = include_bytes!("fixtures/attributes.der");
const PLAIN: &[u8] = include_bytes!("fixtures/plain.der");
const STREAMED: &[u8] = include_bytes!("fixtures/streamed.der");
const SHA_1: &[u8] = include_bytes!("fixtures/sha1.der");
const TWO: &[u8] = include_bytes!("fixtures/two.der");

fn signer() -> Signer {
    Signer::from_pem(include_bytes!("fixtures/signer.pem")).unwrap()
}

fn other() -> Signer {
    Signer::from_pem(include_bytes!("fixtures/other.pem")).unwrap()
}

#[test]
fn a_document_is_verified_in_every_form_in_which_it_is_written() {
    for signed in [ATTRIBUTES, PLAIN, STREAMED] {
        assert_eq!(signer().verify(signed).unwrap(), DOCUMENT);
    }
}

#[test]
fn what_the_pinned_certificate_has_not_signed_is_refused() {
    for signed in [ATTRIBUTES, PLAIN, STREAMED] {
        let refused = other().verify(signed).unwrap_err();
        assert!(refused.to_string().contains("not signed by the certificate"), "{refused}");
    }
    // With an older digest, and by two, of whom one could be anybody.
    assert!(signer().verify(SHA_1).is_err());
    assert!(signer().verify(TWO).is_err() && other().verify(TWO).is_err());
}

#[test]
fn t14_a_document_of_which_a_bit_is_changed_is_refused_or_says_the_same() {
    for signed in [ATTRIBUTES, PLAIN, STREAMED] {
        let mut accepted = 0;
        for place in 0..signed.len() {
            // The lowest, and the one that says whether something has parts.
            for bit in [0, 5] {
                let mut changed = signed.to_vec();
                changed[place] ^= 1 << bit;
                if let Ok(document) = signer().verify(&changed) {
                    assert_eq!(document, DOCUMENT, "byte {place}");
                    accepted += 1;
                }
            }
        }
        // Names of signers, versions and certificates say nothing.
        assert!(accepted < signed.len() * 5 / 4, "{accepted} of {}", signed.len() * 2);
    }
}

#[test]
fn t14_a_document_that_was_cut_or_goes_on_is_refused() {
    for signed in [ATTRIBUTES, PLAIN, STREAMED] {
        for length in 0..signed.len() {
            assert!(signer().verify(&signed[..length]).is_err(), "cut at {length}");
        }
        assert!(signer().verify(&[signed, &[0]].concat()).is_err());
        assert!(signer().verify(&[signed, signed].concat()).is_err());
    }
    assert!(signer().verify(&vec![0x30; SIGNED_LIMIT + 1]).is_err());
}

/// A bag with two contents, of which one is signed and the other is read, was the fault of others.
#[test]
fn what_is_read_is_what_was_signed() {
    let forged =
        String::from_utf8_lossy(DOCUMENT).replace("i-0123456789abcdef0", "i-0aaaaaaaaaaaaaaaa");
    let replace = |signed: &[u8]| {
        let at = signed.windows(DOCUMENT.len()).position(|window| window == DOCUMENT).unwrap();
        let mut changed = signed.to_vec();
        changed[at..at + DOCUMENT.len()].copy_from_slice(forged.as_bytes());
        changed
    };
    for signed in [ATTRIBUTES, PLAIN] {
        assert!(signer().verify(&replace(signed)).is_err());
    }
    let refused = signer().verify(&replace(ATTRIBUTES)).unwrap_err();
    assert!(refused.to_string().contains("not the one that was signed"), "{refused}");
}

#[test]
fn a_signer_has_a_key_of_rsa_and_is_a_certificate() {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap().pem();
    let refused = Signer::from_pem(certificate.as_bytes()).unwrap_err();
    assert!(refused.to_string().contains("RSA"), "{refused}");
    assert!(Signer::from_pem(b"").is_err() && Signer::from_pem(b"-----BEGIN").is_err());
}

#[test]
fn t14_a_document_that_was_changed_in_any_way_is_refused_or_says_the_same() {
    let (signer, other) = (signer(), other());
    let inputs = [ATTRIBUTES, PLAIN, STREAMED, SHA_1, TWO].map(<[u8]>::to_vec);
    let read = |bytes: &[u8]| {
        if let Ok(document) = signer.verify(bytes) {
            assert_eq!(document, DOCUMENT);
        }
        assert!(other.verify(bytes).is_err(), "it is signed by somebody else");
    };
    replay("documents", &inputs, (10_000, &read));
}
