//! Uses directories through std::fs, so that a test sees what a grant lets through:
//! `/read?path=`, `/write?path=&text=`, `/append?path=&text=`, `/list?path=`, `/mkdir?path=`,
//! `/remove?path=`, `/link?path=&to=` (symbolic), `/rename?path=&to=`, `/size?path=`. An error is
//! answered as 403 with its kind.
use std::fs;
use std::io::{Error, Write};

use answer::{Target, text};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct Files;
wasip2::http::proxy::export!(Files);

impl wasip2::exports::http::incoming_handler::Guest for Files {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        match carried_out(&Target::of(&request)) {
            Ok(body) => text(out, 200, &body),
            Err(error) => text(out, 403, &format!("{:?}: {error}\n", error.kind())),
        }
    }
}

fn carried_out(target: &Target) -> Result<String, Error> {
    let path = target.value("path");
    let done = || "done\n".to_string();
    match target.segment(0) {
        "read" => fs::read_to_string(path),
        "write" => fs::write(path, target.value("text")).map(|()| done()),
        "append" => {
            let mut file = fs::OpenOptions::new()
                .append(true)
                .create(true)
                .open(path)?;
            file.write_all(target.value("text").as_bytes())
                .map(|()| done())
        }
        "list" => {
            let mut names = Vec::new();
            for entry in fs::read_dir(path)? {
                names.push(format!("{}\n", entry?.file_name().to_string_lossy()));
            }
            names.sort();
            Ok(names.concat())
        }
        "size" => fs::metadata(path).map(|found| format!("{}\n", found.len())),
        "mkdir" => fs::create_dir(path).map(|()| done()),
        "remove" => fs::remove_file(path).map(|()| done()),
        "rename" => fs::rename(path, target.value("to")).map(|()| done()),
        "link" => {
            let link = std::path::Path::new(target.value("to"));
            symlink(path, link).map(|()| done())
        }
        _ => Ok("files\n".to_string()),
    }
}

/// std has no stable function for this on wasm32-wasip2.
fn symlink(original: &str, link: &std::path::Path) -> Result<(), Error> {
    let other = |what: String| Error::other(what);
    for (directory, name) in wasip2::filesystem::preopens::get_directories() {
        if let Ok(rest) = link.strip_prefix(&name) {
            let rest = rest.to_string_lossy();
            return directory
                .symlink_at(original, &rest)
                .map_err(|code| other(format!("{code:?}")));
        }
    }
    Err(other("no granted directory holds the link".to_string()))
}
