//! What the copier asks of a type.

use wasmtime::component::__internal::wasmtime_environ::component::VariantInfo;
use wasmtime::component::__internal::{ComponentTypes, InterfaceType};

/// A type has at most so many flags (Component Model, `Binary.md`).
pub(super) const FLAGS: usize = 32;

/// Whether values of this type are plain data that can cross as a message: they hold no handle of any
/// kind.
pub(super) fn is_plain(types: &ComponentTypes, ty: InterfaceType) -> bool {
    crosses(types, ty) && leaves(types, ty) == 0
}

/// Whether values of this type can cross as a message.
pub(super) fn crosses(types: &ComponentTypes, ty: InterfaceType) -> bool {
    use InterfaceType as Type;
    let inside = |ty| crosses(types, ty);
    match ty {
        Type::Bool
        | Type::S8
        | Type::U8
        | Type::S16
        | Type::U16
        | Type::S32
        | Type::U32
        | Type::S64
        | Type::U64
        | Type::Float32
        | Type::Float64
        | Type::Char
        | Type::String
        | Type::Own(_)
        | Type::Borrow(_)
        | Type::Enum(_) => true,
        Type::Flags(flags) => types[flags].names.len() <= FLAGS,
        Type::List(list) => inside(types[list].element),
        Type::Record(_) | Type::Tuple(_) => fields(types, ty).all(inside),
        Type::Variant(_) | Type::Option(_) | Type::Result(_) => {
            let mut cases = (0..).map_while(|number| case(types, ty, number));
            cases.all(|payload| payload.is_none_or(inside))
        }
        Type::FixedLengthList(_)
        | Type::Map(_)
        | Type::Future(_)
        | Type::Stream(_)
        | Type::ErrorContext(_) => false,
    }
}

/// The places for handles in a type, in the order of its fields and cases.
pub(super) fn leaves(types: &ComponentTypes, ty: InterfaceType) -> usize {
    let inside = |ty| leaves(types, ty);
    match ty {
        InterfaceType::Own(_) | InterfaceType::Borrow(_) => 1,
        InterfaceType::List(list) => inside(types[list].element),
        InterfaceType::Record(_) | InterfaceType::Tuple(_) => fields(types, ty).map(inside).sum(),
        InterfaceType::Variant(_) | InterfaceType::Option(_) | InterfaceType::Result(_) => {
            leaves_before(types, ty, u32::MAX)
        }
        _ => 0,
    }
}

/// Of a variant, option or result: those in its first cases, so many.
pub(super) fn leaves_before(types: &ComponentTypes, ty: InterfaceType, cases: u32) -> usize {
    let cases = (0..cases).map_while(|number| case(types, ty, number));
    cases.flatten().map(|payload| leaves(types, payload)).sum()
}

/// Bytes of a number, whose every pattern of bits is a value.
pub(super) fn number(ty: InterfaceType) -> Option<usize> {
    use InterfaceType as Type;
    match ty {
        Type::S8 | Type::U8 => Some(1),
        Type::S16 | Type::U16 => Some(2),
        Type::S32 | Type::U32 | Type::Float32 => Some(4),
        Type::S64 | Type::U64 | Type::Float64 => Some(8),
        _ => None,
    }
}

/// Whether every pattern of bits is a value, without a byte of padding: such values may be copied as
/// they are. Padding may not, since it is memory of the guest's that it has not given away.
pub(super) fn is_solid(types: &ComponentTypes, ty: InterfaceType) -> bool {
    match ty {
        InterfaceType::Record(_) | InterfaceType::Tuple(_) => {
            let mut used = 0;
            let solid = fields(types, ty).all(|field| {
                used += types.canonical_abi(&field).size32;
                is_solid(types, field)
            });
            solid && used == types.canonical_abi(&ty).size32
        }
        _ => number(ty).is_some(),
    }
}

/// Whether there may be something in values of this type that the guest's own memory or tables have to
/// take: contents outside of the fixed part, or handles.
pub(super) fn has_contents(types: &ComponentTypes, ty: InterfaceType) -> bool {
    let inside = |ty| has_contents(types, ty);
    match ty {
        InterfaceType::String
        | InterfaceType::List(_)
        | InterfaceType::Own(_)
        | InterfaceType::Borrow(_) => true,
        InterfaceType::Record(_) | InterfaceType::Tuple(_) => fields(types, ty).any(inside),
        InterfaceType::Variant(_) | InterfaceType::Option(_) | InterfaceType::Result(_) => {
            let mut cases = (0..).map_while(|number| case(types, ty, number));
            cases.any(|payload| payload.is_some_and(inside))
        }
        _ => false,
    }
}

/// The types of a record's or tuple's fields, in order; none for other types.
pub(super) fn fields(
    types: &ComponentTypes,
    ty: InterfaceType,
) -> impl Iterator<Item = InterfaceType> {
    let (record, tuple) = match ty {
        InterfaceType::Record(record) => (Some(&types[record].fields), None),
        InterfaceType::Tuple(tuple) => (None, Some(&types[tuple].types)),
        _ => (None, None),
    };
    let of_record = record.into_iter().flat_map(|fields| fields.iter());
    let of_tuple = tuple.into_iter().flat_map(|types| types.iter());
    of_record.map(|field| field.ty).chain(of_tuple.copied())
}

/// The payload of a case of a variant, option or result; `None` if there is no such case.
pub(super) fn case(
    types: &ComponentTypes,
    ty: InterfaceType,
    number: u32,
) -> Option<Option<InterfaceType>> {
    match (ty, number) {
        (InterfaceType::Variant(variant), _) => {
            let (_, payload) = types[variant].cases.get_index(number as usize)?;
            Some(*payload)
        }
        (InterfaceType::Option(_), 0) => Some(None),
        (InterfaceType::Option(option), 1) => Some(Some(types[option].ty)),
        (InterfaceType::Result(result), 0) => Some(types[result].ok),
        (InterfaceType::Result(result), 1) => Some(types[result].err),
        _ => None,
    }
}

/// The layout of a variant, option or result: bytes of its discriminant, offset of its payload.
pub(super) fn layout(types: &ComponentTypes, ty: InterfaceType) -> Option<(usize, usize)> {
    let info: &VariantInfo = match ty {
        InterfaceType::Variant(variant) => &types[variant].info,
        InterfaceType::Option(option) => &types[option].info,
        InterfaceType::Result(result) => &types[result].info,
        _ => return None,
    };
    Some((info.size.into(), info.payload_offset32 as usize))
}

/// The bits of so many flags.
pub(super) fn flag_bits(count: usize) -> u32 {
    match count {
        FLAGS.. => u32::MAX,
        count => (1 << count) - 1,
    }
}

/// Bytes of a value of this type, and its alignment.
pub(super) fn size(types: &ComponentTypes, ty: InterfaceType) -> (usize, u32) {
    let abi = types.canonical_abi(&ty);
    (abi.size32 as usize, abi.align32)
}

/// The core values that a value of this type takes as an argument; `None` for more than 16, which no
/// argument is passed in.
pub(super) fn flat(types: &ComponentTypes, ty: InterfaceType) -> Option<usize> {
    types.canonical_abi(&ty).flat_count.map(usize::from)
}
