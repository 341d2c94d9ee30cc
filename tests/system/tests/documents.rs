//! The operator's pages: every command in them is run, in their order, as a reader would.
#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;

use system_tests::program::built;
use system_tests::region::by_hand;
use system_tests::{Docker, Machine, Packages, Said, Scratch};

/// A piece of a page.
#[derive(Debug, PartialEq, Eq)]
enum Block {
    /// A file, named in its first line.
    File { name: String, text: String },
    /// Commands, one a line.
    Commands(Vec<String>),
}

/// The fenced blocks of a page that say something to do.
fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(kind) = line.strip_prefix("```") else { continue };
        let text: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        match kind {
            "sh" => blocks.push(Block::Commands(text.iter().map(ToString::to_string).collect())),
            "yaml" => {
                let name = text[0].strip_prefix("# ").expect("a file begins with its name");
                blocks.push(Block::File { name: name.to_owned(), text: text[1..].join("\n") });
            }
            other => panic!("nobody runs a block of {other:?}"),
        }
    }
    blocks
}

/// Where a page is read.
enum Reader {
    /// Somebody with a home and a folder of his own on this machine.
    Here(Scratch),
    /// Root of a machine that has the packages, and a checkout in which the programs are built.
    There(Machine),
}

impl Reader {
    fn of(page: &Path) -> Self {
        if page.file_stem().unwrap() == "install" {
            Self::There(machine_to_install_on())
        } else {
            Self::Here(Scratch::new())
        }
    }

    fn write(&self, name: &str, text: &str) {
        match self {
            Self::Here(scratch) => drop(scratch.write(name, text)),
            Self::There(machine) => machine.write(&format!("/root/{name}"), text),
        }
    }

    fn run(&self, line: &str) -> Said {
        match self {
            Self::Here(scratch) => run_here(scratch, line),
            Self::There(machine) => machine.run(&format!("cd /root; {line}")),
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Self::Here(scratch) = self {
            // A page that failed half way has left its cluster behind; one that did not has none.
            let _ended = run_here(scratch, "wharf-region stop; wharf dev stop");
        }
    }
}

fn run_here(scratch: &Scratch, line: &str) -> Said {
    let programs = built("wharf");
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", programs.parent().unwrap().display());
    let mut command = Command::new("sh");
    command.args(["-c", line]).current_dir(scratch.path());
    by_hand(&mut command, &path);
    command.env("HOME", scratch.path()).env("NO_COLOR", "1").env("WHARF_LISTEN", "127.0.0.1:0");
    for name in ["WHARF_ADDR", "WHARF_CONTEXT", "XDG_CONFIG_HOME", "XDG_STATE_HOME"] {
        command.env_remove(name);
    }
    Said::by(&mut command, "")
}

fn machine_to_install_on() -> Machine {
    let (packages, machine) = (Packages::new(), Machine::debian());
    for package in packages.files() {
        machine.copy(&package, "/root");
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    machine.copy(&root.join("systemd"), "/root");
    machine.copy(&root.join("packaging"), "/root");
    let unpack = "for package in *.deb; do dpkg-deb --extract $package unpacked; done";
    machine.done(&format!(
        "cd /root; {unpack}; mkdir target; mv unpacked/usr/bin target/release; rm -r unpacked"
    ));
    machine
}

/// The code that a line says it ends with.
fn expected(line: &str) -> i32 {
    line.split_once("# ends with ").map_or(0, |(_, code)| code.trim().parse().unwrap())
}

/// So many pages are read at once: their readers mostly wait.
const READERS: usize = 3;

/// Does what a page says, and gives how many commands it has.
fn read(path: &Path) -> usize {
    let reader = Reader::of(path);
    let mut commands = 0;
    for block in blocks(&fs::read_to_string(path).unwrap()) {
        match block {
            Block::File { name, text } => reader.write(&name, &text),
            Block::Commands(lines) => {
                for line in lines {
                    let said = reader.run(&line);
                    let what = format!("{}: {line}\n{}{}", path.display(), said.out, said.err);
                    assert_eq!(said.code, expected(&line), "{what}");
                    commands += 1;
                }
            }
        }
    }
    commands
}

#[test]
fn every_command_of_every_page_does_what_the_page_says() {
    Docker::default().need_image();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let mut pages: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.sort();
    let pages = Mutex::new(pages);
    let read_all = || {
        let left = std::iter::from_fn(|| pages.lock().unwrap().pop());
        left.map(|page| read(&page)).sum::<usize>()
    };
    let commands: usize = thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS).map(|_| scope.spawn(read_all)).collect();
        readers.into_iter().map(|reader| reader.join().unwrap()).sum()
    });
    assert!(commands > 15, "only {commands} commands were found");
}
