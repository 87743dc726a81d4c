//! What the host tells its operator, and why it costs the request path next to nothing.
//!
//! Everything goes one way: host events ([`events`]), one line per request ([`access`]) and the
//! guests' own output ([`guest`]) are rendered by whoever has something to say, appended to one
//! bounded buffer ([`sink`]) and written by one thread. Nobody waits for a terminal, a pipe or a
//! disk. Lines that find no room are dropped, counted and reported.
//!
//! A line is one JSON object, or one readable line on a terminal; which of them is decided once,
//! when the sink is opened. Text that comes from clients and guests is escaped on its way into a
//! line: it can neither forge a line nor steer the terminal of the person who reads it.
//!
//! Invariant: nothing in here is async, and nothing waits while it holds a lock.

pub mod access;
pub mod backtrace;
pub mod events;
pub mod guest;
mod line;
pub mod sink;
#[cfg(test)]
mod testing;
mod text;

use std::io::IsTerminal;

pub use access::AccessRecord;
pub use backtrace::{TrapReport, trap_report};
pub use events::{EventFilter, chain};
pub use guest::{GuestLog, GuestLogLimits, GuestStream, RecentLine, Stream};
pub use sink::{Destination, Sink};
pub use text::rfc3339;

/// What the operator asked lines to look like (`--log-format`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Readable lines if the destination is a terminal, JSON otherwise.
    #[default]
    Auto,
    /// Readable lines.
    Pretty,
    /// One JSON object per line.
    Json,
}

/// What lines do look like. Settled once, when the sink is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// One JSON object per line.
    Json,
    /// Readable lines without escape sequences.
    Plain,
    /// Readable lines with ANSI colours.
    Colour,
}

impl Style {
    /// The style for `format` on `destination`. Colours are used on terminals only, and not there
    /// either if `NO_COLOR` is set to anything (<https://no-color.org>) or `TERM` is `dumb`.
    pub fn choose(format: LogFormat, destination: &impl IsTerminal) -> Style {
        let terminal = destination.is_terminal();
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        Style::settle(format, terminal, !no_color && !dumb)
    }

    fn settle(format: LogFormat, terminal: bool, colour_wanted: bool) -> Style {
        match (format, terminal) {
            (LogFormat::Json, _) | (LogFormat::Auto, false) => Style::Json,
            (LogFormat::Pretty, false) => Style::Plain,
            (_, true) if colour_wanted => Style::Colour,
            (_, true) => Style::Plain,
        }
    }
}

/// As much of a text as fits into `limit` bytes; what it would take to render the rest is not spent.
pub(crate) fn beginning(said: &dyn std::fmt::Display, limit: usize) -> String {
    let mut kept = text::Bounded::new(limit);
    kept.render(said);
    kept.text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn style_follows_flag_terminal_and_no_color() {
        let rows = [
            (LogFormat::Auto, true, true, Style::Colour),
            (LogFormat::Auto, true, false, Style::Plain),
            (LogFormat::Auto, false, true, Style::Json),
            (LogFormat::Pretty, true, true, Style::Colour),
            (LogFormat::Pretty, false, true, Style::Plain),
            (LogFormat::Json, true, true, Style::Json),
            (LogFormat::Json, false, false, Style::Json),
        ];
        for (format, terminal, colour_wanted, want) in rows {
            assert_eq!(
                Style::settle(format, terminal, colour_wanted),
                want,
                "{format:?} {terminal} {colour_wanted}"
            );
        }
    }
}
