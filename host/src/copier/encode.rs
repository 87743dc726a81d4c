//! A message that the host itself makes, out of `Val`s: an answer in place of a guest's.

use wasmtime::component::{Type, Val};

use super::Message;
use super::layout::{cases, discriminant, fields, layout};

impl Message {
    /// Of values of these types; `None` if they are of others, hold handles, or cannot cross as a message.
    pub(crate) fn of(values: &[Val], types: &[Type]) -> Option<Message> {
        let mut encoder = Encoder { out: Vec::new() };
        let (size, _, places) = fields(types.iter().cloned())?;
        encoder.out.resize(size, 0);
        if values.len() != types.len() {
            return None;
        }
        for ((value, ty), at) in values.iter().zip(types).zip(places) {
            encoder.value(value, ty, at)?;
        }
        Some(Message {
            bytes: encoder.out,
            handles: Vec::new(),
        })
    }
}

struct Encoder {
    out: Vec<u8>,
}

impl Encoder {
    fn put(&mut self, to: usize, bytes: &[u8]) -> Option<()> {
        let place = self.out.get_mut(to..to.checked_add(bytes.len())?)?;
        place.copy_from_slice(bytes);
        Some(())
    }

    fn value(&mut self, value: &Val, ty: &Type, to: usize) -> Option<()> {
        match (value, ty) {
            (Val::Bool(value), Type::Bool) => self.put(to, &[u8::from(*value)]),
            (Val::S8(value), Type::S8) => self.put(to, &value.to_le_bytes()),
            (Val::U8(value), Type::U8) => self.put(to, &value.to_le_bytes()),
            (Val::S16(value), Type::S16) => self.put(to, &value.to_le_bytes()),
            (Val::U16(value), Type::U16) => self.put(to, &value.to_le_bytes()),
            (Val::S32(value), Type::S32) => self.put(to, &value.to_le_bytes()),
            (Val::U32(value), Type::U32) => self.put(to, &value.to_le_bytes()),
            (Val::S64(value), Type::S64) => self.put(to, &value.to_le_bytes()),
            (Val::U64(value), Type::U64) => self.put(to, &value.to_le_bytes()),
            (Val::Float32(value), Type::Float32) => self.put(to, &value.to_le_bytes()),
            (Val::Float64(value), Type::Float64) => self.put(to, &value.to_le_bytes()),
            (Val::Char(value), Type::Char) => self.put(to, &u32::from(*value).to_le_bytes()),
            (Val::String(text), Type::String) => {
                self.put_len(text.len(), to)?;
                self.out.extend_from_slice(text.as_bytes());
                Some(())
            }
            (Val::List(values), Type::List(list)) => {
                let element = list.ty();
                let (size, _) = layout(&element)?;
                self.put_len(values.len(), to)?;
                let base = self.out.len();
                self.out.resize(base + values.len() * size, 0);
                values.iter().enumerate().try_for_each(|(number, value)| {
                    self.value(value, &element, base + number * size)
                })
            }
            (Val::Record(values), Type::Record(record)) => {
                let types: Vec<_> = record.fields().map(|field| field.ty).collect();
                self.fields(values.iter().map(|(_, value)| value), &types, to)
            }
            (Val::Tuple(values), Type::Tuple(tuple)) => {
                let types: Vec<_> = tuple.types().collect();
                self.fields(values.iter(), &types, to)
            }
            (Val::Variant(name, payload), Type::Variant(variant)) => {
                let number = variant.cases().position(|case| case.name == name)?;
                let payloads: Vec<_> = variant.cases().map(|case| case.ty).collect();
                self.case(number, payload.as_deref(), &payloads, to)
            }
            (Val::Enum(name), Type::Enum(names)) => {
                let number = names.names().position(|other| other == name)?;
                let size = discriminant(names.names().count())?;
                self.put(to, number.to_le_bytes().get(..size)?)
            }
            (Val::Option(value), Type::Option(option)) => {
                let number = usize::from(value.is_some());
                self.case(number, value.as_deref(), &[None, Some(option.ty())], to)
            }
            (Val::Result(value), Type::Result(result)) => {
                let (number, payload) = match value {
                    Ok(payload) => (0, payload),
                    Err(payload) => (1, payload),
                };
                self.case(number, payload.as_deref(), &[result.ok(), result.err()], to)
            }
            (Val::Flags(set), Type::Flags(flags)) => {
                let names: Vec<_> = flags.names().collect();
                let bits = set.iter().try_fold(0_u32, |bits, name| {
                    let bit = names.iter().position(|other| other == name)?;
                    Some(bits | 1_u32.checked_shl(u32::try_from(bit).ok()?)?)
                })?;
                let (size, _) = layout(ty)?;
                self.put(to, bits.to_le_bytes().get(..size)?)
            }
            _ => None,
        }
    }

    fn put_len(&mut self, len: usize, to: usize) -> Option<()> {
        let len = u32::try_from(len).ok()?;
        self.put(to + 4, &len.to_le_bytes())
    }

    fn fields<'a>(
        &mut self,
        values: impl ExactSizeIterator<Item = &'a Val>,
        types: &[Type],
        to: usize,
    ) -> Option<()> {
        if values.len() != types.len() {
            return None;
        }
        let (_, _, places) = fields(types.iter().cloned())?;
        for ((value, ty), at) in values.zip(types).zip(places) {
            self.value(value, ty, to + at)?;
        }
        Some(())
    }

    fn case(
        &mut self,
        number: usize,
        payload: Option<&Val>,
        payloads: &[Option<Type>],
        to: usize,
    ) -> Option<()> {
        let size = discriminant(payloads.len())?;
        self.put(to, number.to_le_bytes().get(..size)?)?;
        let (_, _, offset) = cases(payloads)?;
        match (payload, payloads.get(number)?) {
            (None, None) => Some(()),
            (Some(payload), Some(ty)) => self.value(payload, ty, to + offset),
            _ => None,
        }
    }
}
