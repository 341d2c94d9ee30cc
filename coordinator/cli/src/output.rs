//! How answers look: tables for people, JSON and YAML for programs.

mod yaml;

use std::io::{self, Write};

use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};
use jiff::Timestamp;
use serde_json::Value;

/// How an answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// For people with wide screens.
    Wide,
    /// One document.
    Json,
    /// One document a line.
    Jsonl,
    /// One document.
    Yaml,
    /// Ids alone, one a line.
    Name,
}

/// A list of things, in every form that it can be printed in.
#[derive(Debug)]
pub(crate) struct Listing {
    /// Headings of the table; those from `wide` on only in wide tables.
    pub(crate) head: Vec<&'static str>,
    pub(crate) wide: usize,
    pub(crate) rows: Vec<Row>,
}

/// One thing.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) cells: Vec<String>,
    pub(crate) json: Value,
}

/// Prints a list, of which only what passes the filters.
pub(crate) fn print(
    mut listing: Listing,
    format: Format,
    filters: &[(String, String)],
) -> anyhow::Result<()> {
    listing.rows.retain(|row| filters.iter().all(|(key, value)| matches(&row.json, key, value)));
    let mut out = anstream::stdout().lock();
    match format {
        Format::Table => write!(out, "{}", table(&listing, listing.wide))?,
        Format::Wide => write!(out, "{}", table(&listing, listing.head.len()))?,
        Format::Name => {
            listing.rows.iter().try_for_each(|row| writeln!(out, "{}", clean(&row.id)))?
        }
        Format::Jsonl => listing.rows.iter().try_for_each(|row| writeln!(out, "{}", row.json))?,
        Format::Json | Format::Yaml => {
            let all = Value::Array(listing.rows.into_iter().map(|row| row.json).collect());
            document(&mut out, &all, format)?;
        }
    }
    Ok(())
}

/// Prints one thing. There is no table of one thing: people get YAML.
pub(crate) fn print_one(value: &Value, format: Format) -> anyhow::Result<()> {
    let mut out = anstream::stdout().lock();
    match format {
        Format::Json => document(&mut out, value, Format::Json)?,
        Format::Jsonl => writeln!(out, "{value}")?,
        Format::Table | Format::Wide | Format::Yaml | Format::Name => {
            document(&mut out, value, Format::Yaml)?;
        }
    }
    Ok(())
}

fn document(out: &mut impl Write, value: &Value, format: Format) -> io::Result<()> {
    if format == Format::Json {
        return writeln!(out, "{value:#}");
    }
    yaml::write(out, value)
}

/// The table, without blanks at the ends of its lines.
fn table(listing: &Listing, columns: usize) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(listing.head.iter().take(columns));
    for row in &listing.rows {
        table.add_row(row.cells.iter().take(columns).map(|cell| clean(cell)));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines = table.to_string();
    lines.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

fn matches(json: &Value, key: &str, value: &str) -> bool {
    match json.get(key) {
        Some(Value::String(found)) => found == value,
        Some(found) => {
            let found = found.to_string();
            found == value
        }
        None => false,
    }
}

/// What came from elsewhere, so that it can not take over the terminal.
pub(crate) fn clean(text: &str) -> String {
    let escape =
        |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escape).collect()
}

/// An instant as RFC 3339 in UTC.
pub(crate) fn instant(millis: u64) -> Value {
    let stamp =
        i64::try_from(millis).ok().and_then(|millis| Timestamp::from_millisecond(millis).ok());
    stamp.map_or(Value::Null, |stamp| Value::String(stamp.to_string()))
}

/// How long ago, in one number and one unit.
pub(crate) fn age(millis: u64) -> String {
    let now = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default();
    span(now.saturating_sub(millis) / 1_000)
}

/// In how long.
pub(crate) fn ahead(millis: u64) -> String {
    let now = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default();
    format!("in {}", span(millis.saturating_sub(now) / 1_000))
}

/// How long, from its beginning to its end.
pub(crate) fn lasting(millis: u64) -> String {
    span(millis.div_ceil(1_000))
}

fn span(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=7_199 => format!("{}m", seconds / 60),
        7_200..=172_799 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Bytes in the largest unit that leaves a number before the point.
pub(crate) fn bytes(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1_024.0 && unit + 1 < units.len() {
        value /= 1_024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", units[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nothing_that_came_from_elsewhere_controls_the_terminal() {
        assert_eq!(clean("a\x1b[31mb\r\n"), "a\\u{1b}[31mb\\r\\n");
    }

    #[test]
    fn a_filter_compares_what_json_shows() {
        let json = json!({"state": "running", "generation": 3});
        assert!(matches(&json, "state", "running") && matches(&json, "generation", "3"));
        assert!(!matches(&json, "state", "failed") && !matches(&json, "nothing", ""));
    }
}
