//! The control API: how other processes of this user see and steer the host. HTTP over a Unix
//! socket that only its owner may use.
//!
//! It has what `skep ps` needs, restarts, calls, and changes of the application.

mod call;
mod deploy;

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::extract::Path as Segment;
use axum::http::StatusCode;
use axum::routing::{get, post};
use skep_core::name::ServiceName;
use skep_core::status::{Crashes, HostStatus};
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

pub use self::call::{Outcome, Refusal, Returned, call, interfaces};
pub use self::deploy::{
    Apply, Refused, Rollback, Step, apply_manifest, deploy_component, rollback,
};
use crate::host::Host;
use crate::task;

/// Why the control API cannot be had, from either side.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Another host has it.
    #[error("another host is running on {}; stop it first", path.display())]
    Taken {
        /// The socket.
        path: PathBuf,
    },
    /// The socket cannot be made.
    #[error("cannot listen on the control socket {}", path.display())]
    Listen {
        /// The socket.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Nobody answers there.
    #[error("no host answers on {}; is `skep run` running with this manifest?", path.display())]
    NoHost {
        /// The socket.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The answer is not one.
    #[error("the host on {} answered something unexpected; is it of another version?", path.display())]
    Answer {
        /// The socket.
        path: PathBuf,
    },
}

impl ControlError {
    fn unexpected(path: &Path) -> ControlError {
        ControlError::Answer {
            path: path.to_owned(),
        }
    }
}

/// A running control server; its socket goes with it.
pub struct Control {
    path: PathBuf,
    server: JoinHandle<Option<()>>,
}

impl Control {
    /// Serves the control API of `host` at `path`. Called once, on the runtime.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub fn start(path: &Path, host: &Host) -> Result<Control, ControlError> {
        let listen = |source| ControlError::Listen {
            path: path.to_owned(),
            source,
        };
        if UnixStream::connect(path).is_ok() {
            return Err(ControlError::Taken {
                path: path.to_owned(),
            });
        }
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory).map_err(listen)?;
        }
        // Left behind by a host that was killed: nobody answers on it.
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(listen(error));
            }
            _ => {}
        }
        let socket = UnixListener::bind(path).map_err(listen)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(listen)?;
        let router = router(host);
        let server = task::spawn(task::Kind::Server, async move {
            if let Err(error) = axum::serve(socket, router).await {
                tracing::error!("the control server ended: {error}");
            }
        });
        Ok(Control {
            path: path.to_owned(),
            server,
        })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.server.abort();
        let _ = std::fs::remove_file(&self.path);
    }
}

fn router(host: &Host) -> Router {
    let (status, restarts, crashes) = (host.status(), host.restarts(), host.crashes());
    let crashes_of_one = crashes.clone();
    let restart = move |Segment(service): Segment<String>| async move {
        if restarts(&service) {
            Ok((
                StatusCode::ACCEPTED,
                Json(serde_json::json!({ "service": service })),
            ))
        } else {
            Err(no_service(&service))
        }
    };
    // These look at files.
    let one = move |Segment(service): Segment<String>| {
        let crashes = crashes_of_one.clone();
        apart(move || {
            crashes(Some(&service))
                .map(Json)
                .ok_or_else(|| no_service(&service))
        })
    };
    let all = move || {
        let crashes = crashes.clone();
        apart(move || Json(crashes(None)))
    };
    let status = move || {
        let status = status.clone();
        apart(move || Json(status()))
    };
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/crashes", get(all))
        .route("/v1/services/{service}/crashes", get(one))
        .route("/v1/services/{service}/restart", post(restart))
        .merge(call::routes(host.callees()))
        .merge(deploy::routes(host.running().clone()))
}

/// What a function answers that blocks.
async fn apart<T: Send + 'static>(
    answer: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StatusCode> {
    tokio::task::spawn_blocking(answer)
        .await
        .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

fn no_service(service: &str) -> (StatusCode, Json<serde_json::Value>) {
    let none = format!("there is no service `{service}`");
    problem(StatusCode::NOT_FOUND, &none)
}

/// A problem document (RFC 9457).
fn problem(status: StatusCode, detail: &str) -> (StatusCode, Json<serde_json::Value>) {
    let problem = serde_json::json!({
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "detail": detail,
    });
    (status, Json(problem))
}

/// How long a host may take to answer a question.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);

/// An answer that is longer is not one.
const ANSWER_BYTES: u64 = 16 << 20;

/// Asks the host at `path` how it stands. Blocking.
///
/// # Errors
/// See [`ControlError`].
pub fn ask(path: &Path) -> Result<HostStatus, ControlError> {
    let (_, body) = exchange(path, &Question::new("GET /v1/status"))?;
    serde_json::from_slice(&body).map_err(|_| ControlError::unexpected(path))
}

/// Asks the host at `path` for the latest crashes of a service, or of all; none if it has none of
/// that name. Blocking.
///
/// # Errors
/// See [`ControlError`].
pub fn crashes(
    path: &Path,
    service: Option<&ServiceName>,
) -> Result<Option<Vec<Crashes>>, ControlError> {
    let request = match service {
        Some(service) => format!("GET /v1/services/{service}/crashes"),
        None => "GET /v1/crashes".to_owned(),
    };
    match exchange(path, &Question::new(&request))? {
        (200, body) => serde_json::from_slice(&body)
            .map(Some)
            .map_err(|_| ControlError::unexpected(path)),
        (404, _) => Ok(None),
        _ => Err(ControlError::unexpected(path)),
    }
}

/// Tells the host at `path` to restart a service; false if it has none of that name. Blocking.
///
/// # Errors
/// See [`ControlError`].
pub fn restart(path: &Path, service: &ServiceName) -> Result<bool, ControlError> {
    let request = format!("POST /v1/services/{service}/restart");
    let (status, _) = exchange(path, &Question::new(&request))?;
    match status {
        202 => Ok(true),
        404 => Ok(false),
        _ => Err(ControlError::unexpected(path)),
    }
}

/// What a host is asked.
struct Question<'a> {
    /// `GET /v1/status`
    request: &'a str,
    /// JSON, or nothing.
    body: Vec<u8>,
    /// For how long its answer is waited for; none: as long as there is a host.
    patience: Option<Duration>,
    /// The generation that it is about, if only that.
    expected: Option<u64>,
}

impl Question<'_> {
    /// One that is answered at once.
    fn new(request: &str) -> Question<'_> {
        Question {
            request,
            body: Vec::new(),
            patience: Some(ANSWER_PATIENCE),
            expected: None,
        }
    }
}

/// One request, its answer's status and body.
fn exchange(path: &Path, question: &Question<'_>) -> Result<(u16, Vec<u8>), ControlError> {
    let no_host = |source| ControlError::NoHost {
        path: path.to_owned(),
        source,
    };
    let mut stream = UnixStream::connect(path).map_err(no_host)?;
    stream
        .set_read_timeout(question.patience)
        .map_err(no_host)?;
    stream
        .set_write_timeout(Some(ANSWER_PATIENCE))
        .map_err(no_host)?;
    // HTTP/1.0: the answer is not chunked and ends with the connection.
    let expected = question.expected;
    let condition = expected.map_or_else(String::new, |n| format!("if-match: \"{n}\"\r\n"));
    let head = format!(
        "{} HTTP/1.0\r\nhost: localhost\r\ncontent-type: application/json\r\n{condition}\
         content-length: {}\r\n\r\n",
        question.request,
        question.body.len()
    );
    stream.write_all(head.as_bytes()).map_err(no_host)?;
    // A host that does not want all of it says so.
    let _ = stream.write_all(&question.body);
    let mut answer = Vec::new();
    stream
        .take(ANSWER_BYTES)
        .read_to_end(&mut answer)
        .map_err(no_host)?;
    parse(&answer).ok_or_else(|| ControlError::unexpected(path))
}

fn parse(answer: &[u8]) -> Option<(u16, Vec<u8>)> {
    let head_end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..head_end]).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, answer[head_end + 4..].to_vec()))
}
