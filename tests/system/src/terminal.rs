//! A command on a terminal of its own: what a person at a keyboard would see.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::{SOON, until};

/// A command with a terminal.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    keyboard: File,
    screen: Arc<Mutex<String>>,
}

impl Terminal {
    /// Starts the command with a terminal of so many columns and rows.
    ///
    /// # Panics
    /// When there is no terminal to be had.
    #[must_use]
    pub fn start(command: &mut Command, (columns, rows): (u16, u16)) -> Self {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let name = ptsname(&keyboard, Vec::new()).unwrap();
        let screen = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        let size = Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&screen, size).unwrap();
        command
            .stdin(screen.try_clone().unwrap())
            .stdout(screen.try_clone().unwrap())
            .stderr(screen);
        let child = command.spawn().unwrap();
        // Only the child holds the screen now, so that its end is the end of what can be read.
        *command = Command::new("true");
        let keyboard = File::from(keyboard);
        let seen = Arc::new(Mutex::new(String::new()));
        let mut reader = keyboard.try_clone().unwrap();
        let screen = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                screen.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..length]));
            }
        });
        Self { child, keyboard, screen: seen }
    }

    /// Types this.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn type_in(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).unwrap();
    }

    /// Gives the terminal another size.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn resize(&self, columns: u16, rows: u16) {
        let size = Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.keyboard, size).unwrap();
        // It is not the controlling terminal of the child, so the kernel tells nobody.
        let child = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(child.unwrap(), rustix::process::Signal::WINCH).unwrap();
    }

    /// Waits until the screen shows this.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn shows(&self, text: &str) {
        until(&format!("the screen shows {text:?}"), SOON, || {
            let screen = self.screen.lock().unwrap().clone();
            if screen.contains(text) { Ok(()) } else { Err(screen) }
        });
    }

    /// Waits until the command has ended.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn ended(&mut self) -> ExitStatus {
        let (child, screen) = (&mut self.child, &self.screen);
        until("the command ends", SOON, || {
            child.try_wait().unwrap().ok_or_else(|| screen.lock().unwrap().clone())
        })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
