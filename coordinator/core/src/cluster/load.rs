//! How much tasks hold on a node, as far as that decides where the next one goes.

use std::fmt;

use model::resources::Resources;

/// Memory in MiB, and of equal ones thousandths of a core. It is one number, because nothing is compared as often. What is
/// larger than any machine, 4 PiB or four million cores, counts as that.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Load(u64);

impl Load {
    /// So much is held.
    #[must_use]
    pub fn of(held: &Resources) -> Self {
        let part = |amount: u64| amount.min(u64::from(u32::MAX));
        Self(part(held.memory_bytes >> 20) << 32 | part(held.cpu_millis))
    }

    /// The number that decides.
    pub(crate) const fn order(self) -> u64 {
        self.0
    }

    /// Whole MiB of memory.
    #[must_use]
    pub const fn memory_mib(self) -> u64 {
        self.0 >> 32
    }

    /// Thousandths of a core.
    #[must_use]
    pub const fn cpu_millis(self) -> u64 {
        self.0 & u32::MAX as u64
    }
}

impl fmt::Debug for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} MiB and {} millicores", self.memory_mib(), self.cpu_millis())
    }
}
