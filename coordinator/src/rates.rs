//! How often somebody may do something: so many times at once, and then once in a while. Whom it remembers is bounded, and whoever is forgotten
//! owes nothing.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use model::id::NodeId;

/// So many are remembered: a MiB, and more addresses than join in the minute in which they owe something.
const KNOWN_LIMIT: usize = 10_000;
/// Joins from one address at once: a group of machines behind one gateway that all start together.
const JOINS_AT_ONCE: u32 = 600;
/// And then one in so long.
const JOIN_EACH: Duration = Duration::from_millis(100);
/// A join that is refused counts as so many: of these 60 at once and then one a second, so that who guesses or is mistaken keeps nobody out.
pub(crate) const REFUSED: u32 = 10;
/// Sessions of one node at once, and then one in so long. An agent that comes back again and again waits longer each time anyway.
const SESSIONS_AT_ONCE: u32 = 8;
const SESSION_EACH: Duration = Duration::from_millis(2_500);

/// A rate of its own for each of many.
#[derive(Debug)]
pub(crate) struct Rates<K> {
    at_once: u32,
    each: Duration,
    /// Until when what each has done is paid off.
    owing: Mutex<HashMap<K, Instant>>,
}

/// What has a rate.
#[derive(Debug)]
pub(crate) struct Limits {
    /// Joins from an address.
    pub(crate) joins: Rates<Origin>,
    /// Sessions of a node.
    pub(crate) sessions: Rates<NodeId>,
}

impl Default for Limits {
    fn default() -> Self {
        let joins = Rates::new(JOINS_AT_ONCE, JOIN_EACH);
        Self { joins, sessions: Rates::new(SESSIONS_AT_ONCE, SESSION_EACH) }
    }
}

impl<K: Hash + Eq> Rates<K> {
    fn new(at_once: u32, each: Duration) -> Self {
        Self { at_once, each, owing: Mutex::default() }
    }

    /// Counts something that somebody does.
    ///
    /// # Errors
    /// When they have done too much lately: says how long they wait until they may again.
    pub(crate) fn count(&self, who: K, now: Instant) -> Result<(), Duration> {
        let mut owing = self.owing.lock().unwrap_or_else(PoisonError::into_inner);
        let most = self.each * self.at_once;
        let until = owing.get(&who).copied().unwrap_or(now).max(now) + self.each;
        let owes = until - now;
        if owes > most {
            return Err(owes - most);
        }
        make_room(&mut owing, now);
        owing.insert(who, until);
        Ok(())
    }

    /// Counts so many more of what was just counted, up to all that somebody may do at once.
    pub(crate) fn count_more(&self, who: K, more: u32, now: Instant) {
        let mut owing = self.owing.lock().unwrap_or_else(PoisonError::into_inner);
        let until = owing.get(&who).copied().unwrap_or(now).max(now) + self.each * more;
        make_room(&mut owing, now);
        owing.insert(who, until.min(now + self.each * self.at_once));
    }
}

/// Forgets who owes nothing; and where that is not enough, the half of all who owe least. A flood from many addresses forgets others of the flood.
fn make_room<K: Hash + Eq>(owing: &mut HashMap<K, Instant>, now: Instant) {
    if owing.len() < KNOWN_LIMIT {
        return;
    }
    owing.retain(|_, until| *until > now);
    if owing.len() < KNOWN_LIMIT {
        return;
    }
    let mut all: Vec<Instant> = owing.values().copied().collect();
    let half = all.len() / 2;
    let (_, middle, _) = all.select_nth_unstable(half);
    let middle = *middle;
    let mut left = half.saturating_sub(all.iter().filter(|until| **until > middle).count());
    owing.retain(|_, until| {
        let is_one = *until == middle && left > 0;
        left -= usize::from(is_one);
        is_one || *until > middle
    });
}

/// Where somebody comes from: an address, and of version 6 the network of 64 bits, of which one machine may have every address (RFC 6177).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Origin(IpAddr);

impl Origin {
    /// Of `ADDRESS:PORT`. None of this machine itself: whoever is on it needs no joins to keep it busy, and many agents may be.
    pub(crate) fn of(address: &str) -> Option<Self> {
        let address = address.parse::<SocketAddr>().ok()?.ip().to_canonical();
        if address.is_loopback() {
            return None;
        }
        Some(Self(match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EACH: Duration = Duration::from_secs(1);

    #[test]
    fn whoever_does_too_much_is_told_when_to_come_again_and_nobody_else_is() {
        let (rates, start) = (Rates::new(3, EACH), Instant::now());
        for _ in 0..3 {
            assert_eq!(rates.count("a", start), Ok(()));
        }
        assert_eq!(rates.count("a", start), Err(EACH));
        assert_eq!(rates.count("b", start), Ok(()));
        // To ask in vain costs nothing, and who comes when they were told gets in.
        assert_eq!(rates.count("a", start + EACH / 2), Err(EACH / 2));
        assert_eq!(rates.count("a", start + EACH), Ok(()));
        assert_eq!(rates.count("a", start + EACH), Err(EACH));
        assert_eq!(rates.count("a", start + EACH * 60), Ok(()));
    }

    #[test]
    fn what_was_refused_counts_for_more_and_never_for_more_than_all() {
        let (rates, start) = (Rates::new(30, EACH), Instant::now());
        let tried = (0..100).take_while(|_| {
            let may = rates.count("a", start).is_ok();
            if may {
                rates.count_more("a", REFUSED - 1, start);
            }
            may
        });
        assert_eq!(tried.count(), 3);
        rates.count_more("a", 1_000, start);
        assert_eq!(rates.count("a", start), Err(EACH), "who has waited is let in");
    }

    #[test]
    fn t12_a_flood_from_many_addresses_is_forgotten_and_keeps_nobody_out() {
        let (rates, start) = (Rates::new(3, EACH), Instant::now());
        let owner = u32::MAX;
        for _ in 0..3 {
            rates.count(owner, start).unwrap();
        }
        for address in 0..100_000 {
            assert_eq!(rates.count(address, start), Ok(()), "{address}");
            assert!(rates.owing.lock().unwrap().len() <= KNOWN_LIMIT);
        }
        assert_eq!(rates.count(owner, start), Err(EACH), "who owes most is remembered");
        let later = start + EACH * 10;
        rates.count(7, later).unwrap();
        assert_eq!(rates.count(owner, later), Ok(()));
    }

    #[test]
    fn an_address_is_a_machine_however_it_is_written() {
        let origin = |text: &str| Origin::of(text);
        assert_eq!(origin("192.0.2.7:1"), origin("192.0.2.7:9"));
        assert_eq!(origin("192.0.2.7:1"), origin("[::ffff:192.0.2.7]:2"));
        assert_eq!(origin("[2001:db8:1:2:3::4]:1"), origin("[2001:db8:1:2:ffff::]:1"));
        assert_ne!(origin("[2001:db8:1:2::]:1"), origin("[2001:db8:1:3::]:1"));
        for nobody in ["127.0.0.1:1", "[::1]:1", "", "a socket"] {
            assert_eq!(origin(nobody), None, "{nobody}");
        }
    }
}
