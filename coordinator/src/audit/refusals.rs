//! Calls that were refused: the first of somebody is on the record at once, those that follow are counted. However often
//! somebody tries, that is a few records an hour.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use model::audit::Act;
use model::time::Timestamp;

/// After the first, what the same one tries is counted for so long, and longer each time.
const FIRST_WINDOW: Duration = Duration::from_secs(60);
const LONGEST_WINDOW: Duration = Duration::from_secs(3_600);
/// So many are counted apart. All others are counted together: somebody with a thousand addresses has the oldest records of
/// the store replaced no faster than somebody with one.
const COUNTED_APART: usize = 256;
/// Whoever is counted together.
const OTHERS: &str = "others";

/// What is being counted.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<BTreeMap<String, Window>>);

#[derive(Debug)]
struct Window {
    /// The latest.
    act: Act,
    /// Since the last that is on the record.
    count: u64,
    until: Timestamp,
    length: Duration,
}

/// Somebody with a name is counted by it, and others by the machine that they call from.
fn key(act: &Act) -> String {
    let host = act.from.rsplit_once(':').map_or(act.from.as_str(), |(host, _)| host);
    format!("{} {host}", act.who)
}

impl Refusals {
    /// Counts one, and gives it back when it is to be on the record now.
    pub(crate) fn note(&self, act: Act) -> Option<Act> {
        let (mut windows, now) = (self.0.lock().unwrap_or_else(PoisonError::into_inner), act.at);
        let mut key = key(&act);
        if !windows.contains_key(&key) && windows.len() >= COUNTED_APART {
            OTHERS.clone_into(&mut key);
        }
        if let Some(window) = windows.get_mut(&key) {
            window.act = act;
            window.count += 1;
            return None;
        }
        let length = FIRST_WINDOW;
        let window = Window { act: act.clone(), count: 0, until: now + length, length };
        windows.insert(key, window);
        Some(act)
    }

    /// What has been counted for long enough by now.
    pub(crate) fn due(&self, now: Timestamp) -> Vec<Act> {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = Vec::new();
        windows.retain(|key, window| {
            // A clock that was set back makes nobody wait for hours.
            let is_over = window.until <= now || window.until.since(now) > window.length;
            if !is_over {
                return true;
            }
            if window.count == 0 {
                return false;
            }
            due.push(window.take(key));
            window.length = (window.length * 2).min(LONGEST_WINDOW);
            window.until = now + window.length;
            true
        });
        due
    }

    /// Everything that has been counted: nobody counts any more.
    pub(crate) fn drain(&self) -> Vec<Act> {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = std::mem::take(&mut *windows).into_iter();
        let counted = counted.filter(|(_, window)| window.count > 0);
        counted.map(|(key, mut window)| window.take(&key)).collect()
    }
}

impl Window {
    fn take(&mut self, key: &str) -> Act {
        let mut act = Act { count: self.count, ..self.act.clone() };
        if key == OTHERS {
            act.note = format!("by several; the last: {}: {}", act.who, act.note);
            OTHERS.clone_into(&mut act.who);
        }
        self.count = 0;
        act.bounded()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::By;
    use model::audit::Verdict;

    fn refused(who: &str, from: &str, at: u64) -> Act {
        let by = By {
            who: who.to_owned(),
            from: from.to_owned(),
            what: "scale".to_owned(),
            why: String::new(),
            request: "1".to_owned(),
        };
        Act { at: Timestamp::from_millis(at * 1_000), ..by.act(Vec::new(), Verdict::Denied, "no") }
    }

    #[test]
    fn a_flood_of_one_is_a_few_records_and_each_call_is_counted() {
        let refusals = Refusals::default();
        let (mut records, mut counted) = (0, 0);
        for at in 0..86_400_u64 {
            for port in 0..10 {
                let first = refusals.note(refused("a stranger", &format!("10.0.0.1:{port}"), at));
                records += usize::from(first.is_some());
                counted += u64::from(first.is_some());
            }
            for act in refusals.due(Timestamp::from_millis(at * 1_000)) {
                records += 1;
                counted += act.count;
            }
        }
        counted += refusals.drain().iter().map(|act| act.count).sum::<u64>();
        assert_eq!(counted, 864_000);
        assert!(records < 40, "{records} records in a day");
        assert!(refusals.drain().is_empty());
    }

    #[test]
    fn a_flood_of_many_is_a_few_records_too() {
        let refusals = Refusals::default();
        let mut records = 0;
        for number in 0..100_000_u64 {
            let from = format!("10.{}.{}.1:9", number / 256 % 256, number % 256);
            records += usize::from(refusals.note(refused("a stranger", &from, 0)).is_some());
        }
        assert_eq!(records, COUNTED_APART + 1);
        let due = refusals.due(Timestamp::from_millis(61_000));
        let others = due.iter().find(|act| act.who == OTHERS).unwrap();
        assert!(others.count > 90_000 && others.note.contains("a stranger: no"), "{others:?}");
        // Those who have stopped are forgotten.
        assert!(refusals.due(Timestamp::from_millis(400_000)).is_empty());
        assert!(refusals.note(refused("a stranger", "10.0.0.1:9", 401)).is_some());
    }

    #[test]
    fn whoever_is_known_is_not_lost_among_strangers_of_the_same_machine() {
        let refusals = Refusals::default();
        assert!(refusals.note(refused("a stranger", "10.0.0.1:1", 0)).is_some());
        assert!(refusals.note(refused("kim (viewer)", "10.0.0.1:2", 0)).is_some());
        assert!(refusals.note(refused("a stranger", "10.0.0.1:3", 0)).is_none());
    }
}
