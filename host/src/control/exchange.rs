//! One request to a host, and its answer: whole, or line by line while the host is at it. Blocks.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::time::Duration;

use serde::Serialize;

use super::steps::{Line, NDJSON};
use super::{ControlError, Endpoint, Problem};
use crate::deploy::StepBegun;

/// How long a host may take to answer a question.
pub(super) const ANSWER_PATIENCE: Duration = Duration::from_secs(5);

/// An answer that is longer is not one.
const ANSWER_BYTES: u64 = 16 << 20;

/// What a host is asked.
pub(super) struct Question<'a> {
    /// `GET /v1/status`
    pub(super) request: &'a str,
    pub(super) body: Vec<u8>,
    /// The body's media type.
    pub(super) kind: &'static str,
    /// For how long each piece of the answer is waited for; none: as long as there is a host.
    pub(super) patience: Option<Duration>,
    /// The generation that it is about, if only that.
    pub(super) expected: Option<u64>,
    /// Who is told of each step while the host is at it.
    pub(super) told: Option<&'a dyn Fn(StepBegun)>,
}

impl Question<'_> {
    /// One without a body that is answered at once.
    pub(super) fn new(request: &str) -> Question<'_> {
        Question {
            request,
            body: Vec::new(),
            kind: "application/json",
            patience: Some(ANSWER_PATIENCE),
            expected: None,
            told: None,
        }
    }

    /// One with a body of JSON, whose answer takes as long as it takes.
    pub(super) fn json<'a>(
        host: &Endpoint,
        request: &'a str,
        asked: &impl Serialize,
    ) -> Result<Question<'a>, ControlError> {
        let body = serde_json::to_vec(asked).map_err(|_| host.unexpected())?;
        Ok(Question {
            body,
            patience: None,
            ..Question::new(request)
        })
    }

    /// One with a component, whose answer takes as long as it takes.
    pub(super) fn component(
        request: &str,
        component: Vec<u8>,
        expected: Option<u64>,
    ) -> Question<'_> {
        Question {
            body: component,
            kind: "application/wasm",
            patience: None,
            expected,
            ..Question::new(request)
        }
    }

    /// HTTP/1.0: the answer is not chunked and ends with the connection.
    fn head(&self, host: &Endpoint) -> String {
        let (request, kind, length) = (self.request, self.kind, self.body.len());
        let mut fields = host.fields();
        if let Some(generation) = self.expected {
            fields += &format!("if-match: \"{generation}\"\r\n");
        }
        if self.told.is_some() {
            fields += &format!("accept: {NDJSON}, application/json\r\n");
        }
        format!(
            "{request} HTTP/1.0\r\n{fields}content-type: {kind}\r\ncontent-length: {length}\r\n\r\n"
        )
    }
}

impl Endpoint {
    /// Asks, and answers status and body: those of the last line, where the answer comes in lines.
    pub(super) fn exchange(&self, question: &Question<'_>) -> Result<(u16, Vec<u8>), ControlError> {
        let silent = |error| self.silent(error);
        let mut stream = self.connect(question.patience)?;
        let head = question.head(self);
        stream.write_all(head.as_bytes()).map_err(silent)?;
        let sent = stream.write_all(&question.body);
        match sent.and_then(|()| stream.flush()) {
            // It takes no more, and will not answer before it has all.
            Err(error) if is_late(&error) => return Err(silent(error)),
            // One that does not want all of it says so.
            Ok(()) | Err(_) => {}
        }
        let mut answer = BufReader::new(stream.take(ANSWER_BYTES));
        let head = head_of(&mut answer).map_err(silent)?;
        let head = head.ok_or_else(|| self.unexpected())?;
        let (status, body) = match question.told {
            Some(told) if head.is_lines => self.lines(&mut answer, told)?,
            _ => {
                let mut body = Vec::new();
                answer.read_to_end(&mut body).map_err(silent)?;
                (head.status, body)
            }
        };
        match status {
            401 | 403 => Err(self.denied(&body)),
            _ => Ok((status, body)),
        }
    }

    fn lines(
        &self,
        answer: &mut impl BufRead,
        told: &dyn Fn(StepBegun),
    ) -> Result<(u16, Vec<u8>), ControlError> {
        loop {
            let mut line = Vec::new();
            let read = answer.read_until(b'\n', &mut line);
            read.map_err(|error| self.silent(error))?;
            match serde_json::from_slice(&line) {
                Ok(Line::Begun(step)) => told(step),
                Ok(Line::Changed(_)) => return Ok((200, line)),
                Ok(Line::Refused(refused)) => return Ok((refused.status, line)),
                // Also where the host has ended before it was done.
                Err(_) => return Err(self.unexpected()),
            }
        }
    }

    fn denied(&self, body: &[u8]) -> ControlError {
        match serde_json::from_slice::<Problem>(body) {
            Ok(problem) => ControlError::Denied {
                endpoint: self.to_string(),
                why: problem.detail,
            },
            Err(_) => self.unexpected(),
        }
    }

    /// It is no answer.
    pub(super) fn unexpected(&self) -> ControlError {
        ControlError::Answer {
            endpoint: self.to_string(),
        }
    }
}

fn is_late(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

/// What an answer begins with.
struct Head {
    status: u16,
    /// Its body comes line by line.
    is_lines: bool,
}

fn head_of(answer: &mut impl BufRead) -> io::Result<Option<Head>> {
    let mut line = String::new();
    if answer.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let status = line
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let mut is_lines = false;
    while !line.trim_end().is_empty() {
        line.clear();
        answer.read_line(&mut line)?;
        if let Some((name, value)) = line.split_once(':') {
            is_lines |= name.eq_ignore_ascii_case("content-type") && value.trim() == NDJSON;
        }
    }
    Ok(status.map(|status| Head { status, is_lines }))
}
