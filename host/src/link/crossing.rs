//! Which values can cross from one service to another, and where in them there are handles, streams
//! and futures.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use wasmtime::Engine;
use wasmtime::component::types::{Component, ComponentFunc, ComponentItem};
use wasmtime::component::{ResourceType, Type};

use super::Wire;
use super::mercy::Mercy;
use crate::copier::{self, Message};
use crate::instance::cargo::{Origin, Shape, Signature};
use crate::instance::pipe::{Payload, PipeKind, PipeType, Tell};

/// What stands in the way of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Uncrossable {
    /// A handle on a resource of the host's own.
    #[error(
        "handles on resources of the host (files, streams, requests) cannot leave their service"
    )]
    HostHandle,
    /// A handle as the key of a map.
    #[error("a map's keys cannot be handles")]
    HandleAsKey,
    /// A stream or a future of something else than plain data.
    #[error("streams and futures of handles, or of other streams and futures, cannot cross")]
    InPipe,
    /// An error context, which is of one instance.
    #[error("error contexts cannot cross")]
    ErrorContext,
}

/// The resource types that a component imports.
pub(super) struct Resources(Vec<(ResourceType, Option<Imported>)>);

/// A resource type that a service defines.
#[derive(Clone)]
pub(super) struct Imported {
    /// The same for all components that import it.
    pub(super) tag: u32,
    service: Arc<str>,
}

impl Resources {
    /// Of a component. An interface is imported after those whose types it uses, so that what
    /// defines a type comes first.
    pub(super) fn of(component: &Component, engine: &Engine, wires: &[Wire]) -> Resources {
        let mut found: Vec<(ResourceType, Option<Imported>)> = Vec::new();
        for (import, item) in component.imports(engine) {
            let ComponentItem::ComponentInstance(interface) = item.ty else {
                continue;
            };
            let wire = wires.iter().find(|wire| wire.import == import);
            for (name, item) in interface.exports(engine) {
                let ComponentItem::Resource(ty) = item.ty else {
                    continue;
                };
                if found.iter().any(|(known, _)| *known == ty) {
                    continue;
                }
                let imported = wire.map(|wire| Imported {
                    tag: tag(wire.policy.callee().name(), &wire.export, name),
                    service: wire.policy.callee().name().clone(),
                });
                found.push((ty, imported));
            }
        }
        Resources(found)
    }

    /// What a type is; none if the host defines it.
    pub(super) fn get(&self, ty: ResourceType) -> Option<&Imported> {
        let (_, imported) = self.0.iter().find(|(known, _)| *known == ty)?;
        imported.as_ref()
    }
}

/// The number of a resource type: one for each that any service defines, for as long as the host
/// lives.
fn tag(service: &str, interface: &str, resource: &str) -> u32 {
    type Tags = Mutex<HashMap<[Box<str>; 3], u32>>;
    static TAGS: OnceLock<Tags> = OnceLock::new();
    let mut tags = TAGS.get_or_init(Tags::default).lock();
    // As many as the manifests of one host name: it does not come to its end.
    let next = u32::try_from(tags.len()).unwrap_or(u32::MAX);
    let key = [service, interface, resource].map(Box::from);
    *tags.entry(key).or_insert(next)
}

/// The shapes of all values of a function that `callee` answers.
pub(super) fn signature(
    ty: &ComponentFunc,
    resources: &Resources,
    callee: &Arc<str>,
) -> Result<Signature, Uncrossable> {
    let mut shapes = Shapes {
        resources,
        callee,
        told: false,
    };
    let parameters = shapes.all(ty.params().map(|(_, ty)| ty))?;
    shapes.told = ty.results().any(|ty| tells(&ty));
    Ok(Signature::new(parameters, shapes.all(ty.results())?))
}

/// Whether there is a future in it that can say that its writer's instance is gone.
fn tells(ty: &Type) -> bool {
    let within = |ty: Option<Type>| ty.is_some_and(|ty| tells(&ty));
    match ty {
        Type::Future(future) => tell(future.ty()).is_some(),
        Type::Option(option) => tells(&option.ty()),
        Type::Record(record) => record.fields().any(|field| tells(&field.ty)),
        Type::Tuple(tuple) => tuple.types().any(|ty| tells(&ty)),
        Type::Variant(variant) => variant.cases().any(|case| within(case.ty)),
        Type::Result(result) => within(result.ok()) || within(result.err()),
        _ => false,
    }
}

/// How a future with such values says that its writer's instance is gone.
fn tell(payload: Option<Type>) -> Option<Tell> {
    let types = [payload?];
    let mercy = Mercy::of(&types);
    mercy
        .fits()
        .then(|| -> Tell { Arc::new(move |error| Message::of(&[mercy.value(error)?], &types)) })
}

struct Shapes<'a> {
    resources: &'a Resources,
    callee: &'a Arc<str>,
    /// A future of the same values tells of a failure.
    told: bool,
}

impl Shapes<'_> {
    fn all(&self, types: impl Iterator<Item = Type>) -> Result<Vec<Shape>, Uncrossable> {
        types.map(|ty| self.of(&ty)).collect()
    }

    fn of(&self, ty: &Type) -> Result<Shape, Uncrossable> {
        let optional = |ty: Option<Type>| ty.map_or(Ok(Shape::Plain), |ty| self.of(&ty));
        Ok(match ty {
            Type::Own(ty) | Type::Borrow(ty) => {
                let imported = self.resources.get(*ty).ok_or(Uncrossable::HostHandle)?;
                Shape::Handle(Origin {
                    tag: imported.tag,
                    of_callee: imported.service == *self.callee,
                })
            }
            Type::Stream(stream) => self.pipe(PipeKind::Stream, stream.ty())?,
            Type::Future(future) => self.pipe(PipeKind::Future, future.ty())?,
            Type::ErrorContext => return Err(Uncrossable::ErrorContext),
            Type::List(list) => Shape::of(self.of(&list.ty())?),
            Type::FixedLengthList(list) => Shape::of(self.of(&list.ty())?),
            Type::Option(option) => Shape::of(self.of(&option.ty())?),
            Type::Map(map) => match self.of(&map.key())? {
                Shape::Plain => Shape::values(self.of(&map.value())?),
                _ => return Err(Uncrossable::HandleAsKey),
            },
            Type::Record(record) => Shape::fields(self.all(record.fields().map(|f| f.ty))?),
            Type::Tuple(tuple) => Shape::fields(self.all(tuple.types())?),
            Type::Variant(variant) => {
                let case = |case: wasmtime::component::types::Case<'_>| {
                    Ok((case.name.to_owned(), optional(case.ty)?))
                };
                Shape::cases(variant.cases().map(case).collect::<Result<_, _>>()?)
            }
            Type::Result(result) => Shape::sides(optional(result.ok())?, optional(result.err())?),
            _ => Shape::Plain,
        })
    }

    fn pipe(&self, kind: PipeKind, payload: Option<Type>) -> Result<Shape, Uncrossable> {
        let carried = match &payload {
            None => Payload::Nothing,
            Some(Type::U8) => Payload::Bytes,
            Some(ty) if copier::is_plain(ty) => Payload::Items,
            Some(_) => return Err(Uncrossable::InPipe),
        };
        Ok(Shape::Pipe(PipeType {
            kind,
            payload: carried,
            tell: match kind {
                PipeKind::Stream => None,
                PipeKind::Future => tell(payload),
            },
            quiet: self.told,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_type_has_one_number_and_another_has_another() {
        let one = tag("catalog", "a:b/c@1.0.0", "item");
        assert_eq!(one, tag("catalog", "a:b/c@1.0.0", "item"));
        assert_ne!(one, tag("catalog", "a:b/c@1.0.0", "shelf"));
        assert_ne!(one, tag("stock", "a:b/c@1.0.0", "item"));
    }
}
