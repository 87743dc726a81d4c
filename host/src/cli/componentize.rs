//! `skep componentize CORE.wasm`: makes a component of what a compiler of C or Go wrote.

use std::io::{self, Write};
use std::path::PathBuf;

use super::Exit;
use crate::componentize::{ComponentizeError, World, componentize};

/// Make a component of a core module, such as the tools of C and Go write for WASI 0.1
#[derive(Clone, Debug, clap::Args)]
pub struct Componentize {
    /// The core module, a `.wasm` file
    #[arg(value_name = "CORE.wasm")]
    pub module: PathBuf,

    /// The WIT of the world that it is made for; not needed if its bindings carry it, as those of C do
    #[arg(long, value_name = "DIR")]
    pub wit: Option<PathBuf>,

    /// Which world of the WIT, if it has several
    #[arg(long, requires = "wit")]
    pub world: Option<String>,

    /// Where to write it [default: beside the module, as NAME.component.wasm]
    #[arg(short, long, value_name = "OUT.wasm")]
    pub output: Option<PathBuf>,
}

/// Nothing was written.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Componentize(#[from] ComponentizeError),
    #[error("cannot write {path}: {source}", path = path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// Makes and writes it.
pub fn run(arguments: &Componentize) -> Exit {
    match make(arguments) {
        Ok((path, bytes)) => {
            let _ = writeln!(io::stdout(), "{}: {bytes} bytes", path.display());
            Exit::Ok
        }
        Err(failure) => {
            let _ = writeln!(io::stderr(), "error: {failure}");
            match failure {
                Failure::Componentize(_) => Exit::Mistakes,
                Failure::Write { .. } => Exit::Failed,
            }
        }
    }
}

fn make(arguments: &Componentize) -> Result<(PathBuf, usize), Failure> {
    let world = arguments.wit.as_deref().map(|wit| World {
        wit,
        name: arguments.world.as_deref(),
    });
    let component = componentize(&arguments.module, world)?;
    let path = match &arguments.output {
        Some(path) => path.clone(),
        None => arguments.module.with_extension("component.wasm"),
    };
    std::fs::write(&path, &component).map_err(|source| Failure::Write {
        path: path.clone(),
        source,
    })?;
    Ok((path, component.len()))
}
