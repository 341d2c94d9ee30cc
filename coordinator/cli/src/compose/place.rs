//! Where something stands in a file, so that an error can point to it.

use std::path::{Path, PathBuf};

/// A stretch of a source. Lines and columns count characters from 1; the end is exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub source: SourceId,
    pub line: usize,
    pub column: usize,
    pub end_line: usize,
    pub end_column: usize,
}

impl Place {
    /// One line of it, from a column on.
    pub(super) fn on_line(source: SourceId, line: usize, column: usize, width: usize) -> Self {
        Self { source, line, column, end_line: line, end_column: column + width }
    }
}

/// Which of the files that were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SourceId(usize);

/// A file that was read.
#[derive(Debug)]
pub(super) struct Source {
    /// As the operator wrote it.
    pub name: String,
    /// What relative paths in it are relative to. Absolute.
    pub base: PathBuf,
    lines: Vec<String>,
}

/// All files that were read.
#[derive(Debug, Default)]
pub(super) struct Sources(Vec<Source>);

impl Sources {
    /// Takes a file in, so that places can name it.
    pub(super) fn add(&mut self, name: &Path, base: &Path, text: &str) -> SourceId {
        let lines = text.split('\n').map(|line| line.trim_end_matches('\r').to_owned()).collect();
        self.0.push(Source { name: name.display().to_string(), base: base.to_owned(), lines });
        SourceId(self.0.len() - 1)
    }

    pub(super) fn get(&self, id: SourceId) -> &Source {
        &self.0[id.0]
    }

    /// The line of the file that the place begins on; empty past the end of the file.
    pub(super) fn line(&self, place: Place) -> &str {
        let index = place.line.saturating_sub(1);
        self.get(place.source).lines.get(index).map_or("", String::as_str)
    }

    /// The stretch of the `number`-th dollar sign of a scalar whose value has `count` of them. A value with escapes
    /// can have another number than its source; then it is the whole scalar.
    pub(super) fn dollar(&self, place: Place, number: usize, count: usize) -> Place {
        let places = self.dollars(place);
        if places.len() != count {
            return place;
        }
        let Some((line, column)) = places.get(number) else { return place };
        Place { line: *line, column: *column, ..place }
    }

    fn dollars(&self, place: Place) -> Vec<(usize, usize)> {
        let lines = &self.get(place.source).lines;
        let mut found = Vec::new();
        for line in place.line..=place.end_line {
            let text = lines.get(line.saturating_sub(1)).map_or("", String::as_str);
            let dollars = text.chars().enumerate().filter(|(_, c)| *c == '$');
            let columns = dollars.map(|(index, _)| index + 1);
            let is_inside = |column: &usize| {
                (line > place.line || *column >= place.column)
                    && (line < place.end_line || *column < place.end_column)
            };
            found.extend(columns.filter(is_inside).map(|column| (line, column)));
        }
        found
    }
}
