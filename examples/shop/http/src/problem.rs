//! What is wrong, in terms of HTTP: a status and one sentence.
use crate::Response;

/// An answer other than the wanted one. `text` may be shown to the customer.
#[derive(Clone, Debug)]
pub struct Problem {
    pub status: u16,
    pub text: String,
}

impl Problem {
    pub fn new(status: u16, text: impl Into<String>) -> Problem {
        Problem {
            status,
            text: text.into(),
        }
    }
}

/// For whoever has no page for it.
impl From<Problem> for Response {
    fn from(problem: Problem) -> Response {
        let text = format!("{}\n", problem.text);
        Response::new(problem.status, "text/plain; charset=utf-8", text)
    }
}
