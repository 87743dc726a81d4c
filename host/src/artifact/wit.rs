//! Prints a component's world as WIT, for people.

use std::cell::Cell;
use std::panic::catch_unwind;
use std::sync::Once;

use wit_component::{DecodedWasm, WitPrinter};

/// The namespace whose packages everybody has: printed only on demand.
const STANDARD: &str = "wasi";

pub(super) fn print(bytes: &[u8], all: bool) -> Result<String, String> {
    // The decoder asserts that a component is one that WIT tools make, and a valid component may be
    // another: the net turns that into an answer.
    quietly(|| catch_unwind(|| decode_and_print(bytes, all)))
        .unwrap_or_else(|_| Err("it has types that WIT has no words for".to_owned()))
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Keeps the panic hook from reporting, on this thread, what `work` catches itself.
fn quietly<T>(work: impl FnOnce() -> T) -> T {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                report(panic);
            }
        }));
    });
    QUIET.set(true);
    let done = work();
    QUIET.set(false);
    done
}

fn decode_and_print(bytes: &[u8], all: bool) -> Result<String, String> {
    let decoded = wit_component::decode(bytes).map_err(|error| format!("{error:#}"))?;
    let resolve = decoded.resolve();
    let main = match &decoded {
        DecodedWasm::WitPackage(_, package) => *package,
        DecodedWasm::Component(_, world) => resolve.worlds[*world]
            .package
            .ok_or("the component's world belongs to no package")?,
    };
    let mut others: Vec<_> = resolve
        .packages
        .iter()
        .filter(|(id, package)| *id != main && (all || package.name.namespace != STANDARD))
        .map(|(id, package)| (package.name.to_string(), id))
        .collect();
    others.sort();
    let others: Vec<_> = others.into_iter().map(|(_, id)| id).collect();

    let mut printer = WitPrinter::default();
    printer
        .print(resolve, main, &others)
        .map_err(|error| format!("{error:#}"))?;
    let text = printer.output.to_string();
    Ok(format!("{}\n", text.trim_end()))
}
