//! Gives memory that was freed back to the system.
//!
//! glibc keeps what was freed in the arenas of its threads: a coordinator that ten thousand agents have left at once would
//! stay as large as it was with them. Other C libraries keep less, and there this does nothing.

/// Returns every whole page that is free to the system. Walks the heap under its locks, which took 16 ms for 140 MiB: call
/// it where nobody waits for it, and seldom.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "there is no safe way to say this to glibc")]
pub fn give_back() {
    // SAFETY: malloc_trim takes no pointer, may be called at any time and from any thread (malloc_trim(3): MT-Safe), and
    // only unmaps pages that hold nothing.
    let _released = unsafe { libc::malloc_trim(0) };
}

/// Does nothing: this C library gives memory back by itself, or can not be asked to.
#[cfg(not(target_env = "gnu"))]
pub const fn give_back() {}

#[cfg(test)]
mod tests {
    /// Resident memory of this process in KiB.
    #[cfg(target_os = "linux")]
    fn resident() -> u64 {
        let text = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        number.and_then(|number| number.parse().ok()).expect("it is a number of KiB")
    }

    #[test]
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fn what_was_freed_between_what_stays_is_given_back() {
        let mut all: Vec<Vec<u8>> = (0..50_000).map(|_| vec![1; 1_000]).collect();
        let full = resident();
        // The last one stays, so that the end of the heap can not be cut off.
        let last = all.pop();
        drop(all);
        super::give_back();
        let after = resident();
        assert!(after + 30_000 < full, "{full} KiB became {after} KiB");
        drop(last);
    }
}
