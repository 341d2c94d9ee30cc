//! Times of the week at which something may be done: `mon-fri 22:00-05:00 Europe/Berlin`.
//!
//! ```text
//!  window  [ days ] begin "-" end zone
//!  days    "daily" | range { "," range }
//!  range   day [ "-" day ]                    sat-mon goes on over Sunday
//! ```
//! A window belongs to the day on which it begins, and one that ends no later than it begins ends on the next day. It begins when
//! clocks of its zone first show its beginning, and ends when they first show its end. What clocks leave out is when they go
//! on: a window that lies within the hour that they leave out is not there on that day.

use std::fmt;
use std::str::FromStr;

use jiff::ToSpan as _;
use jiff::civil::{Date, Time};
use thiserror::Error;

use super::Zone;
use crate::suggest::nearest;
use crate::time::Timestamp;

/// So many windows something has at most: one for each day of the week, and as many exceptions.
pub const WINDOWS_LIMIT: usize = 14;
/// The longest text, in bytes.
const LENGTH_LIMIT: usize = 128;
/// So many days it is looked ahead: a window of one day of the week that clocks leave out once is there a week later.
const DAYS_AHEAD: i32 = 15;
const DAY_MINUTES: u16 = 24 * 60;
const ALL_DAYS: u8 = 0x7f;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const HINT: &str = "write it as in `mon-fri 02:00-05:00 Europe/Berlin`";

/// A time of the week, by the clocks of a zone. It is at least a minute and at most a day long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// The days on which it begins, Monday first, each as a bit.
    days: u8,
    /// In minutes since midnight.
    begin: u16,
    /// The same, up to 24:00, of the next day if it is no later than the beginning.
    end: u16,
    zone: Zone,
}

/// Why a text is no window.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{why}: {hint}")]
pub struct WindowError {
    /// What is wrong.
    pub why: String,
    /// What to do about it.
    pub hint: String,
}

fn error(why: impl Into<String>) -> WindowError {
    WindowError { why: why.into(), hint: HINT.to_owned() }
}

/// As much of a wrong text as anybody reads.
fn shown(text: &str) -> String {
    text.chars().take(32).collect()
}

impl FromStr for Window {
    type Err = WindowError;

    fn from_str(text: &str) -> Result<Self, WindowError> {
        if text.len() > LENGTH_LIMIT {
            let why = format!("has {} characters of {LENGTH_LIMIT} allowed", text.len());
            return Err(error(why));
        }
        let words: Vec<&str> = text.split_whitespace().collect();
        let (days, times, zone) = match words[..] {
            [times, zone] => (ALL_DAYS, times, zone),
            [days, times, zone] => (days_of(days)?, times, zone),
            _ => return Err(error(format!("`{}` is not a window", shown(text)))),
        };
        let wrong = || error(format!("`{}` is not a time from one to another", shown(times)));
        let (begin, end) = times.split_once('-').ok_or_else(wrong)?;
        let (begin, end) = (minutes(begin).ok_or_else(wrong)?, minutes(end).ok_or_else(wrong)?);
        if begin == DAY_MINUTES {
            return Err(error("no day begins at 24:00"));
        }
        if begin == end {
            return Err(WindowError {
                why: "the window ends when it begins".to_owned(),
                hint: "a whole day is `00:00-24:00`".to_owned(),
            });
        }
        let zone: Zone = zone.parse().map_err(|error: super::ZoneError| WindowError {
            why: error.to_string(),
            hint: error.hint,
        })?;
        Ok(Self { days, begin, end, zone })
    }
}

/// `02:30` as minutes since midnight; up to 24:00.
fn minutes(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str, length: usize| {
        let is_number = text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse::<u16>().ok()).flatten()
    };
    let hour = number(hour, 2).or_else(|| number(hour, 1))?;
    let minute = number(minute, 2).filter(|minute| *minute < 60)?;
    let minutes = hour.checked_mul(60)?.checked_add(minute)?;
    (minutes <= DAY_MINUTES).then_some(minutes)
}

fn days_of(text: &str) -> Result<u8, WindowError> {
    if text.eq_ignore_ascii_case("daily") {
        return Ok(ALL_DAYS);
    }
    let mut days = 0;
    for range in text.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (day(first)?, day(last)?);
        let length = (last + DAYS.len() - first) % DAYS.len();
        days |= (first..=first + length).fold(0, |set, day| set | 1 << (day % DAYS.len()));
    }
    Ok(days)
}

fn day(text: &str) -> Result<usize, WindowError> {
    let lower = text.to_lowercase();
    DAYS.iter().position(|day| *day == lower).ok_or_else(|| {
        let hint = match nearest(&lower, DAYS.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("write `daily`, or some of {}", DAYS.join(" ")),
        };
        WindowError { why: format!("`{}` is no day of the week", shown(text)), hint }
    })
}

/// The days as they were written or shorter: neighbours are a range.
fn days_shown(days: u8) -> String {
    let has = |day: usize| days >> day & 1 == 1;
    let mut ranges: Vec<String> = Vec::new();
    let mut day = 0;
    while let Some(first) = (day..DAYS.len()).find(|day| has(*day)) {
        let last = (first..DAYS.len()).take_while(|day| has(*day)).last().unwrap_or(first);
        let name = |day: usize| DAYS.get(day).copied().unwrap_or_default();
        ranges.push(match last - first {
            0 => name(first).to_owned(),
            1 => format!("{},{}", name(first), name(last)),
            _ => format!("{}-{}", name(first), name(last)),
        });
        day = last + 1;
    }
    ranges.join(",")
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { days, begin, end, zone } = self;
        let days = if *days == ALL_DAYS { "daily".to_owned() } else { days_shown(*days) };
        let (hour, minute) = (begin / 60, begin % 60);
        write!(f, "{days} {hour:02}:{minute:02}-{:02}:{:02} {zone}", end / 60, end % 60)
    }
}

impl Window {
    /// Until when it is open, if it is open then.
    #[must_use]
    pub fn open_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.spans(now).find(|(begin, end)| *begin <= now && now < *end).map(|(_, end)| end)
    }

    /// When it opens for the next time. None at the end of time.
    #[must_use]
    pub fn next_opening(&self, now: Timestamp) -> Option<Timestamp> {
        self.spans(now).map(|(begin, _)| begin).find(|begin| *begin > now)
    }

    /// What clocks of its zone show at an instant, for an operator: `Mon 02:00 Europe/Berlin`.
    #[must_use]
    pub fn clock(&self, at: Timestamp) -> String {
        let instant = i64::try_from(at.as_millis()).ok();
        let instant = instant.and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok());
        instant.map_or_else(String::new, |instant| {
            let civil = self.zone.civil(instant);
            format!("{} {}", civil.strftime("%a %H:%M"), self.zone)
        })
    }

    /// From when to when it is open, from the one that began yesterday on.
    fn spans(&self, now: Timestamp) -> impl Iterator<Item = (Timestamp, Timestamp)> {
        let instant = i64::try_from(now.as_millis()).ok();
        let instant = instant.and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok());
        let today = instant.map(|instant| self.zone.civil(instant).date());
        let dates = today.into_iter().flat_map(|today| {
            (-1..DAYS_AHEAD).filter_map(move |days| today.checked_add(days.days()).ok())
        });
        dates.filter_map(|date| self.span(date)).filter(|(begin, end)| begin < end)
    }

    /// From when to when it is open that begins on this date.
    fn span(&self, date: Date) -> Option<(Timestamp, Timestamp)> {
        let weekday = date.weekday().to_monday_zero_offset();
        let is_meant = u32::try_from(weekday).is_ok_and(|day| self.days >> day & 1 == 1);
        if !is_meant {
            return None;
        }
        let last = if self.end <= self.begin { date.tomorrow().ok()? } else { date };
        Some((self.instant(date, self.begin)?, self.instant(last, self.end)?))
    }

    fn instant(&self, date: Date, minutes: u16) -> Option<Timestamp> {
        let (date, minutes) = match minutes {
            DAY_MINUTES => (date.tomorrow().ok()?, 0),
            minutes => (date, minutes),
        };
        let hour = i8::try_from(minutes / 60).ok()?;
        let time = Time::new(hour, i8::try_from(minutes % 60).ok()?, 0, 0).ok()?;
        let at = self.zone.first_instant(date.to_datetime(time))?;
        u64::try_from(at.as_millisecond()).ok().map(Timestamp::from_millis)
    }
}

/// Whether one of some windows is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opening {
    /// One is, or there are none at all.
    Open {
        /// When the last of those that are open closes; none when there are no windows.
        until: Option<Timestamp>,
    },
    /// None is.
    Closed {
        /// When the next opens; none at the end of time.
        at: Option<Timestamp>,
        /// The same as clocks there show it.
        clock: String,
    },
}

/// Says whether one of these windows is open, or when the next opens. What has no windows may be done at all times.
#[must_use]
pub fn opening(windows: &[Window], now: Timestamp) -> Opening {
    let until = windows.iter().filter_map(|window| window.open_until(now)).max();
    if windows.is_empty() || until.is_some() {
        return Opening::Open { until };
    }
    let next = windows.iter().filter_map(|window| Some((window.next_opening(now)?, window)));
    let next = next.min_by_key(|(at, _)| *at);
    let clock = next.map_or_else(|| "never".to_owned(), |(at, window)| window.clock(at));
    Opening::Closed { at: next.map(|(at, _)| at), clock }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(text: &str) -> Window {
        text.parse().unwrap()
    }

    fn at(text: &str) -> Timestamp {
        let instant: jiff::Timestamp = text.parse().unwrap();
        Timestamp::from_millis(instant.as_millisecond().try_into().unwrap())
    }

    #[test]
    fn it_prints_as_it_is_read_again() {
        for (text, shown) in [
            ("mon-fri 2:00-05:00 europe/berlin", "mon-fri 02:00-05:00 Europe/Berlin"),
            ("22:00-24:00 UTC", "daily 22:00-24:00 UTC"),
            ("sat-mon 22:00-06:30 Asia/Tokyo", "mon,sat,sun 22:00-06:30 Asia/Tokyo"),
            ("mon,wed,THU 00:00-24:00 UTC", "mon,wed,thu 00:00-24:00 UTC"),
        ] {
            assert_eq!(window(text).to_string(), shown);
            assert_eq!(window(shown), window(text));
        }
    }

    #[test]
    fn what_is_no_window_is_refused_with_what_is_meant() {
        for (text, part) in [
            ("mon", "is not a window"),
            ("mo 02:00-03:00 UTC", "is no day of the week"),
            ("mon 02:00 UTC", "is not a time"),
            ("mon 02:00-25:00 UTC", "is not a time"),
            ("mon 02:00-02:60 UTC", "is not a time"),
            ("mon 02:00-02:00 UTC", "`00:00-24:00`"),
            ("mon 24:00-02:00 UTC", "begins at 24:00"),
            ("mon 02:00-03:00 Berlin", "`Europe/Berlin`"),
        ] {
            let error = text.parse::<Window>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn it_is_open_from_its_beginning_to_just_before_its_end() {
        let window = window("mon-fri 02:00-05:00 Europe/Berlin");
        let friday = |time: &str| at(&format!("2026-11-27T{time}Z"));
        assert_eq!(window.open_until(friday("00:59:59.999")), None);
        assert_eq!(window.next_opening(friday("00:59:59.999")), Some(friday("01:00:00")));
        assert_eq!(window.open_until(friday("01:00:00")), Some(friday("04:00:00")));
        assert_eq!(window.open_until(friday("04:00:00")), None);
        let monday = at("2026-11-30T01:00:00Z");
        assert_eq!(window.next_opening(friday("01:00:00")), Some(monday));
        assert_eq!(window.clock(monday), "Mon 02:00 Europe/Berlin");
    }

    #[test]
    fn one_that_crosses_midnight_belongs_to_the_day_on_which_it_begins() {
        let window = window("fri 22:00-06:00 UTC");
        assert_eq!(window.open_until(at("2026-11-28T05:59:00Z")), Some(at("2026-11-28T06:00:00Z")));
        assert_eq!(window.open_until(at("2026-11-27T05:00:00Z")), None);
        assert_eq!(window.open_until(at("2026-11-28T22:30:00Z")), None);
    }

    /// In 2026 clocks of Berlin go from 02:00 to 03:00 on 29 March, and from 03:00 to 02:00 on 25 October.
    #[test]
    fn what_clocks_leave_out_is_when_they_go_on_and_what_they_show_twice_is_the_first_time() {
        let from = at("2026-03-28T12:00:00Z");
        let early = window("sun 02:30-04:00 Europe/Berlin");
        let opened = early.next_opening(from).unwrap();
        assert_eq!(opened, at("2026-03-29T01:00:00Z"));
        assert_eq!(early.open_until(opened), Some(at("2026-03-29T02:00:00Z")));
        let late = window("sun 01:00-02:30 Europe/Berlin");
        assert_eq!(late.open_until(at("2026-03-29T00:30:00Z")), Some(at("2026-03-29T01:00:00Z")));
        let within = window("sun 02:10-02:50 Europe/Berlin");
        assert_eq!(within.next_opening(from), Some(at("2026-04-05T00:10:00Z")));
        let autumn = at("2026-10-24T23:30:00Z");
        assert_eq!(late.open_until(autumn), Some(at("2026-10-25T00:30:00Z")));
        let twice = window("sun 02:00-03:00 Europe/Berlin");
        let opened = twice.next_opening(autumn).unwrap();
        assert_eq!(opened, at("2026-10-25T00:00:00Z"));
        assert_eq!(twice.open_until(opened), Some(at("2026-10-25T02:00:00Z")));
    }

    #[test]
    fn of_several_one_that_is_open_is_enough_and_the_next_one_is_named() {
        let now = at("2026-11-27T12:00:00Z");
        assert_eq!(opening(&[], now), Opening::Open { until: None });
        let two = [window("sat 02:00-03:00 UTC"), window("fri 20:00-21:00 UTC")];
        let clock = "Fri 20:00 UTC".to_owned();
        let next = at("2026-11-27T20:00:00Z");
        assert_eq!(opening(&two, now), Opening::Closed { at: Some(next), clock });
        let until = Some(at("2026-11-27T21:00:00Z"));
        assert_eq!(opening(&two, next), Opening::Open { until });
    }

    /// Minute by minute, over a year in zones whose clocks are set: what is said to be open is so until then, and what is said to
    /// open next does.
    #[test]
    fn each_instant_is_either_open_until_its_end_or_closed_until_the_next_opening() {
        for zone in ["Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia"] {
            let window = window(&format!("sat,sun 01:45-03:15 {zone}"));
            let mut now = at("2026-01-01T00:00:00Z");
            let end = at("2027-01-01T00:00:00Z");
            let mut opened = 0;
            while now < end {
                let until = window.open_until(now);
                let next = window.next_opening(now).unwrap();
                assert!(next > now && window.open_until(next).is_some());
                let before = Timestamp::from_millis(next.as_millis() - 1);
                assert!(window.open_until(before).is_none(), "{zone}: two meet at {next:?}");
                if let Some(until) = until {
                    assert!(until > now && until <= next && window.open_until(until).is_none());
                }
                opened += 1;
                now = next;
            }
            assert_eq!(opened, 105, "{zone}: each day of its weekends has one");
        }
    }
}
