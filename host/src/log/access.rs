//! One line per request: what came, what went out, what it cost, whose fault it was.
//!
//! The gateway builds an [`AccessRecord`] when a response is finished or abandoned, so this runs
//! for every request; it borrows everything and allocates nothing.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use super::line::{JsonLine, Level, Paint, address, painted, readable_head};
use super::{Sink, Style, text};

/// Bytes shown of a path. A longer one is a mistake or an attack, and either shows in its head.
const PATH_SHOWN: usize = 1024;

/// Bytes shown of the host and of the other short texts that a client may choose.
const NAME_SHOWN: usize = 256;

/// Bytes shown of an error with all its causes.
const ERROR_SHOWN: usize = 4096;

/// What is known of one request when it is over.
#[derive(Clone, Copy, Debug)]
pub struct AccessRecord<'a> {
    /// When the request's head had arrived.
    pub time: SystemTime,
    /// The request's id, as in `x-request-id` and in problem responses.
    pub request_id: &'a str,
    /// The client's address: the peer's, or what a trusted proxy says.
    pub client: IpAddr,
    /// The method as sent.
    pub method: &'a str,
    /// Host and port as sent; empty if none was.
    pub host: &'a str,
    /// The path as sent, without the query (queries carry secrets).
    pub path: &'a str,
    /// The HTTP version spoken.
    pub version: http::Version,
    /// The status answered; none if no head was sent (the client had gone).
    pub status: Option<u16>,
    /// Bytes of request body read.
    pub request_bytes: u64,
    /// Bytes of response body sent.
    pub response_bytes: u64,
    /// From the request's head to the end of the response.
    pub duration: Duration,
    /// What a service did for the request; none if it reached none.
    pub service: Option<AccessService<'a>>,
    /// How it ended: `ok`, or the label of the fault (`trap`, `deadline`, `queue-full`, …).
    pub outcome: &'a str,
    /// The error with its causes, as [`super::chain`] renders it.
    pub error: Option<&'a str>,
    /// The trace this request is part of, as in the `traceparent` header.
    pub traceparent: Option<&'a str>,
}

/// The part of an [`AccessRecord`] that only exists if the request reached a service.
#[derive(Clone, Copy, Debug)]
pub struct AccessService<'a> {
    /// The service's name.
    pub name: &'a str,
    /// Number of the revision that answered.
    pub revision: u32,
    /// Number of the instance that answered; none if the request got none.
    pub instance: Option<u64>,
    /// Time on a processor in the guest.
    pub cpu: Duration,
    /// Time spent waiting for admission.
    pub queue_wait: Duration,
}

impl AccessRecord<'_> {
    /// Queues the line. Called once per request.
    pub fn log(&self, sink: &Sink) {
        sink.line(|out, style| self.render(out, style));
    }

    /// Renders the line without its line break.
    pub fn render(&self, out: &mut String, style: Style) {
        match style {
            Style::Json => self.render_json(out),
            Style::Plain | Style::Colour => self.render_readable(out, style),
        }
    }

    fn render_json(&self, out: &mut String) {
        let mut line = JsonLine::open(out, self.time, self.level(), "request");
        line.text_cut("id", self.request_id, NAME_SHOWN);
        line.address("client", self.client);
        line.text_cut("method", self.method, NAME_SHOWN);
        line.text_cut("host", self.host, NAME_SHOWN);
        line.text_cut("path", self.path, PATH_SHOWN);
        line.text("http", version_number(self.version));
        if let Some(status) = self.status {
            line.number("status", status);
        }
        line.number("request_bytes", self.request_bytes);
        line.number("response_bytes", self.response_bytes);
        line.millis("duration_ms", self.duration);
        if let Some(service) = &self.service {
            line.text("service", service.name);
            line.number("revision", service.revision);
            if let Some(instance) = service.instance {
                line.number("instance", instance);
            }
            line.millis("cpu_ms", service.cpu);
            line.millis("queue_ms", service.queue_wait);
        }
        line.text("outcome", self.outcome);
        if let Some(error) = self.error {
            line.text_cut("error", error, ERROR_SHOWN);
        }
        if let Some(traceparent) = self.traceparent {
            line.text_cut("traceparent", traceparent, NAME_SHOWN);
        }
        line.close();
    }

    /// `23:17:25.123Z  INFO GET shop.example/cart 200 1.234ms 512B cart@3#17 from 10.0.0.7 id 4f2a`
    fn render_readable(&self, out: &mut String, style: Style) {
        let level = self.level();
        readable_head(out, style, self.time, level);
        readable_cut(out, self.method, NAME_SHOWN);
        out.push(' ');
        readable_cut(out, self.host, NAME_SHOWN);
        readable_cut(out, self.path, PATH_SHOWN);
        out.push(' ');
        painted(out, style, self.status_paint(), |out| match self.status {
            Some(status) => text::number(out, status),
            None => out.push_str("---"),
        });
        out.push(' ');
        text::millis(out, self.duration);
        out.push_str("ms ");
        text::number(out, self.response_bytes);
        out.push('B');
        if let Some(service) = &self.service {
            out.push(' ');
            painted(out, style, Paint::Cyan, |out| service.render_readable(out));
        }
        out.push_str(" from ");
        address(out, self.client);
        out.push_str(" id ");
        readable_cut(out, self.request_id, NAME_SHOWN);
        if let Some(error) = self.error {
            out.push(' ');
            painted(out, style, level.paint(), |out| {
                text::plain(out, self.outcome)
            });
            out.push_str(": ");
            readable_cut(out, error, ERROR_SHOWN);
        } else if self.status.is_none() {
            out.push(' ');
            text::plain(out, self.outcome);
        }
    }

    /// An answer of 500 and above is somebody's failure on this side; all else is daily business.
    fn level(&self) -> Level {
        match self.status {
            Some(500..) => Level::Error,
            _ => Level::Info,
        }
    }

    fn status_paint(&self) -> Paint {
        match self.status {
            None => Paint::Dim,
            Some(..400) => Paint::Green,
            Some(400..500) => Paint::Yellow,
            Some(500..) => Paint::Red,
        }
    }
}

impl AccessService<'_> {
    fn render_readable(&self, out: &mut String) {
        out.push_str(self.name);
        out.push('@');
        text::number(out, self.revision);
        if let Some(instance) = self.instance {
            out.push('#');
            text::number(out, instance);
        }
    }
}

fn readable_cut(out: &mut String, value: &str, limit: usize) {
    let (kept, omitted) = text::cut(value, limit);
    text::plain(out, kept);
    text::omitted(out, omitted as u64);
}

fn version_number(version: http::Version) -> &'static str {
    match version {
        http::Version::HTTP_09 => "0.9",
        http::Version::HTTP_10 => "1.0",
        http::Version::HTTP_11 => "1.1",
        http::Version::HTTP_2 => "2",
        http::Version::HTTP_3 => "3",
        _ => "?",
    }
}

#[cfg(test)]
mod tests;
