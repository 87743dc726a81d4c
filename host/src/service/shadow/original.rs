//! What the original of a copy was answered, seen as it passes by.

use std::time::{Duration, Instant};

use bytes::Bytes;
use skep_core::shadow::{Answer, Content, Outcome, Response};
use tokio::sync::oneshot;
use wasmtime::component::Type;

use crate::gateway::broken_off;
use crate::instance::cargo::Cargo;
use crate::service::{self, AnswerBody, BodyError, CallCause, Refused, Unanswered};
use crate::wave::Wave;

/// A request of which there is a copy. Dropped without an answer, it is not compared.
pub(crate) struct Original {
    began: Instant,
    seen: oneshot::Sender<Answer>,
}

impl Original {
    pub(super) fn new() -> (Original, oneshot::Receiver<Answer>) {
        let (seen, answered) = oneshot::channel();
        let began = Instant::now();
        (Original { began, seen }, answered)
    }

    /// It has an answer, whose body is watched to its end.
    pub(crate) fn answered(self, answer: &mut service::Answer) {
        let took = self.began.elapsed();
        match answer {
            Ok(response) => {
                let sight = Sight::of(response, took);
                let seen = self.seen;
                response.body_mut().watch(Watched { sight, seen });
            }
            // It was turned away.
            Err(Refused::Closed(_) | Refused::Shed(_)) => {}
            Err(Refused::Failed(failure)) => {
                let outcome = Outcome::Failed(failure.label().to_owned());
                tell(self.seen, Answer { outcome, took });
            }
        }
    }
}

/// A call of which there is a copy.
pub(crate) struct OriginalCall {
    began: Instant,
    seen: oneshot::Sender<Called>,
}

impl OriginalCall {
    pub(super) fn new() -> (OriginalCall, oneshot::Receiver<Called>) {
        let (seen, answered) = oneshot::channel();
        let began = Instant::now();
        (OriginalCall { began, seen }, answered)
    }

    /// It has come back.
    pub(crate) fn answered(self, answered: &Result<Cargo, Unanswered>) {
        let turned_away = |unanswered: &Unanswered| {
            let cause = &unanswered.cause;
            matches!(cause, CallCause::Refused(Refused::Closed(_)))
        };
        if answered.as_ref().is_err_and(turned_away) {
            return;
        }
        if let Some(called) = called(answered, self.began.elapsed()) {
            tell(self.seen, called);
        }
    }
}

fn tell<T>(seen: oneshot::Sender<T>, told: T) {
    // If the trial is over, nobody compares any more.
    let _ = seen.send(told);
}

/// What came of a call. What it means is worked out where nobody waits for it.
pub(super) struct Called {
    results: Result<Cargo, &'static str>,
    took: Duration,
}

/// None if there was no room, or its results are there but once.
pub(super) fn called(answered: &Result<Cargo, Unanswered>, took: Duration) -> Option<Called> {
    let results = match answered {
        Ok(results) => Ok(results.copy_plain()?),
        Err(Unanswered {
            cause: CallCause::Refused(Refused::Shed(_)),
            ..
        }) => return None,
        Err(unanswered) => Err(unanswered.cause.label()),
    };
    Some(Called { results, took })
}

impl Called {
    /// With results of these types; none if they are not.
    pub(super) fn answer(self, types: &[Type]) -> Option<Answer> {
        let Called { results, took } = self;
        let outcome = match results {
            Err(why) => Outcome::Failed(why.to_owned()),
            Ok(results) => {
                let mut content = Content::default();
                for value in results.into_values(types)? {
                    content.add(Wave(&value).to_string().as_bytes());
                }
                Outcome::Results(content)
            }
        };
        Some(Answer { outcome, took })
    }
}

/// An answer of HTTP as far as it has been seen.
pub(super) struct Sight {
    response: Response,
    took: Duration,
}

impl Sight {
    pub(super) fn of(response: &http::Response<AnswerBody>, took: Duration) -> Sight {
        let mut seen = Response {
            status: response.status().as_u16(),
            ..Response::default()
        };
        for (name, value) in response.headers() {
            let values = seen.fields.entry(name.as_str().to_owned()).or_default();
            values.push(String::from_utf8_lossy(value.as_bytes()).into_owned());
        }
        Sight {
            response: seen,
            took,
        }
    }

    pub(super) fn frame(&mut self, data: Option<&Bytes>) {
        if let Some(data) = data {
            self.response.body.add(data);
        }
    }

    pub(super) fn broken(self, error: &BodyError) -> Answer {
        Answer {
            outcome: Outcome::Failed(broken_off(error).to_owned()),
            took: self.took,
        }
    }

    pub(super) fn whole(self) -> Answer {
        Answer {
            outcome: Outcome::Response(self.response),
            took: self.took,
        }
    }
}

/// The body of an answer to an original. Dropped before its end, it is not compared.
pub(crate) struct Watched {
    sight: Sight,
    seen: oneshot::Sender<Answer>,
}

impl Watched {
    pub(crate) fn frame(&mut self, data: Option<&Bytes>) {
        self.sight.frame(data);
    }

    /// It breaks off.
    pub(crate) fn broken(self, error: &BodyError) {
        tell(self.seen, self.sight.broken(error));
    }

    /// It has come to its end.
    pub(crate) fn whole(self) {
        tell(self.seen, self.sight.whole());
    }
}
