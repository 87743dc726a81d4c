//! The `skep` command.

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use skep::artifact::child;
use skep::cli::{
    self, Exit, apply, build, call, canary, check, completions, componentize, crashes, deploy, dev,
    doctor, graph, history, inspect, new, order, ps, rollback, run, serve, shadow,
};

/// A request makes some hundred small allocations, many of them freed by another thread's hands in
/// a moment: the system's allocator costs a tenth of a request, this one half of that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Skep runs an application's WebAssembly services in one process
#[derive(Debug, Parser)]
#[command(version, after_help = cli::EXIT_CODES)]
struct Skep {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    New(new::New),
    Build(build::Build),
    Doctor(doctor::Doctor),
    Run(run::Run),
    Dev(dev::Dev),
    Serve(serve::Serve),
    Check(check::Check),
    Ps(ps::Ps),
    Deploy(deploy::Deploy),
    Apply(apply::Arguments),
    Rollback(rollback::Arguments),
    Promote(canary::Promote),
    Abort(canary::Abort),
    Shadow(shadow::Shadow),
    History(history::History),
    Events(history::Events),
    Restart(order::Restart),
    Stop(order::Stop),
    Start(order::Start),
    Crashes(crashes::Crashes),
    Call(call::Call),
    Graph(graph::Graph),
    /// Show what a component is and what it would need granted; or, with --app, an application
    Inspect(inspect::Inspect),
    Componentize(componentize::Componentize),
    Completions(completions::Completions),
    /// Compile a component; the host's own
    #[command(hide = true)]
    Compile {
        /// Passed by the host
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    // A trap must not cost a native backtrace, whatever the environment says.
    skep::log::backtrace::disable_native();
    #[cfg(feature = "failpoints")]
    skep::failpoint::from_environment();
    match Skep::parse().command {
        Command::New(arguments) => new::run(&arguments).into(),
        Command::Build(arguments) => build::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments).into(),
        Command::Run(arguments) => run::run(&arguments),
        Command::Dev(arguments) => dev::run(&arguments),
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Check(arguments) => check::run(&arguments).into(),
        Command::Ps(arguments) => ps::run(&arguments).into(),
        Command::Deploy(arguments) => deploy::run(&arguments).into(),
        Command::Apply(arguments) => apply::run(&arguments).into(),
        Command::Rollback(arguments) => rollback::run(&arguments).into(),
        Command::Promote(arguments) => canary::promote(&arguments).into(),
        Command::Abort(arguments) => canary::abort(&arguments).into(),
        Command::Shadow(arguments) => shadow::run(&arguments).into(),
        Command::History(arguments) => history::history(&arguments).into(),
        Command::Events(arguments) => history::events(&arguments).into(),
        Command::Restart(arguments) => order::restart(&arguments).into(),
        Command::Stop(arguments) => order::stop(&arguments).into(),
        Command::Start(arguments) => order::start(&arguments).into(),
        Command::Crashes(arguments) => crashes::run(&arguments).into(),
        Command::Call(arguments) => call::run(&arguments).into(),
        Command::Graph(arguments) => graph::run(&arguments).into(),
        Command::Inspect(arguments) if arguments.app => {
            graph::inspect(&arguments.component, arguments.json).into()
        }
        Command::Inspect(arguments) => {
            match inspect::run(&arguments, &mut std::io::stdout().lock()) {
                Ok(()) => Exit::Ok.into(),
                Err(error) => {
                    let _ = writeln!(std::io::stderr(), "error: {error}");
                    Exit::Mistakes.into()
                }
            }
        }
        Command::Componentize(arguments) => componentize::run(&arguments).into(),
        Command::Completions(arguments) => {
            completions::run(&arguments, &mut Skep::command()).into()
        }
        Command::Compile { arguments } => child::run(&arguments),
    }
}
