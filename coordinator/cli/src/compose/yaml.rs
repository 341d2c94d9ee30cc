//! Reads YAML into a tree, with anchors, aliases and merge keys put in, and with limits that no file passes.

use std::borrow::Cow;
use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput};

use super::node::{Entry, Kind, Node, Scalar, Tag, Value};
use super::place::{Place, SourceId};
use super::problems::Problems;

/// The deepest nesting: what Compose defines goes to about ten, and what walks the tree does so by recursion.
const DEPTH_LIMIT: usize = 64;

/// The most values after all aliases are put in: a file of a few lines can otherwise ask for billions.
const NODES_LIMIT: usize = 100_000;

/// The most text after all aliases are put in, in bytes: eight times the longest file.
const TEXT_LIMIT: usize = 8 << 20;

/// Reads the one document of a text; `None` when it is empty or can not be read, which is then among the problems.
pub(super) fn parse(problems: &mut Problems, source: SourceId, text: &str) -> Option<Node> {
    let mut builder = Builder {
        problems,
        source,
        stack: Vec::new(),
        anchors: BTreeMap::new(),
        used: Used::default(),
        root: None,
    };
    match builder.run(Parser::new_from_str(text)) {
        Ok(()) => builder.root,
        Err(Refusal { place, message, hint }) => {
            let problem = problems.error(place, message);
            if let Some(hint) = hint {
                problem.hint(hint);
            }
            None
        }
    }
}

/// Why the rest of a file can not be read.
struct Refusal {
    place: Place,
    message: String,
    hint: Option<&'static str>,
}

impl Refusal {
    fn new(place: Place, message: impl Into<String>, hint: &'static str) -> Self {
        Self { place, message: message.into(), hint: Some(hint) }
    }
}

/// What has been used up of the limits.
#[derive(Clone, Copy, Default)]
struct Used {
    nodes: usize,
    text: usize,
}

/// A collection that is not closed yet.
struct Frame {
    place: Place,
    anchor: usize,
    tag: Option<Tag>,
    before: Used,
    content: Content,
}

enum Content {
    Sequence(Vec<Node>),
    Mapping(Pairs),
}

/// What a mapping has so far.
#[derive(Default)]
struct Pairs {
    entries: Vec<Entry>,
    /// The values of `<<`.
    merges: Vec<Node>,
    /// The key whose value comes next.
    key: Option<Key>,
}

struct Key {
    text: String,
    place: Place,
    is_merge: bool,
}

struct Builder<'a> {
    problems: &'a mut Problems,
    source: SourceId,
    stack: Vec<Frame>,
    anchors: BTreeMap<usize, (Node, Used)>,
    used: Used,
    root: Option<Node>,
}

type YamlTag<'a> = Option<Cow<'a, saphyr_parser::Tag>>;

impl Builder<'_> {
    fn run(&mut self, mut parser: Parser<'_, StrInput<'_>>) -> Result<(), Refusal> {
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(|error| {
                let at = *error.marker();
                let place = self.place(Span::empty(at));
                Refusal { place, message: format!("not YAML: {}", error.info()), hint: None }
            })?;
            self.take(event, self.place(span))?;
        }
        Ok(())
    }

    fn place(&self, span: Span) -> Place {
        Place {
            source: self.source,
            line: span.start.line(),
            column: span.start.col() + 1,
            end_line: span.end.line(),
            end_column: span.end.col() + 1,
        }
    }

    fn take(&mut self, event: Event<'_>, place: Place) -> Result<(), Refusal> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.scalar(place, (text.into_owned(), style), anchor, tag)
            }
            Event::Alias(anchor) => self.alias(place, anchor),
            Event::SequenceStart(anchor, tag) => {
                self.open(place, anchor, tag, Content::Sequence(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                self.open(place, anchor, tag, Content::Mapping(Pairs::default()))
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::DocumentStart(_) if self.root.is_some() => {
                let hint = "put the second document into a file of its own and give both with -f";
                Err(Refusal::new(place, "a Compose file is one YAML document", hint))
            }
            Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::StreamStart
            | Event::StreamEnd
            | Event::Nothing => Ok(()),
        }
    }

    fn scalar(
        &mut self,
        place: Place,
        (text, style): (String, ScalarStyle),
        anchor: usize,
        tag: YamlTag<'_>,
    ) -> Result<(), Refusal> {
        let before = self.used;
        self.use_up(place, Used { nodes: 1, text: text.len() })?;
        if text.contains('\0') {
            return Err(Refusal::new(place, "a text with a NUL character", "take it out"));
        }
        let is_plain = style == ScalarStyle::Plain;
        let kind = if is_plain { Kind::of_plain(&text) } else { Kind::Text };
        let tag = self.tag(place, tag);
        let node = Node { place, value: Value::Scalar(Scalar { text, kind, is_plain }), tag };
        self.put(node, anchor, before)
    }

    fn alias(&mut self, place: Place, anchor: usize) -> Result<(), Refusal> {
        let Some((node, used)) = self.anchors.get(&anchor).cloned() else {
            let hint = "write out what it should stand for";
            return Err(Refusal::new(place, "an alias can not be inside of its own anchor", hint));
        };
        if self.stack.len() + depth(&node) > DEPTH_LIMIT {
            return Err(too_deep(place));
        }
        let before = self.used;
        self.use_up(place, used)?;
        self.put(node, 0, before)
    }

    fn open(
        &mut self,
        place: Place,
        anchor: usize,
        tag: YamlTag<'_>,
        content: Content,
    ) -> Result<(), Refusal> {
        if self.stack.len() >= DEPTH_LIMIT {
            return Err(too_deep(place));
        }
        let before = self.used;
        self.use_up(place, Used { nodes: 1, text: 0 })?;
        let tag = self.tag(place, tag);
        self.stack.push(Frame { place, anchor, tag, before, content });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Refusal> {
        let Some(frame) = self.stack.pop() else { return Ok(()) };
        let value = match frame.content {
            Content::Sequence(items) => Value::Sequence(items),
            Content::Mapping(pairs) => Value::Mapping(merged(self.problems, pairs)),
        };
        let node = Node { place: frame.place, value, tag: frame.tag };
        self.put(node, frame.anchor, frame.before)
    }

    /// Puts a complete value where it belongs.
    fn put(&mut self, node: Node, anchor: usize, before: Used) -> Result<(), Refusal> {
        if anchor > 0 {
            let Used { nodes, text } = self.used;
            let used = Used { nodes: nodes - before.nodes, text: text - before.text };
            self.anchors.insert(anchor, (node.clone(), used));
        }
        match self.stack.last_mut().map(|frame| &mut frame.content) {
            None => self.root = Some(node),
            Some(Content::Sequence(items)) => items.push(node),
            Some(Content::Mapping(pairs)) => match pairs.key.take() {
                None => pairs.key = Some(as_key(node)?),
                Some(key) => pairs.add(key, node),
            },
        }
        Ok(())
    }

    fn use_up(&mut self, place: Place, more: Used) -> Result<(), Refusal> {
        self.used.nodes += more.nodes;
        self.used.text += more.text;
        let hint = "write less with aliases, or divide the project into several";
        if self.used.nodes > NODES_LIMIT {
            let message = format!("more than {NODES_LIMIT} values, those of aliases included");
            return Err(Refusal::new(place, message, hint));
        }
        if self.used.text > TEXT_LIMIT {
            let message = format!("more than {TEXT_LIMIT} bytes of text, that of aliases included");
            return Err(Refusal::new(place, message, hint));
        }
        Ok(())
    }

    fn tag(&mut self, place: Place, tag: YamlTag<'_>) -> Option<Tag> {
        let tag = tag?;
        match (tag.handle.as_str(), tag.suffix.as_str()) {
            ("!", "reset") => Some(Tag::Reset),
            ("!", "override") => Some(Tag::Override),
            _ => {
                let hint = "leave it out: Compose knows only `!reset` and `!override`";
                self.problems.error(place, format!("unknown tag `{tag}`")).hint(hint);
                None
            }
        }
    }
}

impl Pairs {
    fn add(&mut self, key: Key, value: Node) {
        if key.is_merge {
            return self.merges.push(value);
        }
        // An empty value stands nowhere: what is wrong with it is shown at its key.
        let place = if value.is_null() { key.place } else { value.place };
        let value = Node { place, ..value };
        self.entries.push(Entry { key: key.text, key_place: key.place, value });
    }
}

fn too_deep(place: Place) -> Refusal {
    let message = format!("nested more than {DEPTH_LIMIT} levels deep");
    Refusal::new(place, message, "nothing in a Compose file is that deep")
}

fn depth(node: &Node) -> usize {
    match &node.value {
        Value::Scalar(_) => 0,
        Value::Sequence(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Mapping(entries) => {
            1 + entries.iter().map(|entry| depth(&entry.value)).max().unwrap_or(0)
        }
    }
}

fn as_key(node: Node) -> Result<Key, Refusal> {
    match node.value {
        Value::Scalar(Scalar { text, is_plain, .. }) => {
            let is_merge = is_plain && text == "<<";
            Ok(Key { text, place: node.place, is_merge })
        }
        Value::Sequence(_) | Value::Mapping(_) => {
            let hint = "a key is a single word";
            Err(Refusal::new(node.place, format!("{} can not be a key", node.describe()), hint))
        }
    }
}

/// Puts the mappings of `<<` under the keys that are written out. An earlier mapping goes before a later one.
fn merged(problems: &mut Problems, pairs: Pairs) -> Vec<Entry> {
    let mut places: BTreeMap<String, Place> = BTreeMap::new();
    let mut entries = Vec::with_capacity(pairs.entries.len());
    for entry in pairs.entries {
        match places.get(&entry.key) {
            Some(first) => {
                let message = format!("key `{}` is given twice", entry.key);
                let problem = problems.error(entry.key_place, message);
                problem.other("here is the first", *first).hint("keep one of them");
            }
            None => {
                places.insert(entry.key.clone(), entry.key_place);
                entries.push(entry);
            }
        }
    }
    for entry in pairs.merges.into_iter().flat_map(|node| sources_of(problems, node)) {
        if !places.contains_key(&entry.key) {
            places.insert(entry.key.clone(), entry.key_place);
            entries.push(entry);
        }
    }
    entries
}

fn sources_of(problems: &mut Problems, node: Node) -> Vec<Entry> {
    match node.value {
        Value::Mapping(entries) => entries,
        Value::Sequence(items)
            if items.iter().all(|item| matches!(item.value, Value::Mapping(_))) =>
        {
            items.into_iter().flat_map(|item| sources_of(problems, item)).collect()
        }
        Value::Scalar(_) | Value::Sequence(_) => {
            let message =
                format!("`<<` takes a mapping or a list of mappings, found {}", node.describe());
            problems.error(node.place, message).hint("write `<<: *anchor`");
            Vec::new()
        }
    }
}
