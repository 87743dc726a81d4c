//! The `Val`s of a message, for who compares or shows them.

use wasmtime::component::{Type, Val};

use super::Message;
use super::layout::{cases, discriminant, fields, layout};

impl<H> Message<H> {
    /// Its values, which are of these types; `None` if they are of others, or there are handles among them.
    pub(crate) fn values(&self, types: &[Type]) -> Option<Vec<Val>> {
        let (size, _, places) = fields(types.iter().cloned())?;
        let mut decoder = Decoder {
            bytes: &self.bytes,
            next: size,
        };
        let values = types.iter().zip(places);
        values.map(|(ty, at)| decoder.value(ty, at)).collect()
    }
}

struct Decoder<'a> {
    bytes: &'a [u8],
    /// Where the contents of the next string or list are: they lie behind each other, in the order of
    /// the values.
    next: usize,
}

impl Decoder<'_> {
    fn at<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.bytes.get(at..at.checked_add(N)?)?.try_into().ok()
    }

    fn value(&mut self, ty: &Type, at: usize) -> Option<Val> {
        Some(match ty {
            Type::Bool => Val::Bool(self.at::<1>(at)? != [0]),
            Type::S8 => Val::S8(i8::from_le_bytes(self.at(at)?)),
            Type::U8 => Val::U8(u8::from_le_bytes(self.at(at)?)),
            Type::S16 => Val::S16(i16::from_le_bytes(self.at(at)?)),
            Type::U16 => Val::U16(u16::from_le_bytes(self.at(at)?)),
            Type::S32 => Val::S32(i32::from_le_bytes(self.at(at)?)),
            Type::U32 => Val::U32(u32::from_le_bytes(self.at(at)?)),
            Type::S64 => Val::S64(i64::from_le_bytes(self.at(at)?)),
            Type::U64 => Val::U64(u64::from_le_bytes(self.at(at)?)),
            Type::Float32 => Val::Float32(f32::from_le_bytes(self.at(at)?)),
            Type::Float64 => Val::Float64(f64::from_le_bytes(self.at(at)?)),
            Type::Char => Val::Char(char::from_u32(u32::from_le_bytes(self.at(at)?))?),
            Type::String => {
                let text = self.contents(at, 1)?;
                let text = self.bytes.get(text)?;
                Val::String(String::from_utf8(text.to_vec()).ok()?)
            }
            Type::List(list) => {
                let element = list.ty();
                let (size, _) = layout(&element)?;
                let all = self.contents(at, size)?;
                let elements = match size {
                    0 => return None,
                    size => all.step_by(size),
                };
                let values = elements.map(|at| self.value(&element, at));
                Val::List(values.collect::<Option<_>>()?)
            }
            Type::Record(record) => {
                let types: Vec<_> = record.fields().map(|field| field.ty).collect();
                let values = self.fields(&types, at)?;
                let names = record.fields().map(|field| field.name.to_owned());
                Val::Record(names.zip(values).collect())
            }
            Type::Tuple(tuple) => {
                let types: Vec<_> = tuple.types().collect();
                Val::Tuple(self.fields(&types, at)?)
            }
            Type::Variant(variant) => {
                let payloads: Vec<_> = variant.cases().map(|case| case.ty).collect();
                let (number, payload) = self.case(&payloads, at)?;
                let name = variant.cases().nth(number)?.name.to_owned();
                Val::Variant(name, payload)
            }
            Type::Enum(names) => {
                let size = discriminant(names.names().count())?;
                let number = self.number(size, at)?;
                Val::Enum(names.names().nth(number)?.to_owned())
            }
            Type::Option(option) => {
                let (_, payload) = self.case(&[None, Some(option.ty())], at)?;
                Val::Option(payload)
            }
            Type::Result(result) => match self.case(&[result.ok(), result.err()], at)? {
                (0, payload) => Val::Result(Ok(payload)),
                (_, payload) => Val::Result(Err(payload)),
            },
            Type::Flags(flags) => {
                let (size, _) = layout(ty)?;
                let bits = self.number(size, at)?;
                let set = flags.names().enumerate();
                let set = set.filter(|(bit, _)| bits & (1 << bit) != 0);
                Val::Flags(set.map(|(_, name)| name.to_owned()).collect())
            }
            _ => return None,
        })
    }

    /// Where the contents are whose length stands there, of elements of that size.
    fn contents(&mut self, at: usize, size: usize) -> Option<std::ops::Range<usize>> {
        let length = u32::from_le_bytes(self.at(at.checked_add(4)?)?) as usize;
        let end = self.next.checked_add(length.checked_mul(size)?)?;
        let contents = self.next..end;
        self.next = end;
        (end <= self.bytes.len()).then_some(contents)
    }

    fn number(&self, size: usize, at: usize) -> Option<usize> {
        Some(match size {
            1 => u8::from_le_bytes(self.at(at)?).into(),
            2 => u16::from_le_bytes(self.at(at)?).into(),
            _ => u32::from_le_bytes(self.at(at)?) as usize,
        })
    }

    fn fields(&mut self, types: &[Type], at: usize) -> Option<Vec<Val>> {
        let (_, _, places) = fields(types.iter().cloned())?;
        let values = types.iter().zip(places);
        values
            .map(|(ty, place)| self.value(ty, at + place))
            .collect()
    }

    fn case(&mut self, payloads: &[Option<Type>], at: usize) -> Option<(usize, Option<Box<Val>>)> {
        let number = self.number(discriminant(payloads.len())?, at)?;
        let (_, _, offset) = cases(payloads)?;
        let payload = match payloads.get(number)? {
            None => None,
            Some(ty) => Some(Box::new(self.value(ty, at + offset)?)),
        };
        Some((number, payload))
    }
}
