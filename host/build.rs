//! Puts what `skep new` writes into the binary: a list of the files of languages/.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Folders of languages/ that templates are put together of.
const PARTS: [&str; 3] = ["bindings", "templates", "wit"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let languages = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../languages");
    let languages = languages.canonicalize()?;
    let mut files = Vec::new();
    for part in PARTS {
        let folder = languages.join(part);
        println!("cargo::rerun-if-changed={}", folder.display());
        collect(&folder, &mut files)?;
    }
    files.sort();
    let mut list = String::from("&[\n");
    for file in &files {
        let name = file.strip_prefix(&languages)?;
        writeln!(list, "    ({name:?}, include_bytes!({file:?})),")?;
    }
    list.push(']');
    fs::write(
        PathBuf::from(env::var("OUT_DIR")?).join("templates.rs"),
        list,
    )?;
    Ok(())
}

/// What tools leave behind when somebody tries a template where it is does not belong to it.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') || name == "__pycache__" || name == "node_modules" {
            continue;
        }
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
