//! The operator's pages: every command in them is run, in their order, as a reader would.
#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

use std::fs;
use std::path::Path;
use std::process::Command;

use system_tests::program::built;
use system_tests::{Docker, Said, Scratch};

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

/// A reader with a home and a folder of his own.
struct Reader(Scratch);

impl Reader {
    fn run(&self, line: &str) -> Said {
        let programs = built("wharf");
        let path = std::env::var("PATH").unwrap();
        let path = format!("{}:{path}", programs.parent().unwrap().display());
        let mut command = Command::new("sh");
        command.args(["-c", line]).current_dir(self.0.path()).env("PATH", path);
        command.env("HOME", self.0.path()).env("NO_COLOR", "1").env("WHARF_LISTEN", "127.0.0.1:0");
        for name in ["WHARF_ADDR", "WHARF_CONTEXT", "XDG_CONFIG_HOME", "XDG_STATE_HOME"] {
            command.env_remove(name);
        }
        Said::by(&mut command, "")
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // A page that failed half way has left its cluster behind; one that did not has none.
        let _ended = self.run("wharf dev stop");
    }
}

/// The code that a line says it ends with.
fn expected(line: &str) -> i32 {
    line.split_once("# ends with ").map_or(0, |(_, code)| code.trim().parse().unwrap())
}

#[test]
fn every_command_of_every_page_does_what_the_page_says() {
    Docker::default().need_image();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let mut commands = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let reader = Reader(Scratch::new());
        for block in blocks(&fs::read_to_string(&path).unwrap()) {
            match block {
                Block::File { name, text } => {
                    let _path = reader.0.write(&name, &text);
                }
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
    }
    assert!(commands > 15, "only {commands} commands were found");
}
