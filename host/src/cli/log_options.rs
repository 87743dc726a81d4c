//! What the host logs, how and where: options that `run`, `dev` and `serve` share.

use std::path::PathBuf;

use clap::Args;

use crate::log::sink::SinkError;
use crate::log::{Destination, EventFilter, LogFormat, Sink, events};

/// See the module.
#[derive(Args, Clone, Debug)]
pub struct LogOptions {
    /// What the log looks like; auto: readable on a terminal, JSON otherwise
    #[arg(long, value_enum, default_value_t = LogFormat::Auto, env = "SKEP_LOG_FORMAT")]
    log_format: LogFormat,
    /// What is logged: error, warn, info, debug, or a list such as `info,hyper=debug`
    #[arg(long, default_value = "info", env = "SKEP_LOG")]
    log_level: EventFilter,
    /// Where the log goes: stdout, stderr, or a file to append to
    #[arg(long, default_value = "stdout", value_name = "stdout|stderr|FILE")]
    log_to: String,
}

impl LogOptions {
    /// Opens the log and sends the host's events and panics there.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn open(&self) -> Result<Sink, SinkError> {
        let destination = match self.log_to.as_str() {
            "stdout" => Destination::Stdout,
            "stderr" => Destination::Stderr,
            file => Destination::File(PathBuf::from(file)),
        };
        let sink = Sink::open(&destination, self.log_format)?;
        // It fails only if somebody has installed another; the library's user then has its events.
        let _ = events::install(sink.clone(), &self.log_level);
        events::log_panics(sink.clone());
        Ok(sink)
    }
}
