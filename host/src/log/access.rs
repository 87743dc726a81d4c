//! One line per request: what came, what went out, what it cost, whose fault it was.
//!
//! The gateway builds an [`AccessRecord`] when a response is finished or abandoned, so this runs
//! for every request; it borrows everything and allocates nothing.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use super::line::{JsonLine, Level, Paint, address, painted, readable_head};
use super::{Sink, Style, text};
use crate::trace::{Calls, Context, Work};

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
    /// The request's own span, if spans are recorded.
    pub(crate) span: Option<Context>,
    /// The calls that it led to, if they are wanted.
    pub(crate) calls: Option<&'a Calls>,
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
        if let Some(span) = &self.span {
            line.hexadecimal("trace", &span.trace);
            line.hexadecimal("span", &span.span);
        }
        if let Some(calls) = self.calls {
            render_calls_json(line.value("calls"), calls);
            if calls.omitted > 0 {
                line.number("calls_omitted", calls.omitted);
            }
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
        if let Some(calls) = self.calls {
            render_calls_readable(out, calls);
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

fn render_calls_json(out: &mut String, calls: &Calls) {
    out.push('[');
    for (place, span) in calls.spans.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        let mut call = JsonLine::object(out);
        call.text("service", span.service.as_deref().unwrap_or_default());
        call.number("revision", span.revision);
        // Names of components are a stranger's, and so are paths.
        let what = match span.work {
            Work::Call { .. } => "function",
            _ => "request",
        };
        call.text_cut(what, &span.work.to_string(), NAME_SHOWN);
        if let Some(status) = span.work.status() {
            call.number("status", status);
        }
        call.text("outcome", span.outcome);
        call.millis("duration_ms", span.duration);
        call.millis("queue_ms", span.queued);
        call.millis("cpu_ms", span.cpu);
        if let Some(bytes) = span.bytes {
            call.number("argument_bytes", bytes.arguments);
            call.number("result_bytes", bytes.results);
        }
        call.hexadecimal("span", &span.context.span);
        if let Some(parent) = &span.parent {
            call.hexadecimal("parent", parent);
        }
        call.close();
    }
    out.push(']');
}

/// ` calls catalog shop:catalog/products@0.2.0#find ok 0.034ms, …`
fn render_calls_readable(out: &mut String, calls: &Calls) {
    for (place, span) in calls.spans.iter().enumerate() {
        out.push_str(if place > 0 { ", " } else { " calls " });
        text::plain(out, span.service.as_deref().unwrap_or_default());
        out.push(' ');
        readable_cut(out, &span.work.to_string(), NAME_SHOWN);
        out.push(' ');
        text::plain(out, span.outcome);
        out.push(' ');
        text::millis(out, span.duration);
        out.push_str("ms");
    }
    if calls.omitted > 0 {
        out.push_str(" and ");
        text::number(out, calls.omitted);
        out.push_str(" more");
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
