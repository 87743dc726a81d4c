//! What a service was given. Nothing is granted by default but clocks, random numbers and the log.
use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::spanned::Spanned;

pub mod address;
pub mod origin;

pub use origin::{BadOrigin, HostMatch, Origin, Scheme};

/// `grants` of one service in the manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// Origins that requests may go to.
    pub http: Vec<Spanned<Origin>>,
    /// What `wasi:config/store` tells.
    pub config: BTreeMap<String, Spanned<GrantedValue>>,
    /// What `wasi:cli/environment` tells as variables.
    pub environment: BTreeMap<String, Spanned<GrantedValue>>,
    /// What `wasi:filesystem/preopens` opens.
    pub directories: Vec<Spanned<DirectoryGrant>>,
    /// What `wasi:cli/environment` tells as arguments, after the service's name.
    pub args: Vec<Spanned<String>>,
}

/// A value that a guest is told, and whether anybody else may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantedValue {
    pub from: ConfigValue,
    /// The host takes it out of what the guest writes to the log.
    pub secret: bool,
}

/// Where the value of a variable comes from; the host reads it when the service starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigValue {
    /// As written in the manifest.
    Literal(String),
    /// The host's environment variable of this name.
    Env(String),
    /// The content of this file, without the line break at its end; relative to the manifest.
    File(PathBuf),
}

/// What a guest may do in a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DirectoryMode {
    #[default]
    ReadOnly,
    ReadWrite,
}

impl DirectoryMode {
    /// As the manifest writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReadOnly => "read-only",
            Self::ReadWrite => "read-write",
        }
    }
}

/// A directory of the host that a guest sees under a path of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryGrant {
    /// Relative to the manifest.
    pub host: PathBuf,
    /// Absolute, without `.` and `..` segments.
    pub guest: String,
    pub mode: DirectoryMode,
}
