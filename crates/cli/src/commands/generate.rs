//! `vdpa completions` and `vdpa man`: what shells and readers need, from the description of the flags itself.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Cli;

/// Prints a shell's completions.
pub(super) fn completions(shell: Shell) -> ExitCode {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "vdpa", &mut text);
    print(&text)
}

/// Prints the manual page, or writes all of them into a directory.
pub(super) fn man(into: Option<&Path>) -> ExitCode {
    let command = Cli::command().disable_help_subcommand(true);
    if let Some(directory) = into {
        return match clap_mangen::generate_to(command, directory) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: cannot write manual pages into {}: {error}", directory.display());
                eprintln!("hint: name a directory that exists and can be written");
                ExitCode::FAILURE
            }
        };
    }
    let mut text = Vec::new();
    match clap_mangen::Man::new(command).render(&mut text) {
        Ok(()) => print(&text),
        Err(error) => unreachable!("memory takes what is written to it: {error}"),
    }
}

fn print(text: &[u8]) -> ExitCode {
    // A reader that has gone away is no reason to fail.
    drop(io::stdout().write_all(text));
    ExitCode::SUCCESS
}
