//! How the control API tells of a change while it is made, for who asks for it: a line of JSON for each
//! step as it begins, and a last one that says what came of it.

use std::convert::Infallible;
use std::pin::Pin;

use axum::body::{Body, Bytes};
use axum::extract::FromRequestParts;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use utoipa::ToSchema;

use super::change::Served;
use super::refused::Refused;
use crate::deploy::{Changed, Progress, StepBegun};

/// The media type of lines of JSON.
pub(super) const NDJSON: &str = "application/x-ndjson";

/// A line of the answer to who wants to be told: any number of steps, and at the end the change that was
/// made, or the problem document that says why not.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Line {
    /// The last: nothing has changed. The answer's own status is 200 by then.
    Refused(Box<Refused>),
    /// The last: it serves.
    Changed(Changed),
    /// A step begins.
    Begun(StepBegun),
}

/// Whether the client wants to be told: whether it accepts lines of JSON.
pub(super) struct Told(bool);

impl<S: Send + Sync> FromRequestParts<S> for Told {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let accepted = parts.headers.get_all(ACCEPT).iter();
        let ranges = accepted.filter_map(|value| value.to_str().ok());
        let mut kinds = ranges.flat_map(|ranges| ranges.split(','));
        let is_lines = |kind: &str| {
            let kind = kind.split(';').next().unwrap_or_default();
            kind.trim().eq_ignore_ascii_case(NDJSON)
        };
        Ok(Told(kinds.any(is_lines)))
    }
}

/// A change on its way.
type Changing = Pin<Box<dyn Future<Output = Result<Served, Refused>> + Send>>;

impl Told {
    /// What is answered to a change: when it is over, or from now on.
    pub(super) async fn of<C>(self, change: impl FnOnce(Progress) -> C) -> Response
    where
        C: Future<Output = Result<Served, Refused>> + Send + 'static,
    {
        let Told(wanted) = self;
        if !wanted {
            return change(Progress::default()).await.into_response();
        }
        let (progress, steps) = Progress::told();
        let changing: Changing = Box::pin(change(progress));
        let lines = stream::unfold(Some((steps, changing)), next);
        let kind = [(CONTENT_TYPE, NDJSON)];
        (kind, Body::from_stream(lines)).into_response()
    }
}

type UnderWay = (mpsc::Receiver<StepBegun>, Changing);

/// The next lines; none after the last.
async fn next(
    under_way: Option<UnderWay>,
) -> Option<(Result<Bytes, Infallible>, Option<UnderWay>)> {
    let (mut steps, mut changing) = under_way?;
    let mut lines = Vec::new();
    tokio::select! {
        biased;
        Some(step) = steps.recv() => {
            Line::Begun(step).write(&mut lines);
            Some((Ok(lines.into()), Some((steps, changing))))
        }
        changed = &mut changing => {
            while let Ok(step) = steps.try_recv() {
                Line::Begun(step).write(&mut lines);
            }
            let last = match changed {
                Ok(Served(changed)) => Line::Changed(changed),
                Err(refused) => Line::Refused(Box::new(refused)),
            };
            last.write(&mut lines);
            Some((Ok(lines.into()), None))
        }
    }
}

impl Line {
    fn write(&self, lines: &mut Vec<u8>) {
        // Nothing in it fails to be JSON.
        let _ = serde_json::to_writer(&mut *lines, self);
        lines.push(b'\n');
    }
}
