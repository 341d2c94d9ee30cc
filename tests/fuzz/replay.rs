//! Replays a corpus against a reader, and thousands of inputs that are made out of it. The same ones in each run: what is found is found by
//! everybody, and its input is kept in the corpus.
//!
//! A reader is a plain function of bytes. It panics when something does not hold; what it refuses is fine. The tests of each part include this file.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// An input gets no longer than this, in bytes: what a reader does with much is told by what it does with more than it should take.
const LENGTH_LIMIT: usize = 8 << 10;
/// An input takes no longer than this, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(20);
/// A number from which all chance comes.
const SEED: u64 = 0x005e_ed0f_0be7_1e55;

/// Bytes and words that readers stumble over.
const WORDS: [&[u8]; 24] = [
    b"\0",
    b"\xff",
    b"\xff\xff\xff\xff\x7f",
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
    b"\x30\x80",
    b"\0\0",
    b"\xf0\x9f\x98\x80",
    b"\xe2\x80\xae",
    b"\xc3",
    b"0",
    b"-1",
    b"18446744073709551616",
    b"4294967295",
    b"1e999",
    b"\"",
    b"'",
    b"\n",
    b"{",
    b"[",
    b":",
    b"/",
    b"..",
    b"*",
    b"${x",
];

/// Chance out of a number: xorshift64* (Marsaglia; Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled").
struct Chance(u64);

impl Chance {
    fn draw(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below this one; 0 when there is none.
    fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit.max(1)).unwrap();
        usize::try_from((self.draw() >> 16) % limit).unwrap()
    }
}

/// The inputs of a corpus, in the order of their names.
///
/// # Panics
/// When there are none.
pub(crate) fn corpus(folder: &Path) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(folder);
    let entries = entries.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", folder.display());
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// How many inputs are made, and who reads them.
pub(crate) type Reader<'a> = (u32, &'a dyn Fn(&[u8]));

/// Gives a reader all of these and so many that are made out of them.
///
/// # Panics
/// When the reader does, with the input that did it.
pub(crate) fn replay(name: &str, inputs: &[Vec<u8>], (cases, read): Reader<'_>) {
    inputs.iter().for_each(|input| give(name, input, read));
    let mut chance = Chance(SEED);
    for case in 0..cases {
        let first = usize::try_from(case).unwrap() % inputs.len();
        let mut input = inputs[first].clone();
        for _ in 0..=chance.below(4) {
            let other = &inputs[chance.below(inputs.len())];
            change(&mut input, other, &mut chance);
        }
        input.truncate(LENGTH_LIMIT);
        give(name, &input, read);
    }
}

fn give(name: &str, input: &[u8], read: &dyn Fn(&[u8])) {
    let began = Instant::now();
    let done = catch_unwind(AssertUnwindSafe(|| read(input)));
    let shown = input.escape_ascii();
    assert!(done.is_ok(), "{name} panics, as said above, over b\"{shown}\"");
    assert!(began.elapsed() < PATIENCE, "{name} takes {:?} over b\"{shown}\"", began.elapsed());
}

/// Does one thing to an input.
fn change(input: &mut Vec<u8>, other: &[u8], chance: &mut Chance) {
    let at = chance.below(input.len() + 1);
    let length = 1 + chance.below(16);
    let end = (at + length).min(input.len());
    match chance.below(9) {
        0 => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << chance.below(8);
            }
        }
        1 => {
            if let Some(byte) = input.get_mut(at) {
                *byte = chance.draw().to_le_bytes()[0];
            }
        }
        2 => drop(input.drain(at..end)),
        3 => input.truncate(at),
        4 => drop(input.splice(at..at, WORDS[chance.below(WORDS.len())].iter().copied())),
        5 => drop(input.splice(at..end, WORDS[chance.below(WORDS.len())].iter().copied())),
        6 => {
            // Some of it once more, up to so often that depth and number are felt.
            let part = input[at..end].to_vec();
            let most = 1 << chance.below(10);
            let again = part.repeat(1 + chance.below(most));
            drop(input.splice(at..at, again));
        }
        7 => {
            let from = chance.below(other.len() + 1);
            let part = other[from..(from + length * 4).min(other.len())].to_vec();
            drop(input.splice(at..end, part));
        }
        _ => {
            // The beginning of the one and the end of the other.
            let from = chance.below(other.len() + 1);
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
    }
}
