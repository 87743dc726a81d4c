//! One outgoing request, from a query to a response; every failure as text.
use answer::Target;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    Fields, FutureIncomingResponse, IncomingBody, IncomingResponse, Method, OutgoingBody,
    OutgoingRequest, RequestOptions, Scheme,
};
use wasip2::io::streams::StreamError;

type Headers = Vec<(String, Vec<u8>)>;

pub(crate) struct Outgoing<'a> {
    target: &'a Target,
}

pub(crate) struct Pending(FutureIncomingResponse);

pub(crate) struct Fetched(IncomingResponse);

impl<'a> Outgoing<'a> {
    pub(crate) fn of(target: &'a Target) -> Outgoing<'a> {
        Outgoing { target }
    }

    pub(crate) fn send(&self) -> Result<Pending, String> {
        let request = self.request()?;
        let body = self.target.query("body");
        let outgoing = request.body().map_err(|()| "the body was taken twice")?;
        let pending = outgoing_handler::handle(request, self.options()?);
        let pending = pending.map_err(|error| format!("{error:?}"))?;
        if let Some(body) = body {
            let stream = outgoing
                .write()
                .map_err(|()| "the stream was taken twice")?;
            for piece in body.as_bytes().chunks(4096) {
                // The peer may answer without reading; its answer tells more than this error.
                if stream.blocking_write_and_flush(piece).is_err() {
                    break;
                }
            }
        }
        let _ = OutgoingBody::finish(outgoing, None);
        Ok(Pending(pending))
    }

    fn request(&self) -> Result<OutgoingRequest, String> {
        let url = self.target.value("url");
        let (scheme, rest) = url.split_once("://").ok_or("the URL has no scheme")?;
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        let refused = |what: &str| format!("the host refuses the {what} of {url:?}");
        let request = OutgoingRequest::new(self.headers()?);
        let scheme = match scheme {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            other => Scheme::Other(other.to_string()),
        };
        request
            .set_scheme(Some(&scheme))
            .map_err(|()| refused("scheme"))?;
        request
            .set_authority(Some(authority))
            .map_err(|()| refused("authority"))?;
        request
            .set_path_with_query(Some(path))
            .map_err(|()| refused("path"))?;
        let method = match self.target.query("method").unwrap_or("GET") {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "POST" => Method::Post,
            "PUT" => Method::Put,
            "DELETE" => Method::Delete,
            other => Method::Other(other.to_string()),
        };
        request
            .set_method(&method)
            .map_err(|()| refused("method"))?;
        Ok(request)
    }

    fn headers(&self) -> Result<Fields, String> {
        let fields = Fields::new();
        for (_, field) in self.target.query.iter().filter(|(key, _)| key == "header") {
            let (name, value) = field.split_once(':').unwrap_or((field, ""));
            let appended = fields.append(name, value.as_bytes());
            appended.map_err(|error| format!("header {name}: {error:?}"))?;
        }
        Ok(fields)
    }

    fn options(&self) -> Result<Option<RequestOptions>, String> {
        let nanoseconds = |key: &str| {
            let milliseconds = self.target.query(key)?.parse::<u64>().ok()?;
            Some(milliseconds * 1_000_000)
        };
        let options = RequestOptions::new();
        let set = [
            options.set_connect_timeout(nanoseconds("connect-ms")),
            options.set_first_byte_timeout(nanoseconds("first-byte-ms")),
            options.set_between_bytes_timeout(nanoseconds("between-bytes-ms")),
        ];
        match set.iter().all(Result::is_ok) {
            true => Ok(Some(options)),
            false => Err("the host refuses a time-out".to_string()),
        }
    }
}

impl Pending {
    pub(crate) fn wait(self) -> Result<Fetched, String> {
        self.0.subscribe().block();
        match self.0.get() {
            Some(Ok(Ok(response))) => Ok(Fetched(response)),
            Some(Ok(Err(error))) => Err(format!("{error:?}")),
            Some(Err(())) => Err("the response was taken twice".to_string()),
            None => Err("woken without a response".to_string()),
        }
    }
}

impl Fetched {
    pub(crate) fn status(&self) -> u16 {
        self.0.status()
    }

    pub(crate) fn whole(self) -> Result<(u16, Headers, Vec<u8>), String> {
        let (status, headers) = (self.0.status(), self.0.headers().entries());
        let mut body = Vec::new();
        self.each_chunk(|chunk| {
            body.extend_from_slice(chunk);
            true
        })?;
        Ok((status, headers, body))
    }

    /// Calls `on` with every chunk until it returns false.
    pub(crate) fn each_chunk(self, mut on: impl FnMut(&[u8]) -> bool) -> Result<(), String> {
        let body = self.0.consume().map_err(|()| "the body was taken twice")?;
        let stream = body.stream().map_err(|()| "the stream was taken twice")?;
        loop {
            match stream.blocking_read(64 * 1024) {
                Ok(chunk) if on(&chunk) => {}
                Ok(_) => return Ok(()),
                Err(StreamError::Closed) => break,
                Err(StreamError::LastOperationFailed(error)) => {
                    let code = wasip2::http::types::http_error_code(&error);
                    return Err(format!(
                        "in the body: {code:?} ({})",
                        error.to_debug_string()
                    ));
                }
            }
        }
        drop(stream);
        drop(IncomingBody::finish(body));
        Ok(())
    }
}
