//! Which host a command asks: the one that runs with a manifest, or one at an address.

use std::path::{Path, PathBuf};

use clap::Args;

use super::report;
use crate::control::{Endpoint, HostUrl};
use crate::host;

/// What the command line says of it.
#[derive(Args, Debug)]
pub struct HostOptions {
    /// Ask the host at this address, instead of the one that runs with the manifest:
    /// `http://127.0.0.1:7070`, as `host.control` of its manifest has it
    #[arg(long, value_name = "URL", requires = "token_file")]
    host: Option<HostUrl>,
    /// The file with the token of the host at that address
    #[arg(long, value_name = "FILE", env = "SKEP_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// Verify its certificate by the authorities in this file (PEM), instead of by the system's
    #[arg(long, value_name = "FILE", requires = "host")]
    ca_file: Option<PathBuf>,
}

impl HostOptions {
    /// Whether it is at an address.
    pub(super) fn is_remote(&self) -> bool {
        self.host.is_some()
    }

    /// Where it answers, if `manifest` is what it runs with, unless it is said to be elsewhere. None if
    /// that cannot be used; why has been said.
    pub(super) fn endpoint(&self, manifest: &Path) -> Option<Endpoint> {
        let (Some(url), Some(token)) = (&self.host, &self.token_file) else {
            return Some(Endpoint::socket(host::control_socket_of(manifest)));
        };
        let endpoint = Endpoint::address(url.clone(), token, self.ca_file.as_deref());
        endpoint.map_err(|error| report::failure(&error)).ok()
    }
}
