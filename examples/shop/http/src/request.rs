//! A request, read whole.
use crate::Form;

#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Other(String),
}

#[derive(Clone, Debug)]
pub struct Request {
    pub method: Method,
    /// The path, still percent-encoded, without the query.
    pub path: String,
    pub query: Form,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// `host:port` as the client sees this application.
    pub authority: String,
    pub is_https: bool,
    pub body: Vec<u8>,
}

impl Request {
    /// The path's parts, to be matched: `/cart/add` → `["cart", "add"]`.
    pub fn segments(&self) -> Vec<&str> {
        self.path
            .split('/')
            .filter(|part| !part.is_empty())
            .collect()
    }

    /// The method to match on: HEAD is answered like GET, and the server leaves the body out.
    pub fn verb(&self) -> &Method {
        match &self.method {
            Method::Head => &Method::Get,
            other => other,
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    pub fn cookie(&self, name: &str) -> Option<&str> {
        let cookies = self.headers.iter().filter(|(known, _)| known == "cookie");
        cookies
            .flat_map(|(_, value)| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    }

    /// The body of a form that a page has sent.
    pub fn form(&self) -> Form {
        Form::parse(&String::from_utf8_lossy(&self.body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_found_in_any_place() {
        let request = Request {
            method: Method::Get,
            path: "//cart/add/".to_string(),
            query: Form::parse(""),
            headers: vec![("cookie".to_string(), "a=1; session=xyz;b=2".to_string())],
            authority: String::new(),
            is_https: false,
            body: Vec::new(),
        };
        assert_eq!(request.cookie("session"), Some("xyz"));
        assert_eq!(request.cookie("b"), Some("2"));
        assert_eq!(request.cookie("c"), None);
        assert_eq!(request.segments(), ["cart", "add"]);
    }
}
