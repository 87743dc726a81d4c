//! The frame that all lines share, so that one reader (person or program) understands each of
//! them: time, level, kind, then what is particular.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use super::{Style, text};

/// How bad it is. Shared by all kinds of line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// ANSI colours, by what they are used for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Paint {
    Red,
    Green,
    Yellow,
    Blue,
    Cyan,
    Dim,
}

/// One JSON object under construction. Keys come from this crate's sources and need no escaping.
pub(super) struct JsonLine<'a> {
    out: &'a mut String,
}

impl<'a> JsonLine<'a> {
    pub(super) fn open(
        out: &'a mut String,
        time: SystemTime,
        level: Level,
        kind: &'static str,
    ) -> JsonLine<'a> {
        out.push_str("{\"time\":\"");
        text::timestamp(out, time);
        out.push_str("\",\"level\":\"");
        out.push_str(level.json_name());
        out.push_str("\",\"kind\":\"");
        out.push_str(kind);
        out.push('"');
        JsonLine { out }
    }

    /// An object within a line: the first member is written without a comma.
    pub(super) fn object(out: &'a mut String) -> JsonLine<'a> {
        out.push('{');
        JsonLine { out }
    }

    pub(super) fn text(&mut self, key: &'static str, value: &str) {
        text::json(self.value(key), value);
    }

    /// As [`JsonLine::text`], of which at most `limit` bytes are shown.
    pub(super) fn text_cut(&mut self, key: &'static str, value: &str, limit: usize) {
        let (kept, omitted) = text::cut(value, limit);
        let out = self.value(key);
        out.push('"');
        text::json_part(out, kept);
        text::omitted(out, omitted as u64);
        out.push('"');
    }

    /// Bytes that should be UTF-8, and the mark for `omitted` more.
    pub(super) fn bytes(&mut self, key: &'static str, value: &[u8], omitted: u64) {
        let out = self.value(key);
        out.push('"');
        text::lossy(out, value, text::json_part);
        text::omitted(out, omitted);
        out.push('"');
    }

    pub(super) fn number(&mut self, key: &'static str, value: impl itoa::Integer) {
        text::number(self.value(key), value);
    }

    pub(super) fn millis(&mut self, key: &'static str, value: Duration) {
        text::millis(self.value(key), value);
    }

    /// An id that displays itself as hexadecimal digits.
    pub(super) fn hexadecimal(&mut self, key: &'static str, value: &dyn std::fmt::Display) {
        // Writing to a String does not fail.
        let _ = write!(self.value(key), "\"{value}\"");
    }

    pub(super) fn address(&mut self, key: &'static str, value: IpAddr) {
        let out = self.value(key);
        out.push('"');
        address(out, value);
        out.push('"');
    }

    /// Writes the key; the caller writes the value, which must be JSON.
    pub(super) fn value(&mut self, key: &'static str) -> &mut String {
        if !self.out.ends_with('{') {
            self.out.push(',');
        }
        self.out.push('"');
        self.out.push_str(key);
        self.out.push_str("\":");
        self.out
    }

    /// Members that are JSON already, each with its comma in front.
    pub(super) fn rendered(&mut self, members: &str) {
        self.out.push_str(members);
    }

    pub(super) fn close(self) {
        self.out.push('}');
    }
}

/// The beginning of a readable line: `23:17:25.123Z  INFO `.
pub(super) fn readable_head(out: &mut String, style: Style, time: SystemTime, level: Level) {
    painted(out, style, Paint::Dim, |out| text::clock(out, time));
    out.push(' ');
    painted(out, style, level.paint(), |out| out.push_str(level.label()));
    out.push(' ');
}

/// Something that the log says of itself, or on behalf of somebody who cannot.
pub(super) fn notice(out: &mut String, style: Style, level: Level, message: &str) {
    let now = SystemTime::now();
    match style {
        Style::Json => {
            let mut line = JsonLine::open(out, now, level, "event");
            line.text("message", message);
            line.close();
        }
        Style::Plain | Style::Colour => {
            readable_head(out, style, now, level);
            text::block(out, message);
        }
    }
}

/// `write`, in a colour if the style has any.
pub(super) fn painted(
    out: &mut String,
    style: Style,
    paint: Paint,
    write: impl FnOnce(&mut String),
) {
    if style != Style::Colour {
        return write(out);
    }
    out.push_str(paint.sequence());
    write(out);
    out.push_str("\x1b[0m");
}

/// An IP address without a detour through `fmt` for the common kind.
pub(super) fn address(out: &mut String, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            text::number(out, a);
            for part in [b, c, d] {
                out.push('.');
                text::number(out, part);
            }
        }
        IpAddr::V6(address) => {
            // Writing to a String does not fail.
            let _ = write!(out, "{address}");
        }
    }
}

impl Level {
    pub(super) fn json_name(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
            Level::Trace => "trace",
        }
    }

    /// Padded to one width, so that what follows lines up.
    fn label(self) -> &'static str {
        match self {
            Level::Error => "ERROR",
            Level::Warn => " WARN",
            Level::Info => " INFO",
            Level::Debug => "DEBUG",
            Level::Trace => "TRACE",
        }
    }

    pub(super) fn paint(self) -> Paint {
        match self {
            Level::Error => Paint::Red,
            Level::Warn => Paint::Yellow,
            Level::Info => Paint::Green,
            Level::Debug => Paint::Blue,
            Level::Trace => Paint::Dim,
        }
    }
}

impl Paint {
    fn sequence(self) -> &'static str {
        match self {
            Paint::Red => "\x1b[31m",
            Paint::Green => "\x1b[32m",
            Paint::Yellow => "\x1b[33m",
            Paint::Blue => "\x1b[34m",
            Paint::Cyan => "\x1b[36m",
            Paint::Dim => "\x1b[2m",
        }
    }
}
