//! The callee's process.

use std::convert::Infallible;
use std::future::{Ready, ready};

use anyhow::{Context, Result};
use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::{Request, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;
use tonic::Status;
use tonic::body::Body;
use tonic::server::{Grpc, UnaryService};
use tonic_prost::ProstCodec;

use super::{Call, Items, Number, Text};
use crate::native;

/// Answers calls as JSON, until the process is killed. `GET /` is answered too: it is up.
pub(crate) async fn http(listener: TcpListener) -> Result<()> {
    let app = Router::new()
        .route("/", get(|| async { "ready" }))
        .route(
            Call::Number.path(),
            post(|body| async { json(body, Number::next) }),
        )
        .route(
            Call::Text.path(),
            post(|body| async { json(body, |text: Text| text) }),
        )
        .route(
            Call::Items.path(),
            post(|body| async { json(body, |items: Items| items.count()) }),
        );
    let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
        // A failure only costs latency.
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, app)
        .await
        .context("answering calls as HTTP")
}

fn json<Q: DeserializeOwned, A: Serialize>(
    body: Bytes,
    answer: impl Fn(Q) -> A,
) -> Result<Vec<u8>, StatusCode> {
    let question = serde_json::from_slice(&body).map_err(|_| StatusCode::BAD_REQUEST)?;
    serde_json::to_vec(&answer(question)).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

/// Answers calls as gRPC, as [`http`] does.
pub(crate) async fn grpc(listener: TcpListener) -> Result<()> {
    native::with_hyper(listener, answer).await
}

async fn answer(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path();
    let Some(call) = Call::ALL.into_iter().find(|call| call.path() == path) else {
        return Ok(Response::new(Body::empty()));
    };
    Ok(match call {
        Call::Number => unary(request, Number::next).await,
        Call::Text => unary(request, |text: Text| text).await,
        Call::Items => unary(request, |items: Items| items.count()).await,
    })
}

async fn unary<Q, A>(request: Request<Incoming>, answer: fn(Q) -> A) -> Response<Body>
where
    Q: prost::Message + Default + 'static,
    A: prost::Message + 'static,
{
    let mut server = Grpc::new(ProstCodec::<A, Q>::default());
    server.unary(Function(answer), request).await
}

struct Function<Q, A>(fn(Q) -> A);

impl<Q, A> UnaryService<Q> for Function<Q, A> {
    type Response = A;
    type Future = Ready<Result<tonic::Response<A>, Status>>;

    fn call(&mut self, request: tonic::Request<Q>) -> Self::Future {
        ready(Ok(tonic::Response::new((self.0)(request.into_inner()))))
    }
}
