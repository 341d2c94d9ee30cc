//! What is signed, and what of it opens.

use std::fs;
use std::path::PathBuf;

use trust::Certificate;
use trust::key::requested;
use x509::{Extension, extensions};

use super::seal::{Credential, Passphrase};
use super::*;

/// Reads what an outsider would see in a certificate.
mod x509 {
    /// One extension: whether it is there at all.
    #[derive(Debug, PartialEq, Eq)]
    pub(super) enum Extension {
        ClientAuth,
        ServerAuth,
    }

    /// The uses that a certificate names, by the bytes of their object ids (RFC 5280, 4.2.1.12).
    pub(super) fn extensions(der: &[u8]) -> Vec<Extension> {
        let server = [0x2b, 6, 1, 5, 5, 7, 3, 1];
        let client = [0x2b, 6, 1, 5, 5, 7, 3, 2];
        let has = |id: [u8; 8]| der.windows(8).any(|window| window == id);
        let found = [(has(client), Extension::ClientAuth), (has(server), Extension::ServerAuth)];
        found.into_iter().filter(|(is_there, _)| *is_there).map(|(_, found)| found).collect()
    }
}

fn file(name: &str, text: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("wharf-{name}-{}", std::process::id()));
    fs::write(&path, text).unwrap();
    path
}

fn cluster() -> ClusterId {
    "c1".parse().unwrap()
}

fn now() -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000)
}

#[test]
fn t9_the_store_has_no_key_that_opens_without_the_secret_outside_of_it() {
    let right = file("right", "correct horse battery\n");
    let wrong = file("wrong", "correct horse batterz\n");
    let secret = file("secret", &"k".repeat(32));
    let passphrase = |file: &PathBuf| Passphrase { file: file.clone() };
    let (authority, stored) = Authority::create(&cluster(), &passphrase(&right), now()).unwrap();
    let opened = Authority::open(&cluster(), &passphrase(&right), &stored).unwrap();
    assert_eq!(opened.fingerprint(), authority.fingerprint());
    let refused = |cluster: &ClusterId, sealer: &dyn Sealer, stored: &wire::Authority| {
        format!("{:#}", Authority::open(cluster, sealer, stored).unwrap_err())
    };
    let said = refused(&cluster(), &passphrase(&wrong), &stored);
    assert!(said.contains("sealed with another one") && said.contains("wharf-wrong"), "{said}");
    let said = refused(&cluster(), &Credential { file: secret.clone() }, &stored);
    assert!(said.contains("passphrase"), "{said}");
    let said = refused(&"c2".parse().unwrap(), &passphrase(&right), &stored);
    assert!(said.contains("was changed"), "a seal belongs to its cluster: {said}");
    let mut changed = stored.clone();
    changed.key.as_mut().unwrap().ciphertext[3] ^= 1;
    assert!(refused(&cluster(), &passphrase(&right), &changed).contains("was changed"));
    let mut cheap = stored.clone();
    cheap.key.as_mut().unwrap().passes = 1;
    assert!(refused(&cluster(), &passphrase(&right), &cheap).contains("was changed"));
    let key = authority.issuer.key().serialize_der();
    let sealed = stored.key.unwrap().ciphertext;
    assert!(!sealed.windows(16).any(|window| key.windows(16).any(|part| part == window)));
    for path in [right, wrong, secret] {
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn a_secret_that_could_be_guessed_is_refused() {
    let short = file("short", "hunter2\n");
    let said = Authority::create(&cluster(), &Passphrase { file: short.clone() }, now());
    assert!(format!("{:#}", said.unwrap_err()).contains("fewer than 12"));
    let said = Authority::create(&cluster(), &Credential { file: short.clone() }, now());
    assert!(format!("{:#}", said.unwrap_err()).contains("fewer than 32"));
    let secret = file("long", &"k".repeat(32));
    let sealer = Credential { file: secret.clone() };
    let (_, stored) = Authority::create(&cluster(), &sealer, now()).unwrap();
    assert!(Authority::open(&cluster(), &sealer, &stored).is_ok());
    fs::remove_file(short).unwrap();
    fs::remove_file(secret).unwrap();
}

#[test]
fn a_certificate_says_what_the_coordinator_decided_and_nothing_of_the_request() {
    let secret = file("names", &"k".repeat(32));
    let sealer = Credential { file: secret.clone() };
    let (authority, _) = Authority::create(&cluster(), &sealer, now()).unwrap();
    // Somebody who asks to be an administrator and an authority.
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let mut params = blank(now(), Duration::from_secs(1));
    let admin = Name::Operator("admin".parse().unwrap()).id(&cluster());
    params.subject_alt_names = vec![SanType::URI(ia5(&admin).unwrap())];
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let request = params.serialize_request(&key).unwrap();
    let key = requested(request.der()).unwrap();
    let name = Name::Node("i-1".parse().unwrap());
    let serial = Authority::next_serial();
    let until = (now(), now() + Duration::from_secs(86_400));
    let signed = authority.sign(&name, &key, &serial, until).unwrap();
    let read = Certificate::read(&signed).unwrap();
    assert_eq!((read.cluster, read.name, read.serial), (cluster(), name, serial));
    assert_eq!(read.not_before, now() - Duration::from_secs(3_600), "an hour for clocks behind");
    assert_eq!(read.not_after, now() + Duration::from_secs(86_400));
    assert_eq!(extensions(&signed), [Extension::ClientAuth], "a node is no server");
    let own = authority.own(&["a.example".to_owned(), "10.0.0.1".to_owned()], now()).unwrap();
    assert_eq!(extensions(&own.certificate), [Extension::ServerAuth], "and no client");
    assert!(authority.own(&["ä".to_owned()], now()).is_err());
    fs::remove_file(secret).unwrap();
}

#[test]
fn t14_no_bytes_make_the_reader_of_certificates_panic() {
    let secret = file("bytes", &"k".repeat(32));
    let sealer = Credential { file: secret.clone() };
    let (authority, _) = Authority::create(&cluster(), &sealer, now()).unwrap();
    fs::remove_file(secret).unwrap();
    let key = requested(&Key::generate().unwrap().request().unwrap()).unwrap();
    let name = Name::Node("i-1".parse().unwrap());
    let until = (now(), now() + Duration::from_secs(60));
    let signed = authority.sign(&name, &key, &Authority::next_serial(), until).unwrap();
    let (mut refused, mut read) = (0, 0);
    for place in 0..signed.len() {
        assert!(Certificate::read(&signed[..place]).is_err(), "cut at {place}");
        for bit in 0..8 {
            let mut changed = signed.clone();
            changed[place] ^= 1 << bit;
            // Whether it is genuine is for who verifies it; here only that it is read or not.
            match Certificate::read(&changed) {
                Ok(_) => read += 1,
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > 100 && read > 100, "{refused} refused, {read} read");
    assert!(Certificate::read(&[&signed[..], &[0]].concat()).is_err(), "something follows it");
    assert!(Certificate::read(authority.certificate()).is_err(), "an authority is nobody");
}

#[test]
fn serial_numbers_are_written_as_they_are_read() {
    for text in ["1", "0f", "40ff00", "7fffffffffffffffffffffffffffffff"] {
        let serial: Serial = text.trim_start_matches('0').parse().unwrap();
        assert_eq!(trust::certificate::serial(&bytes(&serial)), serial, "{text}");
    }
    assert_ne!(Authority::next_serial(), Authority::next_serial());
}
