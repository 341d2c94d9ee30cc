//! SHA-256, and chance that nobody guesses.

use model::trust::Fingerprint;

/// The SHA-256 digest of these bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Fingerprint {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    Fingerprint::new(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
}

/// Bytes from the system's generator.
///
/// # Panics
/// When the system has no chance to give, without which no key is safe.
#[must_use]
pub fn random<const LENGTH: usize>() -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system gives random bytes");
    bytes
}

/// A number from nothing to just below one.
#[must_use]
pub fn fraction() -> f64 {
    let [a, b, c, d] = random::<4>();
    f64::from(u32::from_le_bytes([a, b, c, d])) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-4, the example of one block.
    #[test]
    fn the_digest_is_sha_256() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(b"abc").to_string(), expected);
    }

    #[test]
    fn chance_is_no_constant() {
        assert_ne!(random::<16>(), random::<16>());
        assert!((0..100).all(|_| (0.0..1.0).contains(&fraction())));
    }
}
