//! The commands, one file each: arguments in, an exit code out.

pub mod apply;
pub mod build;
mod building;
pub mod call;
pub mod canary;
mod change;
pub mod check;
pub mod completions;
pub mod componentize;
pub mod crashes;
pub mod deploy;
pub mod dev;
pub mod doctor;
mod files;
pub mod graph;
pub mod history;
pub mod host_options;
pub mod inspect;
pub mod log_options;
mod names;
pub mod new;
pub mod order;
mod progress;
mod project;
pub mod ps;
pub mod report;
pub mod rollback;
pub mod run;
pub mod serve;
mod serving;
pub mod shadow;
mod take_over;

use std::process::ExitCode;

/// What the exit codes of all commands mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done; of `run`, `dev` and `serve`: stopped in good order.
    Ok = 0,
    /// It did not work: an address in use, a host that is not running…
    Failed = 1,
    /// The command line itself is wrong.
    Usage = 2,
    /// The manifest or a component has mistakes; nothing was started.
    Mistakes = 3,
    /// Of `call`: the function was called and answered `err`.
    Err = 4,
    /// Of `deploy`, `apply` and `rollback`: what was to serve does not start, or is not well.
    NotReady = 5,
    /// Of the same: somebody else has changed something meanwhile.
    Conflict = 6,
    /// Stopped at once by a second signal.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// The table for `--help`.
pub const EXIT_CODES: &str = "Exit codes:
  0    done; run, dev and serve: stopped in good order
  1    it did not work; the message says why
  2    the command line is wrong
  3    the manifest or a component has mistakes; nothing was started or changed
  4    of call: the function was called and answered err(…)
  5    of deploy, apply and rollback: what was to serve does not start, or is not well
  6    of the same: another generation serves than --if-generation says, or than was planned for
  130  stopped at once by a second signal";
