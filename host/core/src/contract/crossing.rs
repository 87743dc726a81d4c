//! Which values cannot cross from one service to another.
use std::fmt;

use super::{Interface, Type};

/// Why a value cannot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// The items of a stream, or the value of a future, hold handles, other streams or futures,
    /// error contexts, maps or lists of fixed length.
    InPipe,
    /// The keys of a map hold a handle.
    HandleAsKey,
    /// An error context belongs to one instance.
    ErrorContext,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Obstacle::InPipe => "a stream or a future of something else than plain data",
            Obstacle::HandleAsKey => "a handle as the key of a map",
            Obstacle::ErrorContext => "an error context",
        })
    }
}

impl Obstacle {
    /// What to write instead.
    pub(super) fn help(self) -> &'static str {
        match self {
            Obstacle::InPipe => {
                "let the stream carry numbers, strings, lists, records or variants of them, and pass \
                 handles in calls"
            }
            Obstacle::HandleAsKey => "pass a list of pairs instead",
            Obstacle::ErrorContext => "pass a string instead",
        }
    }
}

/// The first function that has something in it which cannot cross.
pub(super) fn obstacle(interface: &Interface) -> Option<(&str, Obstacle)> {
    interface.functions.iter().find_map(|function| {
        let params = function.params.iter().map(|param| &param.ty);
        let mut types = params.chain(&function.result);
        let obstacle = types.find_map(Type::obstacle)?;
        Some((&*function.name, obstacle))
    })
}

impl Type {
    fn obstacle(&self) -> Option<Obstacle> {
        match self {
            Type::ErrorContext => Some(Obstacle::ErrorContext),
            Type::Stream(Some(item)) | Type::Future(Some(item)) if !item.is_plain() => {
                Some(Obstacle::InPipe)
            }
            Type::Map(entry) if entry.0.any(&Type::is_bound) => Some(Obstacle::HandleAsKey),
            ty => ty.parts().find_map(Type::obstacle),
        }
    }

    /// Data that the copier takes as it is.
    fn is_plain(&self) -> bool {
        let special = |ty: &Type| ty.is_bound() || matches!(ty, Type::Map(_) | Type::FixedList(..));
        !self.any(&special)
    }

    /// Whether its values are data: they mean the same wherever they are.
    pub(super) fn is_data(&self) -> bool {
        !self.any(&Type::is_bound)
    }

    /// Means something in one instance only.
    fn is_bound(&self) -> bool {
        use Type::{Borrow, ErrorContext, Future, Own, Stream};
        matches!(
            self,
            Own(_) | Borrow(_) | Stream(_) | Future(_) | ErrorContext
        )
    }

    fn any(&self, wanted: &impl Fn(&Type) -> bool) -> bool {
        wanted(self) || self.parts().any(|part| part.any(wanted))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{InterfaceName, Resource, Side};
    use super::*;

    fn handle() -> Type {
        Type::Own(Resource {
            interface: Some(InterfaceName::new("a:b/c")),
            name: "cart".into(),
            side: Side::Import,
        })
    }

    fn list(ty: Type) -> Type {
        Type::List(Arc::new(ty))
    }

    #[test]
    fn plain_data_goes_through_streams_and_nothing_else_does() {
        let stream = |ty: Type| Type::Stream(Some(Arc::new(ty))).obstacle();
        let future = |ty: Type| Type::Future(Some(Arc::new(ty))).obstacle();
        assert_eq!(Type::Stream(None).obstacle(), None);
        assert_eq!(stream(Type::U8), None);
        assert_eq!(stream(list(Type::String)), None);
        assert_eq!(future(Type::Option(Arc::new(Type::F64))), None);
        for bad in [
            handle(),
            list(handle()),
            Type::Stream(None),
            Type::ErrorContext,
        ] {
            assert_eq!(stream(bad.clone()), Some(Obstacle::InPipe), "{bad:?}");
            assert_eq!(future(bad.clone()), Some(Obstacle::InPipe), "{bad:?}");
            let nested = Type::Tuple([Type::U8, Type::Stream(Some(Arc::new(bad)))].into());
            assert_eq!(nested.obstacle(), Some(Obstacle::InPipe));
        }
    }

    #[test]
    fn handles_cross_but_not_as_keys_and_error_contexts_never() {
        assert_eq!(handle().obstacle(), None);
        assert_eq!(list(handle()).obstacle(), None);
        let map = |key, value| Type::Map(Arc::new((key, value))).obstacle();
        assert_eq!(map(Type::U8, handle()), None);
        assert_eq!(map(handle(), Type::U8), Some(Obstacle::HandleAsKey));
        let result = Type::Result(Arc::new((None, Some(Type::ErrorContext))));
        assert_eq!(result.obstacle(), Some(Obstacle::ErrorContext));
    }
}
