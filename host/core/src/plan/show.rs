//! A plan as text: line by line with a tone, so that a terminal can colour it.
use std::fmt;

use super::{Action, Change, DIGEST, Difference, Effect, Plan, Step, Subject, Summary};
use crate::manifest::settings::{Setting, shown};

/// Characters of a digest that tell components apart.
const DIGEST_SHOWN: usize = 12;

/// One line of a plan, without a line break.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub tone: Tone,
    pub text: String,
}

/// What a line tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tone {
    /// Something that comes.
    Add,
    /// Something that becomes another.
    Change,
    /// Something that goes.
    Remove,
    /// Nothing of these: a summary, an empty line.
    Plain,
}

impl Plan {
    /// The plan line by line: the steps with their changes below them, and a summary.
    pub fn lines(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        if self.is_empty() {
            lines.push(Line::plain("Nothing to change."));
            return lines;
        }
        for step in &self.steps {
            step.lines(&mut lines);
        }
        lines.push(Line::plain(""));
        lines.push(Line::plain(&self.summary().to_string()));
        let waiting = self.waiting();
        if !waiting.is_empty() {
            let keys = waiting.join(", ");
            lines.push(Line::plain(&format!(
                "Takes effect when the host is started again: {keys}"
            )));
        }
        lines
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines()
            .iter()
            .try_for_each(|line| writeln!(f, "{}", line.text))
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            add,
            change,
            remove,
        } = self;
        write!(f, "{add} to add, {change} to change, {remove} to remove")
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Application { name } => write!(f, "application {name}"),
            Self::Service { name } => write!(f, "service {name}"),
            Self::Group { name } => write!(f, "group {name}"),
            Self::Link { caller, callee } => write!(f, "link {caller} → {callee}"),
            Self::Route { name } => write!(f, "route {name}"),
            Self::Http => f.write_str("http"),
            Self::Host => f.write_str("host"),
        }
    }
}

impl Line {
    fn plain(text: &str) -> Self {
        Self {
            tone: Tone::Plain,
            text: text.to_owned(),
        }
    }
}

impl Step {
    fn lines(&self, lines: &mut Vec<Line>) {
        let (mark, tone) = match self.action {
            Action::Add => ('+', Tone::Add),
            Action::Change => ('~', Tone::Change),
            Action::Remove => ('-', Tone::Remove),
        };
        lines.push(Line {
            tone,
            text: format!("{mark} {}", self.subject),
        });
        let width = self
            .changes
            .iter()
            .map(|change| change.key.chars().count())
            .max();
        for change in &self.changes {
            change.lines(width.unwrap_or(0), self.action, lines);
        }
    }
}

impl Change {
    fn lines(&self, width: usize, action: Action, lines: &mut Vec<Line>) {
        let mut line = |tone, text: String| {
            let waits = match self.effect {
                Effect::Live => "",
                Effect::HostRestart => "  (when the host is started again)",
            };
            let text = format!("    {:width$}  {text}{waits}", self.key);
            lines.push(Line { tone, text });
        };
        match &self.difference {
            Difference::Items { added, removed } => {
                for item in removed {
                    line(Tone::Remove, format!("- {}", shown(item)));
                }
                for item in added {
                    line(Tone::Add, format!("+ {}", shown(item)));
                }
            }
            // Of something that comes, where it comes from says nothing.
            Difference::Value { new: Some(new), .. } if action == Action::Add => {
                line(Tone::Add, self.shown(Some(new)));
            }
            Difference::Value {
                old: Some(Setting::Hidden(_)),
                new: Some(Setting::Hidden(_)),
            } => line(Tone::Change, "another value (not shown)".to_owned()),
            Difference::Value { old, new } => {
                let (old, new) = (self.shown(old.as_ref()), self.shown(new.as_ref()));
                line(Tone::Change, format!("{old} → {new}"));
            }
        }
    }

    fn shown(&self, setting: Option<&Setting>) -> String {
        match setting {
            None => "unset".to_owned(),
            Some(Setting::Text(digest)) if self.key == DIGEST => {
                digest.chars().take(DIGEST_SHOWN).collect()
            }
            Some(setting) => setting.to_string(),
        }
    }
}
