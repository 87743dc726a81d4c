//! What components import and export, as data: so that it is known before anything runs which
//! service calls which, and that both mean the same by what they say.
//!
//! The host reads a [`Contract`] from each component. [`compare`] finds where an export is not what
//! an import expects, [`resolve()`] makes the [`Link`]s of an application, [`order`] says in which
//! order linked services start. The types are those of WIT without their names: the component model
//! compares structure, and only resources have an identity.
use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::name::ServiceName;

mod change;
mod compare;
mod crossing;
mod interface;
pub mod order;
mod problem;
mod resolve;
mod text;

pub use change::{CHANGES_MAX, Change, What, changes};
pub use compare::{DIFFERENCES_MAX, Difference, Step, Subject, compare};
pub use crossing::Obstacle;
pub use interface::{InterfaceName, Track};
pub use problem::{Candidate, Origin, Problem};
pub use resolve::{Party, Resolution, Unused, resolve};

/// The interfaces that a component imports and exports. What else a world may have (functions and
/// types of its own) is never linked and not in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contract {
    /// In the component's order.
    pub imports: Vec<Interface>,
    /// In the component's order.
    pub exports: Vec<Interface>,
}

/// One interface, with the functions and resources that the component uses or provides of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// As the component writes it.
    pub name: InterfaceName,
    /// In the component's order.
    pub functions: Vec<Function>,
    /// Names of the resources that it defines, not of those that it only mentions.
    pub resources: Vec<Arc<str>>,
}

/// A function of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// As in the component: `find`, `[method]cart.add`, `[constructor]cart`, `[static]cart.open`.
    pub name: Arc<str>,
    /// Declared `async` in WIT: it may wait, and others may call it meanwhile.
    pub asynchronous: bool,
    pub params: Arc<[Named]>,
    pub result: Option<Type>,
}

/// A parameter of a function or a field of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    pub name: Arc<str>,
    pub ty: Type,
}

/// A case of a variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    pub name: Arc<str>,
    pub ty: Option<Type>,
}

/// A type of WIT. Parts are shared, so that cloning is cheap.
///
/// Two are `==` when they are the same within one component; whether those of two components fit is
/// what [`compare`] says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    Bool,
    S8,
    U8,
    S16,
    U16,
    S32,
    U32,
    S64,
    U64,
    F32,
    F64,
    Char,
    String,
    ErrorContext,
    List(Arc<Type>),
    /// `list<T, N>`.
    FixedList(Arc<Type>, u32),
    /// Key and value.
    Map(Arc<(Type, Type)>),
    Record(Arc<[Named]>),
    Tuple(Arc<[Type]>),
    Variant(Arc<[Case]>),
    Enum(Arc<[Arc<str>]>),
    Flags(Arc<[Arc<str>]>),
    Option(Arc<Type>),
    /// What comes when it goes well, and what when it does not.
    Result(Arc<(Option<Type>, Option<Type>)>),
    Own(Resource),
    Borrow(Resource),
    Stream(Option<Arc<Type>>),
    Future(Option<Arc<Type>>),
}

/// A resource, as a handle's type names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// The interface that defines it; none if the world itself does.
    pub interface: Option<InterfaceName>,
    pub name: Arc<str>,
    /// Whether the component imports that interface or exports it: it may do both.
    pub side: Side,
}

/// Where a component has an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    Import,
    Export,
}

/// An import of one service that an export of another satisfies. Both names are written as the two
/// components write them, since their versions may differ.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Link {
    pub caller: ServiceName,
    /// `shop:catalog/products@0.2.0`
    pub import: String,
    pub callee: ServiceName,
    /// `shop:catalog/products@0.2.1`
    pub export: String,
}

impl Contract {
    /// The import of exactly this name.
    pub fn import(&self, name: &str) -> Option<&Interface> {
        self.imports
            .iter()
            .find(|import| import.name.text() == name)
    }

    /// The export of exactly this name.
    pub fn export(&self, name: &str) -> Option<&Interface> {
        self.exports
            .iter()
            .find(|export| export.name.text() == name)
    }
}

impl Function {
    /// Whether all its values are data, which can be written down: no handles, streams, futures.
    pub fn is_data(&self) -> bool {
        let params = self.params.iter().map(|param| &param.ty);
        params.chain(&self.result).all(Type::is_data)
    }
}

impl Interface {
    /// The function of exactly this name.
    pub fn function(&self, name: &str) -> Option<&Function> {
        self.functions
            .iter()
            .find(|function| &*function.name == name)
    }

    /// An interface of nothing but types: names for what others define, which nobody provides.
    pub fn is_types_only(&self) -> bool {
        self.functions.is_empty() && self.resources.is_empty()
    }

    /// Resources that its functions mention and another interface defines, each once.
    pub fn foreign_resources(&self) -> Vec<&Resource> {
        let mut found: Vec<&Resource> = Vec::new();
        for function in &self.functions {
            let params = function.params.iter().map(|param| &param.ty);
            for ty in params.chain(&function.result) {
                ty.resources(&mut |resource| {
                    let foreign = resource.interface.as_ref() != Some(&self.name);
                    if foreign && !found.contains(&resource) {
                        found.push(resource);
                    }
                });
            }
        }
        found
    }
}

impl Type {
    /// Calls `see` with the resource of each handle in it.
    fn resources<'t>(&'t self, see: &mut impl FnMut(&'t Resource)) {
        if let Type::Own(resource) | Type::Borrow(resource) = self {
            see(resource);
        }
        self.parts().for_each(|part| part.resources(see));
    }

    /// The types that it is directly made of, in order.
    fn parts(&self) -> Box<dyn Iterator<Item = &Type> + '_> {
        use std::iter::{empty, once};
        match self {
            Type::List(element) | Type::FixedList(element, _) | Type::Option(element) => {
                Box::new(once(&**element))
            }
            Type::Map(entry) => Box::new([&entry.0, &entry.1].into_iter()),
            Type::Record(fields) => Box::new(fields.iter().map(|field| &field.ty)),
            Type::Tuple(items) => Box::new(items.iter()),
            Type::Variant(cases) => Box::new(cases.iter().filter_map(|case| case.ty.as_ref())),
            Type::Result(both) => Box::new(both.0.iter().chain(&both.1)),
            Type::Stream(inner) | Type::Future(inner) => {
                Box::new(inner.iter().map(|inner| &**inner))
            }
            Type::Own(_) | Type::Borrow(_) | Type::Enum(_) | Type::Flags(_) => Box::new(empty()),
            Type::Bool
            | Type::S8
            | Type::U8
            | Type::S16
            | Type::U16
            | Type::S32
            | Type::U32
            | Type::S64
            | Type::U64
            | Type::F32
            | Type::F64
            | Type::Char
            | Type::String
            | Type::ErrorContext => Box::new(empty()),
        }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} → {}: {}", self.caller, self.callee, self.import)?;
        if self.export != self.import {
            write!(f, " (as {})", self.export)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod arbitrary;
