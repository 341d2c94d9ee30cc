//! Finds the name of a project.

use std::path::Path;

use model::id::{NameError, ProjectName};

use super::Options;
use super::node::Node;
use super::reader::Reader;
use super::values;

/// The name: that of the options, of `COMPOSE_PROJECT_NAME`, of the last file that has one, or of the directory.
pub(super) fn find(
    reader: &mut Reader<'_>,
    options: &Options,
    (base, trees): (&Path, &[Node]),
) -> Option<ProjectName> {
    if let Some(name) = &options.project_name {
        return parsed(reader, name, "that of --project-name");
    }
    let variable = reader.variables.get("COMPOSE_PROJECT_NAME").map(str::to_owned);
    if let Some(name) = variable.filter(|name| !name.is_empty()) {
        return parsed(reader, &name, "that of COMPOSE_PROJECT_NAME");
    }
    let named = trees.iter().rev().find_map(|tree| tree.get("name").filter(|name| !name.is_null()));
    if let Some(node) = named {
        return of_file(reader, node);
    }
    let directory = base.file_name().map(|name| name.to_string_lossy().to_lowercase());
    let is_fine = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    let name: String = directory.unwrap_or_default().chars().filter(is_fine).collect();
    let name = name.trim_start_matches(['-', '_']);
    parsed(reader, name, "made from the name of the directory")
}

fn of_file(reader: &mut Reader<'_>, node: &Node) -> Option<ProjectName> {
    let mut node = node.clone();
    reader.fill(&mut node);
    let text = values::text(&mut reader.problems, &node)?;
    let parsed: Result<ProjectName, NameError> = text.parse();
    match parsed {
        Ok(name) => Some(name),
        Err(error) => {
            reader.problems.error(node.place, error.to_string()).hint("use another name");
            None
        }
    }
}

fn parsed(reader: &mut Reader<'_>, name: &str, origin: &str) -> Option<ProjectName> {
    match name.parse() {
        Ok(name) => Some(name),
        Err(error) => {
            let message = format!("{error} (`{name}`, {origin})");
            let hint = "give another name with --project-name, or with `name:` in the file";
            reader.problems.error_anywhere(message).hint(hint);
            None
        }
    }
}
