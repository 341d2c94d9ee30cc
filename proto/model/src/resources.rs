//! What a node has and what a task holds.

use std::fmt;
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
    /// Bytes of the file system on which the engine keeps images, containers and volumes.
    pub disk_bytes: u64,
    /// Processes and threads.
    pub pids: u64,
}

/// The most GPUs of a node or a task: ten times as many as the largest machine has.
pub const GPUS_LIMIT: u64 = 160;
/// The most processes and threads of a node or a task: as many as Linux can number.
pub const PIDS_LIMIT: u64 = 1 << 22;

/// A kind of what a node can give away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Part {
    /// Processor time.
    Cpu,
    /// Main memory.
    Memory,
    /// Room on the disk of the engine.
    Disk,
    /// Processes and threads.
    Processes,
    /// GPUs.
    Gpus,
}

impl Part {
    /// Each of them, in the order in which they are told.
    pub const ALL: [Self; 5] = [Self::Cpu, Self::Memory, Self::Disk, Self::Processes, Self::Gpus];
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "CPU",
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Processes => "processes",
            Self::Gpus => "GPUs",
        })
    }
}

/// The parts of which there is not enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Lack(u8);

impl Lack {
    /// Each part that is lacking.
    pub fn parts(self) -> impl Iterator<Item = Part> {
        Part::ALL.into_iter().filter(move |part| self.0 & (1 << *part as u8) != 0)
    }

    /// Says whether there is enough of everything.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.parts().map(|part| part.to_string()).collect();
        match parts.split_last() {
            None => f.write_str("nothing"),
            Some((last, [])) => f.write_str(last),
            Some((last, rest)) => write!(f, "{} and {last}", rest.join(", ")),
        }
    }
}

impl Resources {
    /// How much of one part.
    #[must_use]
    pub const fn part(&self, part: Part) -> u64 {
        match part {
            Part::Cpu => self.cpu_millis,
            Part::Memory => self.memory_bytes,
            Part::Disk => self.disk_bytes,
            Part::Processes => self.pids,
            Part::Gpus => self.gpus,
        }
    }

    /// How many times `each` fits into this, if there is an end to it.
    #[must_use]
    pub fn holds(&self, each: &Self) -> Option<u64> {
        let times = |part| self.part(part).checked_div(each.part(part));
        Part::ALL.into_iter().filter_map(times).min()
    }

    /// Says whether this amount can be taken out of `free`.
    #[must_use]
    pub const fn fits(&self, free: &Self) -> bool {
        self.cpu_millis <= free.cpu_millis
            && self.memory_bytes <= free.memory_bytes
            && self.gpus <= free.gpus
            && self.disk_bytes <= free.disk_bytes
            && self.pids <= free.pids
    }

    /// Of what `free` has less than this amount.
    #[must_use]
    pub fn lacking(&self, free: &Self) -> Lack {
        let is_short = |part: &Part| self.part(*part) > free.part(*part);
        let short = Part::ALL.into_iter().filter(is_short);
        Lack(short.map(|part| 1 << part as u8).fold(0, |all, one: u8| all | one))
    }

    /// Takes `held` away, each part down to nothing at the least.
    #[must_use]
    pub const fn minus(&self, held: &Self) -> Self {
        Self {
            cpu_millis: self.cpu_millis.saturating_sub(held.cpu_millis),
            memory_bytes: self.memory_bytes.saturating_sub(held.memory_bytes),
            gpus: self.gpus.saturating_sub(held.gpus),
            disk_bytes: self.disk_bytes.saturating_sub(held.disk_bytes),
            pids: self.pids.saturating_sub(held.pids),
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
            disk_bytes: self.disk_bytes.saturating_add(other.disk_bytes),
            pids: self.pids.saturating_add(other.pids),
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

    const TWO: Resources =
        Resources { cpu_millis: 2, memory_bytes: 2, gpus: 2, disk_bytes: 2, pids: 2 };

    #[test]
    fn a_sum_that_overflows_fits_nowhere_rather_than_everywhere() {
        for part in Part::ALL {
            let most = only(part, u64::MAX);
            let sum: Resources = [most, most].into_iter().sum();
            assert!(!sum.fits(&TWO), "{part}");
        }
    }

    #[test]
    fn each_part_has_to_fit_and_the_one_that_does_not_is_named() {
        assert!(TWO.fits(&TWO) && TWO.lacking(&TWO).is_none());
        for part in Part::ALL {
            let more = TWO + only(part, 1);
            assert!(!more.fits(&TWO) && more.minus(&TWO) == only(part, 1), "{part}");
            assert_eq!(more.lacking(&TWO).to_string(), part.to_string());
            assert_eq!((TWO.holds(&more), TWO.holds(&only(part, 1))), (Some(0), Some(2)));
        }
        let three: Resources = Part::ALL.map(|part| only(part, 3)).into_iter().sum();
        let all = "CPU, memory, disk, processes and GPUs";
        assert_eq!(three.lacking(&TWO).to_string(), all);
    }

    fn only(part: Part, amount: u64) -> Resources {
        let mut only = Resources::default();
        let it = match part {
            Part::Cpu => &mut only.cpu_millis,
            Part::Memory => &mut only.memory_bytes,
            Part::Disk => &mut only.disk_bytes,
            Part::Processes => &mut only.pids,
            Part::Gpus => &mut only.gpus,
        };
        *it = amount;
        only
    }
}
