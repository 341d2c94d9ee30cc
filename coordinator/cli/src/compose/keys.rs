//! The table of all keys: what is honoured, what is refused and what to do instead. The reader takes no key that is not
//! in it, and the support table of the documents is printed from it.

mod deploy;
mod network;
mod service;
mod storage;
mod wharf;

use deploy::DEPLOY;
pub(super) use deploy::{DEVICE, PREFERENCE};
pub(super) use network::{ATTACHMENT, NETWORK, PORT};
pub(super) use service::{BUILD, DEPENDENCY, ENV_FILE, EXTENDS, SERVICE, ULIMIT};
pub(super) use storage::{CONFIG, CONFIG_USE, MOUNT, MOUNT_TMPFS, SECRET, SECRET_USE, VOLUME};
use wharf::WHARF;
pub(super) use wharf::WISH;
pub(super) use wharf::{SCHEDULE, TARGET_GROUP};

/// Whether a key is honoured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Support {
    /// As the Compose Specification says.
    Yes,
    /// With the restrictions of the note.
    Partly,
    /// Taken without an effect and with a warning. The note says why.
    Ignored,
    /// Refused, unless it asks for nothing: null, false, `[]` or `{}`.
    No,
}

/// One key that the Compose Specification, or Wharf, defines.
#[derive(Debug)]
pub(super) struct Key {
    pub name: &'static str,
    pub support: Support,
    /// Of a refused key: what to do instead. Of any other: what has to be known.
    pub note: &'static str,
    pub inside: Inside,
}

/// What is inside of a key's value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Inside {
    /// Nothing that has keys of its own, or any keys at all.
    Value,
    /// A mapping of these keys, or a list with such mappings.
    Keys(&'static [Key]),
    /// A mapping of any names to mappings of these keys.
    Named(&'static [Key]),
}

impl Key {
    const fn new(name: &'static str, support: Support, note: &'static str) -> Self {
        Self { name, support, note, inside: Inside::Value }
    }

    const fn keys(self, keys: &'static [Self]) -> Self {
        Self { inside: Inside::Keys(keys), ..self }
    }

    const fn named(self, keys: &'static [Self]) -> Self {
        Self { inside: Inside::Named(keys), ..self }
    }
}

const fn yes(name: &'static str) -> Key {
    Key::new(name, Support::Yes, "")
}

const fn partly(name: &'static str, note: &'static str) -> Key {
    Key::new(name, Support::Partly, note)
}

const fn ignored(name: &'static str, note: &'static str) -> Key {
    Key::new(name, Support::Ignored, note)
}

const fn no(name: &'static str, instead: &'static str) -> Key {
    Key::new(name, Support::No, instead)
}

/// Finds a key by its name.
pub(super) fn find(keys: &'static [Key], name: &str) -> Option<&'static Key> {
    keys.iter().find(|key| key.name == name)
}

/// The keys at the top of a file.
pub(super) static FILE: &[Key] = &[
    ignored("version", "it is obsolete in Compose itself"),
    yes("name"),
    yes("services").named(SERVICE),
    partly("networks", "networks of the project, made by Wharf").named(NETWORK),
    partly("volumes", "a volume lives on the node where the task runs").named(VOLUME),
    partly("configs", "at most 500 kB each; the content is part of what is deployed").named(CONFIG),
    partly("secrets", "names of secrets that the cluster has: see secrets.md").named(SECRET),
    no("include", "give the other files with -f, or take single services over with `extends`"),
    no("models", "run the model as a service of its own"),
];
