//! The schema as data: messages that are gone through field by field.

use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, Value};

static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(proto::DESCRIPTORS).unwrap());

/// The message of that name.
pub(crate) fn message(name: &str) -> MessageDescriptor {
    POOL.get_message_by_name(&format!("wharf.v1.{name}")).unwrap()
}

/// Bytes of a message of that name.
pub(crate) fn read(name: &str, bytes: &[u8]) -> DynamicMessage {
    DynamicMessage::decode(message(name), bytes).unwrap()
}

/// Every message right inside of a value.
pub(crate) fn inner(value: &Value) -> Vec<&DynamicMessage> {
    match value {
        Value::Message(message) => vec![message],
        Value::List(values) => values.iter().filter_map(Value::as_message).collect(),
        Value::Map(entries) => entries.values().filter_map(Value::as_message).collect(),
        _ => Vec::new(),
    }
}
