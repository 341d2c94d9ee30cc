//! Puts variables into texts: `$NAME`, `${NAME}`, `${NAME:-default}`, `${NAME:?error}`, `${NAME:+other}` and `$$`.

use std::collections::BTreeMap;

/// The most text that variables may become in one project, in bytes: a few lines of `.env` can otherwise double
/// themselves without an end.
const TEXT_LIMIT: usize = 16 << 20;

/// The deepest nesting of defaults: beyond this nobody reads them, and reading them is recursive.
const DEPTH_LIMIT: usize = 16;

/// What is known by name: the process environment, and below it what files of variables say.
#[derive(Debug)]
pub(super) struct Variables {
    process: BTreeMap<String, String>,
    file: BTreeMap<String, String>,
    /// What the file that is being read says, when that holds only for itself.
    scope: Option<BTreeMap<String, String>>,
    left: usize,
}

/// Why a text can not be interpolated.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// The dollar sign it is about, counted from 0.
    pub dollar: usize,
    pub message: String,
    pub hint: &'static str,
}

/// Where a variable is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Use {
    /// The dollar sign, counted from 0.
    pub dollar: usize,
    /// In characters, with the dollar sign and the braces.
    pub width: usize,
}

/// A text with its variables put in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Filled {
    pub text: String,
    /// Variables that are not set and have no default, each with where it is first used.
    pub unset: BTreeMap<String, Use>,
}

impl Variables {
    pub(super) fn new(process: BTreeMap<String, String>) -> Self {
        Self { process, file: BTreeMap::new(), scope: None, left: TEXT_LIMIT }
    }

    /// Adds a variable from a file. The process environment goes before it; a later file goes before an earlier one.
    pub(super) fn set(&mut self, name: &str, value: String) {
        self.scope.as_mut().unwrap_or(&mut self.file).insert(name.to_owned(), value);
    }

    /// Lets what is set from here on be forgotten by [`Self::leave`].
    pub(super) fn enter(&mut self) {
        self.scope = Some(BTreeMap::new());
    }

    /// Forgets what was set since [`Self::enter`].
    pub(super) fn leave(&mut self) {
        self.scope = None;
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let scoped = || self.scope.as_ref().and_then(|scope| scope.get(name));
        let value = self.process.get(name).or_else(scoped).or_else(|| self.file.get(name));
        value.map(String::as_str)
    }

    /// Puts the variables into a text.
    pub(super) fn fill(&mut self, text: &str) -> Result<Filled, Failure> {
        let pieces = Reader::new(text).pieces(0)?;
        let mut filled = Filled { text: String::new(), unset: BTreeMap::new() };
        self.write(&pieces, &mut filled)?;
        Ok(filled)
    }

    fn write(&mut self, pieces: &[Piece], filled: &mut Filled) -> Result<(), Failure> {
        for piece in pieces {
            match piece {
                Piece::Text(text) => filled.text.push_str(text),
                Piece::Variable { name, dollar, rule } => {
                    self.write_variable((name, *dollar), rule, filled)?;
                }
            }
        }
        Ok(())
    }

    fn write_variable(
        &mut self,
        (name, dollar): (&str, usize),
        rule: &Rule,
        filled: &mut Filled,
    ) -> Result<(), Failure> {
        match rule {
            Rule::Plain { width } => {
                if !self.push((name, dollar), Fits::Any, filled)? {
                    let usage = Use { dollar, width: *width };
                    filled.unset.entry(name.to_owned()).or_insert(usage);
                }
            }
            Rule::Default { fits, word } => {
                if !self.push((name, dollar), *fits, filled)? {
                    self.write(word, filled)?;
                }
            }
            Rule::Required { fits, word } => {
                if !self.push((name, dollar), *fits, filled)? {
                    return Err(self.missing((name, dollar), word));
                }
            }
            Rule::Replaced { fits, word } => {
                if self.get(name).is_some_and(|value| fits.takes(value)) {
                    self.write(word, filled)?;
                }
            }
        }
        Ok(())
    }

    fn missing(&mut self, (name, dollar): (&str, usize), word: &[Piece]) -> Failure {
        let mut why = Filled { text: String::new(), unset: BTreeMap::new() };
        if let Err(failure) = self.write(word, &mut why) {
            return failure;
        }
        let colon = if why.text.is_empty() { "" } else { ": " };
        Failure {
            dollar,
            message: format!("variable `{name}` is required{colon}{}", why.text),
            hint: "set it in the environment or in the file of --env-file",
        }
    }

    /// Puts the value in, if there is one that fits, and says whether there was.
    fn push(
        &mut self,
        (name, dollar): (&str, usize),
        fits: Fits,
        filled: &mut Filled,
    ) -> Result<bool, Failure> {
        let Some(value) = self.get(name).filter(|value| fits.takes(value)) else {
            return Ok(false);
        };
        let Some(left) = self.left.checked_sub(value.len()) else {
            let message = format!("variables have become more than {TEXT_LIMIT} bytes of text");
            return Err(Failure {
                dollar,
                message,
                hint: "use shorter values, or use them less often",
            });
        };
        filled.text.push_str(value);
        self.left = left;
        Ok(true)
    }
}

/// Which values count as being there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fits {
    /// Without a colon: all.
    Any,
    /// With a colon.
    NotEmpty,
}

impl Fits {
    fn takes(self, value: &str) -> bool {
        match self {
            Self::Any => true,
            Self::NotEmpty => !value.is_empty(),
        }
    }
}

#[derive(Debug)]
enum Piece {
    Text(String),
    Variable { name: String, dollar: usize, rule: Rule },
}

/// What a variable becomes when it is there, and when it is not.
#[derive(Debug)]
enum Rule {
    Plain { width: usize },
    Default { fits: Fits, word: Vec<Piece> },
    Required { fits: Fits, word: Vec<Piece> },
    Replaced { fits: Fits, word: Vec<Piece> },
}

struct Reader<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    dollars: usize,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        Self { rest: text.chars().peekable(), dollars: 0 }
    }

    /// Reads to the end, or inside of a variable to its closing brace, which is left.
    fn pieces(&mut self, depth: usize) -> Result<Vec<Piece>, Failure> {
        let mut pieces = Vec::new();
        let mut text = String::new();
        while let Some(c) = self.rest.next_if(|c| depth == 0 || *c != '}') {
            if c != '$' {
                text.push(c);
                continue;
            }
            self.dollars += 1;
            if self.rest.next_if_eq(&'$').is_some() {
                self.dollars += 1;
                text.push('$');
                continue;
            }
            pieces.push(Piece::Text(std::mem::take(&mut text)));
            pieces.push(self.variable(depth)?);
        }
        pieces.push(Piece::Text(text));
        Ok(pieces)
    }

    fn variable(&mut self, depth: usize) -> Result<Piece, Failure> {
        let dollar = self.dollars - 1;
        if self.rest.next_if_eq(&'{').is_none() {
            let name = self.name();
            if name.is_empty() {
                let message = "a dollar sign without the name of a variable";
                return Err(failure(dollar, message, "write `$$` for a dollar sign"));
            }
            let width = name.len() + 1;
            return Ok(Piece::Variable { name, dollar, rule: Rule::Plain { width } });
        }
        if depth >= DEPTH_LIMIT {
            let message = "defaults are nested too deep";
            return Err(failure(dollar, message, "set the variable in the file of --env-file"));
        }
        let name = self.name();
        if name.is_empty() {
            let hint = "write `${NAME}`, or `$${` for the characters themselves";
            return Err(failure(dollar, "`${` without the name of a variable", hint));
        }
        let rule = self.rule(dollar, depth + 1)?.unwrap_or(Rule::Plain { width: name.len() + 3 });
        match self.rest.next() {
            Some('}') => Ok(Piece::Variable { name, dollar, rule }),
            _ => Err(failure(dollar, &format!("`${{{name}` has no closing brace"), "add `}`")),
        }
    }

    /// What follows the name, if anything does.
    fn rule(&mut self, dollar: usize, depth: usize) -> Result<Option<Rule>, Failure> {
        let fits = match self.rest.next_if_eq(&':') {
            Some(_) => Fits::NotEmpty,
            None => Fits::Any,
        };
        match self.rest.peek() {
            Some('}') | None if fits == Fits::Any => return Ok(None),
            Some('-' | '?' | '+') => {}
            Some(_) | None => {
                let hint = "after the name comes `}`, `-`, `:-`, `?`, `:?`, `+` or `:+`";
                return Err(failure(dollar, "a variable that can not be read", hint));
            }
        }
        let operator = self.rest.next();
        let word = self.pieces(depth)?;
        Ok(Some(match operator {
            Some('-') => Rule::Default { fits, word },
            Some('?') => Rule::Required { fits, word },
            Some(_) | None => Rule::Replaced { fits, word },
        }))
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        let is_first = |c: &char| c.is_ascii_alphabetic() || *c == '_';
        let is_rest = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
        if let Some(first) = self.rest.next_if(is_first) {
            name.push(first);
            name.extend(std::iter::from_fn(|| self.rest.next_if(is_rest)));
        }
        name
    }
}

fn failure(dollar: usize, message: &str, hint: &'static str) -> Failure {
    Failure { dollar, message: message.to_owned(), hint }
}
