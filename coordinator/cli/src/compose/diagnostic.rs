//! What is told about a place in a file: what is wrong, where, and what to do next.

use std::fmt;

/// The longest piece of a line that is shown, in characters: what a wide terminal has.
const EXCERPT_LIMIT: usize = 120;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    /// The files can not be used.
    Error,
    /// The files can be used, and do perhaps not what was meant.
    Warning,
}

/// A place in a file, printed `compose.yaml:7:5`. Both numbers count from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Position {
    /// The path as the operator gave it.
    pub file: String,
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", Printable(&self.file), self.line, self.column)
    }
}

/// A piece of a line with the part that is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Excerpt {
    text: String,
    indent: usize,
    width: usize,
}

impl Excerpt {
    /// Cuts the piece around `width` characters from `column` on out of a line.
    pub(super) fn new(line: &str, column: usize, width: usize) -> Self {
        let before = column.saturating_sub(1);
        let skipped = if before + width > EXCERPT_LIMIT { before.saturating_sub(20) } else { 0 };
        let text: String = line.chars().skip(skipped).take(EXCERPT_LIMIT).collect();
        let indent = before - skipped;
        Self { text, indent, width: width.min(EXCERPT_LIMIT.saturating_sub(indent).max(1)) }
    }
}

/// A position and what stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Where.
    pub at: Position,
    /// What stands there.
    pub excerpt: Excerpt,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, excerpt } = self;
        let number = at.line.to_string();
        let (blank, indent) = (" ".repeat(number.len()), " ".repeat(excerpt.indent));
        writeln!(f, "  {number} | {}", Printable(excerpt.text.trim_end()))?;
        write!(f, "  {blank} | {indent}{}", "^".repeat(excerpt.width))
    }
}

/// One thing that is wrong or doubtful, complete for printing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What it is, in one sentence.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
    /// The place it is about; none when no file is to blame.
    pub mark: Option<Mark>,
    /// A second place that has to do with it, and what it is.
    pub other: Option<(&'static str, Mark)>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        if let Some(mark) = &self.mark {
            write!(f, "{}: ", mark.at)?;
        }
        write!(f, "{severity}: {}", Printable(&self.message))?;
        if let Some(mark) = &self.mark {
            write!(f, "\n{mark}")?;
        }
        if let Some((about, mark)) = &self.other {
            write!(f, "\n{}: {about}\n{mark}", mark.at)?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {}", Printable(hint))?;
        }
        Ok(())
    }
}

/// Prints a text of unknown origin so that it can neither steer the terminal nor reorder what is read.
struct Printable<'a>(&'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| fmt::Write::write_char(f, printable(c)))
    }
}

fn printable(c: char) -> char {
    let reorders =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    match c {
        '\t' => ' ',
        c if c.is_control() || reorders => '\u{fffd}',
        c => c,
    }
}
