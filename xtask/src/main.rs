//! Sets up, builds, tests and shows Skep, so that a newcomer needs two commands:
//! `cargo xtask demo` and `cargo xtask test`.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "xtask talks to the person who ran it: results on stdout, progress on stderr"
)]

mod check;
mod demo;
mod guests;
mod languages;
mod proxies;
mod run;
mod schemathesis;
mod soak;
mod zoo;

use std::process::ExitCode;

const HELP: &str = "\
Sets up, builds, tests and shows Skep. What is missing is installed and said as it goes.

Usage: cargo xtask COMMAND [OPTIONS]

Commands:
  demo [--listen ADDR]  build everything and run the shop; prints `ready http://HOST:PORT`
                        once it answers; Ctrl-C stops it
  demo --swap           exchange the shop's catalog back and forth under load, deploy versions that
                        will not do, and count the requests that failed
  test [--quick]        everything that a change must pass: formatting, lints, licences, tests;
                        --quick runs the unit tests alone, without guests
  soak [--seconds N]    good and hostile traffic together, ten minutes unless told otherwise;
                        afterwards the host must hold no more than before
  check                 formatting, lints and licences, no tests
  guests                build the guest components: fixtures into target/guests/NAME.wasm, and
                        the examples in their own folders
  languages [NAME...]   prepare the tools of languages/tools.toml for js, ts, python, c and go, or
                        for those that are named, and say where they are
  features              build the host, and the services that the tests run in those languages
  toolchain             prepare the guest toolchain (target wasm32-wasip2) and stop
  proxies               fetch the proxies that tests put in front of the host, and stop
  schemathesis          install what the control API is tested with, and stop
  zoo [NAME]            what each hostile guest costs a bystander, as a table; those of that name
  bench [ARGS...]       build guests and the host, then run the benchmarks with ARGS
  help                  this text

Set SKEP_TOOLCHAINS to keep an assembled guest toolchain elsewhere than ~/.cache/skep/toolchains, and
SKEP_TOOLS for the tools of other languages, which are in ~/.cache/skep/tools.
";

/// What went wrong, ready to be read by the person who ran the command.
type Result<T = ()> = std::result::Result<T, String>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(args: &[String]) -> Result {
    let (command, rest) = match args.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", args),
    };
    if rest.iter().any(|arg| arg == "--help" || arg == "-h")
        && !["bench", demo::LEASH].contains(&command)
    {
        print!("{HELP}");
        return Ok(());
    }
    match command {
        "demo" => demo::demo(rest),
        demo::ANNOUNCE => demo::announce(rest),
        demo::LEASH => demo::leash(rest),
        "test" => check::test(rest),
        "soak" => soak::soak(rest),
        "check" => no_arguments(rest).and_then(|()| check::check()),
        "guests" => no_arguments(rest).and_then(|()| guests::build()),
        "languages" => languages::languages(rest),
        "features" => no_arguments(rest).and_then(|()| {
            check::build_host()?;
            languages::features::build()
        }),
        "toolchain" => no_arguments(rest).and_then(|()| guests::toolchain::prepare().map(drop)),
        "proxies" => no_arguments(rest).and_then(|()| proxies::prepare()),
        "schemathesis" => no_arguments(rest).and_then(|()| schemathesis::prepare()),
        "zoo" => zoo::zoo(rest),
        "bench" => bench(rest),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(())
        }
        other => Err(format!(
            "there is no command {other:?}; see cargo xtask help"
        )),
    }
}

fn bench(args: &[String]) -> Result {
    guests::build()?;
    let named = || args.iter().filter(|arg| !arg.starts_with('-'));
    let languages = named().next().is_none() || named().any(|arg| arg == "languages");
    if languages {
        check::build_host()?;
        languages::features::build()?;
    }
    run::run(
        "building the host as it is shipped (many minutes the first time)",
        run::cargo().args(["build", "--profile", "dist", "--package", "skep"]),
    )?;
    let mut bench = run::cargo();
    bench
        .args(["run", "--release", "--package", "skep-bench", "--"])
        .args(args);
    if languages {
        bench.env("PATH", languages::path()?);
    }
    Err(run::replace_with(&mut bench))
}

fn no_arguments(rest: &[String]) -> Result {
    match rest.first() {
        None => Ok(()),
        Some(arg) => Err(format!("unexpected argument {arg:?}; see cargo xtask help")),
    }
}
