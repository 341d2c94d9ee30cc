//! `wharf`: the operator's command line.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line prints")]

mod args;
mod client;
mod commands;
mod compose;
mod context;
#[cfg(feature = "dev")]
mod dev;
mod exit;
mod find;
mod json;
mod output;
mod terminal;

use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use clap::Parser;

use crate::args::Arguments;
use crate::exit::{Exit, Failure};

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let is_error = error.use_stderr();
            // Nothing can be said when even this can not be printed.
            drop(error.print());
            return if is_error { Exit::Usage } else { Exit::Done }.into();
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let ran = runtime.map_err(Into::into).and_then(|runtime| {
        let ran = runtime.block_on(commands::run(arguments));
        // A thread that waits for the keyboard is not waited for.
        runtime.shutdown_background();
        ran
    });
    match ran {
        Ok(exit) => exit.into(),
        Err(error) => tell(&error).into(),
    }
}

/// One line that says what went wrong, and one that says what to do next.
fn tell(error: &anyhow::Error) -> Exit {
    // The reader of a pipe may have had enough.
    if error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    {
        return Exit::Done;
    }
    let red = Style::new().fg_color(Some(AnsiColor::Red.into())).bold();
    let failure = error.downcast_ref::<Failure>();
    let message = failure.map_or_else(|| format!("{error:#}"), |failure| failure.message.clone());
    anstream::eprintln!("{red}error:{red:#} {}", output::clean(&message));
    if let Some(failure) = failure.filter(|failure| !failure.hint.is_empty()) {
        anstream::eprintln!("hint: {}", failure.hint);
    }
    failure.map_or(Exit::Error, |failure| failure.exit)
}
