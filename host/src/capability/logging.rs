//! `wasi:logging`: what a guest says of itself goes to the log with the level and the context that it
//! names, within the limits of its output.

use wasmtime::StoreContextMut;
use wasmtime::component::Linker;

use crate::instance::GuestState;
use crate::log::guest::Gravity;

/// wasmCloud's guests import the draft; others a package without a version.
const INTERFACES: [&str; 2] = ["wasi:logging/logging@0.1.0-draft", "wasi:logging/logging"];

pub(super) fn link(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    for interface in INTERFACES {
        linker.instance(interface)?.func_wrap(
            "log",
            |store: StoreContextMut<'_, GuestState>,
             (gravity, context, message): (Gravity, String, String)| {
                let state = store.data();
                let log = &state.granted().log;
                log.say(state.instance(), gravity, &context, &message);
                Ok(())
            },
        )?;
    }
    Ok(())
}
