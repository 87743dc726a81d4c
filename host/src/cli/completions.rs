//! `skep completions`: what a shell needs to complete commands and options.

use std::io::Write;

use clap::{Args, Command};
use clap_complete::Shell;

use super::Exit;

/// Print what a shell needs to complete `skep` commands and options
///
/// bash: `skep completions bash > ~/.local/share/bash-completion/completions/skep`;
/// zsh: `skep completions zsh > "${fpath[1]}/_skep"`;
/// fish: `skep completions fish > ~/.config/fish/completions/skep.fish`
#[derive(Args, Debug)]
#[command(after_help = super::EXIT_CODES)]
pub struct Completions {
    /// The shell
    shell: Shell,
}

/// Runs the command; `skep` is the whole command line.
pub fn run(arguments: &Completions, skep: &mut Command) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, skep, "skep", &mut script);
    match std::io::stdout().lock().write_all(&script) {
        Ok(()) => Exit::Ok,
        Err(_) => Exit::Failed,
    }
}
