//! Every way in which a file can fail to be a component, in words for the person who named it.

use std::io;
use std::path::{Path, PathBuf};

use super::{Looks, MAX_COMPONENT_BYTES};

/// A component could not be had from a file.
#[derive(Debug, thiserror::Error)]
#[error("cannot load component `{}`: {fault}{}", path.display(), help_suffix(fault))]
pub struct ArtifactError {
    path: PathBuf,
    fault: Box<Fault>,
}

/// What is wrong with the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing at that path.
    #[error("there is no such file")]
    Missing,
    /// Nothing at that path, but something with nearly that name.
    #[error("there is no such file")]
    MissingButSimilar {
        /// A file name in the same directory that differs by little.
        similar: String,
    },
    /// A directory.
    #[error("it is a directory")]
    Directory,
    /// A pipe, a socket or a device.
    #[error("it is not a regular file")]
    NotAFile,
    /// The operating system refuses.
    #[error("permission denied")]
    Denied,
    /// Any other failure of reading.
    #[error("it cannot be read: {0}")]
    Read(#[source] io::Error),
    /// More than [`MAX_COMPONENT_BYTES`].
    #[error("it has {size} bytes, and a component may have {MAX_COMPONENT_BYTES}")]
    TooLarge {
        /// Bytes.
        size: u64,
    },
    /// It is another component than the one that was read from it.
    #[error("it has changed since it was read")]
    Changed,
    /// No bytes at all.
    #[error("it is empty")]
    Empty,
    /// Not WebAssembly.
    #[error("it is not WebAssembly: it looks like {0}")]
    NotWasm(Looks),
    /// WebAssembly, but an older kind.
    #[error("it is a core WebAssembly module, not a component")]
    CoreModule {
        /// It imports `wasi_snapshot_preview1`.
        wasi_preview1: bool,
        /// It carries the WIT of a component to be made of it.
        embedded_wit: bool,
    },
    /// A version of the binary format that is not the released one.
    #[error("it is WebAssembly of an unknown version ({version:02x?})")]
    UnknownVersion {
        /// Bytes 4 to 8 of the file.
        version: [u8; 4],
    },
    /// A WIT package in its binary form: types without code.
    #[error("it is a WIT package (interface types without code), not a component that can run")]
    WitPackage,
    /// It ends in the middle.
    #[error(
        "it is cut off: it has {size} bytes and something that begins at byte {offset} is longer"
    )]
    Truncated {
        /// Where reading went past the end.
        offset: u64,
        /// Bytes there are.
        size: u64,
    },
    /// It breaks a rule of the format.
    #[error("it is corrupt or was made by a faulty tool: at byte {offset}: {message}")]
    Corrupt {
        /// Where the rule is broken.
        offset: u64,
        /// Which rule, as the validator says it.
        message: String,
    },
    /// Well-formed, but with a proposal that is not enabled.
    #[error("it uses a part of WebAssembly that Skep does not enable: at byte {offset}: {message}")]
    Unsupported {
        /// Where.
        offset: u64,
        /// What, as the validator says it.
        message: String,
    },
}

impl ArtifactError {
    pub(super) fn new(path: &Path, fault: Fault) -> ArtifactError {
        ArtifactError {
            path: path.to_owned(),
            fault: Box::new(fault),
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is wrong, without the path.
    pub fn fault(&self) -> &Fault {
        &self.fault
    }

    /// What to do about it, if there is something better than "mend the file".
    pub fn help(&self) -> Option<String> {
        self.fault.help()
    }
}

impl Fault {
    /// What to do about it: half a sentence without a full stop.
    pub fn help(&self) -> Option<String> {
        let text = match self {
            Fault::Missing => "build it first, or mend the path".to_owned(),
            Fault::MissingButSimilar { similar } => format!("did you mean `{similar}`?"),
            Fault::Directory => "name the .wasm file in it".to_owned(),
            Fault::NotAFile => "name a .wasm file".to_owned(),
            Fault::Denied => "make it readable for the user that Skep runs as".to_owned(),
            Fault::Read(_) => return None,
            Fault::TooLarge { .. } => {
                "strip its debug information (`wasm-tools strip`), and keep data out of it".to_owned()
            }
            Fault::Changed => "put back what was deployed, or deploy what is there now".to_owned(),
            Fault::Empty => "the build that writes it has failed or still runs".to_owned(),
            Fault::NotWasm(looks) => return looks.help().map(str::to_owned),
            Fault::CoreModule {
                wasi_preview1,
                embedded_wit,
            } => core_module_help(*wasi_preview1, *embedded_wit),
            Fault::UnknownVersion { .. } => {
                "build it with tools that write released WebAssembly (version 1, component layer 0d)"
                    .to_owned()
            }
            Fault::WitPackage => "name the component that implements it".to_owned(),
            Fault::Truncated { .. } => {
                "copy or download it again; the build that writes it may have been stopped".to_owned()
            }
            Fault::Corrupt { .. } => {
                "build or copy it again; if it is new, update the tool that made it".to_owned()
            }
            Fault::Unsupported { .. } => "build it without that feature".to_owned(),
        };
        Some(text)
    }

    pub(super) fn from_io(error: io::Error, path: &Path) -> Fault {
        match error.kind() {
            io::ErrorKind::NotFound => similar_name(path).map_or(Fault::Missing, |similar| {
                Fault::MissingButSimilar { similar }
            }),
            io::ErrorKind::PermissionDenied => Fault::Denied,
            io::ErrorKind::IsADirectory => Fault::Directory,
            _ => Fault::Read(error),
        }
    }

    pub(super) fn from_wasmparser(error: &wasmparser::BinaryReaderError, size: usize) -> Fault {
        let message = error.message().to_owned();
        let offset = error.offset() as u64;
        let size = size as u64;
        // wasmparser tells the two apart by text alone.
        if message.contains("unexpected end") || message.contains("extends past end") {
            Fault::Truncated { offset, size }
        } else {
            Fault::Corrupt { offset, message }
        }
    }
}

fn help_suffix(fault: &Fault) -> String {
    fault
        .help()
        .map_or_else(String::new, |help| format!("; {help}"))
}

fn core_module_help(wasi_preview1: bool, embedded_wit: bool) -> String {
    match (wasi_preview1, embedded_wit) {
        (true, _) => "build it for wasm32-wasip2, or make a component of it with `wasm-tools \
                      component new MODULE --adapt wasi_snapshot_preview1.reactor.wasm -o COMPONENT`"
            .to_owned(),
        (false, true) => {
            "it carries its WIT: `wasm-tools component new MODULE -o COMPONENT` makes it a component"
                .to_owned()
        }
        (false, false) => "build it for wasm32-wasip2; a core module has no WIT to call it by"
            .to_owned(),
    }
}

/// Entries of a directory that are compared with the missing name, so that a huge directory
/// does not hold up an error message.
const NAMES_COMPARED: usize = 1000;

/// Letters by which a name may differ and still be called similar.
const SIMILAR: usize = 2;

fn similar_name(path: &Path) -> Option<String> {
    let wanted = path.file_name()?.to_str()?;
    let parent = match path.parent()? {
        empty if empty.as_os_str().is_empty() => Path::new("."),
        parent => parent,
    };
    std::fs::read_dir(parent)
        .ok()?
        .take(NAMES_COMPARED)
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .map(|name| (super::needs::edit_distance(wanted, &name), name))
        .filter(|(distance, _)| *distance <= SIMILAR)
        .min()
        .map(|(_, name)| name)
}
