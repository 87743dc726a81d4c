//! Calls of suite `calls` as they are made where each service is a process: JSON over HTTP/1.1 (hyper
//! calls axum) and protobuf over gRPC (tonic calls tonic). [`server`] is one end, [`client`] the
//! other.
//!
//! tonic stands on hyper's HTTP/2 connection itself, without the balancing and buffering of its
//! channels: what is left is what no gRPC call can do without.

mod client;
mod server;

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
    /// A hundred records with two strings are answered with their number.
    Items,
}

impl Call {
    pub(crate) const ALL: [Call; 3] = [Call::Number, Call::Text, Call::Items];

    /// Under this path of both protocols.
    fn path(self) -> &'static str {
        match self {
            Call::Number => "/bench.calls.Api/AddOne",
            Call::Text => "/bench.calls.Api/Echo",
            Call::Items => "/bench.calls.Api/Items",
        }
    }

    /// The case of the component `caller` that makes the same call.
    pub(crate) fn case(self) -> &'static str {
        match self {
            Call::Number => "u32",
            Call::Text => "string-100",
            Call::Items => "items-100",
        }
    }
}

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
