//! Makes components of core modules, as compilers of C and Go write them.

use std::io;
use std::path::{Path, PathBuf};

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
    WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasmparser::{Encoding, Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::Resolve;

/// What a module becomes part of.
#[derive(Clone, Copy, Debug)]
pub struct World<'a> {
    /// The directory, or the file, of the WIT.
    pub wit: &'a Path,
    /// Which of its worlds; the only one if absent.
    pub name: Option<&'a str>,
}

/// No component comes of it.
#[derive(Debug, thiserror::Error)]
pub enum ComponentizeError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Read {
        /// The module's.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is no WebAssembly at all.
    #[error(
        "{path} is no WebAssembly module: {why}; give the `.wasm` that the compiler wrote for \
         WASI 0.1, such as by `zig cc -target wasm32-wasi` or `GOOS=wasip1 GOARCH=wasm go build`",
        path = path.display()
    )]
    NoModule {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// There is nothing to do.
    #[error("{path} is a component already: it can be run as it is", path = path.display())]
    Already {
        /// The file.
        path: PathBuf,
    },
    /// The WIT has mistakes, or not the world that is asked for.
    #[error("{wit} has no world to make a component for: {why}; see --wit and --world", wit = wit.display())]
    World {
        /// The directory.
        wit: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The module does not fit its world.
    #[error(
        "cannot make a component of {path}: {why}; a module imports and exports what its world \
         says: give the world by --wit unless the bindings carry it, and generate the bindings \
         from the same WIT",
        path = path.display()
    )]
    Encode {
        /// The module.
        path: PathBuf,
        /// What does not fit.
        why: String,
    },
}

/// The component of the module at `path`. What it imports of WASI 0.1 is translated to WASI 0.2: as
/// for a program if it exports `_start`, else as for a library.
///
/// # Errors
/// If the file is no core module, or does not fit its world.
pub fn componentize(path: &Path, world: Option<World<'_>>) -> Result<Vec<u8>, ComponentizeError> {
    let mut module = std::fs::read(path).map_err(|source| ComponentizeError::Read {
        path: path.to_owned(),
        source,
    })?;
    let program = is_program(path, &module)?;
    if let Some(world) = world {
        embed(&mut module, world)?;
    }
    let adapter = match program {
        true => WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
        false => WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
    };
    ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .and_then(|encoder| encoder.adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, adapter))
        .and_then(|mut encoder| encoder.encode())
        .map_err(|error| ComponentizeError::Encode {
            path: path.to_owned(),
            why: format!("{error:#}"),
        })
}

/// Whether the module has a `main`.
fn is_program(path: &Path, module: &[u8]) -> Result<bool, ComponentizeError> {
    let mistake = |error: wasmparser::BinaryReaderError| ComponentizeError::NoModule {
        path: path.to_owned(),
        why: error.to_string(),
    };
    let mut program = false;
    for payload in Parser::new(0).parse_all(module) {
        match payload.map_err(mistake)? {
            Payload::Version {
                encoding: Encoding::Component,
                ..
            } => {
                return Err(ComponentizeError::Already {
                    path: path.to_owned(),
                });
            }
            Payload::ExportSection(exports) => {
                for export in exports {
                    program |= export.map_err(mistake)?.name == "_start";
                }
            }
            _ => {}
        }
    }
    Ok(program)
}

/// Writes the world into the module, where the encoder looks for it.
fn embed(module: &mut Vec<u8>, world: World<'_>) -> Result<(), ComponentizeError> {
    let mistake = |why: String| ComponentizeError::World {
        wit: world.wit.to_owned(),
        why,
    };
    let mut resolve = Resolve::default();
    let (package, _) = resolve
        .push_path(world.wit)
        .map_err(|error| mistake(format!("{error:#}")))?;
    let id = resolve
        .select_world(&[package], world.name)
        .map_err(|error| mistake(format!("{error:#}")))?;
    wit_component::embed_component_metadata(module, &resolve, id, StringEncoding::UTF8)
        .map_err(|error| mistake(format!("{error:#}")))
}
