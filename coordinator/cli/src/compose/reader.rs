//! Reads files, keeps what was read for the excerpts, and puts variables into trees.

use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use super::Files;
use super::interpolate::{Use, Variables};
use super::node::{Kind, Node, Value};
use super::place::{Place, SourceId, Sources};
use super::problems::Problems;
use super::values;
use super::variables::{self, Format, Variable};

/// The longest file, in bytes: far beyond what people write, and quick to read on the smallest machine.
pub(super) const FILE_BYTES_LIMIT: usize = 1 << 20;

/// All files of a project together, in bytes, each as often as it is used. What is deployed has to fit into one message
/// ([`proto::MESSAGE_LIMIT`]), and not all that is read is deployed.
const TOTAL_BYTES_LIMIT: usize = 2 * proto::MESSAGE_LIMIT;

/// What becomes of a file that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// An error.
    Refused,
    /// Nothing.
    Fine,
}

/// What all parts of the reading share.
pub(super) struct Reader<'a> {
    pub files: &'a dyn Files,
    pub directory: PathBuf,
    pub sources: Sources,
    pub problems: Problems,
    pub variables: Variables,
    bytes_left: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(files: &'a dyn Files, variables: Variables) -> Self {
        let mut problems = Problems::default();
        let directory = files.directory().unwrap_or_else(|error| {
            problems.error_anywhere(format!("can not tell the current directory: {error}"));
            PathBuf::from("/")
        });
        Self {
            files,
            directory,
            sources: Sources::default(),
            problems,
            variables,
            bytes_left: TOTAL_BYTES_LIMIT,
        }
    }

    /// Makes a path absolute: relative ones begin where the file is that names it.
    pub(super) fn resolve(&self, place: Place, path: &str) -> PathBuf {
        plain(&self.sources.get(place.source).base.join(path))
    }

    /// Makes a path absolute: relative ones begin in the current directory.
    pub(super) fn absolute(&self, path: &Path) -> PathBuf {
        plain(&self.directory.join(path))
    }

    /// Reads the bytes of a file that is named at a place, at most `limit` of them.
    pub(super) fn bytes(
        &mut self,
        path: &Path,
        (place, missing): (Option<Place>, Missing),
        limit: usize,
    ) -> Option<Vec<u8>> {
        if self.bytes_left == 0 {
            return None;
        }
        let name = self.short(path).display().to_string();
        let bytes = match self.files.read(path) {
            Ok(bytes) => bytes,
            Err(error) if missing == Missing::Fine && error.kind() == ErrorKind::NotFound => {
                return None;
            }
            Err(error) => {
                let message = format!("can not read {name}: {error}");
                self.error(
                    place,
                    message,
                    "check the path; a relative one begins where the file is that names it",
                );
                return None;
            }
        };
        if bytes.len() > limit {
            let message = format!("{name} has more than {limit} bytes");
            self.error(place, message, "make it shorter, or divide it");
            return None;
        }
        self.charge(bytes.len(), place).then_some(bytes)
    }

    /// Reads a file as text and remembers it, so that places can point into it.
    pub(super) fn text(
        &mut self,
        name: &Path,
        base: &Path,
        at: (Option<Place>, Missing),
    ) -> Option<(SourceId, String)> {
        let path = self.absolute(name);
        let bytes = self.bytes(&path, at, FILE_BYTES_LIMIT)?;
        let lossy = String::from_utf8_lossy(&bytes);
        let source = self.sources.add(name, base, &lossy);
        if let Err(error) = std::str::from_utf8(&bytes) {
            let before =
                String::from_utf8_lossy(bytes.get(..error.valid_up_to()).unwrap_or(&bytes));
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            let place = Place::on_line(source, line, column, 1);
            self.problems.error(place, "not UTF-8").hint("save the file as UTF-8");
            return None;
        }
        Some((source, lossy.into_owned()))
    }

    /// Counts bytes that become part of the project, and says whether there is room for them.
    pub(super) fn charge(&mut self, bytes: usize, place: Option<Place>) -> bool {
        match self.bytes_left.checked_sub(bytes) {
            Some(left) => {
                self.bytes_left = left;
                true
            }
            None => {
                self.bytes_left = 0;
                let message =
                    format!("the files of the project have more than {TOTAL_BYTES_LIMIT} bytes");
                self.error(place, message, "divide the project, or put large files into an image");
                false
            }
        }
    }

    fn error(&mut self, place: Option<Place>, message: String, hint: &'static str) {
        let problem = match place {
            Some(place) => self.problems.error(place, message),
            None => self.problems.error_anywhere(message),
        };
        problem.hint(hint);
    }

    /// The path as it is shown: without the current directory.
    pub(super) fn short(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.directory).unwrap_or(path).to_owned()
    }

    /// Puts variables into all values of a tree.
    pub(super) fn fill(&mut self, node: &mut Node) {
        match &mut node.value {
            Value::Mapping(entries) => {
                entries.iter_mut().for_each(|entry| self.fill(&mut entry.value));
            }
            Value::Sequence(items) => items.iter_mut().for_each(|item| self.fill(item)),
            Value::Scalar(scalar) if scalar.text.contains('$') => {
                scalar.text = self.filled(node.place, &scalar.text);
                // A variable that is empty is an empty string and not nothing.
                scalar.kind = match Kind::of_plain(&scalar.text) {
                    Kind::Null => Kind::Text,
                    kind if scalar.is_plain => kind,
                    Kind::Boolean | Kind::Number | Kind::Text => Kind::Text,
                };
            }
            Value::Scalar(_) => {}
        }
    }

    fn filled(&mut self, place: Place, text: &str) -> String {
        let count = text.matches('$').count();
        match self.variables.fill(text) {
            Ok(filled) => {
                for (name, Use { dollar, width }) in filled.unset {
                    let at = self.dollar(place, dollar, count);
                    let end = if at == place { place.end_column } else { at.column + width };
                    let place = Place { end_line: at.line, end_column: end, ..at };
                    let message = format!("variable `{name}` is not set and becomes empty");
                    let problem = self.problems.warning(place, message);
                    problem.hint(format!("set it, or write `${{{name}:-}}` if that is meant"));
                }
                if filled.text.contains('\0') {
                    self.problems.error(place, "a text with a NUL character").hint("take it out");
                }
                filled.text
            }
            Err(failure) => {
                let at = self.dollar(place, failure.dollar, count);
                self.problems.error(at, failure.message).hint(failure.hint);
                self.problems.spoil(place);
                String::new()
            }
        }
    }

    /// Reads what a file of variables says, and sets it.
    pub(super) fn variables_of(
        &mut self,
        path: &Path,
        at: (Option<Place>, Missing),
        format: Format,
    ) -> Vec<Variable> {
        let base = path.parent().unwrap_or(path).to_owned();
        let name = self.short(path);
        let Some((source, text)) = self.text(&name, &base, at) else { return Vec::new() };
        variables::read(&mut self.problems, &mut self.variables, source, (&text, format))
    }

    /// Where a dollar sign of a value stands.
    fn dollar(&self, place: Place, number: usize, count: usize) -> Place {
        if self.problems.is_full() { place } else { self.sources.dollar(place, number, count) }
    }

    /// Reads a text of the tree as a path, made absolute.
    pub(super) fn path(&mut self, node: &Node) -> Option<PathBuf> {
        let text = values::text(&mut self.problems, node)?;
        Some(self.resolve(node.place, text))
    }
}

/// Takes `.` and `..` out of an absolute path, as it is written and without looking at the disk.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => {
                plain.push(component)
            }
        }
    }
    plain
}
