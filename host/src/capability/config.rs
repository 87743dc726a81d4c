//! `wasi:config`: the values that a service is granted, under each name of the interface that guests
//! import today. A pre-release fits only itself, and toolkits have kept to different ones.

use std::collections::BTreeMap;

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, Lower};

use crate::instance::GuestState;

/// The functions are the same in all of them, but for the name of their error.
const INTERFACES: [&str; 4] = [
    "wasi:config/store@0.2.0-rc.1",
    "wasi:config/store@0.2.0-draft",
    "wasi:config/store@0.2.0-draft-2024-09-27",
    "wasi:config/runtime@0.2.0-draft",
];

/// Values by key. All are read before the service starts: asking for them never fails.
pub(crate) type Values = BTreeMap<String, String>;

/// Never made: see [`Values`].
#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
enum ConfigError {
    #[component(name = "upstream")]
    Upstream(String),
    #[component(name = "io")]
    Io(String),
}

pub(super) fn link(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    type Store<'a> = StoreContextMut<'a, GuestState>;
    for interface in INTERFACES {
        let mut interface = linker.instance(interface)?;
        interface.func_wrap("get", |store: Store<'_>, (key,): (String,)| {
            let value = store.data().granted().config.get(&key).cloned();
            Ok((Ok::<_, ConfigError>(value),))
        })?;
        interface.func_wrap("get-all", |store: Store<'_>, (): ()| {
            let values = store.data().granted().config.iter();
            let all: Vec<(String, String)> = values
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect();
            Ok((Ok::<_, ConfigError>(all),))
        })?;
    }
    Ok(())
}
