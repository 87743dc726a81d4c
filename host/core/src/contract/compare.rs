//! Whether what one component exports is what another expects, and if not, where it differs.
//!
//! The rule is that of the component model as wasmtime and its validator apply it (`SubtypeCx` in
//! wasmparser): an export may have more functions and resources than are used; a function that is
//! used must be equal in its parameters' names, order and types, in its result and in being async.
//! Types are equal by structure: records by fields, variants by cases, in order; handles by
//! the resource's interface and name.
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::{Case, Function, Interface, Named, Resource, Type};

/// More differences than this nobody reads at once; the rest is not looked for.
pub const DIFFERENCES_MAX: usize = 20;

/// One place where an export is not what the import expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What of the interface.
    pub subject: Subject,
    /// The way from there to the place: parameter, result, field…
    pub place: Vec<Step>,
    /// What the importer expects, in WIT's words.
    pub expected: String,
    /// What the exporter has.
    pub found: String,
}

/// What of an interface differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// The function of this name, as the component writes it.
    Function(Arc<str>),
    /// The resource of this name.
    Resource(Arc<str>),
}

/// One step into a function's type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Param(Arc<str>),
    Result,
    Field(Arc<str>),
    Case(Arc<str>),
    /// Of a tuple, counted from 0.
    Item(usize),
    /// Of a list or stream.
    Element,
    Key,
    Value,
    Some,
    Ok,
    Err,
}

/// Where `export` is not what `import` expects, in the import's order; nothing if it fits.
pub fn compare(import: &Interface, export: &Interface) -> Vec<Difference> {
    let mut found = Vec::new();
    let resources: BTreeSet<&Arc<str>> = export.resources.iter().collect();
    let functions = export.functions.iter();
    let functions: BTreeMap<&str, &Function> = functions.map(|f| (&*f.name, f)).collect();
    for name in &import.resources {
        if !resources.contains(name) {
            found.push(Difference {
                subject: Subject::Resource(name.clone()),
                place: Vec::new(),
                expected: format!("resource {name}"),
                found: NOTHING.to_owned(),
            });
        }
    }
    for expected in &import.functions {
        let mut walk = Walk {
            subject: Subject::Function(expected.name.clone()),
            place: Vec::new(),
            found: &mut found,
        };
        match functions.get(&*expected.name) {
            Some(function) => walk.function(expected, function),
            None => walk.note(expected.to_string(), NOTHING.to_owned()),
        }
        if found.len() >= DIFFERENCES_MAX {
            break;
        }
    }
    found.truncate(DIFFERENCES_MAX);
    found
}

const NOTHING: &str = "nothing";
/// Of what has a name and no type.
const THERE: &str = "it";

struct Walk<'w> {
    subject: Subject,
    place: Vec<Step>,
    found: &'w mut Vec<Difference>,
}

impl Walk<'_> {
    fn note(&mut self, expected: String, found: String) {
        self.found.push(Difference {
            subject: self.subject.clone(),
            place: self.place.clone(),
            expected,
            found,
        });
    }

    fn within(&mut self, step: Step, walk: impl FnOnce(&mut Self)) {
        if self.found.len() < DIFFERENCES_MAX {
            self.place.push(step);
            walk(self);
            self.place.pop();
        }
    }

    fn function(&mut self, expected: &Function, found: &Function) {
        if expected.asynchronous != found.asynchronous {
            let word = |asynchronous| {
                if asynchronous {
                    "an async function"
                } else {
                    "a function that is not async"
                }
            };
            self.note(
                word(expected.asynchronous).to_owned(),
                word(found.asynchronous).to_owned(),
            );
        }
        let step = |param: &Named| Step::Param(param.name.clone());
        self.fields("parameters", &expected.params, &found.params, step);
        self.option(
            Step::Result,
            expected.result.as_ref(),
            found.result.as_ref(),
        );
    }

    fn types(&mut self, expected: &Type, found: &Type) {
        match (expected, found) {
            (Type::List(e), Type::List(f)) => self.within(Step::Element, |walk| walk.types(e, f)),
            (Type::FixedList(e, many), Type::FixedList(f, other)) => {
                if many != other {
                    self.note(format!("a list of {many}"), format!("a list of {other}"));
                }
                self.within(Step::Element, |walk| walk.types(e, f));
            }
            (Type::Map(e), Type::Map(f)) => {
                self.within(Step::Key, |walk| walk.types(&e.0, &f.0));
                self.within(Step::Value, |walk| walk.types(&e.1, &f.1));
            }
            (Type::Record(e), Type::Record(f)) => {
                self.fields("fields", e, f, |field| Step::Field(field.name.clone()));
            }
            (Type::Tuple(e), Type::Tuple(f)) => {
                if e.len() != f.len() {
                    let of = |items: &[Type]| format!("a tuple of {}", items.len());
                    self.note(of(e), of(f));
                }
                for (place, (e, f)) in e.iter().zip(f.iter()).enumerate() {
                    self.within(Step::Item(place), |walk| walk.types(e, f));
                }
            }
            (Type::Variant(e), Type::Variant(f)) => self.cases(e, f),
            (Type::Enum(e), Type::Enum(f)) => self.names("cases", e, f, Step::Case),
            (Type::Flags(e), Type::Flags(f)) => self.names("flags", e, f, Step::Field),
            (Type::Option(e), Type::Option(f)) => {
                self.within(Step::Some, |walk| walk.types(e, f));
            }
            (Type::Result(e), Type::Result(f)) => {
                self.option(Step::Ok, e.0.as_ref(), f.0.as_ref());
                self.option(Step::Err, e.1.as_ref(), f.1.as_ref());
            }
            (Type::Own(e), Type::Own(f)) | (Type::Borrow(e), Type::Borrow(f)) => {
                if !same_resource(e, f) {
                    self.note(resource(e), resource(f));
                }
            }
            (Type::Stream(e), Type::Stream(f)) | (Type::Future(e), Type::Future(f)) => {
                self.option(Step::Element, e.as_deref(), f.as_deref());
            }
            (expected, found) if expected == found => {}
            (expected, found) => self.note(expected.to_string(), found.to_string()),
        }
    }

    fn option(&mut self, step: Step, expected: Option<&Type>, found: Option<&Type>) {
        self.within(step, |walk| match (expected, found) {
            (Some(expected), Some(found)) => walk.types(expected, found),
            (None, None) => {}
            (expected, found) => walk.note(shown(expected), shown(found)),
        });
    }

    fn fields(
        &mut self,
        what: &str,
        expected: &[Named],
        found: &[Named],
        step: impl Fn(&Named) -> Step,
    ) {
        let name = |named: &Named| named.name.clone();
        let unexpected = self.order(what, expected, found, name);
        for (place, e) in expected.iter().enumerate() {
            let f = at(found, place, |f| f.name == e.name);
            self.within(step(e), |walk| match f {
                Some(f) => walk.types(&e.ty, &f.ty),
                None => walk.note(e.ty.to_string(), NOTHING.to_owned()),
            });
        }
        for f in unexpected {
            self.within(step(f), |walk| {
                walk.note(NOTHING.to_owned(), f.ty.to_string())
            });
        }
    }

    fn cases(&mut self, expected: &[Case], found: &[Case]) {
        let unexpected = self.order("cases", expected, found, |case| case.name.clone());
        for (place, e) in expected.iter().enumerate() {
            let step = Step::Case(e.name.clone());
            match at(found, place, |f| f.name == e.name) {
                Some(f) => self.option(step, e.ty.as_ref(), f.ty.as_ref()),
                None => self.within(step, |walk| walk.note(payload(e), NOTHING.to_owned())),
            }
        }
        for f in unexpected {
            let step = Step::Case(f.name.clone());
            self.within(step, |walk| walk.note(NOTHING.to_owned(), payload(f)));
        }
    }

    fn names(
        &mut self,
        what: &str,
        expected: &[Arc<str>],
        found: &[Arc<str>],
        step: impl Fn(Arc<str>) -> Step,
    ) {
        let unexpected = self.order(what, expected, found, Arc::clone);
        for (place, name) in expected.iter().enumerate() {
            if at(found, place, |f| f == name).is_none() {
                self.within(step(name.clone()), |walk| {
                    walk.note(THERE.to_owned(), NOTHING.to_owned());
                });
            }
        }
        for name in unexpected {
            self.within(step(name.clone()), |walk| {
                walk.note(NOTHING.to_owned(), THERE.to_owned());
            });
        }
    }

    /// Notes it if the same names come in another order, and gives what nobody expects.
    fn order<'f, T>(
        &mut self,
        what: &str,
        expected: &[T],
        found: &'f [T],
        name: impl Fn(&T) -> Arc<str>,
    ) -> Vec<&'f T> {
        let names = |items: &[T]| items.iter().map(&name).collect::<Vec<_>>();
        let (expected, all) = (names(expected), names(found));
        if expected == all {
            return Vec::new();
        }
        let known: BTreeSet<&Arc<str>> = expected.iter().collect();
        let unexpected = found.iter().filter(|f| !known.contains(&name(f)));
        let unexpected: Vec<&T> = unexpected.collect();
        let first = expected.iter().zip(&all).position(|(e, f)| e != f);
        if let Some(place) = first
            && unexpected.is_empty()
            && expected.len() == all.len()
        {
            let number = place + 1;
            let (expected, found) = (&expected[place], &all[place]);
            self.note(
                format!("`{expected}` as number {number} of the {what}"),
                format!("`{found}`"),
            );
        }
        unexpected
    }
}

/// The one that is meant: nearly always at the same place.
fn at<T>(items: &[T], place: usize, meant: impl Fn(&T) -> bool) -> Option<&T> {
    let there = items.get(place).filter(|item| meant(item));
    there.or_else(|| items.iter().find(|item| meant(item)))
}

/// Versions of one track are one resource: that is what links them.
fn same_resource(one: &Resource, other: &Resource) -> bool {
    let interfaces = match (&one.interface, &other.interface) {
        (Some(one), Some(other)) => one.fits(other),
        (None, None) => true,
        _ => false,
    };
    interfaces && one.name == other.name
}

fn resource(resource: &Resource) -> String {
    match &resource.interface {
        Some(interface) => format!("a handle of {} of {interface}", resource.name),
        None => format!("a handle of {}", resource.name),
    }
}

fn shown(ty: Option<&Type>) -> String {
    ty.map_or_else(|| NOTHING.to_owned(), Type::to_string)
}

fn payload(case: &Case) -> String {
    match &case.ty {
        Some(ty) => format!("a case with {ty}"),
        None => "a case".to_owned(),
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.subject)?;
        for step in &self.place {
            write!(f, ", {step}")?;
        }
        write!(f, ": expected {}, found {}", self.expected, self.found)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Subject::Resource(name) => return write!(f, "resource `{name}`"),
            Subject::Function(name) => name,
        };
        let kinds = [("[method]", "method"), ("[static]", "static function")];
        for (prefix, kind) in kinds {
            if let Some((resource, name)) = name
                .strip_prefix(prefix)
                .and_then(|rest| rest.split_once('.'))
            {
                return write!(f, "{kind} `{name}` of `{resource}`");
            }
        }
        match name.strip_prefix("[constructor]") {
            Some(resource) => write!(f, "constructor of `{resource}`"),
            None => write!(f, "function `{name}`"),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Param(name) => write!(f, "parameter `{name}`"),
            Step::Field(name) => write!(f, "`{name}`"),
            Step::Case(name) => write!(f, "case `{name}`"),
            Step::Item(place) => write!(f, "item {place}"),
            Step::Result => f.write_str("result"),
            Step::Element => f.write_str("element"),
            Step::Key => f.write_str("key"),
            Step::Value => f.write_str("value"),
            Step::Some => f.write_str("some"),
            Step::Ok => f.write_str("ok"),
            Step::Err => f.write_str("error"),
        }
    }
}

#[cfg(test)]
mod tests;
