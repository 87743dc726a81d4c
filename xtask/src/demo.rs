//! Shows Skep: builds everything, runs the shop, and says when and where it can be visited. With `--swap` it
//! shows instead what deploys do to requests (`swap.rs`).
//!
//! xtask ends by becoming `skep run`, so that Ctrl-C, SIGTERM and the exit code are the host's
//! own. A second xtask, started just before, waits for the shop's first answer and prints it.
mod leash;
mod oha;
mod shop;
mod swap;
mod versions;

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::parent_id;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use crate::Result;
use crate::check::TESTING;
use crate::guests::{self, toolchain};
use crate::run::{cargo, replace_with, root, run, say, target_dir};
pub(crate) use leash::{LEASH, leash};
use shop::{PATIENCE, answers};

/// The hidden command of the xtask that waits for the shop.
pub(crate) const ANNOUNCE: &str = "announce-demo";

/// Where the shop listens unless told otherwise: as its manifest says.
const DEFAULT: &str = "127.0.0.1:8080";

const POLL: Duration = Duration::from_millis(100);

pub(crate) fn demo(args: &[String]) -> Result {
    let (swap, wanted) = match args {
        [] => (false, None),
        [flag] if flag == "--swap" => (true, None),
        [flag, address] if flag == "--listen" => (false, Some(address.as_str())),
        _ => return Err("usage: cargo xtask demo [--listen ADDR | --swap]".to_string()),
    };
    let shop = root().join("examples/shop");
    let toolchain = toolchain::prepare()?;
    guests::build_example(&toolchain, &shop)?;
    build_host()?;
    match swap {
        true => swap::swap(&toolchain, &shop),
        false => visit(&shop, wanted),
    }
}

fn build_host() -> Result {
    // Of the whole workspace, so that features are the same as for the tests and nothing is
    // compiled twice.
    let host = ["build", "--release", "--workspace", "--bin", "skep"];
    run(
        "building the host (several minutes the first time)",
        cargo().args(host).args(TESTING),
    )
}

/// Becomes a shop that can be visited.
fn visit(shop: &Path, wanted: Option<&str>) -> Result {
    let address = address_to_use(wanted)?.to_string();
    let this = env::current_exe().map_err(|error| format!("finding xtask itself: {error}"))?;
    Command::new(this)
        .args([ANNOUNCE, &address, &std::process::id().to_string()])
        .stdin(Stdio::null())
        .spawn()
        .map_err(|error| format!("starting the announcer: {error}"))?;
    say("starting the shop; Ctrl-C stops it");
    let mut skep = Command::new(target_dir().join("release/skep"));
    skep.arg("run")
        .arg(shop.join("skep.toml"))
        .args(["--listen", &address, "--log-to", "stderr"]);
    Err(replace_with(skep.current_dir(root())))
}

/// Waits until the shop answers, then prints where. Gives up when the host is gone.
pub(crate) fn announce(args: &[String]) -> Result {
    let [address, host] = args else {
        return Err(format!("usage: {ANNOUNCE} ADDR HOST-PID"));
    };
    let address: SocketAddr = address
        .parse()
        .map_err(|error| format!("{address}: {error}"))?;
    let start = Instant::now();
    while !answers(address) {
        if parent_id().to_string() != *host {
            return Ok(());
        }
        if start.elapsed() > PATIENCE {
            return Err(format!(
                "the shop did not answer within {PATIENCE:?}; see its log above"
            ));
        }
        thread::sleep(POLL);
    }
    print!(
        "ready http://{address}\n\n\
         The shop:          http://{address}/\n\
         One product:       http://{address}/product/heather-honey\n\
         A new account:     http://{address}/register\n\
         Then break it:     echo crash > examples/shop/mishaps/payments, and pay\n\
         examples/shop/README.md has more of that; Ctrl-C stops the shop.\n"
    );
    std::io::stdout()
        .flush()
        .map_err(|error| format!("writing to stdout: {error}"))
}

/// The address itself, with a port chosen where it asks for any; another one than the default
/// where that is taken.
fn address_to_use(wanted: Option<&str>) -> Result<SocketAddr> {
    let text = wanted.unwrap_or(DEFAULT);
    let address: SocketAddr = text
        .parse()
        .map_err(|_| format!("{text:?} is not HOST:PORT with an IP address"))?;
    // Bound for a moment only: the host binds it again at once.
    match TcpListener::bind(address) {
        Ok(listener) => listener
            .local_addr()
            .map_err(|error| format!("asking for a port: {error}")),
        Err(error) if wanted.is_some() => Err(format!("cannot listen on {address}: {error}")),
        Err(error) => {
            say(&format!(
                "{address} is not free ({error}); choosing another port"
            ));
            let any = SocketAddr::new(address.ip(), 0);
            let listener = TcpListener::bind(any)
                .map_err(|error| format!("cannot listen on {any}: {error}"))?;
            listener
                .local_addr()
                .map_err(|error| format!("asking for a port: {error}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_was_asked_for_is_used_or_refused() {
        let chosen = address_to_use(Some("127.0.0.1:0")).unwrap();
        assert_ne!(chosen.port(), 0);

        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        assert!(
            address_to_use(Some(&address))
                .unwrap_err()
                .contains("cannot listen")
        );
        assert!(address_to_use(Some("nowhere")).is_err());
    }
}
