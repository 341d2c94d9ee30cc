//! Puts services under those that extend them, from the same file or from another.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::check::prune;
use super::keys::{EXTENDS, SERVICE};
use super::merge;
use super::node::{Entry, Node, Value};
use super::place::Place;
use super::reader::{Missing, Reader};
use super::section::Section;
use super::values;
use super::yaml;

/// The longest chain of services that extend each other: people write two or three.
const CHAIN_LIMIT: usize = 16;

/// The most values that are taken over in all, so that a thousand services can not each repeat the longest file.
const NODES_LIMIT: usize = 200_000;

/// The services of a file.
struct Library {
    path: PathBuf,
    services: Node,
    /// Whether its services still have to be checked and filled, which is done only for those that are taken over.
    is_raw: bool,
}

struct Extender<'r, 'a> {
    reader: &'r mut Reader<'a>,
    /// Other files that were read already.
    read: BTreeMap<PathBuf, Option<Rc<Library>>>,
    /// The services on the way here, outermost first.
    chain: Vec<(PathBuf, String)>,
    nodes_left: usize,
}

/// Where a service comes from that another one extends.
struct Origin {
    service: String,
    file: Option<PathBuf>,
    place: Place,
}

/// Resolves all `extends` of a file. What is not in the file itself can be in those before it.
pub(super) fn resolve(reader: &mut Reader<'_>, file: &mut Node, earlier: Option<&Node>) {
    let Some(services) = file.get("services").cloned() else { return };
    let library = Rc::new(Library { path: PathBuf::new(), services, is_raw: false });
    let earlier = earlier.and_then(|file| file.get("services"));
    let mut extender =
        Extender { reader, read: BTreeMap::new(), chain: Vec::new(), nodes_left: NODES_LIMIT };
    let Value::Mapping(entries) = &mut file.value else { return };
    let Some(services) = entries.iter_mut().find(|entry| entry.key == "services") else { return };
    let Value::Mapping(services) = &mut services.value.value else { return };
    for service in services.iter_mut().filter(|service| service.value.get("extends").is_some()) {
        let value = service.value.clone();
        service.value = extender.extended(&library, earlier, (&service.key, value));
    }
}

impl Extender<'_, '_> {
    /// The service over what it extends. Where that can not be had, the service alone.
    fn extended(
        &mut self,
        library: &Rc<Library>,
        earlier: Option<&Node>,
        (name, mut node): (&str, Node),
    ) -> Node {
        let Some(extends) = take_extends(&mut node) else { return node };
        let Some(origin) = self.origin(&extends) else { return node };
        self.chain.push((library.path.clone(), name.to_owned()));
        let base = self.base(library, earlier, &origin);
        self.chain.pop();
        match base {
            Some(base) => merge::services(&mut self.reader.problems, base, node),
            None => node,
        }
    }

    fn origin(&mut self, extends: &Entry) -> Option<Origin> {
        let place = extends.key_place;
        if let Value::Scalar(_) = &extends.value.value {
            let service = values::text(&mut self.reader.problems, &extends.value)?.to_owned();
            return Some(Origin { service, file: None, place: extends.value.place });
        }
        let section = Section::new(&mut self.reader.problems, &extends.value, EXTENDS);
        let service = section.text(&mut self.reader.problems, "service");
        let file = section.node("file").map(|file| self.reader.path(file));
        let Some(service) = service else {
            self.reader
                .problems
                .error(place, "`extends` without a service")
                .hint("add `service: NAME`");
            return None;
        };
        match file {
            Some(None) => None,
            Some(Some(file)) => Some(Origin { service, file: Some(file), place }),
            None => Some(Origin { service, file: None, place }),
        }
    }

    fn base(
        &mut self,
        library: &Rc<Library>,
        earlier: Option<&Node>,
        origin: &Origin,
    ) -> Option<Node> {
        let other = match &origin.file {
            Some(path) => self.library(path, origin.place)?,
            None => Rc::clone(library),
        };
        let key = (other.path.clone(), origin.service.clone());
        if let Some(start) = self.chain.iter().position(|link| *link == key) {
            let names = self.chain.iter().skip(start).map(|(_, name)| name.as_str());
            let names: Vec<&str> = names.chain([origin.service.as_str()]).collect();
            let message = format!("services extend each other: {}", names.join(" → "));
            self.reader.problems.error(origin.place, message).hint("take one `extends` out");
            return None;
        }
        if self.chain.len() > CHAIN_LIMIT {
            let message = format!("more than {CHAIN_LIMIT} services extend one another");
            self.reader.problems.error(origin.place, message).hint("extend the last one directly");
            return None;
        }
        self.found(&other, earlier, origin)
    }

    fn found(
        &mut self,
        library: &Rc<Library>,
        earlier: Option<&Node>,
        origin: &Origin,
    ) -> Option<Node> {
        let name = &origin.service;
        let earlier_base = || if library.is_raw { None } else { earlier?.get(name) };
        let Some(base) = library.services.get(name).or_else(earlier_base) else {
            let message = format!("there is no service `{name}` to extend");
            let hint = match &origin.file {
                Some(path) => format!("look into {}", self.reader.short(path).display()),
                None => "name a service of this file, or give its file with `file`".to_owned(),
            };
            self.reader.problems.error(origin.place, message).hint(hint);
            return None;
        };
        let Some(left) = self.nodes_left.checked_sub(size(base)) else {
            let message = format!("more than {NODES_LIMIT} values are taken over by `extends`");
            self.reader
                .problems
                .error(origin.place, message)
                .hint("divide the project into several");
            return None;
        };
        self.nodes_left = left;
        let mut base = base.clone();
        if library.is_raw {
            prune(&mut self.reader.problems, &mut base, (SERVICE, &format!("service `{name}`")));
            self.reader.fill(&mut base);
        }
        Some(self.extended(library, earlier, (name, base)))
    }

    fn library(&mut self, path: &Path, place: Place) -> Option<Rc<Library>> {
        if let Some(library) = self.read.get(path) {
            return library.clone();
        }
        let library = self.open(path, place).map(Rc::new);
        self.read.insert(path.to_owned(), library.clone());
        library
    }

    fn open(&mut self, path: &Path, place: Place) -> Option<Library> {
        let name = self.reader.short(path);
        let base = path.parent().unwrap_or(path).to_owned();
        let (source, text) = self.reader.text(&name, &base, (Some(place), Missing::Refused))?;
        let file = yaml::parse(&mut self.reader.problems, source, &text);
        let services = file.as_ref().and_then(|file| file.get("services")).cloned();
        let services = services.unwrap_or_else(|| Node::mapping(place, Vec::new()));
        Some(Library { path: path.to_owned(), services, is_raw: true })
    }
}

fn take_extends(node: &mut Node) -> Option<Entry> {
    let Value::Mapping(entries) = &mut node.value else { return None };
    let at = entries.iter().position(|entry| entry.key == "extends")?;
    Some(entries.remove(at)).filter(|entry| !entry.value.is_null())
}

fn size(node: &Node) -> usize {
    match &node.value {
        Value::Scalar(_) => 1,
        Value::Sequence(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Mapping(entries) => {
            1 + entries.iter().map(|entry| size(&entry.value)).sum::<usize>()
        }
    }
}
