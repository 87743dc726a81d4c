//! Where in which trace something is: what a `traceparent` header says (W3C Trace Context).

use std::fmt;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use skep_core::heard;

pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(crate) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Says that the trace is recorded.
const SAMPLED: u8 = 1;

/// Identifies a trace.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

/// Identifies a span within its trace.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId([u8; 8]);

/// A span, as others refer to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// Its trace.
    pub trace: TraceId,
    /// The span.
    pub span: SpanId,
    /// As in the header.
    pub flags: u8,
}

impl Context {
    /// The first span of a new trace.
    pub(super) fn begin() -> Context {
        // Zeroes are no ids; one in 2^128 would be.
        Context {
            trace: TraceId(fastrand::u128(1..).to_be_bytes()),
            span: SpanId::make(),
            flags: SAMPLED,
        }
    }

    /// Another span of the same trace.
    pub(super) fn child(self) -> Context {
        Context {
            span: SpanId::make(),
            ..self
        }
    }

    /// What a request's headers say; none if they say nothing that is valid.
    pub(super) fn of(headers: &HeaderMap) -> Option<Context> {
        let value = headers.get(&TRACEPARENT)?.as_bytes();
        if !heard::is_trace_parent(value) {
            return None;
        }
        Some(Context {
            trace: TraceId(bytes(&value[3..35])?),
            span: SpanId(bytes(&value[36..52])?),
            flags: bytes::<1>(&value[53..55])?[0],
        })
    }

    /// The header for a request that is made on behalf of the span.
    pub(crate) fn header(self) -> HeaderValue {
        let Context { trace, span, flags } = self;
        HeaderValue::try_from(format!("00-{trace}-{span}-{flags:02x}"))
            // Hexadecimal digits and dashes are legal.
            .unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}

impl SpanId {
    fn make() -> SpanId {
        SpanId(fastrand::u64(1..).to_be_bytes())
    }
}

/// Of hexadecimal digits.
fn bytes<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok()?;
    }
    Some(bytes)
}

/// Writes the digits at once: a line of the log may have a hundred ids.
fn hexadecimal<const N: usize>(f: &mut fmt::Formatter<'_>, bytes: [u8; N]) -> fmt::Result {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut digits = [[0; 2]; N];
    for (pair, byte) in digits.iter_mut().zip(bytes) {
        *pair = [byte >> 4, byte & 15].map(|digit| DIGITS[usize::from(digit)]);
    }
    // Digits are ASCII.
    f.write_str(std::str::from_utf8(digits.as_flattened()).unwrap_or_default())
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hexadecimal(f, self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hexadecimal(f, self.0)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &'static str) -> Option<Context> {
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, HeaderValue::from_static(value));
        Context::of(&headers)
    }

    #[test]
    fn a_header_is_read_and_written_again() {
        let header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
        let context = read(header).unwrap();
        assert_eq!(
            context.trace.to_string(),
            "0af7651916cd43dd8448eb211c80319c"
        );
        assert_eq!(context.span.to_string(), "b7ad6b7169203331");
        assert_eq!(context.header(), header);
        assert_eq!(read("00-0af7-b7-01"), None);
        assert_eq!(Context::of(&HeaderMap::new()), None);
        // A later version is answered in ours.
        let later = "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more";
        assert!(
            read(later)
                .unwrap()
                .header()
                .to_str()
                .unwrap()
                .starts_with("00-0af7")
        );
    }

    #[test]
    fn spans_of_a_trace_differ_in_their_own_id_alone() {
        let first = Context::begin();
        let second = first.child();
        assert_eq!((first.trace, first.flags), (second.trace, second.flags));
        assert_ne!(first.span, second.span);
        assert_ne!(first.trace, Context::begin().trace);
        let header = first.header();
        assert!(heard::is_trace_parent(header.as_bytes()), "{header:?}");
    }
}
