//! Where in a function's values there are handles: what is plain is not looked at.

use wasmtime::component::Val;

/// The values of a function, as both sides of a call see them.
#[derive(Debug, Default)]
pub(crate) struct Signature {
    pub(crate) parameters: Vec<Shape>,
    pub(crate) results: Vec<Shape>,
}

impl Signature {
    /// Whether there is no handle in any value.
    pub(crate) fn is_plain(&self) -> bool {
        let mut all = self.parameters.iter().chain(&self.results);
        all.all(|shape| *shape == Shape::Plain)
    }

    /// Whether a call may come back with handles on resources of the callee's own.
    pub(crate) fn gives_own(&self) -> bool {
        self.results.iter().any(Shape::has_own)
    }
}

/// One value of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// There is no handle in it.
    Plain,
    /// A handle.
    Handle(Origin),
    /// A list, an option: of values like this.
    Of(Box<Shape>),
    /// A record or a tuple, in order.
    Fields(Vec<Shape>),
    /// The cases of a variant that have something in them.
    Cases(Vec<(String, Shape)>),
    /// The two sides of a result.
    Sides(Box<[Shape; 2]>),
    /// A map's keys are plain.
    Values(Box<Shape>),
}

/// Whose resource a handle is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The resource's type, the same in all components of the application.
    pub(crate) tag: u32,
    /// It is defined by the callee; otherwise the callee imports it as the caller does.
    pub(crate) of_callee: bool,
}

impl Shape {
    /// Several in one; plain if all are.
    pub(crate) fn fields(fields: Vec<Shape>) -> Shape {
        match fields.iter().all(|field| *field == Shape::Plain) {
            true => Shape::Plain,
            false => Shape::Fields(fields),
        }
    }

    /// A variant; plain if all that it can be is.
    pub(crate) fn cases(cases: Vec<(String, Shape)>) -> Shape {
        match cases.iter().all(|(_, case)| *case == Shape::Plain) {
            true => Shape::Plain,
            false => Shape::Cases(cases),
        }
    }

    /// A list or an option.
    pub(crate) fn of(inner: Shape) -> Shape {
        match inner {
            Shape::Plain => Shape::Plain,
            inner => Shape::Of(Box::new(inner)),
        }
    }

    /// A result.
    pub(crate) fn sides(ok: Shape, err: Shape) -> Shape {
        match (&ok, &err) {
            (Shape::Plain, Shape::Plain) => Shape::Plain,
            _ => Shape::Sides(Box::new([ok, err])),
        }
    }

    /// A map.
    pub(crate) fn values(inner: Shape) -> Shape {
        match inner {
            Shape::Plain => Shape::Plain,
            inner => Shape::Values(Box::new(inner)),
        }
    }

    fn has_own(&self) -> bool {
        match self {
            Shape::Plain => false,
            Shape::Handle(origin) => origin.of_callee,
            Shape::Of(inner) | Shape::Values(inner) => inner.has_own(),
            Shape::Fields(fields) => fields.iter().any(Shape::has_own),
            Shape::Cases(cases) => cases.iter().any(|(_, case)| case.has_own()),
            Shape::Sides(sides) => sides.iter().any(Shape::has_own),
        }
    }

    /// Visits the handles of a value, in order.
    pub(super) fn visit<E>(
        &self,
        value: &mut Val,
        visit: &mut impl FnMut(Origin, &mut Val) -> Result<(), E>,
    ) -> Result<(), E> {
        match (self, value) {
            (Shape::Handle(origin), value) => visit(*origin, value),
            (Shape::Of(inner), Val::List(values) | Val::FixedLengthList(values)) => values
                .iter_mut()
                .try_for_each(|value| inner.visit(value, visit)),
            (Shape::Of(inner), Val::Option(Some(value))) => inner.visit(value, visit),
            (Shape::Values(inner), Val::Map(pairs)) => pairs
                .iter_mut()
                .try_for_each(|(_, value)| inner.visit(value, visit)),
            (Shape::Fields(fields), Val::Record(values)) => fields
                .iter()
                .zip(values)
                .try_for_each(|(field, (_, value))| field.visit(value, visit)),
            (Shape::Fields(fields), Val::Tuple(values)) => fields
                .iter()
                .zip(values)
                .try_for_each(|(field, value)| field.visit(value, visit)),
            (Shape::Cases(cases), Val::Variant(name, Some(value))) => {
                match cases.iter().find(|(case, _)| case == name) {
                    Some((_, case)) => case.visit(value, visit),
                    None => Ok(()),
                }
            }
            (Shape::Sides(sides), Val::Result(Ok(Some(value)))) => sides[0].visit(value, visit),
            (Shape::Sides(sides), Val::Result(Err(Some(value)))) => sides[1].visit(value, visit),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handle(tag: u32) -> Shape {
        let of_callee = tag == 1;
        Shape::Handle(Origin { tag, of_callee })
    }

    fn seen(shape: &Shape, mut value: Val) -> Vec<u32> {
        let mut seen = Vec::new();
        let visited = shape.visit(&mut value, &mut |origin, value| {
            assert_eq!(*value, Val::U32(origin.tag));
            seen.push(origin.tag);
            Ok::<(), ()>(())
        });
        visited.unwrap();
        seen
    }

    #[test]
    fn what_has_no_handle_in_it_is_plain() {
        assert_eq!(Shape::of(Shape::Plain), Shape::Plain);
        assert_eq!(Shape::fields(vec![Shape::Plain]), Shape::Plain);
        assert_eq!(Shape::cases(vec![("a".into(), Shape::Plain)]), Shape::Plain);
        assert_eq!(Shape::sides(Shape::Plain, Shape::Plain), Shape::Plain);
        assert_eq!(Shape::values(Shape::Plain), Shape::Plain);
    }

    #[test]
    fn handles_are_found_wherever_they_are() {
        let (one, two) = (|| Val::U32(1), || Val::U32(2));
        let some = |value| Some(Box::new(value));
        let list = Shape::of(handle(1));
        assert_eq!(seen(&list, Val::List(vec![one(), one()])), [1, 1]);
        assert_eq!(seen(&list, Val::Option(some(one()))), [1]);
        assert!(seen(&list, Val::Option(None)).is_empty());
        let fields = Shape::fields(vec![Shape::Plain, handle(1), handle(2)]);
        let tuple = Val::Tuple(vec![Val::Bool(true), one(), two()]);
        assert_eq!(seen(&fields, tuple), [1, 2]);
        let cases = Shape::cases(vec![("a".into(), handle(2)), ("b".into(), Shape::Plain)]);
        assert_eq!(seen(&cases, Val::Variant("a".into(), some(two()))), [2]);
        assert!(seen(&cases, Val::Variant("b".into(), some(one()))).is_empty());
        let sides = Shape::sides(handle(1), handle(2));
        assert_eq!(seen(&sides, Val::Result(Ok(some(one())))), [1]);
        assert_eq!(seen(&sides, Val::Result(Err(some(two())))), [2]);
        let values = Shape::values(handle(1));
        let pairs = vec![(Val::Bool(true), one())];
        assert_eq!(seen(&values, Val::Map(pairs)), [1]);
    }

    #[test]
    fn what_may_come_back_of_the_callees_own_is_known_beforehand() {
        let results = |shape| Signature {
            parameters: vec![handle(1)],
            results: vec![shape],
        };
        assert!(results(Shape::of(handle(1))).gives_own());
        assert!(!results(Shape::of(handle(2))).gives_own());
    }
}
