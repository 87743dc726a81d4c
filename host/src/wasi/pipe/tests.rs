//! What one end writes, the other reads; every end is told of the other's.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use http_body_util::BodyExt;

use super::*;

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn poll(outlet: &mut Outlet, waker: &Waker) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
    Pin::new(outlet).poll_frame(&mut Context::from_waker(waker))
}

fn data(outlet: &mut Outlet) -> Option<Bytes> {
    match poll(outlet, Waker::noop()) {
        Poll::Ready(Some(Ok(frame))) => frame.into_data().ok(),
        _ => None,
    }
}

#[test]
fn pieces_come_in_order_and_then_the_end() {
    let (inlet, mut outlet) = pipe(Message::Response, None, Buffers::of_nobody());
    let writer = inlet.stream().unwrap();
    assert!(inlet.stream().is_none() && inlet.has_stream());
    for piece in ["one", "", "two", "three"] {
        writer.write(Bytes::from(piece)).unwrap();
    }
    drop(writer);
    assert!(!inlet.has_stream() && inlet.stream().is_none());
    for piece in ["one", "two", "three"] {
        assert_eq!(data(&mut outlet).unwrap(), piece);
    }
    assert!(poll(&mut outlet, Waker::noop()).is_pending());
    inlet.finish(None).unwrap();
    assert!(matches!(
        poll(&mut outlet, Waker::noop()),
        Poll::Ready(None)
    ));
}

#[test]
fn a_body_that_is_let_go_is_broken() {
    let (inlet, mut outlet) = pipe(Message::Response, None, Buffers::of_nobody());
    let writer = inlet.stream().unwrap();
    writer.write(Bytes::from("half")).unwrap();
    drop((inlet, writer));
    assert_eq!(data(&mut outlet).unwrap(), "half");
    let end = poll(&mut outlet, Waker::noop());
    assert!(matches!(
        end,
        Poll::Ready(Some(Err(HttpError::HttpProtocolError)))
    ));
}

#[test]
fn trailers_end_it() {
    let (inlet, mut outlet) = pipe(Message::Response, Some(0), Buffers::of_nobody());
    let trailers = HeaderMap::from_iter([(http::header::ETAG, http::HeaderValue::from(1))]);
    inlet.finish(Some(trailers.clone())).unwrap();
    let Poll::Ready(Some(Ok(frame))) = poll(&mut outlet, Waker::noop()) else {
        panic!("no trailers");
    };
    assert_eq!(frame.into_trailers().unwrap(), trailers);
    assert!(matches!(
        poll(&mut outlet, Waker::noop()),
        Poll::Ready(None)
    ));
}

#[test]
fn a_declared_length_is_kept() {
    let (inlet, mut outlet) = pipe(Message::Request, Some(5), Buffers::of_nobody());
    let writer = inlet.stream().unwrap();
    writer.write(Bytes::from("four")).unwrap();
    let error = writer.write(Bytes::from("more")).unwrap_err();
    let StreamError::LastOperationFailed(error) = error else {
        panic!("{error}");
    };
    let code = error.downcast::<ErrorCode>().unwrap();
    assert!(matches!(code, ErrorCode::HttpRequestBodySize(Some(8))));
    drop(writer);
    let error = inlet.finish(None).unwrap_err();
    assert!(matches!(error, ErrorCode::HttpRequestBodySize(Some(8))));
    // Nothing beyond the declared length goes out.
    assert_eq!(data(&mut outlet).unwrap(), "four");
    assert!(matches!(
        poll(&mut outlet, Waker::noop()),
        Poll::Ready(Some(Err(_)))
    ));

    let (inlet, _outlet) = pipe(Message::Response, Some(5), Buffers::of_nobody());
    let error = inlet.finish(None).unwrap_err();
    assert!(matches!(error, ErrorCode::HttpResponseBodySize(Some(0))));
}

#[test]
fn it_holds_so_much_and_no_more() {
    let (inlet, mut outlet) = pipe(Message::Response, None, Buffers::of_nobody());
    let writer = inlet.stream().unwrap();
    assert_eq!(writer.room().unwrap(), BYTES);
    assert!(matches!(
        writer.write(Bytes::from(vec![0; BYTES + 1])),
        Err(StreamError::Trap(_))
    ));
    writer.write(Bytes::from(vec![0; BYTES])).unwrap();
    assert_eq!(writer.room().unwrap(), 0);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let cx = &mut Context::from_waker(&waker);
    assert!(writer.waiting().poll(cx).is_pending());
    assert_eq!(data(&mut outlet).unwrap().len(), BYTES);
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    assert!(writer.waiting().poll(cx).is_ready());

    let mut pieces = 0;
    while writer.write_if_room(Bytes::from("x")).unwrap().is_none() {
        pieces += 1;
    }
    assert_eq!(pieces, PIECES);
}

#[test]
fn who_waits_is_woken() {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let count = || woken.0.load(Ordering::Relaxed);
    let (inlet, mut outlet) = pipe(Message::Response, None, Buffers::of_nobody());
    let writer = inlet.stream().unwrap();
    assert!(poll(&mut outlet, &waker).is_pending());
    writer.write(Bytes::from("x")).unwrap();
    assert_eq!(count(), 1);
    assert!(poll(&mut outlet, &waker).is_ready());
    assert!(poll(&mut outlet, &waker).is_pending());
    drop(writer);
    inlet.finish(None).unwrap();
    assert_eq!(count(), 2);

    let (inlet, outlet) = pipe(Message::Response, None, Buffers::of_nobody());
    let writer = inlet.stream().unwrap();
    writer.write(Bytes::from(vec![0; BYTES])).unwrap();
    let waiting = writer.waiting();
    assert!(waiting.poll(&mut Context::from_waker(&waker)).is_pending());
    drop(outlet);
    assert_eq!(count(), 3);
    assert!(matches!(writer.room(), Err(StreamError::Closed)));
    assert!(matches!(writer.flush(), Err(StreamError::Closed)));
    assert!(matches!(
        writer.write(Bytes::from("x")),
        Err(StreamError::Closed)
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ends_on_two_threads_lose_nothing() {
    let (inlet, outlet) = pipe(Message::Response, None, Buffers::of_nobody());
    let writing = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Handle::current();
        let writer = inlet.stream().unwrap();
        let mut total = 0_u64;
        for round in 0..2000_u32 {
            let mut piece = Bytes::from(vec![round as u8; (round as usize * 37) % 5000 + 1]);
            let waiting = writer.waiting();
            total += piece.len() as u64;
            while let Some(back) = writer.write_if_room(piece).unwrap() {
                piece = back;
                runtime.block_on(std::future::poll_fn(|cx| waiting.poll(cx)));
                std::thread::yield_now();
            }
        }
        drop(writer);
        inlet.finish(None).unwrap();
        total
    });
    let read = outlet.collect().await.unwrap().to_bytes().len() as u64;
    assert_eq!(read, writing.await.unwrap());
}

#[test]
fn what_waits_is_counted_until_it_is_taken_and_refused_beyond_the_limit() {
    use crate::memory::{HostMemory, ServiceMemory};

    let service = ServiceMemory::new(u64::MAX, HostMemory::new(u64::MAX));
    let buffers = Buffers::new(service, 100_000);
    let (inlet, mut outlet) = pipe(Message::Response, None, buffers.clone());
    let writer = inlet.stream().unwrap();
    writer.write(Bytes::from(vec![0; 60_000])).unwrap();
    assert_eq!(buffers.held(), 60_000);
    // Small pieces are counted too once they pile up.
    writer.write(Bytes::from(vec![0; 100])).unwrap();
    assert_eq!(buffers.held(), 60_100);
    assert!(writer.write(Bytes::from(vec![0; 60_000])).is_err());
    let Poll::Ready(Some(Ok(frame))) = poll(&mut outlet, Waker::noop()) else {
        panic!("the first piece is there");
    };
    assert_eq!(buffers.held(), 60_100, "whoever has it holds it");
    drop(frame);
    assert_eq!(buffers.held(), 100);
    drop((writer, inlet, outlet));
    assert_eq!(buffers.held(), 0);
}
