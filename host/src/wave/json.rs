//! From a value to JSON. The mapping is documented in docs/cli.md.

use serde::ser::{Serialize, SerializeMap, Serializer};
use wasmtime::component::Val;

/// A value that serializes itself. What is no data becomes `null`.
pub(crate) struct Json<'a>(pub(crate) &'a Val);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Val::Bool(value) => to.serialize_bool(*value),
            Val::S8(value) => to.serialize_i8(*value),
            Val::U8(value) => to.serialize_u8(*value),
            Val::S16(value) => to.serialize_i16(*value),
            Val::U16(value) => to.serialize_u16(*value),
            Val::S32(value) => to.serialize_i32(*value),
            Val::U32(value) => to.serialize_u32(*value),
            Val::S64(value) => to.serialize_i64(*value),
            Val::U64(value) => to.serialize_u64(*value),
            Val::Float32(value) if value.is_finite() => to.serialize_f32(*value),
            Val::Float64(value) if value.is_finite() => to.serialize_f64(*value),
            // JSON has no words for these.
            Val::Float32(_) | Val::Float64(_) => to.collect_str(&super::Wave(self.0)),
            Val::Char(value) => to.serialize_char(*value),
            Val::String(value) => to.serialize_str(value),
            Val::List(values) | Val::FixedLengthList(values) | Val::Tuple(values) => {
                to.collect_seq(values.iter().map(Json))
            }
            Val::Map(entries) => {
                to.collect_seq(entries.iter().map(|(key, value)| (Json(key), Json(value))))
            }
            Val::Record(fields) => {
                to.collect_map(fields.iter().map(|(name, value)| (name, Json(value))))
            }
            Val::Variant(name, None) | Val::Enum(name) => to.serialize_str(name),
            Val::Variant(name, Some(payload)) => case(to, name, Some(payload)),
            Val::Option(None) => to.serialize_none(),
            // `some(none)` must not look like `none`.
            Val::Option(Some(some)) if matches!(**some, Val::Option(_)) => {
                case(to, "some", Some(some))
            }
            Val::Option(Some(some)) => Json(some).serialize(to),
            Val::Result(Ok(payload)) => case(to, "ok", payload.as_deref()),
            Val::Result(Err(payload)) => case(to, "err", payload.as_deref()),
            Val::Flags(names) => to.collect_seq(names),
            Val::Resource(_) | Val::Stream(_) | Val::Future(_) | Val::ErrorContext(_) => {
                to.serialize_unit()
            }
        }
    }
}

/// `{"name": payload}`
fn case<S: Serializer>(to: S, name: &str, payload: Option<&Val>) -> Result<S::Ok, S::Error> {
    let mut map = to.serialize_map(Some(1))?;
    map.serialize_entry(name, &payload.map(Json))?;
    map.end()
}
