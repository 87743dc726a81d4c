//! A body whose end is the end of a span.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use wasmtime_wasi_http::{Error, WasiBody};

use super::{Open, Spent};

/// The body of an answer to a request that was sent. If it is let go before its end its span counts as
/// cancelled.
pub(crate) struct Spanned {
    body: WasiBody,
    span: Option<Open>,
    /// What is said of the end of a body that breaks off.
    broken: fn(&Error) -> &'static str,
}

impl Spanned {
    pub(crate) fn new(body: WasiBody, span: Open, broken: fn(&Error) -> &'static str) -> Spanned {
        let mut spanned = Spanned {
            body,
            span: Some(span),
            broken,
        };
        spanned.look();
        spanned
    }

    /// Nobody asks for more of a body that is known to be over.
    fn look(&mut self) {
        if self.body.is_end_stream() {
            self.end("ok");
        }
    }

    fn end(&mut self, outcome: &'static str) {
        if let Some(span) = self.span.take() {
            span.end(outcome, Spent::default(), None);
        }
    }
}

impl Body for Spanned {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Ready(None) => self.end("ok"),
            Poll::Ready(Some(Err(error))) => {
                let label = (self.broken)(error);
                self.end(label);
            }
            Poll::Ready(Some(Ok(_))) => self.look(),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
