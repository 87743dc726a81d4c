//! `skep-bindgen c|go WIT WORLD OUT`: writes what `wit-bindgen c|go` writes for that world into a
//! folder, but for a `go.mod` that is there already.
use std::path::Path;
use std::{env, fs};

use anyhow::{Context, Result, bail};
use wit_bindgen_core::wit_parser::Resolve;
use wit_bindgen_core::{Files, WorldGenerator};

fn main() -> Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [language, wit, world, out] = args.as_slice() else {
        bail!("usage: skep-bindgen c|go WIT WORLD OUT");
    };
    let mut generator: Box<dyn WorldGenerator> = match language.as_str() {
        "c" => wit_bindgen_c::Opts::default().build(),
        "go" => wit_bindgen_go::Opts::default().build(),
        other => bail!("there are bindings for c and go, none for {other:?}"),
    };
    let mut resolve = Resolve::default();
    let (package, _) = resolve
        .push_path(Path::new(wit))
        .with_context(|| format!("reading {wit}"))?;
    let world = resolve
        .select_world(&[package], Some(world))
        .with_context(|| format!("looking for the world in {wit}"))?;
    let mut files = Files::default();
    generator.generate(&mut resolve, world, &mut files)?;
    for (name, content) in files.iter() {
        let path = Path::new(out).join(name);
        // That of the module says where the runtime is.
        if name == "go.mod" && path.exists() {
            continue;
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        }
        fs::write(&path, content).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}
