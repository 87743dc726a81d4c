//! `wasi:logging`: what a guest says of itself goes to the log with the level and the context that it
//! names, within the limits of its output.

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, Lower};

use crate::instance::GuestState;
use crate::log::guest::Gravity;

/// wasmCloud's guests import the draft; others a package without a version.
const INTERFACES: [&str; 2] = ["wasi:logging/logging@0.1.0-draft", "wasi:logging/logging"];

#[derive(ComponentType, Lift, Lower, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "guests make them")]
enum LoggedLevel {
    #[component(name = "trace")]
    Trace,
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
    #[component(name = "critical")]
    Critical,
}

impl From<LoggedLevel> for Gravity {
    fn from(level: LoggedLevel) -> Gravity {
        match level {
            LoggedLevel::Trace => Gravity::Trace,
            LoggedLevel::Debug => Gravity::Debug,
            LoggedLevel::Info => Gravity::Info,
            LoggedLevel::Warn => Gravity::Warn,
            LoggedLevel::Error => Gravity::Error,
            LoggedLevel::Critical => Gravity::Critical,
        }
    }
}

pub(super) fn link(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    for interface in INTERFACES {
        linker.instance(interface)?.func_wrap(
            "log",
            |store: StoreContextMut<'_, GuestState>,
             (level, context, message): (LoggedLevel, String, String)| {
                let state = store.data();
                let log = &state.granted().log;
                log.say(state.instance(), level.into(), &context, &message);
                Ok(())
            },
        )?;
    }
    Ok(())
}
