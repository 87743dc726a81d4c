//! Reads values of a known type out of a guest's memory or arguments, into a message.
//!
//! What the guest passes is held against the Canonical ABI here: whatever breaks it is an error,
//! which ends the guest's call. Every read of its memory is bounds-checked, and what a message can
//! grow to is bounded by the store's fuel for calls to the host.

use wasmtime::component::__internal::wasmtime_environ::component::StringEncoding;
use wasmtime::component::__internal::{ComponentTypes, InterfaceType, LiftContext};
use wasmtime::component::{Lift, ResourceAny};
use wasmtime::{Result, ValRaw, bail, format_err};

use super::types::{
    case, fields, flag_bits, flat, is_solid, layout, leaves, leaves_before, number, size,
};
use super::{Held, Message};

pub(super) struct Lifter<'cx, 'store> {
    cx: &'cx mut LiftContext<'store>,
    types: &'store ComponentTypes,
    memory: &'store [u8],
    /// The guest's strings are in UTF-8, as those of messages.
    is_utf8: bool,
    /// There may be handles: their places are counted.
    has_handles: bool,
    out: Vec<u8>,
    handles: Vec<Held<ResourceAny>>,
}

/// Where a value is read from.
trait Source {
    /// A number of so many bytes, `at` an address if this is memory. Its upper bits may be anything
    /// in core values, which are as wide as what they hold or as the widest case of a variant.
    fn number(&mut self, at: usize, len: usize) -> Result<u64>;

    /// What a variant of so many core values ends at.
    fn end_of(&self, count: Option<usize>) -> usize;

    /// Passes over what only other cases of a variant use.
    fn pass(&mut self, end: usize);

    /// As [`Self::number`], of at most four bytes.
    fn word(&mut self, at: usize, len: usize) -> Result<u32> {
        Ok(self.number(at, len)? as u32)
    }
}

/// A guest's memory. Every address is checked.
struct Memory<'a>(&'a [u8]);

impl<'a> Memory<'a> {
    fn read(&self, at: usize, len: usize) -> Result<&'a [u8]> {
        let bytes = self.0.get(at..).and_then(|rest| rest.get(..len));
        bytes.ok_or_else(|| format_err!("pointer out of bounds of memory"))
    }
}

impl Source for Memory<'_> {
    fn number(&mut self, at: usize, len: usize) -> Result<u64> {
        let mut bytes = [0; 8];
        bytes[..len].copy_from_slice(self.read(at, len)?);
        Ok(u64::from_le_bytes(bytes))
    }

    fn end_of(&self, _: Option<usize>) -> usize {
        0
    }

    fn pass(&mut self, _: usize) {}
}

/// Core values, of which each is read once.
struct Flat<'a> {
    values: &'a [ValRaw],
    next: usize,
}

impl Source for Flat<'_> {
    fn number(&mut self, _: usize, len: usize) -> Result<u64> {
        let value = self.values.get(self.next);
        self.next += 1;
        let value = value.ok_or_else(|| format_err!("fewer core values than the type has"))?;
        Ok(match len {
            8 => value.get_u64(),
            _ => u64::from(value.get_u32()),
        })
    }

    fn end_of(&self, count: Option<usize>) -> usize {
        self.next.saturating_add(count.unwrap_or_default())
    }

    fn pass(&mut self, end: usize) {
        self.next = end;
    }
}

impl<'cx, 'store> Lifter<'cx, 'store> {
    pub(super) fn new(cx: &'cx mut LiftContext<'store>) -> Lifter<'cx, 'store> {
        let (types, memory) = (&**cx.types, cx.memory());
        let is_utf8 = cx.options().string_encoding == StringEncoding::Utf8;
        Lifter {
            cx,
            types,
            memory,
            is_utf8,
            has_handles: false,
            out: Vec::new(),
            handles: Vec::new(),
        }
    }

    /// A value that was passed as core values.
    pub(super) fn of_flat(mut self, ty: InterfaceType, values: &[ValRaw]) -> Result<Message> {
        self.make_room(ty)?;
        self.value(ty, &mut Flat { values, next: 0 }, 0, 0, 0)?;
        Ok(self.message())
    }

    /// A value in memory at `at`.
    pub(super) fn of_memory(mut self, ty: InterfaceType, at: usize) -> Result<Message> {
        let (_, align) = size(self.types, ty);
        if !at.is_multiple_of(align as usize) {
            bail!("pointer not aligned");
        }
        self.make_room(ty)?;
        let memory = &mut Memory(self.memory);
        self.value(ty, memory, at, 0, 0)?;
        Ok(self.message())
    }

    fn message(self) -> Message {
        Message {
            bytes: self.out,
            handles: self.handles,
        }
    }

    fn make_room(&mut self, ty: InterfaceType) -> Result<()> {
        let (size, _) = size(self.types, ty);
        self.cx.consume_fuel(size)?;
        self.out.resize(size, 0);
        self.has_handles = leaves(self.types, ty) > 0;
        Ok(())
    }

    /// Writes the lowest bytes of `value` into the fixed part at `to`.
    fn put(&mut self, to: usize, value: u64, len: usize) {
        self.out[to..to + len].copy_from_slice(&value.to_le_bytes()[..len]);
    }

    /// The value at `at` of its source, to its place at `to`. Its first place for handles is the one
    /// with number `leaf`.
    fn value<S: Source>(
        &mut self,
        ty: InterfaceType,
        source: &mut S,
        at: usize,
        to: usize,
        leaf: usize,
    ) -> Result<()> {
        if let Some(len) = number(ty) {
            let value = source.number(at, len)?;
            self.put(to, value, len);
            return Ok(());
        }
        match ty {
            InterfaceType::Bool => {
                let value = source.word(at, 1)?;
                self.put(to, u64::from(value != 0), 1);
            }
            InterfaceType::Char => {
                let value = source.word(at, 4)?;
                if char::from_u32(value).is_none() {
                    bail!("{value:#x} is not a Unicode scalar value");
                }
                self.put(to, u64::from(value), 4);
            }
            InterfaceType::String => {
                let (pointer, len) = (source.word(at, 4)?, source.word(at + 4, 4)?);
                self.string(pointer, len, to)?;
            }
            InterfaceType::List(list) => {
                let (pointer, len) = (source.word(at, 4)?, source.word(at + 4, 4)?);
                self.list(self.types[list].element, pointer, len, to, leaf)?;
            }
            InterfaceType::Record(_) | InterfaceType::Tuple(_) => {
                let (types, mut end, mut leaf) = (self.types, 0, leaf);
                for field in fields(types, ty) {
                    let offset = types.canonical_abi(&field).next_field32(&mut end) as usize;
                    self.value(field, source, at + offset, to + offset, leaf)?;
                    if self.has_handles {
                        leaf += leaves(types, field);
                    }
                }
            }
            InterfaceType::Flags(flags) => {
                let (len, _) = size(self.types, ty);
                let exist = flag_bits(self.types[flags].names.len());
                let value = source.word(at, len)? & exist;
                self.put(to, u64::from(value), len);
            }
            InterfaceType::Enum(names) => {
                let (len, _) = size(self.types, ty);
                let value = source.word(at, len)?;
                if value as usize >= self.types[names].names.len() {
                    bail!("there is no case {value} in an enum of a call");
                }
                self.put(to, u64::from(value), len);
            }
            InterfaceType::Variant(_) | InterfaceType::Option(_) | InterfaceType::Result(_) => {
                let (len, offset) = layout(self.types, ty).ok_or_else(unexpected)?;
                let end = source.end_of(flat(self.types, ty));
                let number = source.word(at, len)?;
                let Some(payload) = case(self.types, ty, number) else {
                    bail!("there is no case {number} in a variant of a call");
                };
                self.put(to, u64::from(number), len);
                if let Some(payload) = payload {
                    let before = match self.has_handles {
                        true => leaves_before(self.types, ty, number),
                        false => 0,
                    };
                    self.value(payload, source, at + offset, to + offset, leaf + before)?;
                }
                source.pass(end);
            }
            InterfaceType::Own(_) | InterfaceType::Borrow(_) => {
                let index = ValRaw::u32(source.word(at, 4)?);
                self.cx.consume_fuel(size_of::<Held<ResourceAny>>())?;
                let handle = ResourceAny::linear_lift_from_flat(self.cx, ty, &index)?;
                self.handles.push(Held { leaf, handle });
            }
            _ => return Err(unexpected()),
        }
        Ok(())
    }

    fn put_len(&mut self, len: usize, to: usize) -> Result<()> {
        let len = u32::try_from(len)?;
        self.put(to + 4, u64::from(len), 4);
        Ok(())
    }

    fn string(&mut self, pointer: u32, len: u32, to: usize) -> Result<()> {
        if !self.is_utf8 {
            let mut pair = [0; 8];
            pair[..4].copy_from_slice(&pointer.to_le_bytes());
            pair[4..].copy_from_slice(&len.to_le_bytes());
            let text =
                <String as Lift>::linear_lift_from_memory(self.cx, InterfaceType::String, &pair)?;
            self.out.extend_from_slice(text.as_bytes());
            return self.put_len(text.len(), to);
        }
        let len = len as usize;
        self.cx.consume_fuel(len)?;
        let bytes = Memory(self.memory).read(pointer as usize, len)?;
        std::str::from_utf8(bytes)?;
        self.out.extend_from_slice(bytes);
        self.put_len(len, to)
    }

    fn list(
        &mut self,
        element: InterfaceType,
        pointer: u32,
        len: u32,
        to: usize,
        leaf: usize,
    ) -> Result<()> {
        let (size, align) = size(self.types, element);
        if !pointer.is_multiple_of(align) {
            bail!("list pointer is not aligned");
        }
        let (pointer, len) = (pointer as usize, len as usize);
        // An element of no size takes its time all the same.
        self.cx.consume_fuel_array(len, size.max(1))?;
        let bytes = Memory(self.memory).read(pointer, len * size)?;
        self.put_len(len, to)?;
        if is_solid(self.types, element) {
            self.out.extend_from_slice(bytes);
            return Ok(());
        }
        let base = self.out.len();
        self.out.resize(base + bytes.len(), 0);
        let memory = &mut Memory(self.memory);
        for offset in (0..len).map(|number| number * size) {
            self.value(element, memory, pointer + offset, base + offset, leaf)?;
        }
        Ok(())
    }
}

/// The types of a call are looked at when it is linked.
fn unexpected() -> wasmtime::Error {
    format_err!("a type that cannot cross as a message")
}
