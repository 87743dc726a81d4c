//! Builds components that nobody here wrote: the runtime tests of wit-bindgen, out of the package in
//! which they are published. A test is a runner, which calls what others export and looks at what
//! comes back, and those others.
//!
//! A source begins with `include!(env!("BINDINGS"))`, which in their own build is one generated file for
//! each component. Here it is one for all, which includes that of the crate that is compiled.

use std::fs;
use std::path::{Path, PathBuf};

use super::toolchain::Toolchain;
use super::{TARGET, build_dir, cargo_in, copy_if_different};
use crate::Result;
use crate::run::{output, root, run, target_dir};

/// The package that has them. Cargo tells where it keeps libraries, and this is none: it stands beside
/// the other.
const PACKAGE: &str = "wit-bindgen-cli-0.63.0";
const LIBRARY: &str = "wit-bindgen-0.63.0";

/// A test's folder, and the worlds whose components it consists of, beside `runner`. Left out are those
/// of what Skep does not run (maps, lists of a fixed length), of functions and types that are in no
/// interface, which services cannot export to each other, and those that are of bindings alone.
const TESTS: [(&str, &[&str]); 20] = [
    ("flavorful", &["test"]),
    ("list-in-variant", &["test"]),
    ("lists", &["test"]),
    ("lists-alias", &["test"]),
    ("many-arguments", &["test"]),
    ("numbers", &["test"]),
    ("options", &["test"]),
    ("package-with-version", &["test"]),
    ("records", &["test"]),
    ("resource-borrow", &["test"]),
    ("resource_aggregates", &["test"]),
    ("resource_alias", &["test"]),
    ("resource_alias_redux", &["test"]),
    ("resource_borrow_in_record", &["test"]),
    ("resource_with_lists", &["resource-with-lists", "leaf"]),
    ("resources", &["resources", "leaf"]),
    ("results", &["intermediate", "leaf"]),
    ("strings", &["test"]),
    ("strings-alias", &["test"]),
    ("variants", &["test"]),
];

/// Builds them all: `target/guests/wit-bindgen/TEST-WORLD.wasm`.
pub(super) fn build(toolchain: &Toolchain) -> Result {
    let ours = root().join("components/wit-bindgen-tests");
    let tests = published(toolchain, &ours)?.join("tests/runtime");
    let folder = build_dir().join("wit-bindgen-tests");
    let bindings = folder.join("bindings");
    fs::create_dir_all(&bindings)
        .map_err(|error| format!("creating {}: {error}", bindings.display()))?;
    let mut manifest = read(&ours.join("Cargo.toml"))?;
    manifest += &format!("\n[lib]\npath = {:?}\n", ours.join("src/lib.rs"));
    let mut names = Vec::new();
    for (test, worlds) in TESTS {
        for world in ["runner"].iter().chain(worlds) {
            let name = name(test, world);
            let folder = tests.join(test);
            let source = folder.join(world).with_extension("rs");
            manifest += &format!(
                "\n[[example]]\nname = {name:?}\npath = {source:?}\ncrate-type = [\"cdylib\"]\n"
            );
            let crate_name = name.replace('-', "_");
            let file = bindings.join(crate_name).with_extension("rs");
            write(&file, &bindings_of(&folder, world))?;
            names.push(name);
        }
    }
    write(&folder.join("Cargo.toml"), &manifest)?;
    write(&folder.join("Cargo.lock"), &read(&ours.join("Cargo.lock"))?)?;
    let all = folder.join("bindings.rs");
    let each =
        "include!(concat!(env!(\"BINDINGS_OF\"), \"/\", env!(\"CARGO_CRATE_NAME\"), \".rs\"));\n";
    write(&all, each)?;

    let mut cargo = cargo_in(toolchain, &folder, "build");
    cargo
        .arg("--examples")
        .env("BINDINGS", &all)
        .env("BINDINGS_OF", &bindings)
        .env("CARGO_TARGET_DIR", build_dir());
    run("building wit-bindgen's tests", &mut cargo)?;
    let built = build_dir().join(TARGET).join("release/examples");
    let to = target_dir().join("guests/wit-bindgen");
    fs::create_dir_all(&to).map_err(|error| format!("creating {}: {error}", to.display()))?;
    for name in names {
        let from = built.join(name.replace('-', "_")).with_extension("wasm");
        copy_if_different(&from, &to.join(name).with_extension("wasm"))?;
    }
    Ok(())
}

fn name(test: &str, world: &str) -> String {
    format!("{}-{world}", test.replace('_', "-"))
}

/// A runner is asked over HTTP.
fn bindings_of(folder: &Path, world: &str) -> String {
    let mut text = format!(
        "::wit_bindgen::generate!({{ path: {folder:?}, world: {world:?}, generate_all }});\n"
    );
    if world == "runner" {
        text += "::wit_bindgen_tests::front!();\n";
    }
    text
}

/// Where cargo keeps the package, which it fetches if need be.
fn published(toolchain: &Toolchain, ours: &Path) -> Result<PathBuf> {
    let mut cargo = toolchain.cargo();
    cargo
        .current_dir(ours)
        .args(["fetch", "--locked", "--quiet"]);
    run("fetching wit-bindgen's tests", &mut cargo)?;
    let mut cargo = toolchain.cargo();
    cargo
        .current_dir(ours)
        .args(["metadata", "--format-version", "1", "--locked"]);
    let metadata = output(&mut cargo)
        .ok_or_else(|| format!("`cargo metadata --locked` failed in {}", ours.display()))?;
    // Paths of the registry have nothing to escape.
    let mut paths = metadata.split("\"manifest_path\":\"").skip(1);
    let found = paths.find_map(|rest| {
        let library = Path::new(rest.split('"').next()?).parent()?;
        library
            .ends_with(LIBRARY)
            .then(|| library.with_file_name(PACKAGE))
    });
    found
        .filter(|package| package.is_dir())
        .ok_or_else(|| format!("cargo has fetched no package {PACKAGE}"))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|error| format!("reading {}: {error}", path.display()))
}

/// An unchanged file keeps its time stamp, so that nothing is compiled anew.
fn write(path: &Path, text: &str) -> Result {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    fs::write(path, text).map_err(|error| format!("writing {}: {error}", path.display()))
}
