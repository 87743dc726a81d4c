//! How the services tell each other what is wrong: a status and one sentence.
use serde::{Deserialize, Serialize};

use crate::Response;

/// An answer other than the wanted one. `error` may be shown to the customer.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Problem {
    #[serde(skip)]
    pub status: u16,
    pub error: String,
}

impl Problem {
    pub fn new(status: u16, error: impl Into<String>) -> Problem {
        Problem {
            status,
            error: error.into(),
        }
    }
}

impl From<Problem> for Response {
    fn from(problem: Problem) -> Response {
        Response::json(problem.status, &problem)
    }
}
