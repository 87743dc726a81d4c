//! The callee's process.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::Path;
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

use super::{Call, Data, Items, NEW_COUNTER, Number, Points, Text};
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
            Call::SmallBytes.path(),
            post(|data| async { answered(Data { data }.count()) }),
        )
        .route(
            Call::Points.path(),
            post(|body| async { json(body, |points: Points| points.count()) }),
        )
        .route(
            Call::Items.path(),
            post(|body| async { json(body, |items: Items| items.count()) }),
        )
        .route(NEW_COUNTER, post(|| async { answered(new_counter()) }))
        .route(
            &format!("{}/{{id}}", Call::Method.path()),
            get(|Path(number)| async move { answered(count(Number { number })) }),
        );
    let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
        // A failure only costs latency.
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, app)
        .await
        .context("answering calls as HTTP")
}

/// The counters that clients have made; the id of each is its place.
static COUNTERS: Mutex<Vec<u32>> = Mutex::new(Vec::new());

fn new_counter() -> Number {
    let mut counters = COUNTERS.lock().unwrap_or_else(PoisonError::into_inner);
    counters.push(0);
    let number = counters.len() as u32 - 1;
    Number { number }
}

/// What the counter with this id says.
fn count(id: Number) -> Number {
    let mut counters = COUNTERS.lock().unwrap_or_else(PoisonError::into_inner);
    let counter = counters.get_mut(id.number as usize);
    let number = counter.map_or(0, |counter| {
        *counter = counter.wrapping_add(1);
        *counter
    });
    Number { number }
}

fn json<Q: DeserializeOwned, A: Serialize>(
    body: Bytes,
    answer: impl Fn(Q) -> A,
) -> Result<Vec<u8>, StatusCode> {
    let question = serde_json::from_slice(&body).map_err(|_| StatusCode::BAD_REQUEST)?;
    answered(answer(question))
}

fn answered(answer: impl Serialize) -> Result<Vec<u8>, StatusCode> {
    serde_json::to_vec(&answer).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

/// Answers calls as gRPC, as [`http`] does.
pub(crate) async fn grpc(listener: TcpListener) -> Result<()> {
    native::with_hyper(listener, answer).await
}

async fn answer(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path();
    if path == NEW_COUNTER {
        return Ok(unary(request, |_: Number| new_counter()).await);
    }
    let Some(call) = Call::ALL.into_iter().find(|call| call.path() == path) else {
        return Ok(Response::new(Body::empty()));
    };
    Ok(match call {
        Call::Number => unary(request, Number::next).await,
        Call::Text => unary(request, |text: Text| text).await,
        Call::SmallBytes | Call::LargeBytes => unary(request, |data: Data| data.count()).await,
        Call::Points => unary(request, |points: Points| points.count()).await,
        Call::Items => unary(request, |items: Items| items.count()).await,
        Call::Method => unary(request, count).await,
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
