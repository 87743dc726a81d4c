//! A response, sent whole.
use crate::Problem;

#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Response {
        let headers = vec![("content-type", content_type.to_string())];
        Response {
            status,
            headers,
            body: body.into(),
        }
    }

    pub fn empty(status: u16) -> Response {
        Response {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    pub fn html(status: u16, page: String) -> Response {
        Response::new(status, "text/html; charset=utf-8", page)
    }

    /// What a service says while it is well.
    pub fn well() -> Response {
        Response::new(200, "text/plain; charset=utf-8", "well\n")
    }

    /// After a form was sent: the browser fetches `to` anew, and reloading repeats nothing.
    pub fn see_other(to: &str) -> Response {
        Response::empty(303).with("location", to)
    }

    pub fn method_not_allowed(allow: &str) -> Response {
        let problem = Problem::new(405, format!("Only {allow} is possible here."));
        Response::from(problem).with("allow", allow)
    }

    pub fn not_found() -> Response {
        Problem::new(404, "There is nothing here.").into()
    }

    pub fn with(mut self, name: &'static str, value: &str) -> Response {
        self.headers.push((name, value.to_string()));
        self
    }
}

/// Lets a handler use `?` and answer either way.
impl From<Result<Response, Problem>> for Response {
    fn from(result: Result<Response, Problem>) -> Response {
        result.unwrap_or_else(Response::from)
    }
}
