//! Reads files of variables: `.env`, `--env-file` and the `env_file` of a service.

use std::iter::Peekable;
use std::str::Chars;

use super::interpolate::Variables;
use super::place::{Place, SourceId};
use super::problems::Problems;

/// What a line of such a file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Variable {
    pub name: String,
    /// None when the line is only a name: the value is that of the process environment.
    pub value: Option<String>,
}

/// Whether variables inside of values are put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Quotes, escapes and variables mean something.
    Compose,
    /// All after the first `=` is the value.
    Raw,
}

/// Reads such a file. Each variable can use those before it, which is why they are put into `known`.
pub(super) fn read(
    problems: &mut Problems,
    known: &mut Variables,
    source: SourceId,
    (text, format): (&str, Format),
) -> Vec<Variable> {
    let rest = text.strip_prefix('\u{feff}').unwrap_or(text).chars().peekable();
    let mut lines = Lines { rest, source, line: 1, column: 1 };
    let mut found = Vec::new();
    while lines.rest.peek().is_some() {
        match lines.variable(known, format) {
            Ok(variable) => found.extend(variable),
            Err((place, message, hint)) => {
                problems.error(place, message).hint(hint);
            }
        }
        lines.skip_line();
    }
    found
}

type Refusal = (Place, String, &'static str);

struct Lines<'a> {
    rest: Peekable<Chars<'a>>,
    source: SourceId,
    line: usize,
    column: usize,
}

impl Lines<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.rest.next()?;
        (self.line, self.column) =
            if c == '\n' { (self.line + 1, 1) } else { (self.line, self.column + 1) };
        Some(c)
    }

    fn next_if(&mut self, fits: impl Fn(char) -> bool) -> Option<char> {
        let is_next = self.rest.peek().is_some_and(|c| fits(*c));
        if is_next { self.next() } else { None }
    }

    fn take_while(&mut self, fits: impl Fn(char) -> bool) -> String {
        std::iter::from_fn(|| self.next_if(&fits)).collect()
    }

    fn here(&self, width: usize) -> Place {
        Place::on_line(self.source, self.line, self.column, width)
    }

    /// Goes past the end of the line, if the last one ended in it.
    fn skip_line(&mut self) {
        self.take_while(|c| c != '\n');
        self.next();
    }

    fn variable(
        &mut self,
        known: &mut Variables,
        format: Format,
    ) -> Result<Option<Variable>, Refusal> {
        self.take_while(|c| c == ' ' || c == '\t' || c == '\r');
        if self.rest.peek().is_none_or(|c| matches!(c, '\n' | '#')) {
            return Ok(None);
        }
        let place = self.here(1);
        let mut name = self.name();
        if name == "export" && self.take_while(is_blank).chars().next().is_some() {
            name = self.name();
        }
        self.take_while(is_blank);
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let ending = self.next_if(|c| c == '=');
        let is_bare =
            ending.is_none() && self.rest.peek().is_none_or(|c| matches!(c, '\n' | '\r' | '#'));
        if !is_name || (ending.is_none() && !is_bare) {
            let hint = "a line is NAME=VALUE, or begins with `#`";
            return Err((place, "expected the name of a variable and `=`".to_owned(), hint));
        }
        if is_bare {
            let value = known.get(&name).map(str::to_owned);
            return Ok(Some(Variable { name, value }));
        }
        let value = match format {
            Format::Raw => self.take_while(|c| c != '\n').trim_end_matches('\r').to_owned(),
            Format::Compose => self.value(known)?,
        };
        if value.contains('\0') {
            return Err((
                place,
                format!("the value of `{name}` has a NUL character"),
                "take it out",
            ));
        }
        known.set(&name, value.clone());
        Ok(Some(Variable { name, value: Some(value) }))
    }

    fn name(&mut self) -> String {
        self.take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
    }

    fn value(&mut self, known: &mut Variables) -> Result<String, Refusal> {
        self.take_while(is_blank);
        let place = self.here(1);
        let value = match self.rest.peek() {
            Some('\'') => return self.quoted('\''),
            Some('"') => self.quoted('"')?,
            Some(_) | None => self.unquoted(),
        };
        match known.fill(&value) {
            Ok(filled) => Ok(filled.text),
            Err(failure) => Err((place, failure.message, failure.hint)),
        }
    }

    /// To the end of the line, or to a `#` after a blank.
    fn unquoted(&mut self) -> String {
        let mut value = String::new();
        while let Some(c) = self.next_if(|c| c != '\n') {
            if c == '#' && (value.is_empty() || value.ends_with(is_blank)) {
                break;
            }
            value.push(c);
        }
        value.trim_end().to_owned()
    }

    /// To the closing quote, over several lines if need be. A dollar sign that is escaped is left doubled.
    fn quoted(&mut self, quote: char) -> Result<String, Refusal> {
        let place = self.here(1);
        self.next();
        let mut value = String::new();
        loop {
            match self.next() {
                None => {
                    let message = "a quote that is not closed".to_owned();
                    return Err((place, message, "add the closing quote"));
                }
                Some(c) if c == quote => break,
                Some('\\') => value.push_str(&self.escaped(quote)),
                Some(c) => value.push(c),
            }
        }
        self.take_while(|c| is_blank(c) || c == '\r');
        match self.rest.peek() {
            None | Some('\n' | '#') => Ok(value),
            Some(_) => {
                let message = "something follows the closing quote".to_owned();
                Err((self.here(1), message, "put a blank and `#` before a comment"))
            }
        }
    }

    /// What a backslash and the next character mean.
    fn escaped(&mut self, quote: char) -> String {
        match (quote, self.rest.peek().copied()) {
            ('\'', Some('\'')) => self.next().map(String::from).unwrap_or_default(),
            ('"', Some(c)) => {
                let meaning = match c {
                    'n' => "\n",
                    'r' => "\r",
                    't' => "\t",
                    '$' => "$$",
                    '"' => "\"",
                    '\\' => "\\",
                    _ => return "\\".to_owned(),
                };
                self.next();
                meaning.to_owned()
            }
            (_, _) => "\\".to_owned(),
        }
    }
}

fn is_blank(c: char) -> bool {
    c == ' ' || c == '\t'
}
