//! Names that identify things. Natural and deterministic: nothing here is drawn at random.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

use crate::secret::reference::Reference;

/// Why a text is not a valid name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameError {
    /// The text has no characters.
    #[error("a {kind} can not be empty")]
    Empty {
        /// What the text should have named.
        kind: &'static str,
    },
    /// The text is longer than allowed.
    #[error("a {kind} has at most {limit} characters, this one has {length}")]
    TooLong {
        /// What the text should have named.
        kind: &'static str,
        /// The greatest length allowed, in bytes.
        limit: usize,
        /// The length found, in bytes.
        length: usize,
    },
    /// A character that the name may not have at that place.
    #[error("a {kind} can not have {character:?} at position {position} (allowed: {allowed})")]
    Character {
        /// What the text should have named.
        kind: &'static str,
        /// The offending character.
        character: char,
        /// Its place in the text, counted from 1.
        position: usize,
        /// What would be allowed, in words.
        allowed: &'static str,
    },
    /// A service id without the slash between project and service.
    #[error("a service id has the form PROJECT/SERVICE")]
    NoSlash,
}

/// What a kind of name may look like.
struct Rule {
    kind: &'static str,
    limit: usize,
    allowed: &'static str,
    first: fn(char) -> bool,
    rest: fn(char) -> bool,
}

fn is_lower(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

fn is_label(c: char) -> bool {
    is_lower(c) || matches!(c, '-' | '_')
}

fn is_node(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

impl Rule {
    fn check(&self, text: &str) -> Result<(), NameError> {
        let kind = self.kind;
        let length = text.len();
        if length == 0 {
            return Err(NameError::Empty { kind });
        }
        if length > self.limit {
            return Err(NameError::TooLong { kind, limit: self.limit, length });
        }
        for (index, character) in text.chars().enumerate() {
            let is_fine = if index == 0 { self.first } else { self.rest };
            if !is_fine(character) {
                let position = index + 1;
                return Err(NameError::Character {
                    kind,
                    character,
                    position,
                    allowed: self.allowed,
                });
            }
        }
        Ok(())
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $rule:expr) => {
        $(#[$doc])*
        #[derive(Clone, Eq)]
        pub struct $type(Arc<str>);

        // Mostly one name is a copy of the other, and then nothing has to be read.
        impl PartialEq for $type {
            fn eq(&self, other: &Self) -> bool {
                Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
            }
        }

        impl Hash for $type {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.0.hash(state);
            }
        }

        impl Ord for $type {
            fn cmp(&self, other: &Self) -> Ordering {
                if Arc::ptr_eq(&self.0, &other.0) { Ordering::Equal } else { self.0.cmp(&other.0) }
            }
        }

        impl PartialOrd for $type {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl $type {
            /// Gives the name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                $rule.check(text)?;
                Ok(Self(text.into()))
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

// 63 is the greatest length of a DNS label (RFC 1035, 2.3.4): project and service names become network aliases.
name!(
    /// A Compose project: lower-case letters, digits, `-` and `_`, at most 63 characters.
    ProjectName,
    Rule {
        kind: "project name",
        limit: 63,
        allowed: "a-z, 0-9, and after the first character - and _",
        first: is_lower,
        rest: is_label,
    }
);
name!(
    /// A service within its project: lower-case letters, digits, `-` and `_`, at most 63 characters.
    ServiceName,
    Rule {
        kind: "service name",
        limit: 63,
        allowed: "a-z, 0-9, and after the first character - and _",
        first: is_lower,
        rest: is_label,
    }
);
name!(
    /// A container within its task: the name of the Compose service that it came from.
    ContainerName,
    Rule {
        kind: "container name",
        limit: 63,
        allowed: "a-z, 0-9, and after the first character - and _",
        first: is_lower,
        rest: is_label,
    }
);
name!(
    /// A machine with our agent: on EC2 the instance id. At most 128 characters.
    NodeId,
    Rule {
        kind: "node id",
        limit: 128,
        allowed: "letters, digits, and after the first character - _ .",
        first: |c| c.is_ascii_alphanumeric(),
        rest: is_node,
    }
);
name!(
    /// A cluster: stamped on every container, so that two clusters never touch each other's.
    ClusterId,
    Rule {
        kind: "cluster id",
        limit: 63,
        allowed: "a-z, 0-9, and after the first character - and _",
        first: is_lower,
        rest: is_label,
    }
);
name!(
    /// Somebody who gives orders: letters, digits, and after the first character `-`, `_`, `.`, `@`. At most 64 characters.
    OperatorName,
    Rule {
        kind: "operator's name",
        limit: 64,
        allowed: "letters, digits, and after the first character - _ . @",
        first: |c| c.is_ascii_alphanumeric(),
        rest: |c| is_node(c) || c == '@',
    }
);
name!(
    /// What tells certificates of one authority apart: lower-case hexadecimal digits, at most 40 (RFC 5280, 4.1.2.2).
    Serial,
    Rule {
        kind: "serial number",
        limit: 40,
        allowed: "0-9 and a-f",
        first: |c| c.is_ascii_digit() || matches!(c, 'a'..='f'),
        rest: |c| c.is_ascii_digit() || matches!(c, 'a'..='f'),
    }
);
name!(
    /// What a join token is called by where it can not be shown: the beginning of its digest.
    TokenId,
    Rule {
        kind: "token's name",
        limit: 16,
        allowed: "0-9 and a-f",
        first: |c| c.is_ascii_digit() || matches!(c, 'a'..='f'),
        rest: |c| c.is_ascii_digit() || matches!(c, 'a'..='f'),
    }
);
name!(
    /// A secret of the cluster: letters, digits, and after the first character `-`, `_`, `.`, at most 128 characters. Or, of a value that AWS
    /// keeps, the [`Reference`] itself, in its one form.
    SecretName,
    SecretRule
);

impl SecretName {
    /// Where its value is, when AWS keeps it.
    #[must_use]
    pub fn reference(&self) -> Option<Reference> {
        // No name of our own has a colon.
        self.0.contains(':').then(|| self.0.parse().ok()).flatten()
    }
}

impl From<&Reference> for SecretName {
    fn from(reference: &Reference) -> Self {
        Self(reference.to_string().into())
    }
}

/// A name, or a reference in its one form.
struct SecretRule;

impl SecretRule {
    fn check(&self, text: &str) -> Result<(), NameError> {
        const NAME: Rule = Rule {
            kind: "secret's name",
            limit: 128,
            allowed: "letters, digits, and after the first character - _ .",
            first: |c| c.is_ascii_alphanumeric(),
            rest: is_node,
        };
        let reference = text.contains(':').then(|| text.parse::<Reference>().ok()).flatten();
        match reference.filter(|reference| reference.to_string() == text) {
            Some(_) => Ok(()),
            None => NAME.check(text),
        }
    }
}
name!(
    /// What machine images of one kind are made by: lower-case letters, digits, `-` and `_`, at most 30 characters, because it
    /// becomes a part of the names of bakes and images.
    RecipeName,
    Rule {
        kind: "recipe's name",
        limit: 30,
        allowed: "a-z, 0-9, and after the first character - and _",
        first: is_lower,
        rest: is_label,
    }
);
name!(
    /// One making of a machine image: its recipe and when it began. At most 52 characters, so that EC2 takes it as a part of
    /// a client token (64).
    BakeId,
    Rule {
        kind: "bake id",
        limit: 52,
        allowed: "a-z, 0-9, and after the first character - and _",
        first: is_lower,
        rest: is_label,
    }
);
name!(
    /// A machine image: `ami-` and hexadecimal digits at EC2.
    AmiId,
    Rule {
        kind: "machine image's id",
        limit: 40,
        allowed: "letters, digits, and after the first character - _ .",
        first: |c| c.is_ascii_alphanumeric(),
        rest: is_node,
    }
);
name!(
    /// A target group of a load balancer: its name, or its ARN. At most 256 characters.
    TargetGroup,
    Rule {
        kind: "target group",
        limit: 256,
        allowed: "letters, digits, and after the first character - : /",
        first: |c| c.is_ascii_alphanumeric(),
        rest: |c| c.is_ascii_alphanumeric() || matches!(c, '-' | ':' | '/'),
    }
);
/// One run of one generation in a slot, `project.service.slot.number`: unique for ever and readable in `docker ps`.
///
/// In the order in which they were made: by number, and of equal numbers, which no two tasks of a cluster have, by text.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TaskId {
    text: Arc<str>,
    /// What the text ends with; 0 when that is no number.
    number: u64,
}

impl TaskId {
    /// Makes the id of the `number`-th task that the service ever had. Valid because each part is.
    #[must_use]
    pub fn new(service: &ServiceId, slot: &Slot, number: u64) -> Self {
        let mut text = Text { bytes: [0; TASK_ID_LIMIT], length: 0 };
        text.push(service.project.as_str().as_bytes());
        text.push(b".");
        text.push(service.name.as_str().as_bytes());
        text.push(b".");
        match slot {
            Slot::Replica(number) => text.push_decimal(u64::from(*number)),
            Slot::Node(_) | Slot::RunReplica { .. } | Slot::RunNode { .. } => {
                text.push(slot.to_string().as_bytes());
            }
        }
        text.push(b".");
        text.push_decimal(number);
        Self { text: text.as_str().into(), number }
    }

    /// Gives the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The number at its end, which decides about the order of ids first; 0 when there is none.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }
}

/// Two names, a slot with a node in it, two numbers and what is between them.
const TASK_ID_LIMIT: usize = 300;

/// The text of a task id in the making. Ids are made by the million, and a formatter takes five times as long.
struct Text {
    bytes: [u8; TASK_ID_LIMIT],
    length: usize,
}

impl Text {
    fn push(&mut self, part: &[u8]) {
        let end = self.length + part.len();
        self.bytes[self.length..end].copy_from_slice(part);
        self.length = end;
    }

    fn push_decimal(&mut self, number: u64) {
        let (mut digits, mut rest) = ([b'0'; 20], number);
        let mut first = digits.len();
        for (at, digit) in digits.iter_mut().enumerate().rev() {
            *digit += (rest % 10) as u8;
            (first, rest) = (at, rest / 10);
            if rest == 0 {
                break;
            }
        }
        self.push(&digits[first..]);
    }

    fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes[..self.length]).expect("whole texts were put together")
    }
}

impl FromStr for TaskId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        const RULE: Rule = Rule {
            kind: "task id",
            limit: TASK_ID_LIMIT,
            allowed: "letters, digits, and after the first character - _ .",
            first: |c| c.is_ascii_alphanumeric(),
            rest: is_node,
        };
        RULE.check(text)?;
        let last = text.rsplit_once('.').map(|(_, last)| last);
        let number = last.and_then(|last| last.parse().ok()).unwrap_or_default();
        Ok(Self { text: text.into(), number })
    }
}

impl Ord for TaskId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.number.cmp(&other.number).then_with(|| self.text.cmp(&other.text))
    }
}

impl PartialOrd for TaskId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A service in the cluster: its project and its name in it, written `project/service`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceId {
    /// The Compose project.
    pub project: ProjectName,
    /// The name in the project.
    pub name: ServiceName,
}

impl FromStr for ServiceId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (project, name) = text.split_once('/').ok_or(NameError::NoSlash)?;
        Ok(Self { project: project.parse()?, name: name.parse()? })
    }
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.project, self.name)
    }
}

impl fmt::Debug for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The n-th place of a replicated service, or a node's place of a global one; of a job each run has its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// Counted from 1.
    Replica(u32),
    /// One place on each node that the service may use.
    Node(NodeId),
    /// The n-th place of a run, counted from 1.
    RunReplica {
        /// The number of the run.
        run: u64,
        /// Counted from 1.
        number: u32,
    },
    /// One place of a run on each node that it may use.
    RunNode {
        /// The number of the run.
        run: u64,
        /// Which node.
        node: NodeId,
    },
}

impl Slot {
    /// The run that the slot belongs to, if it is one of a job.
    #[must_use]
    pub const fn run(&self) -> Option<u64> {
        match self {
            Self::RunReplica { run, .. } | Self::RunNode { run, .. } => Some(*run),
            Self::Replica(_) | Self::Node(_) => None,
        }
    }

    /// The node that the slot belongs to, if it can be filled there alone.
    #[must_use]
    pub const fn node(&self) -> Option<&NodeId> {
        match self {
            Self::Node(node) | Self::RunNode { node, .. } => Some(node),
            Self::Replica(_) | Self::RunReplica { .. } => None,
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replica(number) => write!(f, "{number}"),
            Self::Node(node) => write!(f, "{node}"),
            Self::RunReplica { run, number } => write!(f, "r{run}-{number}"),
            Self::RunNode { run, node } => write!(f, "r{run}-{node}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_foreign_character_says_which_and_where() {
        let error = "we\0b".parse::<ServiceName>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "a service name can not have '\\0' at position 3 (allowed: a-z, 0-9, and after the first character - and _)"
        );
    }

    #[test]
    fn names_that_would_hide_something_are_refused() {
        for text in ["", "-a", "_a", "A", "a/b", "a.b", "a b", "a\u{202e}b", &"a".repeat(64)] {
            assert!(text.parse::<ProjectName>().is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn a_service_id_reads_back_what_it_prints() {
        let id: ServiceId = "shop/web_1".parse().unwrap();
        assert_eq!(id.to_string().parse::<ServiceId>().unwrap(), id);
        assert_eq!("shop".parse::<ServiceId>(), Err(NameError::NoSlash));
    }

    #[test]
    fn tasks_are_in_the_order_in_which_they_were_made() {
        let id = |text: &str| text.parse::<TaskId>().unwrap();
        assert!(id("shop.web.1.9") < id("shop.web.1.10"));
        assert!(id("shop.web.2.9") < id("shop.api.1.10"));
        assert!(id("shop.api.1.9") < id("shop.web.1.9"), "the same number twice is still an order");
        assert!(id("foreign") < id("shop.web.1.1"));
    }

    #[test]
    fn a_task_id_has_its_numbers_as_they_are_printed() {
        let service: ServiceId = "shop/web".parse().unwrap();
        let numbers = [0, 1, 9, 10, 99, 100, 4_294_967_295, 10_000_000_000, u64::MAX];
        for number in numbers {
            let replica = u32::try_from(number).unwrap_or(u32::MAX);
            let id = TaskId::new(&service, &Slot::Replica(replica), number);
            assert_eq!(id.as_str(), format!("shop.web.{replica}.{number}"));
            assert_eq!(id.as_str().parse::<TaskId>().unwrap(), id);
        }
    }

    #[test]
    fn the_longest_task_id_is_still_a_valid_one() {
        let long = "a".repeat(63);
        let service = ServiceId { project: long.parse().unwrap(), name: long.parse().unwrap() };
        let slot = Slot::Node("i".repeat(128).parse().unwrap());
        let task = TaskId::new(&service, &slot, u64::MAX);
        assert_eq!(task.as_str().parse::<TaskId>().unwrap(), task);
    }
}
