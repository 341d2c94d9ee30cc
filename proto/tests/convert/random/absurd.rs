//! Messages that nobody would send: built field by field from the schema, or sound but for one part.

use prost_reflect::{
    Cardinality, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage,
    Value,
};
use proto::convert::Invalid;

/// Where chance comes from. When it is used up every choice is the first one, which is the simplest: so a failure
/// shrinks to a short list.
pub(crate) struct Choices<'a>(std::slice::Iter<'a, u16>);

impl<'a> Choices<'a> {
    pub(crate) fn new(choices: &'a [u16]) -> Self {
        Self(choices.iter())
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::from(*self.0.next().unwrap_or(&0)) % limit
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

const NUMBERS: [u64; 12] = [
    0,
    1,
    2,
    80,
    1_001,
    65_535,
    65_536,
    1_000_000_000,
    u32::MAX as u64,
    366 * 24 * 3_600_000 + 1,
    i64::MAX as u64,
    u64::MAX,
];

/// Texts of which some are sound in some places.
const TEXTS: [&str; 22] = [
    "",
    "web",
    "shop",
    "n1",
    "shop.web.1.1",
    "/srv",
    "/",
    "/../etc",
    "node.labels.disk",
    "node.labels.",
    "nginx:1.29",
    "sha256:abababababababababababababababababababababababababababababababab",
    "127.0.0.1",
    "CMD",
    "wharf.task",
    "A=B",
    "a\0b",
    "a\nb",
    "\u{1b}[31m",
    "\u{202e}gnp",
    "\u{feff}",
    "é🚢",
];

/// A message of any shape.
pub(crate) fn message(kind: &MessageDescriptor, choices: &mut Choices<'_>) -> DynamicMessage {
    let mut message = DynamicMessage::new(kind.clone());
    for field in kind.fields() {
        if choices.below(4) > 0 {
            let value = value(&field, choices);
            message.set_field(&field, value);
        }
    }
    message
}

fn value(field: &FieldDescriptor, choices: &mut Choices<'_>) -> Value {
    if let (true, Kind::Message(entry)) = (field.is_map(), field.kind()) {
        let count = choices.one_of(&[0, 1, 2, 2_000]);
        let one = single(&entry.map_entry_value_field().kind(), choices);
        let entries = (0..count).map(|number| {
            let key = if number > 1 { number.to_string() } else { text(choices) };
            (MapKey::String(key), one.clone())
        });
        return Value::Map(entries.collect());
    }
    if field.cardinality() == Cardinality::Repeated {
        let count = choices.one_of(&[0, 1, 1, 2, 2, 3, 1_001]);
        if count > 3 {
            return Value::List(vec![single(&field.kind(), &mut Choices::new(&[])); count]);
        }
        return Value::List((0..count).map(|_| single(&field.kind(), choices)).collect());
    }
    single(&field.kind(), choices)
}

fn single(kind: &Kind, choices: &mut Choices<'_>) -> Value {
    match kind {
        Kind::Message(kind) => Value::Message(message(kind, choices)),
        Kind::Enum(_) => Value::EnumNumber(choices.one_of(&[1, 2, 3, 0, -1, 100, i32::MAX])),
        Kind::Bool => Value::Bool(choices.below(2) == 1),
        Kind::Uint32 => Value::U32(u32::try_from(choices.one_of(&NUMBERS)).unwrap_or(u32::MAX)),
        Kind::Uint64 => Value::U64(choices.one_of(&NUMBERS)),
        Kind::Sint64 | Kind::Int64 => Value::I64(choices.one_of(&[0, 1, -1, i64::MIN, i64::MAX])),
        Kind::String => Value::String(text(choices)),
        Kind::Bytes => Value::Bytes(vec![7; choices.one_of(&[0, 1, 500_001])].into()),
        other => panic!("no message has a {other:?}"),
    }
}

fn text(choices: &mut Choices<'_>) -> String {
    match choices.below(TEXTS.len() + 2) {
        0 => "a".repeat(64),
        1 => "/é".repeat(70_000),
        index => TEXTS[index - 2].to_owned(),
    }
}

/// Changes one part of a message, and gives the names of the fields that lead there.
pub(crate) fn spoil(message: &mut DynamicMessage, choices: &mut Choices<'_>) -> Vec<String> {
    let fields: Vec<FieldDescriptor> = message.descriptor().fields().collect();
    if fields.is_empty() {
        return Vec::new();
    }
    let set: Vec<_> = fields.iter().filter(|field| message.has_field(field)).cloned().collect();
    // What is there is gone into more often than not.
    let field = match choices.below(6) {
        0 => fields[choices.below(fields.len())].clone(),
        _ if set.is_empty() => fields[choices.below(fields.len())].clone(),
        _ => set[choices.below(set.len())].clone(),
    };
    let mut track = vec![field.name().to_owned()];
    let oneof = field.containing_oneof().filter(|oneof| !oneof.is_synthetic());
    track.extend(oneof.map(|oneof| oneof.name().to_owned()));
    if message.has_field(&field) && choices.below(8) > 0 {
        let index = choices.below(4);
        if let Some(inner) = inside(message.get_field_mut(&field), index) {
            track.extend(spoil(inner, choices));
            return track;
        }
    }
    match choices.below(4) {
        0 => message.clear_field(&field),
        1 => repeat(message.get_field_mut(&field), choices),
        _ => {
            let value = value(&field, choices);
            message.set_field(&field, value);
        }
    }
    track
}

fn inside(value: &mut Value, index: usize) -> Option<&mut DynamicMessage> {
    match value {
        Value::Message(message) => Some(message),
        Value::List(values) => {
            let count = values.len().max(1);
            values.get_mut(index % count).and_then(Value::as_message_mut)
        }
        _ => None,
    }
}

/// Says a list again, once or many times.
fn repeat(value: &mut Value, choices: &mut Choices<'_>) {
    if let Value::List(values) = value
        && let Some(last) = values.last().cloned()
    {
        let count = values.len() + choices.one_of(&[1, 2_000]);
        values.resize(count, last);
    }
}

/// Says whether a refusal names what was spoiled, something inside of it, or what it is part of.
pub(crate) fn leads_to(invalid: &Invalid, track: &[String]) -> bool {
    let path: Vec<&str> = invalid.path.split(['.', '/', '[', ']']).collect();
    let words = invalid.why.split(|c: char| !c.is_alphanumeric() && c != '_');
    let is_about = |name: &str, track: &[String]| {
        name.len() > 1
            && track.iter().any(|field| field.starts_with(name) || name.starts_with(field.as_str()))
    };
    let (end, whole) = (path.len().saturating_sub(2), track.len().saturating_sub(2));
    path[end..].iter().any(|name| is_about(name, track))
        || path.iter().any(|name| is_about(name, &track[whole..]))
        || words.filter(|word| word.len() > 3).any(|word| is_about(word, track))
}
