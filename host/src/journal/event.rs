//! What the journal tells: what happened, and what was begun.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use skep_core::name::ServiceName;

/// Bytes of an event as JSON. Evidence may have what a guest has written; beyond this it is left out.
pub(super) const EVENT_BYTES_MAX: usize = 16 << 10;

/// Bytes of an event's text, in which a guest may have had a word.
const TEXT_BYTES_MAX: usize = 4 << 10;

/// Something that happened to the application.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Event {
    /// Milliseconds since 1970 (UTC).
    pub time_ms: u64,
    /// What kind of thing: a word in kebab-case, such as `deployed`.
    #[schema(value_type = String)]
    pub kind: Cow<'static, str>,
    /// The service that it concerns, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub service: Option<ServiceName>,
    /// The service's revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub revision: Option<u32>,
    /// The generation in which it happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub generation: Option<u64>,
    /// A sentence for people.
    pub text: String,
    /// Figures for programs, and for those who ask why.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub evidence: Value,
}

/// An event with its place in the order of all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Recorded {
    /// From 1, without gaps; old ones are forgotten.
    pub sequence: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// Something that is about to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Milliseconds since 1970 (UTC).
    pub time_ms: u64,
    /// What, for people: "deploy of cart from cart-v2.wasm".
    pub what: String,
    /// Services that get a new revision by it.
    pub services: Vec<ServiceName>,
    /// The least numbers that these may get: a host that could write nothing down has given those below.
    #[serde(skip)]
    pub least: BTreeMap<ServiceName, u32>,
}

/// Names an intent until it is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IntentId(pub(super) u64);

/// An intent that has been noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    /// To settle it by.
    pub intent: IntentId,
    /// The number of each service's new revision. Nobody else gets it, even if this comes to nothing.
    pub revisions: BTreeMap<ServiceName, u32>,
}

/// An intent that was not settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// To settle it by.
    pub id: IntentId,
    /// What was to be done.
    pub intent: Intent,
    /// As in [`Begun`].
    pub revisions: BTreeMap<ServiceName, u32>,
}

impl Event {
    /// As JSON, within its limits: a text is cut, and evidence that is too long left out.
    pub(super) fn to_json(&self) -> String {
        let json = |event: &Event| serde_json::to_string(event).unwrap_or_default();
        let whole = json(self);
        if whole.len() <= EVENT_BYTES_MAX && self.text.len() <= TEXT_BYTES_MAX {
            return whole;
        }
        let end = self.text.floor_char_boundary(TEXT_BYTES_MAX);
        let mut cut = Event {
            text: self.text[..end].to_owned(),
            ..self.clone()
        };
        if json(&cut).len() > EVENT_BYTES_MAX {
            cut.evidence = Value::String(format!("left out: more than {EVENT_BYTES_MAX} bytes"));
        }
        json(&cut)
    }
}
