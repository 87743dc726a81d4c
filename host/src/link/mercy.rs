//! How a failure of the callee is told to a caller whose function has an error type that can carry
//! it. Decided once, when the function is linked.

use wasmtime::component::{Type, Val};

use crate::service::CallError;

/// The case that carries it.
const UNAVAILABLE: &str = "unavailable";

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mercy {
    /// There is none: the call traps in the caller.
    None,
    /// The error is a text.
    Text,
    /// The error is a variant with the case `unavailable`.
    Case,
    /// The same with a text in it.
    CaseWithText,
    /// The error is an enum with the case `unavailable`.
    Enum,
}

impl Mercy {
    /// For a function with these results.
    pub(super) fn of(results: &[Type]) -> Mercy {
        let [Type::Result(result)] = results else {
            return Mercy::None;
        };
        match result.err() {
            Some(Type::String) => Mercy::Text,
            Some(Type::Enum(cases)) if cases.names().any(|name| name == UNAVAILABLE) => Mercy::Enum,
            Some(Type::Variant(variant)) => {
                let case = variant.cases().find(|case| case.name == UNAVAILABLE);
                match case.map(|case| case.ty) {
                    Some(None) => Mercy::Case,
                    Some(Some(Type::String)) => Mercy::CaseWithText,
                    _ => Mercy::None,
                }
            }
            _ => Mercy::None,
        }
    }

    /// Whether there is any.
    pub(super) fn fits(self) -> bool {
        self != Mercy::None
    }

    /// What the function answers with instead.
    pub(super) fn value(self, error: &CallError) -> Option<Val> {
        let name = || UNAVAILABLE.to_owned();
        let text = || Val::String(error.to_string());
        let value = match self {
            Mercy::None => return None,
            Mercy::Text => text(),
            Mercy::Case => Val::Variant(name(), None),
            Mercy::CaseWithText => Val::Variant(name(), Some(Box::new(text()))),
            Mercy::Enum => Val::Enum(name()),
        };
        Some(Val::Result(Err(Some(Box::new(value)))))
    }
}
