//! Challenges: each is good once and for a minute. Those that were given are not remembered, so nobody fills anything by
//! asking for them; only those that were used are.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::hmac;
use model::time::Timestamp;
use thiserror::Error;
use trust::digest::random;

/// A challenge is good for so long.
pub(crate) const VALID: Duration = Duration::from_secs(60);
/// So many can be used within that time: ten times as many as AWS is asked about.
const USED_LIMIT: usize = 6_000;
const TIME: usize = 8;
const CHANCE: usize = 16;

/// Why a challenge is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum NotGood {
    /// Not ours, or of an earlier start of this coordinator.
    #[error(
        "the challenge was not made by this coordinator, or before it was started: ask for another one"
    )]
    Foreign,
    /// Too old.
    #[error("the challenge was good for a minute, and that is over: ask for another one")]
    Late,
    /// Used.
    #[error("the challenge was used already: each is good once")]
    Used,
    /// Too many.
    #[error("too many machines join at once: try again in a moment")]
    Many,
}

/// Makes challenges, and knows those that were used.
#[derive(Debug)]
pub(crate) struct Challenges {
    key: hmac::Key,
    used: Mutex<BTreeSet<[u8; TIME + CHANCE]>>,
}

impl Challenges {
    /// With a key that is nowhere else: nothing that was given before is good.
    pub(crate) fn new() -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &random::<32>());
        Self { key, used: Mutex::default() }
    }

    /// Until when it is good, chance, and a seal over both.
    pub(crate) fn draw(&self, now: Timestamp) -> Vec<u8> {
        let until = (now + VALID).as_millis().to_be_bytes();
        let head = [&until[..], &random::<CHANCE>()].concat();
        let seal = hmac::sign(&self.key, &head);
        [&head, seal.as_ref()].concat()
    }

    /// Takes one, which is not good any more then.
    ///
    /// # Errors
    /// Says why it is not good.
    pub(crate) fn take(&self, challenge: &[u8], now: Timestamp) -> Result<(), NotGood> {
        let head = challenge.first_chunk::<{ TIME + CHANCE }>().ok_or(NotGood::Foreign)?;
        let seal = challenge.get(TIME + CHANCE..).unwrap_or_default();
        hmac::verify(&self.key, head, seal).map_err(|_| NotGood::Foreign)?;
        let until = head.first_chunk::<TIME>().map_or(0, |time| u64::from_be_bytes(*time));
        if until <= now.as_millis() {
            return Err(NotGood::Late);
        }
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        // They begin with their time, so the oldest come first.
        let mut oldest = [0; TIME + CHANCE];
        oldest[..TIME].copy_from_slice(&(now.as_millis() + 1).to_be_bytes());
        *used = used.split_off(&oldest);
        if used.contains(head) {
            return Err(NotGood::Used);
        }
        if used.len() >= USED_LIMIT {
            return Err(NotGood::Many);
        }
        used.insert(*head);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    #[test]
    fn a_challenge_is_good_once_and_for_a_minute_and_only_here() {
        let (ours, theirs) = (Challenges::new(), Challenges::new());
        let challenge = ours.draw(NOW);
        assert_eq!(theirs.take(&challenge, NOW), Err(NotGood::Foreign));
        assert_eq!(ours.take(&challenge, NOW + VALID), Err(NotGood::Late));
        assert_eq!(ours.take(&challenge, NOW), Ok(()));
        assert_eq!(ours.take(&challenge, NOW), Err(NotGood::Used));
        for at in 0..challenge.len() {
            let mut forged = ours.draw(NOW);
            forged[at] ^= 1;
            assert_eq!(ours.take(&forged, NOW), Err(NotGood::Foreign), "{at}");
            assert_eq!(ours.take(&challenge[..at], NOW), Err(NotGood::Foreign), "{at}");
        }
        assert_eq!(ours.take(&[challenge, vec![0]].concat(), NOW), Err(NotGood::Foreign));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_forgotten() {
        let challenges = Challenges::new();
        for _ in 0..USED_LIMIT {
            assert_eq!(challenges.take(&challenges.draw(NOW), NOW), Ok(()));
        }
        let one_more = challenges.draw(NOW + Duration::from_secs(1));
        assert_eq!(challenges.take(&one_more, NOW), Err(NotGood::Many));
        assert_eq!(challenges.take(&one_more, NOW + VALID), Ok(()));
        assert_eq!(challenges.used.lock().unwrap().len(), 1);
    }
}
