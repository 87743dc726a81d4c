//! Calls to the shop's other services, over the application's own routes.
use serde::Serialize;
use serde::de::DeserializeOwned;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    Fields, IncomingBody, IncomingResponse, Method as WasiMethod, OutgoingBody, OutgoingRequest,
    RequestOptions, Scheme,
};
use wasip2::io::streams::StreamError;

use crate::server::write_all;
use crate::{Method, Problem, Request};

/// A service on the same machine connects at once or not at all.
const CONNECT_TIMEOUT_NS: u64 = 1_000_000_000;
/// Signing in hashes a password, which is the slowest answer in the shop.
const ANSWER_TIMEOUT_NS: u64 = 4_000_000_000;
const BODY_MAX_BYTES: usize = 1024 * 1024;

/// Headers that tie a call to the request that caused it, so that the log shows them together.
const PASSED_ON: [&str; 3] = ["x-request-id", "traceparent", "tracestate"];

/// Calls services on behalf of one request.
pub struct Client {
    is_https: bool,
    authority: String,
    passed_on: Vec<(String, Vec<u8>)>,
}

/// Why a call gave no value.
#[derive(Clone, Debug)]
pub enum CallError {
    /// The service answered, with another status than wanted.
    Refused(Problem),
    /// There was no usable answer. The text is for the log.
    Failed(String),
}

impl Client {
    /// The services are where `SHOP_BASE` says (`http://HOST:PORT`); without it on this machine,
    /// at the port at which the customer found the shop. Only the port is taken from the
    /// request: its host is the client's to choose.
    pub fn on_behalf_of(request: &Request) -> Client {
        let base = std::env::var("SHOP_BASE").unwrap_or_else(|_| {
            let port = request
                .authority
                .rsplit_once(':')
                .map_or("80", |(_, port)| port);
            format!("http://127.0.0.1:{port}")
        });
        let passed_on = request
            .headers
            .iter()
            .filter(|(name, _)| PASSED_ON.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone().into_bytes()));
        Client {
            is_https: base.starts_with("https://"),
            authority: base.rsplit('/').next().unwrap_or_default().to_string(),
            passed_on: passed_on.collect(),
        }
    }

    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        self.value(&Method::Get, path, None)
    }

    pub fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, CallError> {
        self.value(&Method::Post, path, Some(json(body)?))
    }

    pub fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, CallError> {
        self.value(&Method::Put, path, Some(json(body)?))
    }

    pub fn delete(&self, path: &str) -> Result<(), CallError> {
        self.call(&Method::Delete, path, None).map(drop)
    }

    fn value<T: DeserializeOwned>(
        &self,
        method: &Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<T, CallError> {
        let answer = self.call(method, path, body)?;
        serde_json::from_slice(&answer)
            .map_err(|error| CallError::Failed(format!("{path} answered something else: {error}")))
    }

    fn call(
        &self,
        method: &Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Vec<u8>, CallError> {
        let failed = |what: String| CallError::Failed(format!("calling {path}: {what}"));
        let (status, answer) = self.exchange(method, path, body).map_err(failed)?;
        match status {
            200..=299 => Ok(answer),
            _ => match serde_json::from_slice::<Problem>(&answer) {
                Ok(problem) if status < 500 => {
                    Err(CallError::Refused(Problem { status, ..problem }))
                }
                _ => Err(failed(format!("status {status}"))),
            },
        }
    }

    fn exchange(
        &self,
        method: &Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<(u16, Vec<u8>), String> {
        let request = self.request(method, path, body.is_some())?;
        let outgoing = request.body().map_err(|()| "the body was taken twice")?;
        let pending = outgoing_handler::handle(request, Some(options()))
            .map_err(|error| format!("{error:?}"))?;
        if let Some(body) = body {
            let stream = outgoing
                .write()
                .map_err(|()| "the stream was taken twice")?;
            // The service may answer without reading it all; its answer says more than this error.
            let _ = write_all(&stream, &body);
        }
        let _ = OutgoingBody::finish(outgoing, None);
        pending.subscribe().block();
        match pending.get() {
            Some(Ok(Ok(response))) => Ok((response.status(), whole_body(&response)?)),
            Some(Ok(Err(error))) => Err(format!("{error:?}")),
            Some(Err(())) | None => Err("the host gave no response".to_string()),
        }
    }

    fn request(
        &self,
        method: &Method,
        path: &str,
        has_body: bool,
    ) -> Result<OutgoingRequest, String> {
        let mut fields = self.passed_on.clone();
        if has_body {
            fields.push(("content-type".to_string(), b"application/json".to_vec()));
        }
        let headers = Fields::from_list(&fields).map_err(|error| format!("{error:?}"))?;
        let request = OutgoingRequest::new(headers);
        let method = match method {
            Method::Get => WasiMethod::Get,
            Method::Head => WasiMethod::Head,
            Method::Post => WasiMethod::Post,
            Method::Put => WasiMethod::Put,
            Method::Delete => WasiMethod::Delete,
            Method::Other(name) => WasiMethod::Other(name.clone()),
        };
        let scheme = if self.is_https {
            Scheme::Https
        } else {
            Scheme::Http
        };
        request
            .set_method(&method)
            .and_then(|()| request.set_scheme(Some(&scheme)))
            .and_then(|()| request.set_authority(Some(&self.authority)))
            .and_then(|()| request.set_path_with_query(Some(path)))
            .map_err(|()| format!("{}{path} is no URL", self.authority))?;
        Ok(request)
    }
}

fn options() -> RequestOptions {
    let options = RequestOptions::new();
    // A host that knows no time-outs still has the deadline of the whole request.
    let _ = options.set_connect_timeout(Some(CONNECT_TIMEOUT_NS));
    let _ = options.set_first_byte_timeout(Some(ANSWER_TIMEOUT_NS));
    let _ = options.set_between_bytes_timeout(Some(ANSWER_TIMEOUT_NS));
    options
}

fn whole_body(response: &IncomingResponse) -> Result<Vec<u8>, String> {
    let body = response
        .consume()
        .map_err(|()| "the body was taken twice")?;
    let stream = body.stream().map_err(|()| "the stream was taken twice")?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(64 * 1024) {
            Ok(chunk) if bytes.len() + chunk.len() > BODY_MAX_BYTES => {
                return Err("the answer is too long".to_string());
            }
            Ok(chunk) => bytes.extend_from_slice(&chunk),
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(error)) => return Err(error.to_debug_string()),
        }
    }
    drop(stream);
    drop(IncomingBody::finish(body));
    Ok(bytes)
}

fn json(body: &impl Serialize) -> Result<Vec<u8>, CallError> {
    serde_json::to_vec(body).map_err(|error| CallError::Failed(format!("writing JSON: {error}")))
}
