//! What a guest can make go wrong in the host itself, for tests: no shipped build has this file.

use wasmtime::component::Linker;

use crate::instance::GuestState;

/// `skep:testing/harm`.
pub(super) fn link(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    let mut harm = linker.instance("skep:testing/harm@0.0.1")?;
    harm.func_wrap("panic", |_, ()| -> wasmtime::Result<()> {
        panic!("on purpose: a guest asked for it")
    })
}
