//! The caller's process: one call after the other, over one connection.

use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{self, Poll};

use anyhow::{Context, Result, ensure};
use axum::http::request;
use axum::http::uri::PathAndQuery;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tonic::client::{Grpc, GrpcService};
use tonic_prost::ProstCodec;

use super::{Call, Data, Items, NEW_COUNTER, Number, Points, Protocol, Text};

/// A client with a thread of its caller's.
#[derive(Debug)]
pub(crate) struct Client {
    runtime: Runtime,
    connection: Connection,
}

#[derive(Debug)]
enum Connection {
    Http(Http1),
    Grpc(Grpc<Http2>),
}

#[derive(Debug)]
struct Http1 {
    sender: http1::SendRequest<Full<Bytes>>,
    server: SocketAddr,
}

impl Client {
    pub(crate) fn to(protocol: Protocol, server: SocketAddr) -> Result<Client> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("starting the client's runtime")?;
        let connection = runtime.block_on(Connection::to(protocol, server))?;
        Ok(Client {
            runtime,
            connection,
        })
    }

    /// Makes the call as often as it is told to go on. Each answer is looked at.
    ///
    /// # Errors
    /// If a call fails, or is answered with anything else.
    pub(crate) fn call(&mut self, call: Call, go_on: impl FnMut(u64) -> bool) -> Result<u64> {
        let calls = self.connection.calls(call, go_on);
        self.runtime.block_on(calls)
    }
}

impl Connection {
    async fn to(protocol: Protocol, server: SocketAddr) -> Result<Connection> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        let stream = TokioIo::new(stream);
        Ok(match protocol {
            Protocol::Http => {
                let (sender, connection) = http1::handshake(stream).await?;
                drive(connection);
                Connection::Http(Http1 { sender, server })
            }
            Protocol::Grpc => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
                drive(connection);
                let origin: Uri = format!("http://{server}").parse()?;
                Connection::Grpc(Grpc::with_origin(Http2(sender), origin))
            }
        })
    }

    async fn calls(&mut self, call: Call, mut go_on: impl FnMut(u64) -> bool) -> Result<u64> {
        let text = Text {
            text: "0123456789".repeat(10),
        };
        let (points, items) = (Points::hundred(), Items::hundred());
        let data = Data::of(match call {
            Call::SmallBytes => 16 << 10,
            Call::LargeBytes => 1 << 20,
            _ => 0,
        });
        let counter = match call {
            Call::Method => self.json(NEW_COUNTER, Number::default()).await?,
            _ => Number::default(),
        };
        let path = call.path();
        let mut count = 0;
        while go_on(count) {
            let right = match call {
                Call::Number => {
                    let number = Number {
                        number: count as u32,
                    };
                    self.json::<_, Number>(path, number).await? == number.next()
                }
                Call::Text => self.json::<_, Text>(path, text.clone()).await? == text,
                Call::SmallBytes | Call::LargeBytes => {
                    self.bytes(path, data.clone()).await? == data.count()
                }
                Call::Points => {
                    self.json::<_, Number>(path, points.clone()).await? == points.count()
                }
                Call::Items => self.json::<_, Number>(path, items.clone()).await? == items.count(),
                Call::Method => self.method(path, counter).await?.number == count as u32 + 1,
            };
            ensure!(right, "{path} is answered with something else");
            count += 1;
        }
        Ok(count)
    }

    /// A message, as JSON where it goes over HTTP.
    async fn json<Q, A>(&mut self, path: &'static str, question: Q) -> Result<A>
    where
        Q: prost::Message + Serialize + 'static,
        A: prost::Message + DeserializeOwned + Default + 'static,
    {
        match self {
            Connection::Http(http) => {
                let body = serde_json::to_vec(&question)?;
                http.ask(
                    Request::post(path).header("content-type", "application/json"),
                    body,
                )
                .await
            }
            Connection::Grpc(client) => unary(client, path, question).await,
        }
    }

    /// Bytes, which are a body by themselves.
    async fn bytes(&mut self, path: &'static str, data: Data) -> Result<Number> {
        match self {
            Connection::Http(http) => http.ask(Request::post(path), data.data).await,
            Connection::Grpc(client) => unary(client, path, data).await,
        }
    }

    /// What has an id, which is part of the path where it goes over HTTP.
    async fn method(&mut self, path: &'static str, id: Number) -> Result<Number> {
        match self {
            Connection::Http(http) => {
                let path = format!("{path}/{}", id.number);
                http.ask(Request::get(path), Bytes::new()).await
            }
            Connection::Grpc(client) => unary(client, path, id).await,
        }
    }
}

impl Http1 {
    /// Sends a request, and reads the answer as JSON.
    async fn ask<A: DeserializeOwned>(
        &mut self,
        request: request::Builder,
        body: impl Into<Bytes>,
    ) -> Result<A> {
        let request = request.header("host", self.server.to_string());
        let request = request.body(Full::new(body.into()))?;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        ensure!(status.is_success(), "answered with status {status}");
        let body = response.into_body().collect().await?.to_bytes();
        Ok(serde_json::from_slice(&body)?)
    }
}

async fn unary<Q, A>(client: &mut Grpc<Http2>, path: &'static str, question: Q) -> Result<A>
where
    Q: prost::Message + 'static,
    A: prost::Message + Default + 'static,
{
    client.ready().await.context("the connection is lost")?;
    let path = PathAndQuery::from_static(path);
    let codec = ProstCodec::<Q, A>::default();
    let request = tonic::Request::new(question);
    Ok(client.unary(request, path, codec).await?.into_inner())
}

fn drive<E>(connection: impl Future<Output = Result<(), E>> + Send + 'static) {
    let connection = async move {
        // How it ended is told to whoever waits for an answer.
        let _ = connection.await;
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "a client of the bench, not the host: it has no task register"
    )]
    tokio::spawn(connection);
}

/// One connection, as tonic's clients want it.
#[derive(Clone, Debug)]
struct Http2(http2::SendRequest<tonic::body::Body>);

impl GrpcService<tonic::body::Body> for Http2 {
    type ResponseBody = Incoming;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = hyper::Result<Response<Incoming>>> + Send>>;

    fn poll_ready(&mut self, cx: &mut task::Context<'_>) -> Poll<hyper::Result<()>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}
