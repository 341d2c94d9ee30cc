//! Which times are due.
//!
//! What is due in every hour of its days is due whenever clocks show such a time: so after each real hour, also where clocks
//! show an hour twice or leave one out. Everything else is due once on its day: a time that clocks leave out is due when
//! they go on, and one that they show twice the first time. That is what Debian's cron does (crontab(5): jobs that run
//! more often than each hour are scheduled normally, and others neither skipped nor run twice).

use std::collections::VecDeque;
use std::time::Duration;

use jiff::SignedDuration;
use jiff::civil::DateTime;

use super::Schedule;
use super::cron::{Fields, Rule};
use crate::time::Timestamp;

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

/// How far it is looked back for what was due last: further each time that there is not enough.
const LOOKS_BACK: [Duration; 5] = [
    Duration::from_secs(HOUR),
    Duration::from_secs(DAY),
    Duration::from_secs(32 * DAY),
    Duration::from_secs(367 * DAY),
    Duration::from_secs(50 * 366 * DAY),
];

impl Schedule {
    /// The first time that is due after this one. None at the end of time.
    #[must_use]
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        match self.recurrence.rule {
            Rule::Every(every) => {
                let every = u64::try_from(every.as_millis()).ok()?;
                let next = after.as_millis().checked_div(every)?.checked_add(1)?;
                next.checked_mul(every).map(Timestamp::from_millis)
            }
            Rule::Clock(fields) => {
                let millis = i64::try_from(after.as_millis()).ok()?;
                let after = jiff::Timestamp::from_millisecond(millis).ok()?;
                let next = if fields.is_hourly() {
                    self.next_passing(&fields, after)
                } else {
                    self.next_shown(&fields, after)
                };
                u64::try_from(next?.as_millisecond()).ok().map(Timestamp::from_millis)
            }
        }
    }

    /// The newest times, `most` of them, that were due after `after` and up to `until`, the oldest first.
    #[must_use]
    pub fn newest(&self, after: Timestamp, until: Timestamp, most: usize) -> Vec<Timestamp> {
        for back in LOOKS_BACK {
            let from = after.max(until - back);
            let found = self.within(from, until, most);
            if found.len() == most || from == after {
                return found;
            }
        }
        Vec::new()
    }

    fn within(&self, after: Timestamp, until: Timestamp, most: usize) -> Vec<Timestamp> {
        let mut found = VecDeque::new();
        let mut last = after;
        while let Some(next) = self.next(last).filter(|next| *next <= until) {
            if found.len() == most {
                found.pop_front();
            }
            found.push_back(next);
            last = next;
        }
        found.into()
    }

    /// The next time that clocks show, each once.
    fn next_shown(&self, fields: &Fields, after: jiff::Timestamp) -> Option<jiff::Timestamp> {
        let mut from = minute_after(self.zone.civil(after))?;
        loop {
            let civil = fields.first_from(from)?;
            let at = self.zone.first_instant(civil)?;
            if at > after {
                return Some(at);
            }
            // Clocks show it for the second time.
            from = minute_after(civil)?;
        }
    }

    /// The next instant at which clocks show such a time.
    fn next_passing(&self, fields: &Fields, after: jiff::Timestamp) -> Option<jiff::Timestamp> {
        let (mut since, mut from) = (after, minute_after(self.zone.civil(after))?);
        loop {
            let at = self.zone.instant_after(since, fields.first_from(from)?)?;
            match self.zone.next_change(since).filter(|(change, _)| *change <= at) {
                None => return Some(at),
                Some((change, shown)) => {
                    let is_whole = shown.second() == 0 && shown.subsec_nanosecond() == 0;
                    from = if is_whole { shown } else { minute_after(shown)? };
                    since = change;
                }
            }
        }
    }
}

/// The beginning of the next minute on a clock.
fn minute_after(civil: DateTime) -> Option<DateTime> {
    let whole = civil.date().at(civil.hour(), civil.minute(), 0, 0);
    whole.checked_add(SignedDuration::from_secs(60)).ok()
}
