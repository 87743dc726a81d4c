//! Values on their way from one store to another: plain data, and handles beside it.
//!
//! wasmtime's own way for types that are known only at run time is a tree of `Val`s: one allocation
//! or more for each value, 65 ns for each byte of a list. Here all parameters of a call, or all its
//! results, cross as one [`Message`]: lifted straight out of one guest's memory, lowered straight
//! into the other's, directed by the types that wasmtime keeps for each of them.
//!
//! This rests on wasmtime's traits `ComponentType`, `Lift` and `Lower`, which are public but hidden,
//! and may change with any version: [`abi`] is the only place that implements them, the version is
//! pinned, and the tests compare every kind of type with what `Val` makes of it.
//!
//! The terms are the Canonical ABI's: *lift* out of a guest, *lower* into one, *flat* for what is
//! passed as core arguments and not in memory (Component Model, `CanonicalABI.md`).

use wasmtime::component::ResourceAny;

mod abi;
mod decode;
mod encode;
mod layout;
mod lift;
mod lower;
mod shape;
mod types;

pub(crate) use self::abi::Item;
pub(crate) use self::shape::{Bound, Calling, Shape, is_plain};

/// The parameters or the results of one call, and what its handles are: while they are in a store, that
/// store's own.
///
/// The bytes begin with the *fixed part* of the values' tuple, in the layout that the Canonical ABI
/// gives it in a 32-bit memory: little endian, padding and the unused bytes of variants zero. In
/// place of the pointer of a string or a list there is zero, followed by its length. Then come the
/// contents of these, in the order of their places, each followed by what is inside it: the UTF-8
/// bytes of a string, the fixed parts of the elements of a list. Handles are zero; what they are is
/// beside the bytes, in the order of their places.
#[derive(Clone, Debug)]
pub(crate) struct Message<H = ResourceAny> {
    bytes: Vec<u8>,
    handles: Vec<Held<H>>,
}

/// A handle in a message.
#[derive(Clone, Copy, Debug)]
struct Held<H> {
    /// Which of the places for handles in the type it stands in, counted from 0 in their order. All
    /// elements of a list have the same places, so that several handles may stand in one.
    leaf: usize,
    handle: H,
}

impl<H> Message<H> {
    /// How many bytes it has.
    pub(crate) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The same with other handles, made of each and of the number of its place in the type.
    ///
    /// # Errors
    /// The first that `make` returns.
    pub(crate) fn map<G, E>(
        self,
        mut make: impl FnMut(usize, H) -> Result<G, E>,
    ) -> Result<Message<G>, E> {
        let handles = self
            .handles
            .into_iter()
            .map(|Held { leaf, handle }| make(leaf, handle).map(|handle| Held { leaf, handle }));
        Ok(Message {
            handles: handles.collect::<Result<_, E>>()?,
            bytes: self.bytes,
        })
    }

    /// The same once more, with handles made of these; none if one cannot be made.
    pub(crate) fn copy<G>(&self, make: impl Fn(&H) -> Option<G>) -> Option<Message<G>> {
        let handles = self.handles.iter().map(|held| {
            let handle = make(&held.handle)?;
            Some(Held {
                leaf: held.leaf,
                handle,
            })
        });
        Some(Message {
            handles: handles.collect::<Option<_>>()?,
            bytes: self.bytes.clone(),
        })
    }
}

impl<H> Default for Message<H> {
    fn default() -> Self {
        Message {
            bytes: Vec::new(),
            handles: Vec::new(),
        }
    }
}

#[cfg(any(test, fuzzing))]
pub mod fuzzing;
#[cfg(any(test, fuzzing))]
mod sample;
#[cfg(test)]
mod tests;
