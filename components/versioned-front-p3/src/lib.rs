//! Says which revision of the leaf served a request, on wasi:http 0.3, where an instance has several
//! requests at once:
//!
//! - `/wait/MS`: the leaf's version before and after so long
//! - `/stream/N/MS`: its version N times, a line each, with so many milliseconds before each, from a task
//!   that goes on after the handler has returned
//! - anything else: its version
wit_bindgen::generate!({ path: "../versioned-leaf/wit", world: "front-alone" });

use fixture::versions::leaf;
use wasip3::clocks::monotonic_clock;
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::{spawn_local, wit_future, wit_stream};

struct Front;
wasip3::http::service::export!(Front);

impl wasip3::exports::http::handler::Guest for Front {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let target = request.get_path_with_query().unwrap_or_default();
        let mut parts = target.trim_start_matches('/').split('/');
        let what = parts.next().unwrap_or_default();
        let mut number = || -> u64 { parts.next().and_then(|n| n.parse().ok()).unwrap_or(0) };
        let lines = match what {
            "stream" => {
                let (n, milliseconds) = (number(), number());
                return Ok(answer(n, milliseconds));
            }
            "wait" => {
                let before = leaf::version();
                pause(number()).await;
                format!("{before} {}\n", leaf::version())
            }
            _ => format!("{}\n", leaf::version()),
        };
        let (mut writer, reader) = wit_stream::new();
        spawn_local(async move {
            writer.write_all(lines.into_bytes()).await;
        });
        Ok(Response::new(Fields::new(), Some(reader), wit_future::new(|| Ok(None)).1).0)
    }
}

fn answer(n: u64, milliseconds: u64) -> Response {
    let (mut writer, reader) = wit_stream::new();
    spawn_local(async move {
        for _ in 0..n {
            pause(milliseconds).await;
            let line = format!("{}\n", leaf::version());
            if !writer.write_all(line.into_bytes()).await.is_empty() {
                return;
            }
        }
    });
    Response::new(Fields::new(), Some(reader), wit_future::new(|| Ok(None)).1).0
}

async fn pause(milliseconds: u64) {
    monotonic_clock::wait_for(milliseconds * 1_000_000).await;
}
