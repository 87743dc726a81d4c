//! Asks a service whether it is well, through the same path as any request.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use skep_core::health::HealthCheck;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;

use crate::gateway::RequestId;
use crate::gateway::body::IncomingBody;
use crate::service::{Call, Refused, Revision, Service};

/// Guests see this as the authority of a probe.
const AUTHORITY: &str = "localhost";

/// Why a probe failed.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The path of the check is no path.
    #[error("health check: `{0}` is not a path")]
    Path(String),
    /// The service said something else than 200 to 399.
    #[error("health check: {path} answered {status}")]
    Status {
        /// The path asked for.
        path: String,
        /// The status answered.
        status: u16,
    },
    /// The service did not answer.
    #[error("health check: {path}: {reason}")]
    Refused {
        /// The path asked for.
        path: String,
        /// Why not, with causes.
        reason: String,
    },
    /// Its answer took too long.
    #[error("health check: {path} took longer than {timeout:?}")]
    Timeout {
        /// The path asked for.
        path: String,
        /// `health.timeout`.
        timeout: Duration,
    },
}

/// Probes a revision once: well is a status from 200 to 399 whose body comes to its end.
pub(crate) async fn probe(
    service: &Arc<Service>,
    revision: &Arc<Revision>,
    check: &HealthCheck,
) -> Result<(), ProbeError> {
    let path = check.path.clone();
    let request = http::Request::get(format!("http://{AUTHORITY}{path}"))
        .header(http::header::HOST, AUTHORITY)
        .header(
            "user-agent",
            concat!("skep/", env!("CARGO_PKG_VERSION"), " (health check)"),
        )
        .body(IncomingBody::empty())
        .map_err(|_| ProbeError::Path(path.clone()))?;
    let call = Call {
        scheme: Scheme::Http,
        request,
        stamp: None,
        request_id: RequestId::named("health-check"),
        generation: None,
        trace: None,
        depth: 0,
        deadline: Some(check.timeout),
        route: None,
        head_only: false,
    };
    let answered = async {
        let (answer, _) = service.call_revision(revision.clone(), call).await;
        let response = answer.map_err(|refused| ProbeError::Refused {
            path: path.clone(),
            reason: reason(&refused),
        })?;
        let status = response.status();
        let whole = response.into_body().collect().await;
        whole.map_err(|error| ProbeError::Refused {
            path: path.clone(),
            reason: crate::log::chain(&error).to_string(),
        })?;
        if status.is_success() || status.is_redirection() {
            return Ok(());
        }
        Err(ProbeError::Status {
            path: path.clone(),
            status: status.as_u16(),
        })
    };
    match tokio::time::timeout(check.timeout, answered).await {
        Ok(result) => result,
        Err(_) => Err(ProbeError::Timeout {
            path: path.clone(),
            timeout: check.timeout,
        }),
    }
}

fn reason(refused: &Refused) -> String {
    match refused {
        Refused::Closed(closed) => closed.reason.clone(),
        Refused::Shed(shed) => format!("no room ({shed:?})"),
        Refused::Failed(failure) => crate::log::chain(&**failure).to_string(),
    }
}
