//! What a guest reads of a body that comes in pieces, late, or not to its end.

use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::sync::mpsc;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;

use super::*;

type Piece = Result<Frame<Bytes>, HttpError>;

/// A body of what is sent.
fn body() -> (mpsc::UnboundedSender<Piece>, Inbound) {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let pieces = futures::stream::poll_fn(move |cx| receiver.poll_recv(cx));
    let inbound = Inbound::new(Some(StreamBody::new(pieces).boxed_unsync()), None);
    (sender, inbound)
}

fn data(text: &'static str) -> Piece {
    Ok(Frame::data(Bytes::from(text)))
}

fn now() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

#[test]
fn pieces_are_read_as_the_guest_likes() {
    let (sender, inbound) = body();
    let reader = inbound.stream().unwrap();
    assert!(inbound.stream().is_none() && inbound.has_stream());
    assert_eq!(reader.read(9).unwrap(), "");
    assert!(inbound.poll_readable(&mut now()).is_pending());
    sender.send(data("hello")).unwrap();
    sender.send(data("")).unwrap();
    sender.send(data("world")).unwrap();
    assert!(inbound.poll_readable(&mut now()).is_ready());
    assert_eq!(reader.read(0).unwrap(), "");
    assert_eq!(reader.read(3).unwrap(), "hel");
    assert_eq!(reader.read(9).unwrap(), "lo");
    assert_eq!(reader.read(9).unwrap(), "world");
    drop(sender);
    assert!(matches!(reader.read(9), Err(StreamError::Closed)));
    drop(reader);
    assert!(!inbound.has_stream() && inbound.stream().is_none());
    assert!(inbound.poll_ended(&mut now()).is_ready());
    assert!(matches!(inbound.take_trailers(), Ok(None)));
}

#[test]
fn trailers_come_whoever_read_what_was_before() {
    let trailers = HeaderMap::from_iter([(http::header::ETAG, http::HeaderValue::from(1))]);
    for read in [false, true] {
        let (sender, inbound) = body();
        sender.send(data("unread")).unwrap();
        assert!(inbound.poll_ended(&mut now()).is_pending());
        sender.send(data("x")).unwrap();
        sender.send(Ok(Frame::trailers(trailers.clone()))).unwrap();
        if read {
            let reader = inbound.stream().unwrap();
            assert_eq!(reader.read(9).unwrap(), "x");
            assert!(matches!(reader.read(9), Err(StreamError::Closed)));
        }
        assert!(inbound.poll_ended(&mut now()).is_ready());
        assert_eq!(inbound.take_trailers().unwrap().unwrap(), trailers);
    }
}

#[test]
fn an_error_is_told_once() {
    let (sender, inbound) = body();
    let reader = inbound.stream().unwrap();
    sender.send(data("x")).unwrap();
    sender.send(Err(HttpError::ConnectionTerminated)).unwrap();
    assert_eq!(reader.read(9).unwrap(), "x");
    let Err(StreamError::LastOperationFailed(error)) = reader.read(9) else {
        panic!("no error");
    };
    let code = error.downcast::<ErrorCode>().unwrap();
    assert!(matches!(code, ErrorCode::ConnectionTerminated));
    assert!(matches!(reader.read(9), Err(StreamError::Closed)));

    let (sender, inbound) = body();
    sender.send(Err(HttpError::ConnectionTerminated)).unwrap();
    assert!(inbound.poll_ended(&mut now()).is_ready());
    assert!(inbound.take_trailers().is_err());
}
