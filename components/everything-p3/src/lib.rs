//! Exports async functions beside a handler of wasi:http 0.3, which calls those of another service.
wit_bindgen::generate!({
    path: "../everything-provider/wit",
    world: "concurrent",
});

use std::time::Duration;

use fixture::everything::counters::Counter;
use fixture::everything::{harm, later};
use wasip3::clocks::monotonic_clock;
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::{spawn_local, wit_future, wit_stream};

struct Both;
export!(Both);
wasip3::http::service::export!(Both);

impl exports::fixture::everything::later::Guest for Both {
    async fn echo(text: String, ms: u32) -> String {
        pause(ms).await;
        text
    }

    async fn fallible(what: String) -> Result<u32, String> {
        match what.as_str() {
            "trap" => panic!("the provider traps on purpose"),
            "sleep" => pause(60_000).await,
            "spin" => loop {
                std::hint::black_box(0);
            },
            _ => {}
        }
        Ok(1)
    }

    async fn add(a: u32, b: u32) -> u32 {
        a + b
    }
}

impl wasip3::exports::http::handler::Guest for Both {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let path = request.get_path_with_query().unwrap_or_default();
        let mut segments = path.split('/').skip(1);
        let name = segments.next().unwrap_or_default();
        let what = segments.next().unwrap_or_default();
        let said = match name {
            "echo" => later::echo("said".to_string(), 1).await,
            "both" => {
                // Each is answered while the other is waited for.
                let one = later::echo("one".to_string(), 50);
                let two = later::echo("two".to_string(), 50);
                let (one, two) = join(one, two).await;
                format!("{one} {two}")
            }
            "calls" => {
                let mut sum = 0;
                for n in 0..what.parse().unwrap_or(0) {
                    sum = later::add(sum, n).await;
                }
                sum.to_string()
            }
            "fallible" => format!("{:?}", later::fallible(what.to_string()).await),
            "stringly" => format!("{:?}", harm::stringly(what)),
            "handles" => {
                let counter = Counter::new(1);
                let added = counter.add(2);
                format!("{added} {}", Counter::alive())
            }
            _ => "both".to_string(),
        };
        Ok(text(said))
    }
}

async fn pause(ms: u32) {
    let pause = Duration::from_millis(ms.into());
    monotonic_clock::wait_for(pause.as_nanos() as u64).await;
}

async fn join<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    let (mut a, mut b) = (Box::pin(a), Box::pin(b));
    let (mut first, mut second) = (None, None);
    std::future::poll_fn(move |cx| {
        use std::task::Poll;
        if first.is_none()
            && let Poll::Ready(value) = a.as_mut().poll(cx)
        {
            first = Some(value);
        }
        if second.is_none()
            && let Poll::Ready(value) = b.as_mut().poll(cx)
        {
            second = Some(value);
        }
        match (first.take(), second.take()) {
            (Some(first), Some(second)) => Poll::Ready((first, second)),
            (one, other) => {
                (first, second) = (one, other);
                Poll::Pending
            }
        }
    })
    .await
}

fn text(body: String) -> Response {
    let (mut writer, reader) = wit_stream::new();
    let (response, _sent) =
        Response::new(Fields::new(), Some(reader), wit_future::new(|| Ok(None)).1);
    spawn_local(async move {
        // What is left over was not wanted: the client is gone.
        writer.write_all(body.into_bytes()).await;
    });
    response
}
