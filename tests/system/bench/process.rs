//! What the kernel says about a process.

use std::fs;
use std::time::Duration;

/// Ticks of processor time in a second, as Linux reports them on every machine of today.
const TICKS: u64 = 100;

/// Resident memory in KiB.
pub(crate) fn resident_kib(process: u32) -> u64 {
    field(process, "status", "VmRSS:")
}

/// Bytes that were sent to storage.
pub(crate) fn written_bytes(process: u32) -> u64 {
    field(process, "io", "write_bytes:")
}

fn field(process: u32, file: &str, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/{file}")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// Processor time used so far, of all its threads.
pub(crate) fn processor_time(process: u32) -> Duration {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // The name may hold blanks; what follows its closing parenthesis does not.
    let rest = text.rsplit_once(')').unwrap().1;
    let numbers: Vec<&str> = rest.split_whitespace().collect();
    let ticks: u64 = numbers[11].parse::<u64>().unwrap() + numbers[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 1_000 / TICKS)
}
