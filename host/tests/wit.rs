//! The WIT that guest authors are given is sound, and is what the host implements.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends where it finds something wrong"
)]

mod dummy;

use std::path::Path;

use skep::artifact::{Artifact, Need, required_grants};
use wit_parser::Resolve;

/// A component that imports and exports a whole world, with nothing behind it.
fn component_of(folder: &str, world: &str) -> Artifact {
    let mut resolve = Resolve::default();
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../wit")
        .join(folder);
    let (package, _) = resolve.push_dir(&path).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    let bytes = dummy::component_of(&resolve, world);
    Artifact::from_bytes(format!("{folder}.wasm"), bytes).unwrap()
}

#[test]
fn every_interface_of_our_worlds_is_one_that_the_host_has() {
    for folder in ["wasi-0.2"] {
        for world in ["handler", "worker"] {
            let artifact = component_of(folder, world);
            for needed in required_grants(artifact.description()) {
                assert!(
                    !matches!(needed.need, Need::Missing { .. }),
                    "{folder} {world}: {} is missing",
                    needed.import
                );
            }
        }
    }
}

#[test]
fn the_worlds_of_wasi_0_3_resolve() {
    let mut resolve = Resolve::default();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit/wasi-0.3");
    let (package, _) = resolve.push_dir(&path).unwrap();
    for world in ["handler", "worker"] {
        resolve.select_world(&[package], Some(world)).unwrap();
    }
}
