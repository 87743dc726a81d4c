//! Exports functions with streams and futures beside a handler of wasi:http 0.3, which calls those of
//! another service.
wit_bindgen::generate!({
    path: "wit",
    world: "flowing",
});

mod provided;

use std::time::Duration;

use fixture::flows::flows::{self, Reading};
use wasip3::clocks::monotonic_clock;
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::spawn_local;
use wit_bindgen::StreamReader;

struct Flows;
export!(Flows);
wasip3::http::service::export!(Flows);

impl wasip3::exports::http::handler::Guest for Flows {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let path = request.get_path_with_query().unwrap_or_default();
        let mut segments = path.split('/').skip(1);
        let name = segments.next().unwrap_or_default();
        let what = segments.next().unwrap_or_default().to_owned();
        let n = what.parse().unwrap_or(0);
        Ok(match name {
            // What the other service writes goes straight to the client.
            "proxy" => streamed(flows::bytes(n).await),
            "proxy-endless" => streamed(flows::endless().await),
            _ => text(said(name, what, n).await),
        })
    }
}

async fn said(name: &str, what: String, n: u32) -> String {
    match name {
        "bytes" => counted(flows::bytes(n).await).await,
        "readings" => {
            let all = flows::readings(n).await.collect().await;
            let last = all.last().map(|last| format!("{last:?}"));
            format!("{} {}", all.len(), last.unwrap_or_default())
        }
        "ticks" => flows::ticks(n).await.collect().await.len().to_string(),
        "taste" => {
            // Some of what has no end, and not at once.
            let mut endless = flows::endless().await;
            pause(100).await;
            let mut read = 0;
            while read < n as usize {
                let (result, bytes) = endless.read(Vec::with_capacity(1000)).await;
                read += bytes.len();
                if provided::is_over(result) {
                    return "it ended".to_owned();
                }
                pause(1).await;
            }
            "enough".to_owned()
        }
        "breaks" => counted(flows::breaks(n).await).await,
        "breaks-and-tells" => {
            let (bytes, told) = flows::breaks_and_tells(n).await;
            let bytes = counted(bytes).await;
            format!("{bytes} {:?}", told.await)
        }
        "tells" => {
            let (bytes, told) = flows::tells(n).await;
            let bytes = counted(bytes).await;
            format!("{bytes} {:?}", told.await)
        }
        "count" => {
            let (mut writer, reader) = wit_stream::new();
            spawn_local(async move {
                writer
                    .write_all((0..n).map(|number| number as u8).collect())
                    .await;
            });
            let (count, sum) = flows::count(reader).await;
            format!("{count} {sum}")
        }
        "sum" => {
            let (mut writer, reader) = wit_stream::new();
            spawn_local(async move {
                writer.write_all((0..n).collect()).await;
            });
            flows::sum(reader).await.to_string()
        }
        "names" => {
            let (mut writer, reader) = wit_stream::new();
            spawn_local(async move {
                let reading = |number| Reading {
                    ok: true,
                    at: 1,
                    name: format!("n{number}"),
                    value: None,
                };
                writer.write_all((0..n).map(reading).collect()).await;
            });
            flows::names(reader).await
        }
        "some" => {
            let (mut writer, reader) = wit_stream::new();
            let (done, mut told) = wit_stream::new();
            spawn_local(async move {
                let mut done = done;
                let mut next = 0;
                while writer.write_one(next).await.is_none() {
                    next += 1;
                }
                // Nobody reads any more; some were on their way.
                done.write_one(u8::from(next < n + 1000)).await;
            });
            let sum = flows::some(reader, n).await;
            format!("{sum} {:?}", told.next().await)
        }
        "ignored" => {
            let (mut writer, reader) = wit_stream::new();
            flows::ignore(reader).await;
            let left = writer.write_all(vec![1, 2, 3]).await;
            format!("{left:?}")
        }
        "shout" => {
            let (mut writer, reader) = wit_stream::new();
            let mut loud = flows::shout(reader).await;
            let mut heard = Vec::new();
            // One after another: each is heard before the next is said.
            for word in what.split(',') {
                writer.write_one(word.to_owned()).await;
                heard.extend(loud.next().await);
            }
            drop(writer);
            format!("{heard:?} {:?}", loud.next().await)
        }
        "back" => {
            let (mut writer, reader) = wit_stream::new();
            let back = flows::back(reader);
            spawn_local(async move {
                writer
                    .write_all((0..n).map(|number| number as u8).collect())
                    .await;
            });
            counted(back).await
        }
        "onward" => {
            // What comes from the one call goes into the next.
            let (count, sum) = flows::count(flows::bytes(n).await).await;
            format!("{count} {sum}")
        }
        "later" => {
            let later = flows::later("at last".to_owned(), n).await;
            later.await
        }
        "await" => {
            let (writer, reader) = wit_future::new(String::new);
            spawn_local(async move {
                pause(20).await;
                let _ = writer.write(what).await;
            });
            flows::await_it(reader).await
        }
        "never" => flows::never().await.await,
        "never-but-told" => format!("{:?}", flows::never_but_told().await.await),
        _ => "flows".to_owned(),
    }
}

/// How many there are, and whether each is where it should be.
async fn counted(mut bytes: StreamReader<u8>) -> String {
    let mut count = 0_usize;
    loop {
        let (result, piece) = bytes.read(Vec::with_capacity(10_000)).await;
        for byte in piece {
            if byte != count as u8 {
                return format!("no. {count} is {byte}");
            }
            count += 1;
        }
        if provided::is_over(result) {
            return count.to_string();
        }
    }
}

pub(crate) async fn pause(ms: u32) {
    let pause = Duration::from_millis(ms.into());
    monotonic_clock::wait_for(pause.as_nanos() as u64).await;
}

fn text(body: String) -> Response {
    let (mut writer, reader) = wasip3::wit_stream::new();
    spawn_local(async move {
        // What is left over was not wanted: the client is gone.
        writer.write_all(body.into_bytes()).await;
    });
    streamed(reader)
}

fn streamed(body: StreamReader<u8>) -> Response {
    let (_, trailers) = wasip3::wit_future::new(|| Ok(None));
    let (response, _sent) = Response::new(Fields::new(), Some(body), trailers);
    response
}
