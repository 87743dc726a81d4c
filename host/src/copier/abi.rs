//! A message as wasmtime sees it: as so many core values of a typed call, or as an item of a stream.
//!
//! The implementations of wasmtime's unsafe traits stand here and nowhere else. What they promise:
//!
//! - `Lower` is an array of `ValRaw`, as long as the core values that the Canonical ABI passes:
//!   `typecheck`, which wasmtime calls for each import and which [`super::Shape`] calls for each
//!   export before a call, refuses a type for which that is not so.
//! - All core values are written: [`Lowerer::into_flat`] begins with that.
//! - `ABI` says how many core values there are, which is what is passed on engines with concurrency,
//!   and that the value has no size. So wasmtime slices nothing out of memory by it, checks
//!   nothing by it, and allocates nothing by it; every access goes through the bounds checks of
//!   `lift` and `lower`. Where the Canonical ABI passes a pointer to all parameters or results of a
//!   call, that pointer is the one core value of a [`Flat`], and read and written here.
//! - Items of a stream lie one after another, but wasmtime, to which they have no size, says of each
//!   that it is where the first one is. [`Item`] counts them.

use std::cell::Cell;
use std::mem::MaybeUninit;

use wasmtime::component::__internal::{
    CanonicalAbiInfo, ComponentTypes, InstanceType, InterfaceType, LiftContext, LowerContext,
};
use wasmtime::component::{ComponentNamedList, ComponentType, Lift, Lower};
use wasmtime::{Result, ValRaw, bail, format_err};

use super::Message;
use super::lift::Lifter;
use super::lower::Lowerer;
use super::types::{crosses, flat, is_plain, size};

/// Parameters are passed in at most so many core values, or in memory.
pub(super) const PARAMETERS: usize = 16;

/// As [`PARAMETERS`], for results.
pub(super) const RESULTS: usize = 1;

/// A message that is passed as `N` core values. Where its type has more than `MOST`, it is passed in
/// memory, and `N` is 1: the pointer.
pub(super) struct Flat<const N: usize, const MOST: usize>(pub(super) Message);

impl<const N: usize, const MOST: usize> Flat<N, MOST> {
    fn is_in_memory(types: &ComponentTypes, ty: InterfaceType) -> bool {
        flat(types, ty).is_none_or(|count| count > MOST)
    }
}

// SAFETY: see the module.
unsafe impl<const N: usize, const MOST: usize> ComponentType for Flat<N, MOST> {
    type Lower = [ValRaw; N];

    const ABI: CanonicalAbiInfo = CanonicalAbiInfo {
        // At most 16.
        flat_count: Some(N as u8),
        ..CanonicalAbiInfo::ZERO
    };

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        if !crosses(types.types, *ty) {
            bail!("a type that cannot cross as a message");
        }
        let count = flat(types.types, *ty).filter(|count| *count <= MOST);
        match count.unwrap_or(1) {
            count if count == N => Ok(()),
            count => bail!("expected {N} core values, found {count}"),
        }
    }
}

// SAFETY: see the module; it stands for the tuple of all parameters or results.
unsafe impl<const N: usize, const MOST: usize> ComponentNamedList for Flat<N, MOST> {}

// SAFETY: see the module.
unsafe impl<const N: usize, const MOST: usize> Lift for Flat<N, MOST> {
    fn linear_lift_from_flat(
        cx: &mut LiftContext<'_>,
        ty: InterfaceType,
        values: &[ValRaw; N],
    ) -> Result<Self> {
        if !Self::is_in_memory(cx.types, ty) {
            return Lifter::new(cx).of_flat(ty, values).map(Flat);
        }
        let pointer = values.first().ok_or_else(|| format_err!("no pointer"))?;
        Lifter::new(cx)
            .of_memory(ty, pointer.get_u32() as usize)
            .map(Flat)
    }

    fn linear_lift_from_memory(
        cx: &mut LiftContext<'_>,
        ty: InterfaceType,
        bytes: &[u8],
    ) -> Result<Self> {
        // A slice of no bytes that begins where the value does; what is there is checked anew.
        let memory = cx.memory().as_ptr().addr();
        let from = bytes.as_ptr().addr().wrapping_sub(memory);
        Lifter::new(cx).of_memory(ty, from).map(Flat)
    }
}

// SAFETY: see the module.
unsafe impl<const N: usize, const MOST: usize> Lower for Flat<N, MOST> {
    fn linear_lower_to_flat<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        place: &mut MaybeUninit<[ValRaw; N]>,
    ) -> Result<()> {
        let mut values = [ValRaw::u32(0); N];
        let lowerer = Lowerer::new(cx, &self.0);
        if Self::is_in_memory(lowerer.types(), ty) {
            let pointer = lowerer.into_new_memory(ty)?;
            values.fill(ValRaw::u64(pointer as u64));
        } else {
            lowerer.into_flat(ty, &mut values)?;
        }
        place.write(values);
        Ok(())
    }

    fn linear_lower_to_memory<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        at: usize,
    ) -> Result<()> {
        Lowerer::new(cx, &self.0).into_memory(ty, at)
    }
}

/// A value that crosses in a stream or a future.
pub(crate) struct Item(Message);

thread_local! {
    /// How many items of the write that is being read on this thread have been.
    static LIFTED: Cell<usize> = const { Cell::new(0) };
}

impl Item {
    pub(crate) fn new(message: Message) -> Item {
        Item(message)
    }

    /// What is lifted next on this thread is the first of what its guest writes. If nobody said so
    /// another value would be read, but nothing that is not the guest's.
    pub(crate) fn begin() {
        LIFTED.set(0);
    }
}

// SAFETY: see the module.
unsafe impl ComponentType for Item {
    type Lower = [ValRaw; 0];

    const ABI: CanonicalAbiInfo = CanonicalAbiInfo::ZERO;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        match is_plain(types.types, *ty) {
            true => Ok(()),
            false => bail!("a type that holds handles cannot cross in a stream"),
        }
    }
}

// SAFETY: see the module.
unsafe impl Lift for Item {
    fn linear_lift_from_flat(
        _: &mut LiftContext<'_>,
        _: InterfaceType,
        _: &[ValRaw; 0],
    ) -> Result<Self> {
        bail!("items of streams are in memory")
    }

    fn linear_lift_from_memory(
        cx: &mut LiftContext<'_>,
        ty: InterfaceType,
        bytes: &[u8],
    ) -> Result<Self> {
        let number = LIFTED.get();
        LIFTED.set(number.wrapping_add(1));
        let memory = cx.memory().as_ptr().addr();
        let first = bytes.as_ptr().addr().wrapping_sub(memory);
        let (size, _) = size(cx.types, ty);
        let from = number
            .checked_mul(size)
            .and_then(|to| first.checked_add(to));
        let from = from.ok_or_else(|| format_err!("pointer out of bounds of memory"))?;
        Lifter::new(cx).of_memory(ty, from).map(Item)
    }
}

// SAFETY: see the module.
unsafe impl Lower for Item {
    fn linear_lower_to_flat<T>(
        &self,
        _: &mut LowerContext<'_, T>,
        _: InterfaceType,
        _: &mut MaybeUninit<[ValRaw; 0]>,
    ) -> Result<()> {
        bail!("items of streams are in memory")
    }

    fn linear_lower_to_memory<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        at: usize,
    ) -> Result<()> {
        let (_, align) = size(cx.types, ty);
        if !at.is_multiple_of(align as usize) {
            bail!("pointer not aligned");
        }
        Lowerer::new(cx, &self.0).into_memory(ty, at)
    }

    fn linear_store_list_to_memory<T>(
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        at: usize,
        items: &[Self],
    ) -> Result<()> {
        let (size, _) = size(cx.types, ty);
        for (number, item) in items.iter().enumerate() {
            let to = number.checked_mul(size).and_then(|to| at.checked_add(to));
            let to = to.ok_or_else(|| format_err!("pointer out of bounds of memory"))?;
            item.linear_lower_to_memory(cx, ty, to)?;
        }
        Ok(())
    }
}
