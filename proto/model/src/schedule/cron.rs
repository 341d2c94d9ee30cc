//! Reads which times are due.
//!
//! ```text
//!  recurrence  field field field field field | "@yearly" | "@annually" | "@monthly" | "@weekly" | "@daily" | "@midnight"
//!              | "@hourly" | "@every" { number ("h" | "m" | "s") }
//!  fields      minute 0-59, hour 0-23, day of the month 1-31, month 1-12 or jan-dec, day of the week 0-7 or sun-sat
//!  field       part { "," part }
//!  part        ("*" | value ["-" value]) ["/" step]
//! ```
//! 0 and 7 are both Sunday. When neither day begins with `*`, a day that either of them names is meant, and otherwise one
//! that both do: as in vixie cron.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::civil::{Date, DateTime};
use thiserror::Error;

use crate::suggest::nearest;

/// The longest text, in bytes: the longest list of all minutes and hours that anybody writes.
pub const LENGTH_LIMIT: usize = 256;
/// The shortest time between two runs: the coordinator decides within less.
pub const EVERY_LEAST: Duration = Duration::from_secs(1);
/// The longest time between two runs: what is rarer has a date.
pub const EVERY_MOST: Duration = Duration::from_secs(366 * 24 * 3_600);

/// For so many years it is looked ahead: 29 February falls on the same day of the week after 40 years at the latest.
const YEARS_AHEAD: i16 = 50;

/// Which times are due. It prints as it was written, and is due at least once in a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recurrence {
    text: String,
    pub(super) rule: Rule,
}

/// What a recurrence means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// At every multiple of this since the Unix epoch.
    Every(Duration),
    /// When clocks show one of these times.
    Clock(Fields),
}

/// Why a text is no recurrence.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{why}")]
pub struct RecurrenceError {
    /// What is wrong.
    pub why: String,
    /// What to do about it.
    pub hint: String,
}

fn error(why: impl Into<String>, hint: impl Into<String>) -> RecurrenceError {
    RecurrenceError { why: why.into(), hint: hint.into() }
}

/// Sets of numbers, each as the bits of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fields {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether a day of either field is meant, and not one of both.
    days_add_up: bool,
}

/// What may stand in a field.
struct Field {
    name: &'static str,
    least: u32,
    most: u32,
    /// The first one stands for the least number.
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", least: 0, most: 59, names: &[] },
    Field { name: "hour", least: 0, most: 23, names: &[] },
    Field { name: "day of the month", least: 1, most: 31, names: &[] },
    Field {
        name: "month",
        least: 1,
        most: 12,
        names: &[
            "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
        ],
    },
    Field {
        name: "day of the week",
        least: 0,
        most: 7,
        names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
    },
];

const FORM: &str = "write five fields, minute hour day month weekday, as in `30 3 * * mon-fri`, or `@daily`, or `@every 5m`";

const SHORT: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

impl FromStr for Recurrence {
    type Err = RecurrenceError;

    fn from_str(text: &str) -> Result<Self, RecurrenceError> {
        if text.len() > LENGTH_LIMIT {
            let why = format!("has {} characters of {LENGTH_LIMIT} allowed", text.len());
            return Err(error(why, "divide it into several services"));
        }
        let words: Vec<&str> = text.split_whitespace().collect();
        let rule = match words[..] {
            ["@every", every] => Rule::Every(duration(every)?),
            [word] if word.starts_with('@') => Rule::Clock(short(word)?),
            _ => Rule::Clock(fields(&words)?),
        };
        Ok(Self { text: words.join(" "), rule })
    }
}

impl fmt::Display for Recurrence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Recurrence {
    /// Gives the text as it was written, with single blanks.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Says whether it means other times in another time zone.
    #[must_use]
    pub const fn has_zone(&self) -> bool {
        matches!(self.rule, Rule::Clock(_))
    }
}

fn short(word: &str) -> Result<Fields, RecurrenceError> {
    let lower = word.to_lowercase();
    if lower == "@reboot" {
        let hint = "a job without a schedule runs when it is deployed";
        return Err(error("`@reboot` has no meaning in a cluster", hint));
    }
    if lower == "@every" {
        return Err(error("`@every` says no time", "write it as in `@every 5m`"));
    }
    let known = SHORT.iter().find(|(name, _)| *name == lower);
    let Some((_, text)) = known else {
        let names = SHORT.iter().map(|(name, _)| *name).chain(["@every"]);
        let hint = match nearest(&lower, names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => FORM.to_owned(),
        };
        return Err(error(format!("`{}` is not a schedule", shown(word)), hint));
    };
    fields(&text.split(' ').collect::<Vec<_>>())
}

/// A time as in `1h30m`.
fn duration(text: &str) -> Result<Duration, RecurrenceError> {
    const HINT: &str = "write it as in `@every 1h30m` or `@every 10s`";
    let wrong = || error(format!("`{}` is not a time", shown(text)), HINT);
    let (mut seconds, mut number) = (0_u64, None::<u64>);
    for letter in text.chars() {
        let factor = match letter {
            'h' => 3_600,
            'm' => 60,
            's' => 1,
            _ => {
                let digit = letter.to_digit(10).ok_or_else(wrong)?;
                let shifted = number.unwrap_or_default().checked_mul(10);
                let more = shifted.and_then(|number| number.checked_add(digit.into()));
                number = Some(more.ok_or_else(wrong)?);
                continue;
            }
        };
        let part = number.take().and_then(|number| number.checked_mul(factor));
        seconds = part.and_then(|part| seconds.checked_add(part)).ok_or_else(wrong)?;
    }
    let every = Duration::from_secs(seconds);
    if number.is_some() {
        return Err(wrong());
    }
    if !(EVERY_LEAST..=EVERY_MOST).contains(&every) {
        return Err(error(format!("`@every {text}` is not from 1 s to 366 days"), HINT));
    }
    Ok(every)
}

/// As much of a wrong text as anybody reads.
fn shown(text: &str) -> String {
    text.chars().take(32).collect()
}

fn fields(words: &[&str]) -> Result<Fields, RecurrenceError> {
    let [minute, hour, day, month, weekday] = words else {
        let why = format!("has {} fields, and cron has five", words.len());
        let hint = if words.len() == 6 {
            "leave the seconds out; what runs more often than each minute is written as `@every 10s`"
        } else {
            FORM
        };
        return Err(error(why, hint));
    };
    let [minutes, hours, days, months, weekdays] = FIELDS;
    let on = set(&weekdays, weekday)?;
    let fields = Fields {
        minutes: set(&minutes, minute)?,
        hours: set(&hours, hour)?,
        days: set(&days, day)?,
        months: set(&months, month)?,
        // 7 is Sunday as well.
        weekdays: (on | on >> 7) & 0x7f,
        days_add_up: !day.starts_with('*') && !weekday.starts_with('*'),
    };
    if fields.first_from(DateTime::constant(2000, 1, 1, 0, 0, 0, 0)).is_none() {
        let hint = "name a day that one of the months has";
        return Err(error("there is no such day: it would never run", hint));
    }
    Ok(fields)
}

fn set(field: &Field, text: &str) -> Result<u64, RecurrenceError> {
    let mut set = 0;
    for part in text.split(',') {
        set |= part_set(field, part)?;
    }
    Ok(set)
}

fn part_set(field: &Field, part: &str) -> Result<u64, RecurrenceError> {
    let Field { name, least, most, .. } = field;
    let (range, step) = match part.split_once('/') {
        Some((range, step)) => (range, Some(step)),
        None => (part, None),
    };
    let (first, last) = match range.split_once('-') {
        _ if range == "*" => (*least, if *most == 7 { 6 } else { *most }),
        Some((first, last)) => (value(field, first)?, value(field, last)?),
        None => {
            let only = value(field, range)?;
            if step.is_some() {
                let why = format!("the {name} `{}` has a step and no range", shown(part));
                let hint = format!("write `{only}-{most}/…` or `*/…`");
                return Err(error(why, hint));
            }
            (only, only)
        }
    };
    if first > last {
        let why = format!("the {name} `{}` ends before it begins", shown(part));
        let hint = "write two ranges with a comma, or exchange the ends";
        return Err(error(why, hint));
    }
    let step = match step.map(str::parse::<u32>) {
        None => 1,
        Some(Ok(step)) if (1..=*most).contains(&step) => step,
        Some(_) => {
            let why = format!("the {name} `{}` has no step from 1 to {most}", shown(part));
            return Err(error(why, "write it as in `*/15`"));
        }
    };
    let values = (first..=last).step_by(step as usize);
    Ok(values.fold(0, |set, value| set | 1 << value))
}

fn value(field: &Field, text: &str) -> Result<u32, RecurrenceError> {
    let Field { name, least, most, names } = field;
    let lower = text.to_lowercase();
    if let Some(at) = (*least..).zip(*names).find(|(_, known)| **known == lower) {
        return Ok(at.0);
    }
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u32>().ok().filter(|_| is_digits) {
        Some(number) if (*least..=*most).contains(&number) => Ok(number),
        Some(_) | None => {
            let why = format!("`{}` is not a {name} from {least} to {most}", shown(text));
            let hint = match (nearest(&lower, names.iter().copied()), text) {
                (_, "?") => "write `*`".to_owned(),
                (Some(near), _) => format!("did you mean `{near}`?"),
                (None, _) if names.is_empty() => FORM.to_owned(),
                (None, _) => format!("write a number, or one of {}", names.join(" ")),
            };
            Err(error(why, hint))
        }
    }
}

fn has(set: u64, value: i8) -> bool {
    u32::try_from(value).is_ok_and(|value| set >> value & 1 == 1)
}

impl Fields {
    /// Says whether it is due in every hour of its days: then it follows the time that passes and not what clocks show.
    pub(super) const fn is_hourly(&self) -> bool {
        self.hours == 0xff_ffff
    }

    /// The first time on a clock that is meant, from this one on.
    pub(super) fn first_from(&self, start: DateTime) -> Option<DateTime> {
        let last = start.date().year().checked_add(YEARS_AHEAD)?;
        let (mut date, mut least) = (start.date(), (start.hour(), start.minute()));
        while date.year() <= last {
            if !has(self.months, date.month()) {
                date = first_of_next_month(date)?;
            } else if let Some((hour, minute)) =
                self.first_time(least).filter(|_| self.has_day(date))
            {
                return Some(date.at(hour, minute, 0, 0));
            } else {
                date = date.tomorrow().ok()?;
            }
            least = (0, 0);
        }
        None
    }

    fn first_time(&self, (hour, minute): (i8, i8)) -> Option<(i8, i8)> {
        let in_hour = (minute..60).find(|minute| has(self.minutes, *minute));
        if let Some(minute) = in_hour.filter(|_| has(self.hours, hour)) {
            return Some((hour, minute));
        }
        let hour = (hour + 1..24).find(|hour| has(self.hours, *hour))?;
        Some((hour, (0..60).find(|minute| has(self.minutes, *minute))?))
    }

    pub(super) fn has_day(&self, date: Date) -> bool {
        let by_day = has(self.days, date.day());
        let by_weekday = has(self.weekdays, date.weekday().to_sunday_zero_offset());
        if self.days_add_up { by_day || by_weekday } else { by_day && by_weekday }
    }

    /// Says whether this is a time on a clock that is meant.
    #[cfg(test)]
    pub(super) fn has(&self, civil: DateTime) -> bool {
        has(self.minutes, civil.minute())
            && has(self.hours, civil.hour())
            && has(self.months, civil.month())
            && self.has_day(civil.date())
    }
}

fn first_of_next_month(date: Date) -> Option<Date> {
    date.last_of_month().tomorrow().ok()
}
