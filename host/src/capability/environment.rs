//! Reads what a revision's grants name on this machine: variables, files with values, directories.

use std::path::{Path, PathBuf};

use skep_core::grant::{ConfigValue, DirectoryGrant, DirectoryMode};
use skep_core::manifest::Spanned;
use wasmtime_wasi::filesystem::WasiFilesystemCtx;
use wasmtime_wasi::{FsPerms, WasiCtx};

use crate::deploy::{Source, resolve};

/// A grant that this machine cannot fulfil.
#[derive(Debug, thiserror::Error)]
pub enum GrantError {
    /// A value is to come from the host's environment, which lacks it.
    #[error("{what} wants the environment variable `{variable}`, which is not set")]
    Variable {
        /// Which grant, e.g. "grants.config.greeting".
        what: String,
        /// The variable's name.
        variable: String,
    },
    /// A value is to come from a file that cannot be read.
    #[error("{what} wants the file {}", path.display())]
    File {
        /// Which grant.
        what: String,
        /// The file.
        path: PathBuf,
        /// Why it cannot be read.
        #[source]
        source: std::io::Error,
    },
    /// A directory that cannot be opened.
    #[error("the granted directory {} cannot be opened", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why not.
        #[source]
        source: wasmtime::Error,
    },
}

/// A value's file may have this many bytes: it is configuration, not data.
const VALUE_BYTES: u64 = 64 << 10;

/// The value of a variable that a manifest grants. `what` names the grant in errors.
pub(crate) fn value(
    what: &str,
    value: &ConfigValue,
    source: &Source,
) -> Result<String, GrantError> {
    match value {
        ConfigValue::Literal(text) => Ok(text.clone()),
        ConfigValue::Env(variable) => value_from_variable(what, variable),
        ConfigValue::File(path) => value_from_file(what, &resolve(source, path)),
    }
}

/// The value in a file, without the line end that editors leave.
fn value_from_file(what: &str, path: &Path) -> Result<String, GrantError> {
    let error = |source| GrantError::File {
        what: what.to_owned(),
        path: path.to_owned(),
        source,
    };
    let size = std::fs::metadata(path).map_err(error)?.len();
    if size > VALUE_BYTES {
        return Err(error(std::io::Error::other(format!(
            "it has {size} bytes; a value has at most {VALUE_BYTES}"
        ))));
    }
    let mut text = std::fs::read_to_string(path).map_err(error)?;
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    Ok(text)
}

/// The value of a variable of the host's environment.
fn value_from_variable(what: &str, variable: &str) -> Result<String, GrantError> {
    std::env::var(variable).map_err(|_| GrantError::Variable {
        what: what.to_owned(),
        variable: variable.to_owned(),
    })
}

/// Opens the granted directories, once per revision: instances share the handles.
pub(crate) fn directories(
    directories: &[Spanned<DirectoryGrant>],
    source: &Source,
) -> Result<WasiFilesystemCtx, GrantError> {
    let mut builder = WasiCtx::builder();
    for directory in directories {
        let grant = &directory.value;
        let host = resolve(source, &grant.host);
        let permissions = match grant.mode {
            DirectoryMode::ReadOnly => FsPerms::ReadOnly,
            DirectoryMode::ReadWrite => FsPerms::ReadWrite,
        };
        builder
            .preopened_dir(&host, &grant.guest, permissions)
            .map_err(|source| GrantError::Directory {
                path: host.clone(),
                source,
            })?;
    }
    Ok(builder.build().filesystem().clone())
}
