//! The one place that takes bytes for machine code. Its callers prove where the bytes come from.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use wasmtime::Engine;
use wasmtime::component::Component;

/// A file that holds what this host (or one that shares its key) has compiled: its MAC has been
/// verified on this very descriptor, or this process has written it.
pub(super) struct TrustedCode(File);

impl TrustedCode {
    /// # Safety
    /// The file must begin with what [`Engine::precompile_component`] made, unaltered, and must
    /// not change from now on for as long as a [`Component`] made of it lives.
    pub(super) unsafe fn new(file: File) -> TrustedCode {
        TrustedCode(file)
    }

    /// Maps the file, so that all processes and services with the same code share its pages; where
    /// it cannot be mapped (no /proc, a file system mounted `noexec`), copies it.
    pub(super) fn load(mut self, engine: &Engine) -> wasmtime::Result<Component> {
        if let Some(mapped) = self.map(engine) {
            return mapped;
        }
        let mut bytes = Vec::new();
        self.0.seek(SeekFrom::Start(0))?;
        self.0.read_to_end(&mut bytes)?;
        // SAFETY: `new`'s caller has vouched for the file, and the bytes were read through it.
        unsafe { Component::deserialize(engine, bytes) }
    }

    #[cfg(target_os = "linux")]
    fn map(&self, engine: &Engine) -> Option<wasmtime::Result<Component>> {
        use std::os::fd::AsRawFd;
        // This name leads to the open file itself, not to what its path may mean by now.
        let path = format!("/proc/self/fd/{}", self.0.as_raw_fd());
        // SAFETY: `new`'s caller has vouched for this file's contents, and that they stay.
        match unsafe { Component::deserialize_file(engine, path) } {
            // Whatever the reason, copying either helps or says it too.
            Err(error) => {
                tracing::debug!(error = format!("{error:#}"), "cannot map compiled code");
                None
            }
            mapped => Some(mapped),
        }
    }

    /// Elsewhere no name is known that leads to an open file.
    #[cfg(not(target_os = "linux"))]
    fn map(&self, _engine: &Engine) -> Option<wasmtime::Result<Component>> {
        None
    }
}
