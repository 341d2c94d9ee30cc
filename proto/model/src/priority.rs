//! Which service comes first where there is not room for all.

use std::fmt;

/// How much a service matters beside others. One that finds no room takes it from services of a lower class, as far as those
/// can spare tasks; never from its own class, so it can not go in circles. Four classes with names, because numbers invite a
/// race: Kubernetes and Nomad have seen it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Priority {
    /// What can wait: gives way to all others.
    Low,
    /// What nothing was said about.
    #[default]
    Normal,
    /// What users notice.
    High,
    /// What the others can not do without.
    Critical,
}

impl Priority {
    /// All of them, the lowest first.
    pub const ALL: [Self; 4] = [Self::Low, Self::Normal, Self::High, Self::Critical];

    /// Its word in a file.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}
