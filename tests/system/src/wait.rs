//! Waiting for a condition with a deadline.

use std::time::{Duration, Instant};

/// Long enough for anything that a test waits for, on a machine busy with other things: a test that succeeds takes as long
/// as the thing itself, and only one that fails takes so long.
pub const SOON: Duration = Duration::from_secs(90);
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
