//! Where the values of a type lie in a message, by what the component says of the type: for messages that
//! the host makes or reads itself. Guests' are read by wasmtime's own tables (`types`).

use wasmtime::component::Type;

use super::types::FLAGS;

/// The size and alignment of a type in memory (Component Model, `CanonicalABI.md`, "Alignment" and
/// "Element Size").
pub(super) fn layout(ty: &Type) -> Option<(usize, usize)> {
    let scalar = |size| Some((size, size));
    match ty {
        Type::Bool | Type::S8 | Type::U8 => scalar(1),
        Type::S16 | Type::U16 => scalar(2),
        Type::S32 | Type::U32 | Type::Float32 | Type::Char | Type::Own(_) | Type::Borrow(_) => {
            scalar(4)
        }
        Type::S64 | Type::U64 | Type::Float64 => scalar(8),
        Type::String | Type::List(_) => Some((8, 4)),
        Type::Enum(names) => scalar(discriminant(names.names().count())?),
        Type::Flags(flags) => match flags.names().count() {
            0..=8 => scalar(1),
            9..=16 => scalar(2),
            17..=FLAGS => scalar(4),
            _ => None,
        },
        Type::Record(record) => {
            let (size, align, _) = fields(record.fields().map(|field| field.ty))?;
            Some((size, align))
        }
        Type::Tuple(tuple) => {
            let (size, align, _) = fields(tuple.types())?;
            Some((size, align))
        }
        Type::Variant(variant) => {
            let payloads: Vec<_> = variant.cases().map(|case| case.ty).collect();
            cases(&payloads).map(|(size, align, _)| (size, align))
        }
        Type::Option(option) => {
            cases(&[None, Some(option.ty())]).map(|(size, align, _)| (size, align))
        }
        Type::Result(result) => {
            cases(&[result.ok(), result.err()]).map(|(size, align, _)| (size, align))
        }
        _ => None,
    }
}

/// The size and alignment of a record, and the places of its fields.
pub(super) fn fields(types: impl Iterator<Item = Type>) -> Option<(usize, usize, Vec<usize>)> {
    let (mut end, mut most, mut places) = (0_usize, 1, Vec::new());
    for ty in types {
        let (size, align) = layout(&ty)?;
        let at = end.next_multiple_of(align);
        places.push(at);
        end = at.checked_add(size)?;
        most = most.max(align);
    }
    Some((end.next_multiple_of(most), most, places))
}

/// The size and alignment of a variant, and the place of its payload.
pub(super) fn cases(payloads: &[Option<Type>]) -> Option<(usize, usize, usize)> {
    let discriminant = discriminant(payloads.len())?;
    let (mut size, mut align) = (0, 1);
    for payload in payloads.iter().flatten() {
        let (its_size, its_align) = layout(payload)?;
        size = size.max(its_size);
        align = align.max(its_align);
    }
    let place = discriminant.next_multiple_of(align);
    let align = align.max(discriminant);
    Some(((place + size).next_multiple_of(align), align, place))
}

/// Bytes of the discriminant of so many cases.
pub(super) fn discriminant(cases: usize) -> Option<usize> {
    match cases {
        0 => None,
        1..=0x100 => Some(1),
        0x101..=0x1_0000 => Some(2),
        _ => Some(4),
    }
}
