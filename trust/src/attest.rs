//! How a machine of AWS shows which one it is: what both sides compute alike, and what one of them verifies.
//!
//! ```text
//!  challenge ─▶ binding ─▶ caller   (a signed call that the coordinator makes for the machine)
//!                          document (what AWS says of the machine, signed by AWS)
//! ```

mod ber;
pub mod caller;
pub mod document;

use model::id::ClusterId;
use model::trust::Fingerprint;

use crate::digest::sha256;

/// Ties a proof to one cluster, one challenge and one key: shown anywhere else, again or by somebody else it proves nothing.
#[must_use]
pub fn binding(cluster: &ClusterId, challenge: &[u8], key: &Fingerprint) -> Fingerprint {
    let cluster = sha256(cluster.as_str().as_bytes());
    let challenge = sha256(challenge);
    // Of equal lengths, so that no two different ones are the same when they are put together.
    let parts: [&[u8]; 4] =
        [b"wharf join 1\0", cluster.as_bytes(), challenge.as_bytes(), key.as_bytes()];
    sha256(&parts.concat())
}

/// Says whether a text has the form of an instance's id.
#[must_use]
pub fn is_instance(text: &str) -> bool {
    let is_hex = |digits: &str| {
        matches!(digits.len(), 8 | 17)
            && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    text.strip_prefix("i-").is_some_and(is_hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_is_of_one_cluster_one_challenge_and_one_key() {
        let (one, other): (ClusterId, ClusterId) = ("c1".parse().unwrap(), "c2".parse().unwrap());
        let (key, another) = (sha256(b"key"), sha256(b"another"));
        let bindings = [
            binding(&one, b"challenge", &key),
            binding(&other, b"challenge", &key),
            binding(&one, b"challenge2", &key),
            binding(&one, b"challenge", &another),
            binding(&"c1c".parse().unwrap(), b"hallenge", &key),
        ];
        for (at, one) in bindings.iter().enumerate() {
            assert!(bindings.iter().skip(at + 1).all(|other| other != one));
        }
    }

    #[test]
    fn the_id_of_an_instance_is_nothing_else() {
        assert!(is_instance("i-0123456789abcdef0") && is_instance("i-01234567"));
        for wrong in [
            "",
            "i-",
            "i-0123456789ABCDEF0",
            "i-0123",
            "mi-01234567",
            "i-0123456789abcdef0/",
            "i-0123456789abcdef00",
        ] {
            assert!(!is_instance(wrong), "{wrong}");
        }
    }
}
