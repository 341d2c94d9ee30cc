//! Faults that a test can bring about: an engine that hangs, and a disk that is slow or broken.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use system_tests::program::installed;
use system_tests::{Program, SOON, Scratch, until};

/// How often a proxy that hangs looks whether it is to go on.
const LOOK: Duration = Duration::from_millis(20);

/// A socket behind which the machine's engine is found, until it is told to hang.
#[derive(Debug)]
pub(crate) struct Proxy {
    socket: PathBuf,
    hangs: Arc<AtomicBool>,
}

impl Proxy {
    pub(crate) fn to_the_engine(socket: PathBuf) -> Self {
        let listener = UnixListener::bind(&socket).unwrap();
        let hangs = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&hangs);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let engine = UnixStream::connect("/var/run/docker.sock").unwrap();
                let (to, from) = (engine.try_clone().unwrap(), client.try_clone().unwrap());
                let (one, other) = (Arc::clone(&flag), Arc::clone(&flag));
                thread::spawn(move || carry(from, to, &one));
                thread::spawn(move || carry(engine, client, &other));
            }
        });
        Self { socket, hangs }
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// From now on it takes everything and answers nothing.
    pub(crate) fn hang(&self) {
        self.hangs.store(true, Ordering::SeqCst);
    }

    /// What was held back goes on its way.
    pub(crate) fn go_on(&self) {
        self.hangs.store(false, Ordering::SeqCst);
    }
}

fn carry(mut from: UnixStream, mut to: UnixStream, hangs: &AtomicBool) {
    let mut buffer = [0; 16 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        while hangs.load(Ordering::SeqCst) {
            thread::sleep(LOOK);
        }
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    // The other end may be gone already.
    drop(to.shutdown(Shutdown::Write));
}

/// A program whose syncs are slow or fail, and are written down with its writes to files.
#[derive(Debug)]
pub(crate) struct Strace {
    calls: PathBuf,
    _process: Program,
}

impl Strace {
    /// Each sync takes so long.
    pub(crate) fn delay(process: u32, scratch: &Scratch, delay: Duration) -> Self {
        Self::inject(process, scratch, &format!("delay_enter={}", delay.as_micros()))
    }

    /// Each sync fails.
    pub(crate) fn fail(process: u32, scratch: &Scratch) -> Self {
        Self::inject(process, scratch, "error=EIO")
    }

    fn inject(process: u32, scratch: &Scratch, fault: &str) -> Self {
        let calls = scratch.path().join("calls");
        let mut command = Command::new(installed("/usr/bin/strace", "strace"));
        command.args(["-f", "-y", "-e", "trace=pwrite64,fsync,fdatasync", "-e"]);
        command.arg(format!("inject=fsync,fdatasync:{fault}"));
        command.arg("-o").arg(&calls).arg("-p").arg(process.to_string());
        let process = Program::start(&mut command, &scratch.path().join("strace.log"));
        until("strace is attached", SOON, || {
            let log = process.log();
            if log.contains("attached") { Ok(()) } else { Err(log) }
        });
        Self { calls, _process: process }
    }

    /// What was called, in its order.
    pub(crate) fn calls(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.calls).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}
