//! The host's own events, by way of `tracing`, in the same stream of lines as all else.
//!
//! An event is written as time, level, message, fields. Where in the sources it was written is
//! left out: an operator cannot do anything with it. An error is shown with its causes.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::error::Error;
use std::fmt;
use std::panic::PanicHookInfo;
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use super::line::{JsonLine, Level, Paint, painted, readable_head};
use super::text::Bounded;
use super::{Sink, Style, backtrace, text};

/// Bytes shown of a message and of each field. Errors may quote what a guest wrote.
const VALUE_SHOWN: usize = 16 << 10;

/// Bytes shown of each error in a chain.
const LINK_SHOWN: usize = 4 << 10;

/// Errors shown of a chain. Longer ones come from loops.
const CHAIN_DEPTH: usize = 16;

/// A native backtrace may take a second and is the same again and again: only the first panics
/// of a process get one.
const PANIC_BACKTRACES: u32 = 3;

/// How long a panic waits for its line to be written, as it may be the process's last.
const PANIC_FLUSH: Duration = Duration::from_millis(100);

/// Keys that every line has; a field of such a name gets `field_` in front.
const RESERVED_KEYS: [&str; 4] = ["time", "level", "kind", "message"];

/// Which events are written: from `--log-level` or `SKEP_LOG`.
///
/// A level alone is for Skep; of its libraries no more than warnings are written. A list such as
/// `info,hyper=debug` sets everything else by hand.
#[derive(Clone, Debug, PartialEq)]
pub struct EventFilter(Targets);

/// The text is neither a level nor a list of levels.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "`{text}` is not a log level: write error, warn, info, debug, trace or off, or a list such as `info,hyper=debug`"
)]
pub struct EventFilterError {
    text: String,
}

/// There is a global subscriber already.
#[derive(Debug, thiserror::Error)]
#[error("cannot install the log for host events: the process has a tracing subscriber already")]
pub struct InstallError(#[source] tracing::subscriber::SetGlobalDefaultError);

/// Writes all host events of the process to `sink` from now on. Called once, by main.
///
/// # Errors
/// If the process has a global tracing subscriber already.
pub fn install(sink: Sink, filter: &EventFilter) -> Result<(), InstallError> {
    tracing::subscriber::set_global_default(subscriber(sink, filter)).map_err(InstallError)
}

/// What [`install`] installs, for use in a scope (`tracing::subscriber::with_default`).
pub fn subscriber(sink: Sink, filter: &EventFilter) -> impl Subscriber + Send + Sync + use<> {
    tracing_subscriber::registry()
        .with(filter.0.clone())
        .with(EventLayer { sink })
}

/// Reports panics as lines of the log instead of on standard error, which belongs to the log.
/// Called once, by main. The first few panics show a backtrace if `RUST_BACKTRACE` asks for it.
pub fn log_panics(sink: Sink) {
    let backtraces = AtomicU32::new(0);
    std::panic::set_hook(Box::new(move |panic| {
        let wanted = backtraces.fetch_add(1, Ordering::Relaxed) < PANIC_BACKTRACES;
        let backtrace = if wanted {
            Backtrace::capture()
        } else {
            Backtrace::disabled()
        };
        sink.line(|out, style| render_panic(out, style, panic, &backtrace));
        sink.flush(PANIC_FLUSH);
    }));
}

/// An error with its causes, as one text: `cannot start cart, caused by: no such file`. A cause
/// that its effect quotes already is not repeated, a guest's backtrace (see [`super::trap_report`])
/// not shown.
pub fn chain<'a>(error: &'a (dyn Error + 'static)) -> Chain<'a> {
    Chain { error }
}

/// See [`chain`].
#[derive(Clone, Copy, Debug)]
pub struct Chain<'a> {
    error: &'a (dyn Error + 'static),
}

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = String::new();
        for link in links(self.error) {
            if !last.is_empty() {
                if last.ends_with(&link) {
                    continue;
                }
                f.write_str(", caused by: ")?;
            }
            f.write_str(&link)?;
            last = link;
        }
        Ok(())
    }
}

/// The texts of an error and its causes, without a guest's backtrace.
pub(super) fn links<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = String> + use<'a> {
    std::iter::successors(Some(error), |&error| error.source())
        .take(CHAIN_DEPTH)
        .map(|error| {
            let mut link = Bounded::new(LINK_SHOWN);
            link.render(error);
            link.text
        })
        .filter(|link| !link.is_empty() && !backtrace::is_wasm_backtrace(link))
}

impl Default for EventFilter {
    fn default() -> EventFilter {
        EventFilter::at(LevelFilter::INFO)
    }
}

impl EventFilter {
    /// Skep's events up to `level`, and the warnings of its libraries.
    pub fn at(level: LevelFilter) -> EventFilter {
        let libraries = level.min(LevelFilter::WARN);
        EventFilter(
            Targets::new()
                .with_default(libraries)
                .with_target("skep", level),
        )
    }
}

impl FromStr for EventFilter {
    type Err = EventFilterError;

    fn from_str(text: &str) -> Result<EventFilter, EventFilterError> {
        let text = text.trim();
        let error = || EventFilterError {
            text: text.to_owned(),
        };
        if let Some(level) = level(text) {
            return Ok(EventFilter::at(level));
        }
        // A bare word that is no level would be taken for the name of a crate.
        if text
            .split(',')
            .any(|part| !part.contains('=') && level(part).is_none())
        {
            return Err(error());
        }
        text.parse().map(EventFilter).map_err(|_| error())
    }
}

/// tracing takes nothing at all for `error`, and numbers for levels; nobody means that.
fn level(text: &str) -> Option<LevelFilter> {
    if text.is_empty() || text.bytes().any(|byte| byte.is_ascii_digit()) {
        None
    } else {
        text.parse().ok()
    }
}

/// Renders events into the sink.
struct EventLayer {
    sink: Sink,
}

/// A span's fields, rendered when it was opened.
struct SpanFields(String);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for EventLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::new(self.sink.style());
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(SpanFields(fields.rendered));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let mut fields = Fields::new(self.sink.style());
        values.record(&mut fields);
        if let Some(span) = context.span(id)
            && let Some(known) = span.extensions_mut().get_mut::<SpanFields>()
        {
            known.0.push_str(&fields.rendered);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::new(self.sink.style());
        event.record(&mut fields);
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(known) = span.extensions().get::<SpanFields>() {
                fields.rendered.push_str(&known.0);
            }
        }
        let level = Level::from(*event.metadata().level());
        self.sink
            .line(|out, style| render_event(out, style, level, &fields.message, &fields.rendered));
    }
}

/// `fields` are rendered already, by [`Fields`].
fn render_event(out: &mut String, style: Style, level: Level, message: &str, fields: &str) {
    let now = SystemTime::now();
    match style {
        Style::Json => {
            let mut line = JsonLine::open(out, now, level, "event");
            line.text("message", message);
            line.rendered(fields);
            line.close();
        }
        Style::Plain | Style::Colour => {
            readable_head(out, style, now, level);
            text::block(out, message);
            out.push_str(fields);
        }
    }
}

fn render_panic(out: &mut String, style: Style, panic: &PanicHookInfo<'_>, backtrace: &Backtrace) {
    let thread = std::thread::current();
    let mut fields = Fields::new(style);
    fields.text("panic", panic.payload_as_str().unwrap_or("(not a text)"));
    if let Some(location) = panic.location() {
        fields.text("location", &location.to_string());
    }
    fields.text("thread", thread.name().unwrap_or("(unnamed)"));
    if backtrace.status() == BacktraceStatus::Captured {
        fields.text("backtrace", &backtrace.to_string());
    }
    render_event(
        out,
        style,
        Level::Error,
        "the host panicked: this is a bug in Skep, please report it",
        &fields.rendered,
    );
}

/// Collects an event's message and renders its fields, as `,"key":value` or ` key=value`.
struct Fields {
    style: Style,
    message: String,
    rendered: String,
}

impl Fields {
    fn new(style: Style) -> Fields {
        Fields {
            style,
            message: String::new(),
            rendered: String::new(),
        }
    }

    fn key(&mut self, key: &str) -> &mut String {
        let out = &mut self.rendered;
        match self.style {
            Style::Json => {
                out.push_str(",\"");
                if RESERVED_KEYS.contains(&key) {
                    out.push_str("field_");
                }
                text::json_part(out, key.strip_prefix("r#").unwrap_or(key));
                out.push_str("\":");
            }
            Style::Plain | Style::Colour => {
                out.push(' ');
                painted(out, self.style, Paint::Dim, |out| {
                    text::plain(out, key.strip_prefix("r#").unwrap_or(key));
                    out.push('=');
                });
            }
        }
        out
    }

    fn text(&mut self, key: &str, value: &str) {
        let style = self.style;
        let (kept, omitted) = text::cut(value, VALUE_SHOWN);
        let out = self.key(key);
        match style {
            Style::Json => {
                out.push('"');
                text::json_part(out, kept);
                text::omitted(out, omitted as u64);
                out.push('"');
            }
            Style::Plain | Style::Colour => {
                text::block(out, kept);
                text::omitted(out, omitted as u64);
            }
        }
    }

    /// A value that never needs quotes or escapes.
    fn bare(&mut self, field: &Field, value: impl itoa::Integer) {
        text::number(self.key(field.name()), value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut rendered = Bounded::new(VALUE_SHOWN);
        if !rendered.render(format_args!("{value:?}")) {
            rendered.text.push('…');
        }
        match field.name() {
            "message" => self.message = rendered.text,
            name => self.text(name, &rendered.text),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => {
                value[..value.floor_char_boundary(VALUE_SHOWN)].clone_into(&mut self.message)
            }
            name => self.text(name, value),
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.text(field.name(), &chain(value).to_string());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.bare(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.bare(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.key(field.name())
            .push_str(if value { "true" } else { "false" });
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no word for infinity.
        if value.is_finite() {
            self.key(field.name()).push_str(&value.to_string());
        } else {
            self.text(field.name(), &value.to_string());
        }
    }
}

impl From<tracing::Level> for Level {
    fn from(level: tracing::Level) -> Level {
        match level {
            tracing::Level::ERROR => Level::Error,
            tracing::Level::WARN => Level::Warn,
            tracing::Level::INFO => Level::Info,
            tracing::Level::DEBUG => Level::Debug,
            tracing::Level::TRACE => Level::Trace,
        }
    }
}

#[cfg(test)]
mod tests;
