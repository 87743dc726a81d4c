//! Writes a message into a guest's memory or arguments, as values of a known type.
//!
//! The message was lifted as values of the same type, so that it fits; if it did not, that would be
//! an error, too. Memory is the guest's own allocator's, and wasmtime checks what that returns.

use std::mem::MaybeUninit;

use wasmtime::component::__internal::wasmtime_environ::component::StringEncoding;
use wasmtime::component::__internal::{ComponentTypes, InterfaceType, LowerContext};
use wasmtime::component::{Lower, ResourceAny};
use wasmtime::{Result, ValRaw, format_err};

use super::types::{case, fields, flat, has_contents, layout, number, size};
use super::{Held, Message};

pub(super) struct Lowerer<'cx, 'store, 'message, T: 'static> {
    cx: &'cx mut LowerContext<'store, T>,
    types: &'store ComponentTypes,
    message: &'message [u8],
    /// Where the next contents are in the message.
    contents: usize,
    /// Those that are still to be lowered.
    handles: &'message [Held<ResourceAny>],
    /// The guest's strings are in UTF-8, as those of messages.
    is_utf8: bool,
}

/// Core values that are still to be written.
struct Flat<'a> {
    values: &'a mut [ValRaw],
    next: usize,
}

impl Flat<'_> {
    fn put(&mut self, value: ValRaw) -> Result<()> {
        let place = self.values.get_mut(self.next);
        *place.ok_or_else(|| format_err!("more core values than the type has"))? = value;
        self.next += 1;
        Ok(())
    }
}

impl<'cx, 'store, 'message, T: 'static> Lowerer<'cx, 'store, 'message, T> {
    pub(super) fn new(
        cx: &'cx mut LowerContext<'store, T>,
        message: &'message Message,
    ) -> Lowerer<'cx, 'store, 'message, T> {
        let types = cx.types;
        let is_utf8 = cx.options().string_encoding == StringEncoding::Utf8;
        Lowerer {
            cx,
            types,
            message: &message.bytes,
            contents: 0,
            handles: &message.handles,
            is_utf8,
        }
    }

    pub(super) fn types(&self) -> &'store ComponentTypes {
        self.types
    }

    /// Into core values, all of which are written.
    pub(super) fn into_flat(mut self, ty: InterfaceType, values: &mut [ValRaw]) -> Result<()> {
        (self.contents, _) = size(self.types, ty);
        values.fill(ValRaw::u32(0));
        self.flat(ty, 0, &mut Flat { values, next: 0 })
    }

    /// Into memory at `at`, which has been checked.
    pub(super) fn into_memory(mut self, ty: InterfaceType, at: usize) -> Result<()> {
        let (size, _) = size(self.types, ty);
        self.contents = size;
        let mut fixed = self.read(0, size)?.to_vec();
        self.place(ty, 0, &mut fixed)?;
        self.write(at, &fixed)
    }

    /// Into new memory; its address.
    pub(super) fn into_new_memory(self, ty: InterfaceType) -> Result<usize> {
        let (size, align) = size(self.types, ty);
        let at = self.cx.realloc(0, 0, align, size)?;
        self.into_memory(ty, at)?;
        Ok(at)
    }

    fn read(&self, from: usize, len: usize) -> Result<&'message [u8]> {
        let bytes = self.message.get(from..).and_then(|rest| rest.get(..len));
        bytes.ok_or_else(misfit)
    }

    fn read_u64(&self, from: usize, len: usize) -> Result<u64> {
        let mut bytes = [0; 8];
        bytes[..len].copy_from_slice(self.read(from, len)?);
        Ok(u64::from_le_bytes(bytes))
    }

    fn read_u32(&self, from: usize) -> Result<u32> {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(self.read(from, 4)?);
        Ok(u32::from_le_bytes(bytes))
    }

    fn write(&mut self, at: usize, bytes: &[u8]) -> Result<()> {
        let memory = self.cx.as_slice_mut().get_mut(at..);
        let place = memory.and_then(|rest| rest.get_mut(..bytes.len()));
        place
            .ok_or_else(|| format_err!("pointer out of bounds of memory"))?
            .copy_from_slice(bytes);
        Ok(())
    }

    /// Places what the value at `from` points to, and writes the pointers into `fixed`, a copy of its
    /// fixed part: the guest's memory is looked up for contents, and once for all that points to
    /// them.
    fn place(&mut self, ty: InterfaceType, from: usize, fixed: &mut [u8]) -> Result<()> {
        match ty {
            InterfaceType::String => {
                let (pointer, len) = self.string(from)?;
                put(fixed, 0, pointer)?;
                put(fixed, 4, len)
            }
            InterfaceType::List(list) => {
                let (pointer, _) = self.list(self.types[list].element, from)?;
                put(fixed, 0, pointer)
            }
            InterfaceType::Record(_) | InterfaceType::Tuple(_) => {
                let (types, mut end) = (self.types, 0);
                for field in fields(types, ty) {
                    let offset = types.canonical_abi(&field).next_field32(&mut end) as usize;
                    let fixed = fixed.get_mut(offset..).ok_or_else(misfit)?;
                    self.place(field, from + offset, fixed)?;
                }
                Ok(())
            }
            InterfaceType::Variant(_) | InterfaceType::Option(_) | InterfaceType::Result(_) => {
                let (payload, offset) = self.payload(ty, from)?;
                let Some(payload) = payload else {
                    return Ok(());
                };
                let fixed = fixed.get_mut(offset..).ok_or_else(misfit)?;
                self.place(payload, from + offset, fixed)
            }
            InterfaceType::Own(_) | InterfaceType::Borrow(_) => {
                let index = self.handle(ty)?;
                put(fixed, 0, index)
            }
            _ => Ok(()),
        }
    }

    /// The value at `from` into the next core values.
    fn flat(&mut self, ty: InterfaceType, from: usize, values: &mut Flat<'_>) -> Result<()> {
        match ty {
            // Sign-extended to 32 bits, which is what a core value of an s8 or s16 is.
            InterfaceType::S8 => {
                let value = self.read_u64(from, 1)? as u8 as i8;
                values.put(ValRaw::i32(value.into()))
            }
            InterfaceType::S16 => {
                let value = self.read_u64(from, 2)? as u16 as i16;
                values.put(ValRaw::i32(value.into()))
            }
            InterfaceType::Float32 => values.put(ValRaw::f32(self.read_u32(from)?)),
            InterfaceType::Float64 => values.put(ValRaw::f64(self.read_u64(from, 8)?)),
            InterfaceType::Bool
            | InterfaceType::Char
            | InterfaceType::Enum(_)
            | InterfaceType::Flags(_) => {
                let (len, _) = size(self.types, ty);
                values.put(ValRaw::u64(self.read_u64(from, len)?))
            }
            InterfaceType::String => {
                let (pointer, len) = self.string(from)?;
                values.put(ValRaw::u32(pointer))?;
                values.put(ValRaw::u32(len))
            }
            InterfaceType::List(list) => {
                let (pointer, len) = self.list(self.types[list].element, from)?;
                values.put(ValRaw::u32(pointer))?;
                values.put(ValRaw::u32(len))
            }
            InterfaceType::Record(_) | InterfaceType::Tuple(_) => {
                let (types, mut end) = (self.types, 0);
                for field in fields(types, ty) {
                    let at = types.canonical_abi(&field).next_field32(&mut end) as usize;
                    self.flat(field, from + at, values)?;
                }
                Ok(())
            }
            InterfaceType::Variant(_) | InterfaceType::Option(_) | InterfaceType::Result(_) => {
                let end = values.next + flat(self.types, ty).ok_or_else(misfit)?;
                let (len, _) = layout(self.types, ty).ok_or_else(misfit)?;
                values.put(ValRaw::u64(self.read_u64(from, len)?))?;
                let (payload, at) = self.payload(ty, from)?;
                if let Some(payload) = payload {
                    self.flat(payload, from + at, values)?;
                }
                // What only other cases use is zero.
                values.next = end;
                Ok(())
            }
            InterfaceType::Own(_) | InterfaceType::Borrow(_) => {
                let index = self.handle(ty)?;
                values.put(ValRaw::u32(index))
            }
            _ => {
                let len = number(ty).ok_or_else(misfit)?;
                values.put(ValRaw::u64(self.read_u64(from, len)?))
            }
        }
    }

    /// The payload's type of the case that the variant at `from` is, and the payload's offset.
    fn payload(&self, ty: InterfaceType, from: usize) -> Result<(Option<InterfaceType>, usize)> {
        let (len, offset) = layout(self.types, ty).ok_or_else(misfit)?;
        let number = u32::try_from(self.read_u64(from, len)?)?;
        let payload = case(self.types, ty, number).ok_or_else(misfit)?;
        Ok((payload, offset))
    }

    /// Gives the guest the next handle; its index there.
    fn handle(&mut self, ty: InterfaceType) -> Result<u32> {
        let (held, rest) = self.handles.split_first().ok_or_else(misfit)?;
        self.handles = rest;
        let mut index = MaybeUninit::new(ValRaw::u32(0));
        held.handle.linear_lower_to_flat(self.cx, ty, &mut index)?;
        // SAFETY: it was initialised above, and lowering writes nothing but a value.
        Ok(unsafe { index.assume_init() }.get_u32())
    }

    /// The next contents.
    fn take(&mut self, len: usize) -> Result<(usize, &'message [u8])> {
        let from = self.contents;
        let bytes = self.read(from, len)?;
        self.contents += len;
        Ok((from, bytes))
    }

    /// Places the contents of the string at `from`; its pointer and its length as the guest counts it.
    fn string(&mut self, from: usize) -> Result<(u32, u32)> {
        let len = self.read_u32(from + 4)?;
        let (_, bytes) = self.take(len as usize)?;
        if self.is_utf8 {
            let pointer = self.cx.realloc(0, 0, 1, bytes.len())?;
            self.write(pointer, bytes)?;
            return Ok((u32::try_from(pointer)?, len));
        }
        let text = std::str::from_utf8(bytes)?;
        let mut pair = MaybeUninit::new([ValRaw::u32(0); 2]);
        text.linear_lower_to_flat(self.cx, InterfaceType::String, &mut pair)?;
        // SAFETY: it was initialised above, and lowering writes nothing but values.
        let [pointer, len] = unsafe { pair.assume_init() };
        Ok((pointer.get_u32(), len.get_u32()))
    }

    /// Places the contents of the list at `from`; its pointer and its length.
    fn list(&mut self, element: InterfaceType, from: usize) -> Result<(u32, u32)> {
        let len = self.read_u32(from + 4)?;
        let (size, align) = size(self.types, element);
        let total = size.checked_mul(len as usize).ok_or_else(misfit)?;
        let (base, bytes) = self.take(total)?;
        let pointer = self.cx.realloc(0, 0, align, total)?;
        if has_contents(self.types, element) {
            let mut fixed = bytes.to_vec();
            // What has something to be placed has a size: a handle's is four bytes.
            for (number, fixed) in fixed.chunks_exact_mut(size).enumerate() {
                self.place(element, base + number * size, fixed)?;
            }
            self.write(pointer, &fixed)?;
        } else {
            self.write(pointer, bytes)?;
        }
        Ok((u32::try_from(pointer)?, len))
    }
}

fn put(fixed: &mut [u8], at: usize, word: u32) -> Result<()> {
    let place = fixed.get_mut(at..).and_then(|rest| rest.get_mut(..4));
    place
        .ok_or_else(misfit)?
        .copy_from_slice(&word.to_le_bytes());
    Ok(())
}

/// A message was lifted as values of another type than it is lowered as.
fn misfit() -> wasmtime::Error {
    format_err!("the message of a call does not fit its type")
}
