//! With a compiler: what is saved in a source file is answered, what does not compile is shown.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::fixture::{Connection, Host, get, skep};

const CARGO: &str = r#"
[package]
name = "developed"
edition = "2024"
[lib]
crate-type = ["cdylib"]
[dependencies]
wasip2 = { version = "=2.0.1", default-features = false }
[workspace]
[profile.release]
opt-level = "s"
lto = true
codegen-units = 1
strip = "debuginfo"
panic = "abort"
"#;

const SOURCE: &str = r#"
use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

struct Developed;
wasip2::http::proxy::export!(Developed);

impl wasip2::exports::http::incoming_handler::Guest for Developed {
    fn handle(_: IncomingRequest, out: ResponseOutparam) {
        let response = OutgoingResponse::new(Fields::new());
        let body = response.body().unwrap();
        ResponseOutparam::set(out, Ok(response));
        let stream = body.write().unwrap();
        let _ = stream.blocking_write_and_flush(b"one");
        drop(stream);
        let _ = OutgoingBody::finish(body, None);
    }
}
"#;

const TARGET: &str = "wasm32-wasip2";

/// The toolchain that `cargo xtask guests` builds with: the active one, or the one that it made.
fn cargo() -> &'static str {
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output();
    let sysroot = String::from_utf8(sysroot.unwrap().stdout).unwrap();
    let target = Path::new(sysroot.trim()).join("lib/rustlib").join(TARGET);
    match target.exists() {
        true => "cargo",
        false => "cargo +skep-guests",
    }
}

async fn answer(host: &Host) -> String {
    let mut connection = Connection::http1(host).await;
    connection.ask(get("/")).await.expect(200).text().to_owned()
}

#[tokio::test]
async fn a_source_is_edited_broken_and_mended_while_it_serves() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    // Beside the fixtures, whose dependencies have been built.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let target: PathBuf = target.join("guest-build");
    let directory = tempfile::tempdir().unwrap();
    let path = |file: &str| directory.path().join(file);
    std::fs::create_dir(path("src")).unwrap();
    std::fs::write(path("Cargo.toml"), CARGO).unwrap();
    std::fs::write(path("src/lib.rs"), SOURCE).unwrap();
    let lock = repository.join("components/Cargo.lock");
    std::fs::copy(lock, path("Cargo.lock")).unwrap();
    let build = format!("{} build --release --offline --target {TARGET}", cargo());
    let component = target.join(TARGET).join("release/developed.wasm");
    let manifest = format!(
        "name = \"app\"\n[service.developed]\ncomponent = {component:?}\nroutes = [\"/{{*rest}}\"]\n\
         build = {{ command = {build:?}, watch = [\"src\", \"Cargo.toml\"] }}\n"
    );
    std::fs::write(path("skep.toml"), manifest).unwrap();

    let mut command = skep();
    command
        .arg("dev")
        .arg(path("skep.toml"))
        .args(["--listen", "127.0.0.1:0"]);
    command.env("CARGO_TARGET_DIR", target);
    // What cargo has set for this test is not meant for the guest.
    for variable in [
        "CARGO",
        "RUSTC",
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "RUSTC_WRAPPER",
        "RUSTUP_TOOLCHAIN",
    ] {
        command.env_remove(variable);
    }
    let host = Host::spawn(command, directory).await;
    assert_eq!(answer(&host).await, "one");

    host.save("src/lib.rs", SOURCE.replace("\"one\"", "\"two\""));
    host.said("revision 2 serves", 1).await;
    assert_eq!(answer(&host).await, "two");

    host.save("src/lib.rs", SOURCE.replace("drop(stream)", "drop(stream"));
    host.said("the build of developed failed", 1).await;
    let said = host.stderr().join("\n");
    for text in [
        "error: ",
        "src/lib.rs:",
        "unclosed delimiter",
        "exit status: 101",
    ] {
        assert!(said.contains(text), "no {text:?} in {said}");
    }
    assert_eq!(answer(&host).await, "two");

    host.save("src/lib.rs", SOURCE.replace("\"one\"", "\"three\""));
    host.said("revision 3 serves", 1).await;
    assert_eq!(answer(&host).await, "three");
    host.assert_no_panic();
}
