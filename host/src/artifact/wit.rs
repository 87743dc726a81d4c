//! Prints a component's world as WIT, for people.

use std::panic::catch_unwind;

use wit_component::{DecodedWasm, WitPrinter};

/// The namespace whose packages everybody has: printed only on demand.
const STANDARD: &str = "wasi";

pub(super) fn print(bytes: &[u8], all: bool) -> Result<String, String> {
    // The decoder is written for what WIT tools make, and a component may be anything: a net, so
    // that an assertion in there costs the text and not the host. What it catches is a bug to report.
    catch_unwind(|| decode_and_print(bytes, all))
        .unwrap_or_else(|_| Err("the component's types cannot be said in WIT".to_owned()))
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
