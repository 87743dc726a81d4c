//! Tells what Skep costs: the same load, on the same machine, in the same run, for Skep and for
//! what a user would otherwise run.
//!
//! A *suite* is a question (`http`, `services`, `start`, `slow`). It starts *subjects* (servers)
//! one at a time on one core, loads them from another core with *cases* (requests), and repeats
//! that in interleaved *rounds*, so that a drift of the machine meets every subject alike. What
//! it finds goes to [`results::Results`]; [`report`] turns that into tables and JSON rows.
//!
//! CPU time per request is the figure to trust on a busy machine. Nothing here asserts a speed.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command: tables go to stdout and progress to stderr"
)]

mod case;
mod client;
mod control;
mod http;
mod load;
mod machine;
mod measure;
mod native;
mod plan;
mod process;
mod remote;
mod report;
mod results;
mod subject;
mod suite;
mod tools;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};

use crate::plan::Options;

/// Measures Skep beside native servers, nginx and `wasmtime serve`.
#[derive(Debug, Parser)]
#[command(name = "skep-bench", args_conflicts_with_subcommands = true, version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves the native comparison (one of the bench's own subjects).
    #[command(hide = true)]
    Native(Native),
    /// Loads a server and prints what came of it as JSON (the bench's own generator).
    #[command(hide = true)]
    Load(Load),
}

#[derive(Debug, Args)]
struct Load {
    #[arg(long)]
    server: SocketAddr,
    #[arg(long)]
    seconds: u64,
    /// The case as JSON.
    case: String,
}

impl Load {
    fn run(&self) -> Result<()> {
        let case = serde_json::from_str(&self.case).context("reading the case")?;
        let load = client::run(self.server, &case, Duration::from_secs(self.seconds))?;
        println!("{}", serde_json::to_string(&load)?);
        Ok(())
    }
}

#[derive(Debug, Args)]
struct Native {
    kind: native::Kind,
    #[arg(long)]
    listen: SocketAddr,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        Some(Command::Native(native)) => native::serve(native.kind, native.listen),
        Some(Command::Load(load)) => load.run(),
        None => plan::run(cli.options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("skep-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
