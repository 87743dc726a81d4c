//! Caller and callee composed into one component before they run: both live in one store, and a call
//! between them is what wasmtime's compiler makes of it. Nothing that keeps the two apart can cost
//! less.

use std::path::Path;

use anyhow::{Context, Result};
use wasm_compose::graph::{Component, CompositionGraph, EncodeOptions};
use wasmparser::Validator;

/// A component that does what `caller` does, whose calls `callee` answers within it.
pub(super) fn compose(caller: &Path, callee: &Path) -> Result<Vec<u8>> {
    let mut validator = Validator::default();
    let mut read = |name, path| Component::from_file(&mut validator, name, path);
    let mut graph = CompositionGraph::new();
    let callee = graph.add_component(read("callee", callee)?)?;
    let callee_instance = graph.instantiate(callee)?;
    let caller = graph.add_component(read("caller", caller)?)?;
    let caller_instance = graph.instantiate(caller)?;
    let (export, ..) = component(&graph, callee)?
        .export_by_name(INTERFACE)
        .with_context(|| format!("the callee does not export {INTERFACE}"))?;
    let (import, _) = component(&graph, caller)?
        .import_by_name(INTERFACE)
        .with_context(|| format!("the caller does not import {INTERFACE}"))?;
    graph.connect(callee_instance, Some(export), caller_instance, import)?;
    graph.encode(EncodeOptions {
        define_components: true,
        export: Some(caller_instance),
        validate: true,
    })
}

/// What the one calls the other through.
const INTERFACE: &str = "bench:calls/api@0.1.0";

fn component<'a>(
    graph: &'a CompositionGraph<'_>,
    id: wasm_compose::graph::ComponentId,
) -> Result<&'a Component<'a>> {
    graph.get_component(id).context("it was added")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_composed_calls_nobody_and_answers_requests() {
        let own = std::env::current_exe().expect("the test's own file");
        // TARGET/release/deps/TEST
        let target = own.ancestors().nth(3).expect("a target folder");
        let guest = |name: &str| target.join("guests").join(name);
        let composed = compose(&guest("caller.wasm"), &guest("callee.wasm"));
        let composed = composed.expect("`cargo xtask guests` makes both");
        let read = Component::from_bytes(&mut Validator::default(), "composed", composed);
        let read = read.expect("a component");
        assert!(read.import_by_name(INTERFACE).is_none());
        let handler = "wasi:http/incoming-handler@0.2.12";
        assert!(read.export_by_name(handler).is_some());
    }
}
