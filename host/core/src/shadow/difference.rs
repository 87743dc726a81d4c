//! In what two answers to the same call differ.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::content::Content;

/// Characters of an answer that are shown.
const SHOWN: usize = 80;

/// Fields that say nothing of an answer: when it was made (RFC 9110, section 6.6.1).
const IGNORED: [&str; 1] = ["date"];

/// Fields whose values are nobody's business.
const SECRET: [&str; 1] = ["set-cookie"];

/// What a call was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A request got an answer.
    Response(Response),
    /// A call has come back with results, as WAVE.
    Results(Content),
    /// It was not answered, or not to its end: why, in a word.
    Failed(String),
}

/// An answer of HTTP as far as it is compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// The values of each field, by its name in lower case.
    pub fields: BTreeMap<String, Vec<String>>,
    pub body: Content,
}

/// In what two answers differ.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum What {
    /// The status of HTTP. Then nothing else of the answers is compared.
    Status { active: u16, candidate: u16 },
    /// A field of HTTP.
    Field { name: String },
    /// The body. `at`: in JSON, the path to the first value that differs, with `*` for any index.
    Body { at: Option<String> },
    /// The results of a call.
    Results,
    /// One of them did not answer, or not to its end: why. None: it did.
    Failure {
        active: Option<String>,
        candidate: Option<String>,
    },
    /// In yet other ways.
    Others,
}

/// One difference, with what either answered there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub what: What,
    pub active: String,
    pub candidate: String,
}

/// All differences; none if the answers are alike. Two that were not answered are, if for the same
/// reason.
pub fn differences(active: &Outcome, candidate: &Outcome) -> Vec<Difference> {
    match (active, candidate) {
        (Outcome::Response(active), Outcome::Response(candidate)) => {
            of_responses(active, candidate)
        }
        (Outcome::Results(active), Outcome::Results(candidate)) => {
            let apart = active.apart(candidate);
            let difference = apart.map(|apart| Difference {
                what: What::Results,
                active: apart.one,
                candidate: apart.other,
            });
            difference.into_iter().collect()
        }
        (active, candidate) => {
            let why = |outcome: &Outcome| match outcome {
                Outcome::Failed(why) => Some(why.clone()),
                Outcome::Response(_) | Outcome::Results(_) => None,
            };
            let (one, other) = (why(active), why(candidate));
            if one == other {
                return Vec::new();
            }
            vec![Difference {
                active: shown(active),
                candidate: shown(candidate),
                what: What::Failure {
                    active: one,
                    candidate: other,
                },
            }]
        }
    }
}

fn shown(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Response(response) => response.status.to_string(),
        Outcome::Results(results) => format!("{} bytes of results", results.len()),
        Outcome::Failed(why) => why.clone(),
    }
}

fn of_responses(active: &Response, candidate: &Response) -> Vec<Difference> {
    if active.status != candidate.status {
        return vec![Difference {
            what: What::Status {
                active: active.status,
                candidate: candidate.status,
            },
            active: active.status.to_string(),
            candidate: candidate.status.to_string(),
        }];
    }
    let mut all = Vec::new();
    let names: std::collections::BTreeSet<_> = active
        .fields
        .keys()
        .chain(candidate.fields.keys())
        .collect();
    for name in names {
        let (one, other) = (active.fields.get(name), candidate.fields.get(name));
        // The body says it.
        let length = name == "content-length" && active.body.len() != candidate.body.len();
        if one == other || length || IGNORED.contains(&name.as_str()) {
            continue;
        }
        let values = |values: Option<&Vec<String>>| match values {
            None => "nothing".to_owned(),
            Some(_) if SECRET.contains(&name.as_str()) => "not shown".to_owned(),
            Some(values) => excerpt(&values.join(", ")),
        };
        all.push(Difference {
            what: What::Field {
                name: excerpt(name),
            },
            active: values(one),
            candidate: values(other),
        });
    }
    if let Some(apart) = active.body.apart(&candidate.body) {
        all.push(Difference {
            what: What::Body { at: apart.at },
            active: apart.one,
            candidate: apart.other,
        });
    }
    all
}

/// The beginning of a text, on one line.
pub(super) fn excerpt(text: &str) -> String {
    let mut characters = text.chars();
    let mut shown = String::new();
    for character in characters.by_ref().take(SHOWN) {
        match character.is_control() {
            true => shown.extend(character.escape_default()),
            false => shown.push(character),
        }
    }
    if characters.next().is_some() {
        shown.push('…');
    }
    shown
}
