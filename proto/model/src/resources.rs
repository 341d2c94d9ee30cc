//! What a node has and what a task holds.

use std::iter::Sum;
use std::ops::Add;

/// An amount of what a node can give away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Resources {
    /// Thousandths of a processor core.
    pub cpu_millis: u64,
    /// Bytes of main memory.
    pub memory_bytes: u64,
    /// GPUs, whole ones. An engine is given devices and not shares of them: two tasks on one device have no wall between
    /// them, neither in its memory nor in its time, so that a share would be a promise that nobody keeps.
    pub gpus: u64,
}

/// The most GPUs of a node or a task: ten times as many as the largest machine has.
pub const GPUS_LIMIT: u64 = 160;

impl Resources {
    /// How many times `each` fits into this, if there is an end to it.
    #[must_use]
    pub fn holds(&self, each: &Self) -> Option<u64> {
        let cpus = self.cpu_millis.checked_div(each.cpu_millis);
        let memory = self.memory_bytes.checked_div(each.memory_bytes);
        let gpus = self.gpus.checked_div(each.gpus);
        cpus.into_iter().chain(memory).chain(gpus).min()
    }

    /// Says whether this amount can be taken out of `free`.
    #[must_use]
    pub const fn fits(&self, free: &Self) -> bool {
        self.cpu_millis <= free.cpu_millis
            && self.memory_bytes <= free.memory_bytes
            && self.gpus <= free.gpus
    }

    /// Takes `held` away, each part down to nothing at the least.
    #[must_use]
    pub const fn minus(&self, held: &Self) -> Self {
        Self {
            cpu_millis: self.cpu_millis.saturating_sub(held.cpu_millis),
            memory_bytes: self.memory_bytes.saturating_sub(held.memory_bytes),
            gpus: self.gpus.saturating_sub(held.gpus),
        }
    }
}

impl Add for Resources {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            cpu_millis: self.cpu_millis.saturating_add(other.cpu_millis),
            memory_bytes: self.memory_bytes.saturating_add(other.memory_bytes),
            gpus: self.gpus.saturating_add(other.gpus),
        }
    }
}

impl Sum for Resources {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_that_overflows_fits_nowhere_rather_than_everywhere() {
        let all = Resources { cpu_millis: u64::MAX, memory_bytes: 1, gpus: u64::MAX };
        let sum: Resources = [all, all].into_iter().sum();
        assert!(!sum.fits(&Resources { cpu_millis: 1_000, memory_bytes: 1 << 40, gpus: 8 }));
    }

    #[test]
    fn each_part_has_to_fit() {
        let free = Resources { cpu_millis: 2, memory_bytes: 2, gpus: 2 };
        assert!(free.fits(&free));
        for more in [
            Resources { cpu_millis: 3, ..free },
            Resources { memory_bytes: 3, ..free },
            Resources { gpus: 3, ..free },
        ] {
            assert!(!more.fits(&free) && more.minus(&free) != Resources::default());
        }
    }
}
