//! Where in a function's values there are handles, streams and futures: what is plain is not looked
//! at.

use wasmtime::component::Val;

use crate::instance::pipe::PipeType;

/// The values of a function, as both sides of a call see them.
#[derive(Debug, Default)]
pub(crate) struct Signature {
    pub(crate) parameters: Vec<Shape>,
    pub(crate) results: Vec<Shape>,
    /// Whose the handles in the parameters are, in the order of their places.
    pub(crate) taken: Vec<Origin>,
    /// As above, in the results.
    pub(crate) given: Vec<Origin>,
    gives_own: bool,
    has_pipes: bool,
}

impl Signature {
    pub(crate) fn new(parameters: Vec<Shape>, results: Vec<Shape>) -> Signature {
        let mut all = parameters.iter().chain(&results);
        let (taken, given) = (origins(&parameters), origins(&results));
        Signature {
            has_pipes: all.any(Shape::has_pipes),
            gives_own: given.iter().any(|origin| origin.of_callee),
            taken,
            given,
            parameters,
            results,
        }
    }

    /// Of so many values that are nothing but data.
    pub(crate) fn plain(parameters: usize, results: usize) -> Signature {
        let plain = |count| {
            std::iter::repeat_with(|| Shape::Plain)
                .take(count)
                .collect()
        };
        Signature::new(plain(parameters), plain(results))
    }

    /// Whether a call may come back with handles on resources of the callee's own.
    pub(crate) fn gives_own(&self) -> bool {
        self.gives_own
    }

    /// Whether there may be streams or futures in a call.
    pub(crate) fn has_pipes(&self) -> bool {
        self.has_pipes
    }
}

fn origins(shapes: &[Shape]) -> Vec<Origin> {
    let mut found = Vec::new();
    for shape in shapes {
        shape.leaves(&mut |leaf| {
            if let Leaf::Handle(origin) = leaf {
                found.push(origin);
            }
        });
    }
    found
}

/// One value of it.
#[derive(Debug)]
pub(crate) enum Shape {
    /// There is nothing in it but data.
    Plain,
    /// A handle.
    Handle(Origin),
    /// A stream or a future.
    Pipe(PipeType),
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

/// What does not cross as it is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Leaf<'a> {
    Handle(Origin),
    Pipe(&'a PipeType),
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
        match fields.iter().all(Shape::is_plain) {
            true => Shape::Plain,
            false => Shape::Fields(fields),
        }
    }

    /// A variant; plain if all that it can be is.
    pub(crate) fn cases(cases: Vec<(String, Shape)>) -> Shape {
        match cases.iter().all(|(_, case)| case.is_plain()) {
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

    pub(crate) fn is_plain(&self) -> bool {
        matches!(self, Shape::Plain)
    }

    fn has_pipes(&self) -> bool {
        let mut has = false;
        self.leaves(&mut |leaf| has |= matches!(leaf, Leaf::Pipe(_)));
        has
    }

    /// The places for what does not cross as it is, in order.
    fn leaves(&self, found: &mut impl FnMut(Leaf<'_>)) {
        match self {
            Shape::Plain => {}
            Shape::Handle(origin) => found(Leaf::Handle(*origin)),
            Shape::Pipe(ty) => found(Leaf::Pipe(ty)),
            Shape::Of(inner) | Shape::Values(inner) => inner.leaves(found),
            Shape::Fields(fields) => fields.iter().for_each(|field| field.leaves(found)),
            Shape::Cases(cases) => cases.iter().for_each(|(_, case)| case.leaves(found)),
            Shape::Sides(sides) => sides.iter().for_each(|side| side.leaves(found)),
        }
    }

    /// Visits what does not cross as it is, in order.
    pub(super) fn visit<E>(
        &self,
        value: &mut Val,
        visit: &mut impl FnMut(Leaf<'_>, &mut Val) -> Result<(), E>,
    ) -> Result<(), E> {
        match (self, value) {
            (Shape::Handle(origin), value) => visit(Leaf::Handle(*origin), value),
            (Shape::Pipe(ty), value) => visit(Leaf::Pipe(ty), value),
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
        let visited = shape.visit(&mut value, &mut |leaf, value| {
            let Leaf::Handle(origin) = leaf else {
                return Err(());
            };
            assert_eq!(*value, Val::U32(origin.tag));
            seen.push(origin.tag);
            Ok(())
        });
        visited.unwrap();
        seen
    }

    #[test]
    fn what_has_no_handle_in_it_is_plain() {
        assert!(Shape::of(Shape::Plain).is_plain());
        assert!(Shape::fields(vec![Shape::Plain]).is_plain());
        assert!(Shape::cases(vec![("a".into(), Shape::Plain)]).is_plain());
        assert!(Shape::sides(Shape::Plain, Shape::Plain).is_plain());
        assert!(Shape::values(Shape::Plain).is_plain());
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
        let results = |shape| Signature::new(vec![handle(1)], vec![shape]);
        assert!(results(Shape::of(handle(1))).gives_own());
        assert!(!results(Shape::of(handle(2))).gives_own());
    }
}
