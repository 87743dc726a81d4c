//! The shop as the demo of swaps runs it: with a folder, a state and a port of its own, so that nothing
//! that is deployed here is there when somebody runs the shop itself.
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::leash::{Leashed, Signal};
use crate::Result;
use crate::guests::TARGET;

/// A first start compiles the components; slow machines take a while.
pub(super) const PATIENCE: Duration = Duration::from_secs(180);
const POLL: Duration = Duration::from_millis(100);

/// A shop that serves until it is dropped.
pub(super) struct Shop {
    skep: PathBuf,
    manifest: PathBuf,
    address: SocketAddr,
    host: Leashed,
}

/// What a command of `skep` came to.
pub(super) struct Said {
    pub(super) code: Option<i32>,
    pub(super) printed: String,
    /// What it said to people.
    pub(super) told: String,
}

impl Shop {
    /// Starts what has been built in `example`, with all that it keeps below `folder`, and waits until it
    /// serves.
    pub(super) fn start(
        skep: &Path,
        example: &Path,
        folder: &Path,
        address: SocketAddr,
    ) -> Result<Shop> {
        let failed = |error| format!("laying out the shop in {}: {error}", folder.display());
        lay_out(example, folder).map_err(failed)?;
        let log = folder.join("skep.log");
        let said = File::create(&log).map_err(failed)?;
        let again = said.try_clone().map_err(failed)?;
        let manifest = folder.join("skep.toml");
        let (listen, text) = (address.to_string(), manifest.to_string_lossy());
        let arguments = ["run", &text, "--listen", &listen, "--log-format", "json"];
        let host = Leashed::start(
            "the host",
            Signal::Terminate,
            skep,
            &arguments,
            Stdio::from(said),
            Stdio::from(again),
        )?;
        let mut shop = Shop {
            skep: skep.to_path_buf(),
            manifest,
            address,
            host,
        };
        shop.wait()
            .map_err(|why| format!("{why}; its log is {}", log.display()))?;
        Ok(shop)
    }

    fn wait(&mut self) -> Result {
        let start = Instant::now();
        while !answers(self.address) {
            if !self.host.runs() {
                return Err("the shop ended at its start".to_string());
            }
            if start.elapsed() > PATIENCE {
                return Err(format!("the shop did not answer within {PATIENCE:?}"));
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// Runs `skep COMMAND ARGUMENTS… MANIFEST`.
    pub(super) fn skep(&self, command: &str, arguments: &[&str]) -> Result<Said> {
        let Output {
            status,
            stdout,
            stderr,
        } = Command::new(&self.skep)
            .arg(command)
            .args(arguments)
            .arg(&self.manifest)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("running skep {command}: {error}"))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_string();
        Ok(Said {
            code: status.code(),
            printed: text(&stdout),
            told: text(&stderr),
        })
    }

    /// What a product costs, as its page says.
    pub(super) fn price(&self, page: &str) -> Result<String> {
        let answer =
            get(self.address, page).map_err(|error| format!("asking for {page}: {error}"))?;
        let price = answer
            .split_once(r#"<p class="price">"#)
            .and_then(|(_, rest)| rest.split_whitespace().next());
        price
            .map(str::to_string)
            .ok_or_else(|| format!("{page} has no price:\n{answer}"))
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// An error if it does not end in good order.
    pub(super) fn stop(self) -> Result {
        self.host.end().map(drop)
    }
}

/// Whether the home page comes with status 200.
pub(super) fn answers(address: SocketAddr) -> bool {
    get(address, "/").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// The whole answer to a request, head and body as they came.
fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    // In one piece: a server may answer and close once it has read something.
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The manifest with what it names, at the same places: components and products, nothing that goes wrong
/// on purpose, and no state of an earlier run.
fn lay_out(example: &Path, folder: &Path) -> std::io::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder.join("mishaps"))?;
    fs::copy(example.join("skep.toml"), folder.join("skep.toml"))?;
    let components = Path::new("target").join(TARGET).join("release");
    for below in [
        &components,
        Path::new("catalog/data"),
        Path::new("catalog/data/pictures"),
    ] {
        fs::create_dir_all(folder.join(below))?;
        for entry in fs::read_dir(example.join(below))? {
            let path = entry?.path();
            let artifact = path
                .extension()
                .is_some_and(|extension| extension != "wasm");
            if path.is_file() && !(below == components && artifact) {
                let name = path.file_name().unwrap_or_default();
                fs::copy(&path, folder.join(below).join(name))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn only_a_home_page_counts_as_an_answer() {
        for (answer, expected) in [
            ("HTTP/1.1 200 OK\r\n\r\n", true),
            ("HTTP/1.1 503 No\r\n\r\n", false),
            ("", false),
        ] {
            let server = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = server.local_addr().unwrap();
            let serving = thread::spawn(move || {
                let (mut stream, _) = server.accept().unwrap();
                let mut request = [0; 512];
                let _ = stream.read(&mut request).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
            });
            assert_eq!(answers(address), expected, "{answer:?}");
            serving.join().unwrap();
        }
    }
}
