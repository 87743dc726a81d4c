//! The `skep` command.

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use skep::artifact::child;
use skep::cli::inspect;

/// A WebAssembly service host.
#[derive(Debug, Parser)]
struct Skep {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what a component is and what it would need granted
    Inspect(inspect::Inspect),
    /// Compile a component; the host's own
    #[command(hide = true)]
    Compile {
        /// Passed by the host
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    match Skep::parse().command {
        Command::Inspect(arguments) => {
            match inspect::run(&arguments, &mut std::io::stdout().lock()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    let _ = writeln!(std::io::stderr(), "error: {error}");
                    ExitCode::FAILURE
                }
            }
        }
        Command::Compile { arguments } => child::run(&arguments),
    }
}
