//! Waiting for a condition with a deadline.

use std::time::{Duration, Instant};

/// Looked at so often.
const LOOK: Duration = Duration::from_millis(50);

/// Gives what `look` finds as soon as it finds it.
///
/// # Panics
/// When it has found nothing in time; `what` says what was waited for, and the last failure what was there instead.
#[track_caller]
pub fn until<T>(what: &str, deadline: Duration, mut look: impl FnMut() -> Result<T, String>) -> T {
    let began = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(instead) => {
                assert!(
                    began.elapsed() < deadline,
                    "waited {deadline:?} until {what}; instead: {instead}"
                );
            }
        }
        std::thread::sleep(LOOK);
    }
}
