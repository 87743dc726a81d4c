//! A message as wasmtime's typed calls see it: as so many core values.
//!
//! The implementations of wasmtime's unsafe traits stand here and nowhere else. What they promise:
//!
//! - `Lower` is an array of `ValRaw`, as long as the core values that the Canonical ABI passes:
//!   `typecheck`, which wasmtime calls for each import and which [`super::Shape`] calls for each
//!   export before a call, refuses a type for which that is not so.
//! - All core values are written: [`Lowerer::into_flat`] begins with that.
//! - `ABI` says that the value has no size. So wasmtime slices nothing out of memory by it, checks
//!   nothing by it, and allocates nothing by it; every access goes through the bounds checks of
//!   `lift` and `lower`. Where the Canonical ABI passes a pointer to all parameters or results of a
//!   call, that pointer is the one core value of a [`Flat`], and read and written here.

use std::mem::MaybeUninit;

use wasmtime::component::__internal::{
    CanonicalAbiInfo, ComponentTypes, InstanceType, InterfaceType, LiftContext, LowerContext,
};
use wasmtime::component::{ComponentNamedList, ComponentType, Lift, Lower};
use wasmtime::{Result, ValRaw, bail, format_err};

use super::Message;
use super::lift::Lifter;
use super::lower::Lowerer;
use super::types::{flat, is_plain};

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

    const ABI: CanonicalAbiInfo = CanonicalAbiInfo::ZERO;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        if !is_plain(types.types, *ty) {
            bail!("a type that holds handles cannot cross as a message");
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
        let lowerer = Lowerer::new(cx, &self.0.bytes);
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
        Lowerer::new(cx, &self.0.bytes).into_memory(ty, at)
    }
}
