//! The control API: how other processes of this user see and steer the host. HTTP over a Unix
//! socket that only its owner may use.
//!
//! So far it has what `skep ps` needs and restarts; deploys come to stand here too.

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
    let problem = serde_json::json!({
        "title": "Not Found",
        "status": 404,
        "detail": format!("there is no service `{service}`"),
    });
    (StatusCode::NOT_FOUND, Json(problem))
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
    let (_, body) = exchange(path, "GET /v1/status")?;
    serde_json::from_slice(&body).map_err(|_| ControlError::Answer {
        path: path.to_owned(),
    })
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
    let unexpected = || ControlError::Answer {
        path: path.to_owned(),
    };
    match exchange(path, &request)? {
        (200, body) => serde_json::from_slice(&body)
            .map(Some)
            .map_err(|_| unexpected()),
        (404, _) => Ok(None),
        _ => Err(unexpected()),
    }
}

/// Tells the host at `path` to restart a service; false if it has none of that name. Blocking.
///
/// # Errors
/// See [`ControlError`].
pub fn restart(path: &Path, service: &ServiceName) -> Result<bool, ControlError> {
    let (status, _) = exchange(path, &format!("POST /v1/services/{service}/restart"))?;
    match status {
        202 => Ok(true),
        404 => Ok(false),
        _ => Err(ControlError::Answer {
            path: path.to_owned(),
        }),
    }
}

/// One request, its answer's status and body.
fn exchange(path: &Path, request: &str) -> Result<(u16, Vec<u8>), ControlError> {
    let no_host = |source| ControlError::NoHost {
        path: path.to_owned(),
        source,
    };
    let mut stream = UnixStream::connect(path).map_err(no_host)?;
    stream
        .set_read_timeout(Some(ANSWER_PATIENCE))
        .map_err(no_host)?;
    stream
        .set_write_timeout(Some(ANSWER_PATIENCE))
        .map_err(no_host)?;
    // HTTP/1.0: the answer is not chunked and ends with the connection.
    let head = format!("{request} HTTP/1.0\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n");
    stream.write_all(head.as_bytes()).map_err(no_host)?;
    let mut answer = Vec::new();
    stream
        .take(ANSWER_BYTES)
        .read_to_end(&mut answer)
        .map_err(no_host)?;
    parse(&answer).ok_or_else(|| ControlError::Answer {
        path: path.to_owned(),
    })
}

fn parse(answer: &[u8]) -> Option<(u16, Vec<u8>)> {
    let head_end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..head_end]).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, answer[head_end + 4..].to_vec()))
}
