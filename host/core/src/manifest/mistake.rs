//! A mistake in a manifest: what is wrong, where, and what to write instead.
use std::borrow::Cow;
use std::ops::Range;

use serde::{Deserialize, Serialize};

/// One thing that is wrong with the text. The host draws it below the line it points to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Mistake {
    /// Bytes of the text, on character boundaries; may be empty, at the end of the text too.
    #[cfg_attr(feature = "openapi", schema(value_type = Span))]
    pub span: Range<usize>,
    /// What is wrong, in one sentence.
    pub message: String,
    /// A few words for the place itself.
    pub label: String,
    /// What to write instead.
    pub help: Option<String>,
    /// A stable name of the kind of mistake, for machines and for the documentation.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub code: Cow<'static, str>,
}

/// How a range of bytes is written.
#[cfg(feature = "openapi")]
#[derive(utoipa::ToSchema)]
#[allow(dead_code, reason = "it is its schema that is wanted")]
struct Span {
    start: usize,
    /// One beyond the last.
    end: usize,
}

impl Mistake {
    pub fn new(code: &'static str, span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            span,
            message: clip(message.into()),
            label: String::new(),
            help: None,
            code: Cow::Borrowed(code),
        }
    }

    /// A few words for the place itself.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = clip(label.into());
        self
    }

    /// What to write instead.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(clip(help.into()));
        self
    }
}

/// A message that quotes a page of text hides what it says.
const MESSAGE_BYTES_MAX: usize = 500;

fn clip(mut text: String) -> String {
    if text.len() > MESSAGE_BYTES_MAX {
        text.truncate(text.floor_char_boundary(MESSAGE_BYTES_MAX));
        text.push('…');
    }
    text
}

impl std::fmt::Display for Mistake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}
