//! Cloudflare's workerd, prebuilt from npm, with a script of its own.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::process::run;
use crate::subject::Launch;
use crate::tools;

const VERSION: &str = "1.20261117.1";
/// It is 40 MB; mirrors can be slow.
const FETCH_LIMIT: Duration = Duration::from_secs(300);

/// The lines that the service in languages/features/js has for this path.
const SCRIPT: &str = "\
addEventListener('fetch', (event) => event.respondWith(answer(event.request)));

async function answer(request) {
  const { pathname, search } = new URL(request.url);
  switch (pathname.split('/')[1]) {
    case 'hello':
      return new Response('hello\\n');
    default:
      return new Response('there is no such page\\n', { status: 404 });
  }
}
";

pub(super) struct Workerd {
    program: PathBuf,
}

impl Workerd {
    /// Fetched once.
    pub(super) fn find() -> Result<Self> {
        let folder = tools::cache()?.join(format!("workerd-{VERSION}"));
        let package = match std::env::consts::ARCH {
            "aarch64" => "workerd-linux-arm64",
            _ => "workerd-linux-64",
        };
        let program = folder
            .join("node_modules/@cloudflare")
            .join(package)
            .join("bin/workerd");
        if !program.is_file() {
            fs::create_dir_all(&folder)?;
            let mut npm = Command::new("npm");
            npm.args(["install", "--no-audit", "--no-fund", "--prefix"])
                .arg(&folder)
                .arg(format!("workerd@{VERSION}"));
            run(npm, FETCH_LIMIT).context("fetching workerd")?;
        }
        ensure!(program.is_file(), "npm has left no {}", program.display());
        Ok(Self { program })
    }

    pub(super) fn launch(&self, address: SocketAddr) -> Result<Launch> {
        let files = tempfile::Builder::new().prefix("skep-bench").tempdir()?;
        fs::write(files.path().join("worker.js"), SCRIPT)?;
        let config = format!(
            "using Workerd = import \"/workerd/workerd.capnp\";
const config :Workerd.Config = (
  services = [(name = \"main\", worker = .script)],
  sockets = [(name = \"http\", address = \"{address}\", http = (), service = \"main\")],
);
const script :Workerd.Worker = (
  serviceWorkerScript = embed \"worker.js\",
  compatibilityDate = \"2026-01-01\",
);
"
        );
        let file = files.path().join("config.capnp");
        fs::write(&file, config)?;
        let mut command = Command::new(&self.program);
        command.arg("serve").arg(file);
        Ok(Launch {
            command,
            files: Some(files),
        })
    }
}
