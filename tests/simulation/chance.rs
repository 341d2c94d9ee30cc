//! Numbers that look random and are the same on every run.

use std::time::Duration;

/// Steele, Lea and Flood's SplitMix64 ("Fast splittable pseudorandom number generators", OOPSLA 2014).
#[derive(Debug)]
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 up to, and without, `end`.
    pub(crate) fn below(&mut self, end: u32) -> u32 {
        u32::try_from(self.next() % u64::from(end)).expect("it is below a number of 32 bits")
    }

    /// A time from `least` up to, and without, `end` milliseconds.
    pub(crate) fn millis(&mut self, least: u64, end: u64) -> Duration {
        Duration::from_millis(least + self.next() % (end - least))
    }

    /// True in so many of a thousand cases.
    pub(crate) fn permille(&mut self, permille: u32) -> bool {
        self.below(1_000) < permille
    }

    /// True in so many of a hundred cases.
    pub(crate) fn percent(&mut self, percent: u32) -> bool {
        self.below(100) < percent
    }
}
