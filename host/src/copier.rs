//! Values on their way from one store to another, for types that hold no handles.
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

mod abi;
mod encode;
mod lift;
mod lower;
mod shape;
mod types;

pub(crate) use self::abi::Item;
pub(crate) use self::shape::{Bound, Calling, Shape, is_plain};

/// The parameters or the results of one call.
///
/// The bytes begin with the *fixed part* of the values' tuple, in the layout that the Canonical ABI
/// gives it in a 32-bit memory: little endian, padding and the unused bytes of variants zero. In
/// place of the pointer of a string or a list there is zero, followed by its length. Then come the
/// contents of these, in the order of their places, each followed by what is inside it: the UTF-8
/// bytes of a string, the fixed parts of the elements of a list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// How many bytes it has.
    pub(crate) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }
}

#[cfg(any(test, fuzzing))]
pub mod fuzzing;
#[cfg(any(test, fuzzing))]
mod sample;
#[cfg(test)]
mod tests;
