//! The record of who did what as a chain: each link has the digest of the one before, so that nobody edits, drops, moves or
//! cuts records without its being seen, and where.
//!
//! ```text
//!  begin ─▶ act 8 ─▶ act 9 ─▶ … ─▶ end        begin and end are sealed under the authority's key
//! ```
//!
//! Here and not where it is written, so that whoever has a copy finds out for themselves.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::audit::Act;
use model::trust::Fingerprint;
use serde_json::{Value, json};
use thiserror::Error;

use crate::digest::sha256;

/// Before everything of which a digest is made: no digest of something else is taken for a link.
const LINK: &[u8] = b"wharf audit link 1\0";

/// A place in the chain: the number and the digest of the last record up to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The number; 0 before the first.
    pub sequence: u64,
    /// The digest.
    pub hash: Fingerprint,
}

/// Which end of the chain is sealed. An old end is not to be taken for a beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Where it begins by now.
    Begin,
    /// Where it ends.
    End,
}

/// What is wrong with a chain, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Flaw {
    /// Records are gone.
    #[error("{}", missing(*.after, *.next))]
    Missing {
        /// The last one before.
        after: u64,
        /// The first one after.
        next: u64,
    },
    /// A record is where it does not belong.
    #[error("record {found} is in the place of record {place}")]
    Misplaced {
        /// What belongs there.
        place: u64,
        /// What is there.
        found: u64,
    },
    /// A record says something else than what was written.
    #[error("record {0} was changed, or those before it were")]
    Changed(u64),
    /// Records are gone at the end.
    #[error("{}", missing(*.last, *.end + 1))]
    Cut {
        /// The last one that is there.
        last: u64,
        /// The last one that was written.
        end: u64,
    },
    /// There are records after the end.
    #[error("records follow after record {end}, which was the last one that was written")]
    Beyond {
        /// The last one that was written.
        end: u64,
    },
}

fn missing(after: u64, next: u64) -> String {
    let (first, last) = (after + 1, next.saturating_sub(1));
    if first == last {
        format!("record {first} is missing")
    } else {
        format!("records {first} to {last} are missing")
    }
}

impl Mark {
    /// Before the first record.
    pub const ORIGIN: Self = Self { sequence: 0, hash: Fingerprint::new([0; 32]) };

    /// The place after this act, in the bytes in which it is kept.
    #[must_use]
    pub fn follow(&self, act: &[u8]) -> Self {
        let sequence = self.sequence + 1;
        let parts = [LINK, self.hash.as_bytes(), &sequence.to_be_bytes(), act];
        Self { sequence, hash: sha256(&parts.concat()) }
    }
}

/// Follows a chain from its beginning.
#[derive(Debug, Clone, Copy)]
pub struct Verifier {
    at: Mark,
}

impl Verifier {
    /// Begins where the chain does.
    #[must_use]
    pub const fn new(begin: Mark) -> Self {
        Self { at: begin }
    }

    /// As far as it has come.
    #[must_use]
    pub const fn at(&self) -> Mark {
        self.at
    }

    /// Takes the next link: the number that it says it has, its act, and its digest.
    ///
    /// # Errors
    /// Says what is wrong. To go on from there is to take the link for genuine.
    pub fn take(&mut self, sequence: u64, act: &[u8], hash: &Fingerprint) -> Result<(), Flaw> {
        let next = self.at.follow(act);
        let place = next.sequence;
        let flaw = match sequence {
            _ if sequence == place && next.hash == *hash => None,
            _ if sequence == place => Some(Flaw::Changed(sequence)),
            _ if sequence > place => {
                Some(Flaw::Missing { after: self.at.sequence, next: sequence })
            }
            _ => Some(Flaw::Misplaced { place, found: sequence }),
        };
        self.at = Mark { sequence: sequence.max(self.at.sequence), hash: *hash };
        flaw.map_or(Ok(()), Err)
    }

    /// Ends where the chain says that it ends.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn end(&self, end: &Mark) -> Result<(), Flaw> {
        let last = self.at.sequence;
        match last.cmp(&end.sequence) {
            std::cmp::Ordering::Less => Err(Flaw::Cut { last, end: end.sequence }),
            std::cmp::Ordering::Greater => Err(Flaw::Beyond { end: end.sequence }),
            std::cmp::Ordering::Equal if self.at.hash != end.hash => Err(Flaw::Changed(last)),
            std::cmp::Ordering::Equal => Ok(()),
        }
    }
}

/// Seals the ends of a chain: whoever has the store alone, and makes a new chain, can not.
#[derive(Clone)]
pub struct Sealing(hmac::Key);

impl std::fmt::Debug for Sealing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealing")
    }
}

impl Sealing {
    /// Takes a key that is used for nothing else.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The seal of an end.
    #[must_use]
    pub fn seal(&self, end: End, mark: &Mark) -> Vec<u8> {
        hmac::sign(&self.0, &sealed(end, mark)).as_ref().to_vec()
    }

    /// Says whether a seal is ours.
    #[must_use]
    pub fn is_ours(&self, end: End, mark: &Mark, seal: &[u8]) -> bool {
        hmac::verify(&self.0, &sealed(end, mark), seal).is_ok()
    }
}

fn sealed(end: End, mark: &Mark) -> Vec<u8> {
    let label: &[u8] = match end {
        End::Begin => b"wharf audit begin 1\0",
        End::End => b"wharf audit end 1\0",
    };
    [label, &mark.sequence.to_be_bytes(), mark.hash.as_bytes()].concat()
}

/// A record as other programs read it: what it says, its digest, and the bytes of which that was made.
#[must_use]
pub fn to_json(sequence: u64, act: &Act, bytes: &[u8], hash: &Fingerprint) -> Value {
    let objects: Vec<Value> = act
        .objects
        .iter()
        .map(|object| json!({"name": object.name, "before": object.before, "after": object.after}))
        .collect();
    json!({
        "sequence": sequence,
        "at": act.at.to_string(),
        "who": act.who,
        "from": act.from,
        "what": act.what,
        "objects": objects,
        "why": act.why,
        "request": act.request,
        "verdict": act.verdict.as_str(),
        "note": act.note,
        "count": act.count,
        "hash": hash.to_string(),
        "act": STANDARD.encode(bytes),
    })
}

/// Takes the bytes of the act and the digest out of a record that [`to_json`] has written.
#[must_use]
pub fn from_json(value: &Value) -> Option<(Vec<u8>, Fingerprint)> {
    let act = STANDARD.decode(value.get("act")?.as_str()?).ok()?;
    Some((act, value.get("hash")?.as_str()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Link = (u64, Vec<u8>, Fingerprint);

    fn chain(from: Mark, count: u64) -> (Vec<Link>, Mark) {
        let mut at = from;
        let mut links = Vec::new();
        for number in 1..=count {
            let act = format!("act {}", from.sequence + number).into_bytes();
            at = at.follow(&act);
            links.push((at.sequence, act, at.hash));
        }
        (links, at)
    }

    fn verify(begin: Mark, links: &[Link], end: &Mark) -> Vec<Flaw> {
        let mut verifier = Verifier::new(begin);
        let taken: Vec<_> = links
            .iter()
            .filter_map(|(sequence, act, hash)| verifier.take(*sequence, act, hash).err())
            .collect();
        taken.into_iter().chain(verifier.end(end).err()).collect()
    }

    #[test]
    fn a_chain_that_nobody_has_touched_is_whole_wherever_it_begins() {
        let (links, end) = chain(Mark::ORIGIN, 20);
        assert_eq!(verify(Mark::ORIGIN, &links, &end), []);
        let begin = Mark { sequence: 7, hash: links[6].2 };
        assert_eq!(verify(begin, &links[7..], &end), []);
        assert_eq!(verify(Mark::ORIGIN, &[], &Mark::ORIGIN), []);
    }

    #[test]
    fn whatever_is_done_to_a_chain_is_found_and_where() {
        let (links, end) = chain(Mark::ORIGIN, 20);
        for place in 0..20 {
            let number = u64::try_from(place).unwrap() + 1;
            let mut edited = links.clone();
            edited[place].1[0] ^= 1;
            assert_eq!(verify(Mark::ORIGIN, &edited, &end), [Flaw::Changed(number)]);
            // With a digest that fits, the next one does not any more.
            let before = if place == 0 { Mark::ORIGIN.hash } else { links[place - 1].2 };
            edited[place].2 =
                Mark { sequence: number - 1, hash: before }.follow(&edited[place].1).hash;
            let seen = if place == 19 { number } else { number + 1 };
            assert_eq!(verify(Mark::ORIGIN, &edited, &end), [Flaw::Changed(seen)]);
            let mut dropped = links.clone();
            dropped.remove(place);
            let flaw = if place == 19 {
                Flaw::Cut { last: 19, end: 20 }
            } else {
                Flaw::Missing { after: number - 1, next: number + 1 }
            };
            assert_eq!(verify(Mark::ORIGIN, &dropped, &end), [flaw]);
            if place < 19 {
                let mut moved = links.clone();
                moved.swap(place, place + 1);
                let flaws = verify(Mark::ORIGIN, &moved, &end);
                assert_eq!(flaws[0], Flaw::Missing { after: number - 1, next: number + 1 });
                let mut renamed = links.clone();
                (renamed[place].1, renamed[place + 1].1) =
                    (links[place + 1].1.clone(), links[place].1.clone());
                assert_eq!(verify(Mark::ORIGIN, &renamed, &end)[0], Flaw::Changed(number));
            }
            assert_eq!(
                verify(Mark::ORIGIN, &links[..place], &end),
                [Flaw::Cut { last: number - 1, end: 20 }]
            );
        }
        let (longer, _) = chain(Mark::ORIGIN, 21);
        assert_eq!(verify(Mark::ORIGIN, &longer, &end), [Flaw::Beyond { end: 20 }]);
        let mut doubled = links.clone();
        doubled.insert(5, links[4].clone());
        assert_eq!(verify(Mark::ORIGIN, &doubled, &end)[0], Flaw::Misplaced { place: 6, found: 5 });
    }

    #[test]
    fn a_flaw_is_said_in_words() {
        assert_eq!(Flaw::Missing { after: 4, next: 6 }.to_string(), "record 5 is missing");
        assert_eq!(Flaw::Cut { last: 4, end: 9 }.to_string(), "records 5 to 9 are missing");
    }

    #[test]
    fn a_new_chain_is_sealed_by_nobody_without_the_key() {
        let (_, end) = chain(Mark::ORIGIN, 3);
        let (ours, theirs) = (Sealing::new(&[1; 32]), Sealing::new(&[2; 32]));
        let seal = ours.seal(End::End, &end);
        assert!(ours.is_ours(End::End, &end, &seal));
        assert!(!ours.is_ours(End::Begin, &end, &seal), "an end is no beginning");
        assert!(!ours.is_ours(End::End, &Mark { sequence: 2, ..end }, &seal));
        assert!(!ours.is_ours(End::End, &end, &theirs.seal(End::End, &end)));
        assert!(!ours.is_ours(End::End, &end, &[]));
    }
}
