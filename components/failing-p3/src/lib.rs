//! Fails as it is told, at the stage it is told: `failing` on WASI 0.3, with the same variables and
//! paths.
use failure::Failure;
use wasip3::clocks::monotonic_clock;
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::{spawn_local, wit_future, wit_stream};

/// Long enough for the host to have sent what was written before.
const PAUSE_MS: u64 = 100;
const FOR_EVER_MS: u64 = 3_600_000;

struct Failing;
wasip3::http::service::export!(Failing);

/// Called when an instance is made, before anything else is called.
#[unsafe(export_name = "_initialize")]
extern "C" fn initialize() {
    failure::at_instantiation();
}

impl wasip3::exports::http::handler::Guest for Failing {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let path = request.get_path_with_query().unwrap_or_default();
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        let failure = segments.last().and_then(|name| Failure::named(name));
        let stage = segments.first().copied().unwrap_or_default();
        match (stage, failure) {
            ("healthz", _) => {
                if let Some(failure) = Failure::due_at("health") {
                    happen(failure).await;
                }
                Ok(answer("well\n", None))
            }
            ("request", Some(failure)) => {
                happen(failure).await;
                Ok(answer("it did not fail\n", None))
            }
            ("later", Some(failure)) => {
                pause(segments[1].parse().unwrap_or(0)).await;
                happen(failure).await;
                Ok(answer("it did not fail\n", None))
            }
            ("body", Some(failure)) => Ok(answer("a piece\n", Some(failure))),
            ("after", Some(failure)) => {
                spawn_local(async move {
                    pause(PAUSE_MS).await;
                    happen(failure).await;
                });
                Ok(answer("all of it\n", None))
            }
            _ => Ok(answer("not told to fail\n", None)),
        }
    }
}

/// Waiting is the one failure that must not keep the whole instance.
async fn happen(failure: Failure) {
    match failure {
        Failure::Deadline => pause(FOR_EVER_MS).await,
        other => other.happen(),
    }
}

async fn pause(milliseconds: u64) {
    monotonic_clock::wait_for(milliseconds * 1_000_000).await;
}

/// A response with this body, whole, or with this failure where its end should be.
fn answer(body: &'static str, then: Option<Failure>) -> Response {
    let (mut writer, reader) = wit_stream::new();
    spawn_local(async move {
        writer.write_all(body.as_bytes().to_vec()).await;
        if let Some(failure) = then {
            pause(PAUSE_MS).await;
            happen(failure).await;
        }
        drop(writer);
    });
    Response::new(Fields::new(), Some(reader), wit_future::new(|| Ok(None)).1).0
}
