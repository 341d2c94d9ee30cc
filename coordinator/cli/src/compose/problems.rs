//! Collects what is wrong with the files, all of it and not only the first.

use std::collections::{BTreeMap, BTreeSet};

use super::diagnostic::{Diagnostic, Excerpt, Mark, Position, Severity};
use super::place::{Place, Sources};

/// The most errors that are shown: more than anybody reads, and an adversary's file does not fill the disk.
const SHOWN_LIMIT: usize = 100;

/// What is wrong, or doubtful, at a place.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Problem {
    place: Option<Place>,
    severity: Severity,
    message: String,
    hint: Option<String>,
    other: Option<(&'static str, Place)>,
}

impl Problem {
    /// Says what to do next.
    pub(super) fn hint(&mut self, hint: impl Into<String>) -> &mut Self {
        self.hint = Some(hint.into());
        self
    }

    /// Points to a second place, with a few words about it.
    pub(super) fn other(&mut self, about: &'static str, place: Place) -> &mut Self {
        self.other = Some((about, place));
        self
    }
}

/// The problems found so far.
#[derive(Debug, Default)]
pub(super) struct Problems {
    found: Vec<Problem>,
    /// Values that could not be read, each with the number of problems known by then.
    spoiled: BTreeMap<Place, usize>,
}

impl Problems {
    /// Notes an error at a place.
    pub(super) fn error(&mut self, place: Place, message: impl Into<String>) -> &mut Problem {
        self.add(Some(place), Severity::Error, message.into())
    }

    /// Notes an error that no file is to blame for.
    pub(super) fn error_anywhere(&mut self, message: impl Into<String>) -> &mut Problem {
        self.add(None, Severity::Error, message.into())
    }

    /// Notes a doubt at a place.
    pub(super) fn warning(&mut self, place: Place, message: impl Into<String>) -> &mut Problem {
        self.add(Some(place), Severity::Warning, message.into())
    }

    fn add(&mut self, place: Option<Place>, severity: Severity, message: String) -> &mut Problem {
        let problem = Problem { place, severity, message, hint: None, other: None };
        self.found.push(problem);
        let last = self.found.len() - 1;
        &mut self.found[last]
    }

    /// Says that what stands at a place is not what was meant: no further problem of it is told.
    pub(super) fn spoil(&mut self, place: Place) {
        self.spoiled.entry(place).or_insert(self.found.len());
    }

    /// Says whether there are more than will be shown, so that more effort for each is wasted.
    pub(super) fn is_full(&self) -> bool {
        self.found.len() > 2 * SHOWN_LIMIT
    }

    /// Says whether the files can not be used.
    pub(super) fn has_errors(&self) -> bool {
        self.found.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// Gives the errors and the warnings in the order of the files, each once: an alias repeats what it stands for.
    pub(super) fn into_diagnostics(self, sources: &Sources) -> (Vec<Diagnostic>, Vec<Diagnostic>) {
        let is_told = |(number, problem): &(usize, Problem)| {
            let spoiled = problem.place.and_then(|place| self.spoiled.get(&place));
            spoiled.is_none_or(|before| number < before)
        };
        let told = self.found.into_iter().enumerate().filter(is_told);
        let unique: BTreeSet<Problem> = told.map(|(_, problem)| problem).collect();
        let (errors, warnings): (Vec<_>, Vec<_>) =
            unique.into_iter().partition(|problem| problem.severity == Severity::Error);
        (shown(errors, sources), shown(warnings, sources))
    }
}

fn shown(problems: Vec<Problem>, sources: &Sources) -> Vec<Diagnostic> {
    let more = problems.len().saturating_sub(SHOWN_LIMIT);
    let severity = problems.first().map_or(Severity::Error, |problem| problem.severity);
    let mut shown: Vec<Diagnostic> = problems
        .into_iter()
        .take(SHOWN_LIMIT)
        .map(|problem| diagnostic(problem, sources))
        .collect();
    if more > 0 {
        let message = format!("{more} more are not shown");
        shown.push(Diagnostic { severity, message, hint: None, mark: None, other: None });
    }
    shown
}

fn diagnostic(problem: Problem, sources: &Sources) -> Diagnostic {
    Diagnostic {
        severity: problem.severity,
        message: problem.message,
        hint: problem.hint,
        mark: problem.place.map(|place| mark(place, sources)),
        other: problem.other.map(|(about, place)| (about, mark(place, sources))),
    }
}

fn mark(place: Place, sources: &Sources) -> Mark {
    let line = sources.line(place);
    let end = if place.end_line == place.line {
        place.end_column
    } else {
        line.trim_end().chars().count() + 1
    };
    let width = end.saturating_sub(place.column).max(1);
    Mark { at: position(place, sources), excerpt: Excerpt::new(line, place.column, width) }
}

/// Names a place as an operator finds it.
pub(super) fn position(place: Place, sources: &Sources) -> Position {
    Position {
        file: sources.get(place.source).name.clone(),
        line: place.line,
        column: place.column,
    }
}
