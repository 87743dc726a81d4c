//! Deploys by a host's control socket: what they cost the host, without the start of a process.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// Where the host of a manifest is told what to do.
pub(crate) struct Control(PathBuf);

impl Control {
    /// Of the host that runs this manifest, whose state is where it is by default.
    pub(crate) fn of(manifest: &Path) -> Control {
        Control(manifest.with_file_name(".skep").join("control.sock"))
    }

    /// Gives the service another component.
    ///
    /// # Errors
    /// If the host cannot be asked, or refuses it.
    pub(crate) fn deploy(&self, service: &str, component: &[u8]) -> Result<()> {
        let mut stream = UnixStream::connect(&self.0)
            .with_context(|| format!("connecting to {}", self.0.display()))?;
        let head = format!(
            "POST /v1/services/{service}/deploy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: application/wasm\r\nContent-Length: {}\r\n\r\n",
            component.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(component)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let served = answer.starts_with("HTTP/1.1 200 ");
        ensure!(served, "a deploy of {service} was refused: {answer}");
        Ok(())
    }
}
