//! Calls between services: what one service imports and another exports becomes a host function in
//! the linker of the first. Each service keeps its own instances, limits and life.
//!
//! Before it: the caller's guest, in `instance`. After it: `service` admits the call and runs it on
//! an instance of the callee. Only values cross, never memory.

mod callee;
mod crossing;
mod function;
mod handler;
mod mercy;
mod policy;

use std::sync::Arc;

use wasmtime::StoreContextMut;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker, ResourceType};

pub(crate) use self::callee::Callee;
use self::crossing::{Resources, Uncrossable};
use self::function::Link;
pub(crate) use self::policy::Policy;
use crate::instance::GuestState;

/// An interface that a component imports and a service exports.
pub(crate) struct Wire {
    /// As the component names it.
    pub(crate) import: String,
    /// Who answers, and how its calls are treated.
    pub(crate) policy: Arc<Policy>,
    /// As the callee names it.
    pub(crate) export: Arc<str>,
    /// The callee may call the caller, at some remove.
    pub(crate) mutual: bool,
}

/// Why an interface cannot be linked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    /// A function, or a type, has something in it that cannot cross.
    #[error("`{import}#{name}` cannot be had from another service")]
    Uncrossable {
        /// The interface.
        import: String,
        /// The function or the type.
        name: String,
        /// What stands in the way.
        #[source]
        source: Uncrossable,
    },
    /// wasmtime refuses the definition: the name is taken, which is a bug.
    #[error("`{import}` cannot be linked: {reason}")]
    Refused {
        /// The interface.
        import: String,
        /// In wasmtime's words.
        reason: String,
    },
}

/// Defines all that the component imports of other services, which call in the name of `caller`.
///
/// # Errors
/// If an interface has something in it that cannot cross.
pub(crate) fn define(
    linker: &mut Linker<GuestState>,
    component: &Component,
    caller: &Arc<str>,
    wires: &[Wire],
) -> Result<(), LinkError> {
    let engine = component.engine();
    let imports = component.component_type();
    let resources = Resources::of(&imports, engine, wires);
    for wire in wires {
        let import = imports.get_import(engine, &wire.import);
        let Some(ComponentItem::ComponentInstance(interface)) = import.map(|import| import.ty)
        else {
            continue;
        };
        let refused = |error: wasmtime::Error| LinkError::Refused {
            import: wire.import.clone(),
            reason: format!("{error:#}"),
        };
        let mut instance = linker.instance(&wire.import).map_err(refused)?;
        if handler::is_handler(&wire.import) {
            handler::define(&mut instance, caller, wire).map_err(refused)?;
            continue;
        }
        for (name, item) in interface.exports(engine) {
            let uncrossable = |source| LinkError::Uncrossable {
                import: wire.import.clone(),
                name: name.to_owned(),
                source,
            };
            match item.ty {
                ComponentItem::ComponentFunc(ty) => {
                    let link =
                        Link::new(caller, wire, name, &ty, &resources).map_err(uncrossable)?;
                    link.define(&mut instance).map_err(refused)?;
                }
                ComponentItem::Resource(ty) => {
                    let imported = resources.get(ty);
                    let imported = imported.ok_or_else(|| uncrossable(Uncrossable::HostHandle))?;
                    let ty = ResourceType::host_dynamic(imported.tag);
                    instance.resource(name, ty, let_go).map_err(refused)?;
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// The guest has dropped a handle.
#[expect(clippy::unnecessary_wraps, reason = "wasmtime wants a result")]
fn let_go(mut store: StoreContextMut<'_, GuestState>, place: u32) -> wasmtime::Result<()> {
    store.data_mut().holdings().remove(place);
    Ok(())
}
