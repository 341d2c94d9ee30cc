//! What strangers send before anybody knows them, and all that can be made out of it.

#[path = "../../tests/fuzz/replay.rs"]
pub(crate) mod replay;

use std::path::Path;

use self::replay::{corpus, replay};
use crate::JoinToken;
use crate::key::{Key, fingerprint, requested};

fn inputs(name: &str) -> Vec<Vec<u8>> {
    corpus(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus").join(name))
}

#[test]
fn t14_a_request_that_was_changed_is_refused_or_is_of_a_key_that_has_signed_it() {
    let mut inputs = inputs("request");
    let known = requested(&inputs[1]).map(|key| fingerprint(&key));
    assert!(inputs.iter().any(|input| requested(input).is_ok()), "none is what it should be");
    inputs.push(Key::generate().unwrap().request().unwrap());
    let keys: Vec<_> = inputs.iter().filter_map(|input| requested(input).ok()).collect();
    let keys: Vec<_> = keys.iter().map(fingerprint).collect();
    let read = |bytes: &[u8]| {
        if let Ok(key) = requested(bytes) {
            assert!(keys.contains(&fingerprint(&key)), "a key that nobody has");
        }
    };
    assert!(known.is_ok());
    replay("requests", &inputs, (5_000, &read));
}

#[test]
fn t14_a_token_that_was_changed_is_refused_or_read_as_it_is_written() {
    let token = JoinToken::draw("c-1".parse().unwrap(), crate::digest::sha256(b"an authority"));
    let mut inputs = inputs("token");
    inputs.push(token.expose().as_bytes().to_vec());
    let read = |bytes: &[u8]| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        if let Ok(read) = text.parse::<JoinToken>() {
            assert_eq!(*read.expose(), text.trim());
        }
    };
    replay("tokens", &inputs, (20_000, &read));
}
