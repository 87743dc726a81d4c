//! How a contract has changed from one version of a component to the next, in WIT's words: what those who
//! call it, and whoever deploys it, want to know. Whether it still fits is what `compare` says.

use std::fmt;

use super::{
    Contract, Difference, Function, Interface, InterfaceName, Named, Side, Step, Type, compare,
    text,
};

/// Changes that are told. A component of another kind altogether has thousands.
pub const CHANGES_MAX: usize = 50;

/// Something that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Where.
    pub side: Side,
    /// The interface, as the component has it that has it.
    pub interface: InterfaceName,
    /// What.
    pub what: What,
}

/// What is not as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The interface is there now.
    New,
    /// The interface is gone.
    Gone,
    /// It has another version.
    Version {
        /// Which it was.
        before: InterfaceName,
    },
    /// A function is there now.
    NewFunction(Function),
    /// A function is gone.
    GoneFunction(String),
    /// A function is another.
    Function {
        /// Which.
        name: String,
        /// What is other about it: "lost parameter `limit`".
        how: String,
    },
}

/// What is other in `after`, at most [`CHANGES_MAX`]: exports first, in the order of the components.
pub fn changes(before: &Contract, after: &Contract) -> Vec<Change> {
    let mut found = Vec::new();
    interfaces(Side::Export, &before.exports, &after.exports, &mut found);
    interfaces(Side::Import, &before.imports, &after.imports, &mut found);
    found.truncate(CHANGES_MAX);
    found
}

fn interfaces(side: Side, before: &[Interface], after: &[Interface], found: &mut Vec<Change>) {
    let same = |one: &Interface, other: &Interface| {
        one.name.fits(&other.name) || other.name.fits(&one.name)
    };
    for then in before {
        let tell = |interface: &InterfaceName, what| Change {
            side,
            interface: interface.clone(),
            what,
        };
        let Some(now) = after.iter().find(|now| same(then, now)) else {
            found.push(tell(&then.name, What::Gone));
            continue;
        };
        if then.name != now.name {
            let before = then.name.clone();
            found.push(tell(&now.name, What::Version { before }));
        }
        found.extend(functions(then, now).map(|what| tell(&now.name, what)));
    }
    let new = after
        .iter()
        .filter(|now| !before.iter().any(|then| same(then, now)));
    found.extend(new.map(|now| Change {
        side,
        interface: now.name.clone(),
        what: What::New,
    }));
}

fn functions(before: &Interface, after: &Interface) -> impl Iterator<Item = What> {
    let changed = before.functions.iter().flat_map(|then| {
        let now = after.functions.iter().find(|now| now.name == then.name);
        match now {
            None => vec![What::GoneFunction(then.name.to_string())],
            Some(now) => {
                let how = how(then, now).into_iter();
                let what = |how| What::Function {
                    name: then.name.to_string(),
                    how,
                };
                how.map(what).collect()
            }
        }
    });
    let is_new = |now: &&Function| !before.functions.iter().any(|then| then.name == now.name);
    let new = after.functions.iter().filter(is_new);
    changed.chain(new.map(|now| What::NewFunction(now.clone())))
}

fn how(before: &Function, after: &Function) -> Vec<String> {
    let mut all = Vec::new();
    let differences = differences(before, after);
    // Where in it: the whole of a large type says little.
    let inside = |first: &Step| {
        let inside = differences.iter();
        let inside = inside.filter(|one| one.place.len() > 1 && one.place[0] == *first);
        let told: Vec<String> = inside.map(inner).collect();
        (!told.is_empty()).then(|| told.join("; "))
    };
    let of =
        |params: &[Named], name: &str| params.iter().find(|param| *param.name == *name).cloned();
    for then in &*before.params {
        match of(&after.params, &then.name) {
            None => all.push(format!("lost parameter `{}`", then.name)),
            Some(now) if !alike(&now.ty, &then.ty) => all.push({
                let name = &then.name;
                inside(&Step::Param(name.clone())).map_or_else(
                    || {
                        format!(
                            "takes {} as parameter `{name}`, which was {}",
                            now.ty, then.ty
                        )
                    },
                    |inside| format!("takes another parameter `{name}`: {inside}"),
                )
            }),
            Some(_) => {}
        }
    }
    let new = after
        .params
        .iter()
        .filter(|now| of(&before.params, &now.name).is_none());
    all.extend(new.map(|now| format!("has a new parameter `{}: {}`", now.name, now.ty)));
    let names = |function: &Function| -> Vec<_> {
        function
            .params
            .iter()
            .map(|param| param.name.clone())
            .collect()
    };
    if all.is_empty() && names(before) != names(after) {
        all.push("has its parameters in another order".to_owned());
    }
    let shown = |result: &Option<Type>| {
        result
            .as_ref()
            .map_or("nothing".to_owned(), Type::to_string)
    };
    let same = match (&before.result, &after.result) {
        (Some(then), Some(now)) => alike(then, now),
        (None, None) => true,
        _ => false,
    };
    if !same {
        all.push(inside(&Step::Result).map_or_else(
            || {
                let (now, then) = (shown(&after.result), shown(&before.result));
                format!("returns {now}, which was {then}")
            },
            |inside| format!("returns something else: {inside}"),
        ));
    }
    if before.asynchronous != after.asynchronous {
        let now = if after.asynchronous {
            "is async now"
        } else {
            "is not async any more"
        };
        all.push(now.to_owned());
    }
    all
}

/// Where the two are not the same.
fn differences(before: &Function, after: &Function) -> Vec<Difference> {
    let alone = |function: &Function| Interface {
        name: InterfaceName::new(""),
        functions: vec![function.clone()],
        resources: Vec::new(),
    };
    compare(&alone(before), &alone(after))
}

/// "ok, `price-cents` is u64, which was u32"
fn inner(difference: &Difference) -> String {
    let place: Vec<String> = difference
        .place
        .iter()
        .skip(1)
        .map(ToString::to_string)
        .collect();
    let Difference {
        expected, found, ..
    } = difference;
    format!("{} is {found}, which was {expected}", place.join(", "))
}

/// As people read them: resources of two components are never the same.
fn alike(one: &Type, other: &Type) -> bool {
    one == other || text::whole(one) == text::whole(other)
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Change {
            side,
            interface,
            what,
        } = self;
        match (side, what) {
            (Side::Export, What::New) => write!(f, "exports {interface}, which is new"),
            (Side::Export, What::Gone) => write!(f, "does not export {interface} any more"),
            (Side::Export, What::Version { before }) => {
                write!(f, "exports {interface}, which was {before}")
            }
            (Side::Import, What::New) => write!(f, "now wants {interface}"),
            (Side::Import, What::Gone) => write!(f, "does not want {interface} any more"),
            (Side::Import, What::Version { before }) => {
                write!(f, "wants {interface}, which was {before}")
            }
            (Side::Export, What::NewFunction(function)) => {
                write!(f, "`{}` of {interface} is new: {function}", function.name)
            }
            (Side::Export, What::GoneFunction(name)) => {
                write!(f, "`{name}` of {interface} is gone")
            }
            (Side::Export, What::Function { name, how }) => {
                write!(f, "`{name}` of {interface} {how}")
            }
            (Side::Import, What::NewFunction(function)) => {
                write!(f, "now calls `{}` of {interface}", function.name)
            }
            (Side::Import, What::GoneFunction(name)) => {
                write!(f, "does not call `{name}` of {interface} any more")
            }
            (Side::Import, What::Function { name, how }) => {
                write!(f, "expects another `{name}` of {interface}: it {how}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn function(name: &str, params: &[(&str, Type)], result: Option<Type>) -> Function {
        let named = |(name, ty): &(&str, Type)| Named {
            name: (*name).into(),
            ty: ty.clone(),
        };
        Function {
            name: name.into(),
            asynchronous: false,
            params: params.iter().map(named).collect(),
            result,
        }
    }

    fn interface(name: &str, functions: Vec<Function>) -> Interface {
        Interface {
            name: InterfaceName::new(name),
            functions,
            resources: Vec::new(),
        }
    }

    fn told(before: Vec<Interface>, after: Vec<Interface>) -> Vec<String> {
        let contract = |exports| Contract {
            exports,
            imports: Vec::new(),
        };
        let all = changes(&contract(before), &contract(after));
        all.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn changes_are_told_in_the_words_of_wit() {
        let products = "shop:catalog/products@0.2.0";
        let limit = ("limit", Type::U32);
        let id = ("id", Type::U64);
        let find = |params: Vec<(&str, Type)>, result| function("find", &params, result);
        let with = |function: Function| vec![interface(products, vec![function])];
        let some = || Some(Type::Option(Arc::new(Type::String)));
        let product = |cents| {
            let field = |name: &str, ty| Named {
                name: name.into(),
                ty,
            };
            let fields = [field("id", Type::String), field("price-cents", cents)];
            Some(Type::Option(Arc::new(Type::Record(fields.into()))))
        };
        let rows: [(Function, Function, &str); 7] = [
            (
                find(vec![id.clone()], product(Type::U32)),
                find(vec![id.clone()], product(Type::U64)),
                "`find` of shop:catalog/products@0.2.0 returns something else: some, `price-cents` is u64, which was u32",
            ),
            (
                find(vec![id.clone(), limit.clone()], None),
                find(vec![id.clone()], None),
                "`find` of shop:catalog/products@0.2.0 lost parameter `limit`",
            ),
            (
                find(vec![id.clone()], None),
                find(vec![id.clone(), limit.clone()], None),
                "`find` of shop:catalog/products@0.2.0 has a new parameter `limit: u32`",
            ),
            (
                find(vec![("id", Type::U32)], None),
                find(vec![id.clone()], None),
                "`find` of shop:catalog/products@0.2.0 takes u64 as parameter `id`, which was u32",
            ),
            (
                find(vec![id.clone(), limit.clone()], None),
                find(vec![limit, id.clone()], None),
                "`find` of shop:catalog/products@0.2.0 has its parameters in another order",
            ),
            (
                find(vec![id.clone()], some()),
                find(vec![id.clone()], Some(Type::String)),
                "`find` of shop:catalog/products@0.2.0 returns string, which was option<string>",
            ),
            (
                find(vec![id.clone()], None),
                find(vec![id], some()),
                "`find` of shop:catalog/products@0.2.0 returns option<string>, which was nothing",
            ),
        ];
        for (before, after, text) in rows {
            assert_eq!(told(with(before.clone()), with(after)), [text]);
            assert!(told(with(before.clone()), with(before)).is_empty());
        }
    }

    #[test]
    fn what_comes_and_goes_is_told() {
        let get = || function("get", &[], None);
        let before = vec![
            interface("a:b/c@1.0.0", vec![get()]),
            interface("a:b/old", vec![]),
        ];
        let after = vec![
            interface(
                "a:b/c@1.1.0",
                vec![function("put", &[("x", Type::Bool)], None)],
            ),
            interface("a:b/new", vec![]),
        ];
        assert_eq!(
            told(before, after),
            [
                "exports a:b/c@1.1.0, which was a:b/c@1.0.0",
                "`get` of a:b/c@1.1.0 is gone",
                "`put` of a:b/c@1.1.0 is new: func(x: bool)",
                "does not export a:b/old any more",
                "exports a:b/new, which is new",
            ]
        );
        let many: Vec<Interface> = (0..80)
            .map(|n| interface(&format!("a:b/c{n}"), vec![]))
            .collect();
        assert_eq!(told(many, Vec::new()).len(), CHANGES_MAX);
    }
}
