//! Calls of suite `calls` as they are made where each service is a process: JSON over HTTP/1.1 (hyper
//! calls axum) and protobuf over gRPC (tonic calls tonic). [`server`] is one end, [`client`] the
//! other.
//!
//! tonic stands on hyper's HTTP/2 connection itself, without the balancing and buffering of its
//! channels: what is left is what no gRPC call can do without.

mod client;
mod server;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub(crate) use self::client::Client;
pub(crate) use self::server::{grpc, http};

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// A number is answered with the next one.
    Number,
    /// A string of 100 bytes is answered with itself.
    Text,
    /// 16 KiB are answered with their number.
    SmallBytes,
    /// As many as fit into 1 MiB.
    LargeBytes,
    /// A hundred flat records are answered with their number.
    Points,
    /// A hundred records with two strings are answered with their number.
    Items,
    /// A counter, known by its id, is answered with how often it was asked.
    Method,
}

impl Call {
    pub(crate) const ALL: [Call; 7] = [
        Call::Number,
        Call::Text,
        Call::SmallBytes,
        Call::LargeBytes,
        Call::Points,
        Call::Items,
        Call::Method,
    ];

    /// Under this path of both protocols.
    fn path(self) -> &'static str {
        match self {
            Call::Number => "/bench.calls.Api/AddOne",
            Call::Text => "/bench.calls.Api/Echo",
            Call::SmallBytes | Call::LargeBytes => "/bench.calls.Api/Bytes",
            Call::Points => "/bench.calls.Api/Points",
            Call::Items => "/bench.calls.Api/Items",
            Call::Method => "/bench.calls.Api/Next",
        }
    }

    /// The case of the component `caller` that makes the same call.
    pub(crate) fn case(self) -> &'static str {
        match self {
            Call::Number => "u32",
            Call::Text => "string-100",
            Call::SmallBytes => "bytes-16k",
            Call::LargeBytes => "bytes-1m",
            Call::Points => "points-100",
            Call::Items => "items-100",
            Call::Method => "method",
        }
    }
}

/// Makes a counter, and answers with its id.
const NEW_COUNTER: &str = "/bench.calls.Api/NewCounter";

/// How the processes talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http,
    Grpc,
}

#[derive(Clone, Copy, PartialEq, prost::Message, Serialize, Deserialize)]
struct Number {
    #[prost(uint32, tag = "1")]
    number: u32,
}

#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
struct Text {
    #[prost(string, tag = "1")]
    text: String,
}

/// Over HTTP they are the body as it is.
#[derive(Clone, PartialEq, prost::Message)]
struct Data {
    #[prost(bytes = "bytes", tag = "1")]
    data: Bytes,
}

#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
struct Points {
    #[prost(message, repeated, tag = "1")]
    points: Vec<Point>,
}

/// As in the interface of the component `callee`.
#[derive(Clone, Copy, PartialEq, prost::Message, Serialize, Deserialize)]
struct Point {
    #[prost(sint32, tag = "1")]
    x: i32,
    #[prost(sint32, tag = "2")]
    y: i32,
    #[prost(double, tag = "3")]
    weight: f64,
}

#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
struct Items {
    #[prost(message, repeated, tag = "1")]
    items: Vec<Item>,
}

/// As in the interface of the component `callee`.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
struct Item {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    note: String,
    #[prost(uint32, tag = "3")]
    price: u32,
}

impl Number {
    fn next(self) -> Number {
        let number = self.number.wrapping_add(1);
        Number { number }
    }
}

impl Data {
    fn of(size: usize) -> Data {
        let data = vec![7; size].into();
        Data { data }
    }

    fn count(&self) -> Number {
        let number = self.data.len() as u32;
        Number { number }
    }
}

impl Points {
    fn hundred() -> Points {
        let point = |n| Point {
            x: n,
            y: -n,
            weight: f64::from(n),
        };
        let points = (0..100).map(point).collect();
        Points { points }
    }

    fn count(&self) -> Number {
        let number = self.points.len() as u32;
        Number { number }
    }
}

impl Items {
    fn hundred() -> Items {
        let item = |price| Item {
            name: format!("item number {price}"),
            note: "as good as new".to_owned(),
            price,
        };
        let items = (0..100).map(item).collect();
        Items { items }
    }

    fn count(&self) -> Number {
        let number = self.items.len() as u32;
        Number { number }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_is_answered_over_both_protocols() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        for protocol in [Protocol::Http, Protocol::Grpc] {
            let listener = runtime
                .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
                .expect("a free port");
            let address = listener.local_addr().expect("it is bound");
            let server = runtime.spawn(async move {
                match protocol {
                    Protocol::Http => http(listener).await,
                    Protocol::Grpc => grpc(listener).await,
                }
            });
            let mut client = Client::to(protocol, address).expect("it listens");
            for call in Call::ALL {
                let count = client.call(call, |count| count < 3);
                assert_eq!(
                    count.expect("the right answers"),
                    3,
                    "{protocol:?} {call:?}"
                );
            }
            server.abort();
        }
    }
}
