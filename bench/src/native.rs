//! The native servers that Skep is held against: what a Rust user would write with hyper and
//! with axum for the same three answers that the benchmark's component gives.
//!
//! Both run on tokio's multi-thread runtime with its defaults, so they have as many workers as
//! the cores they are pinned to.

use std::convert::Infallible;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use axum::body::Body;
use axum::routing::{get, post};
use axum::{BoxError, Router};
use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;

use crate::case::{BLOB, HELLO};
use crate::remote;

/// Which library serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    Hyper,
    Axum,
    /// What suite `calls` calls, as JSON over HTTP.
    HttpCalls,
    /// The same over gRPC.
    GrpcCalls,
}

/// Serves until the process is killed.
pub(crate) fn serve(kind: Kind, listen: SocketAddr) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("starting the native server's runtime")?;
    runtime.block_on(async {
        let listener = TcpListener::bind(listen)
            .await
            .with_context(|| format!("listening on {listen}"))?;
        eprintln!("http://{}", listener.local_addr()?);
        match kind {
            Kind::Hyper => with_hyper(listener, answer).await,
            Kind::Axum => with_axum(listener).await,
            Kind::HttpCalls => remote::http(listener).await,
            Kind::GrpcCalls => remote::grpc(listener).await,
        }
    })
}

/// Answers requests on hyper's own connections, until the process is killed.
pub(crate) async fn with_hyper<F, A, B>(listener: TcpListener, answer: F) -> Result<()>
where
    F: Fn(Request<Incoming>) -> A + Copy + Send + 'static,
    A: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: hyper::body::Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    loop {
        let (stream, _) = listener.accept().await.context("accepting a connection")?;
        stream.set_nodelay(true)?;
        let connection = async move {
            // A load generator hangs up when its time is over: not worth a line.
            let _ = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service_fn(answer))
                .await;
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "a comparison server, not the host: it has no task register"
        )]
        tokio::spawn(connection);
    }
}

async fn answer(
    request: Request<Incoming>,
) -> Result<Response<Either<Full<Bytes>, Incoming>>, Infallible> {
    let plain = |body: &'static [u8], content_type: &'static str| {
        let mut response = Response::new(Either::Left(Full::new(Bytes::from_static(body))));
        let value = HeaderValue::from_static(content_type);
        response.headers_mut().insert(CONTENT_TYPE, value);
        response
    };
    Ok(match request.uri().path() {
        "/" => plain(HELLO, "text/plain"),
        "/blob" => plain(&BLOB, "application/octet-stream"),
        "/echo" => Response::new(Either::Right(request.into_body())),
        _ => {
            let mut response = plain(b"not found\n", "text/plain");
            *response.status_mut() = StatusCode::NOT_FOUND;
            response
        }
    })
}

async fn with_axum(listener: TcpListener) -> Result<()> {
    let app = Router::new()
        .route(
            "/",
            get(|| async { ([(CONTENT_TYPE, "text/plain")], Bytes::from_static(HELLO)) }),
        )
        .route("/blob", get(|| async { Bytes::from_static(&BLOB) }))
        .route("/echo", post(|body: Body| async { body }));
    let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
        // As in the hyper server; a failure only costs latency.
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, app)
        .await
        .context("serving with axum")
}
