//! docs/services.md keeps its word: what it shows of an example is what stands there, and what it asks
//! is answered as it says.

use std::path::{Path, PathBuf};

use expect_test::expect_file;
use skep_core::manifest::Manifest;
use wit_parser::Resolve;

use crate::application::{Application, folder};
use crate::dummy::component_of;
use crate::fixture::Host;
use crate::page::{self, Block, Part, blocks};

const PAGE: &str = "services.md";
const EXAMPLE: &str = "greeting";

/// Where the example listens, as the page says.
const ADDRESS: &str = "http://127.0.0.1:8080";

fn of(language: &str) -> Vec<Block> {
    let mut blocks = blocks(&page::text(PAGE));
    blocks.retain(|block| block.language == language);
    assert!(!blocks.is_empty(), "no {language} in {PAGE}");
    blocks
}

/// A file of the example, or of the repository.
fn path(name: &str) -> PathBuf {
    let own = folder(EXAMPLE).join(name);
    match own.exists() {
        true => own,
        false => Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name),
    }
}

#[test]
fn what_the_page_shows_is_what_stands_in_the_files() {
    let shown = blocks(&page::text(PAGE));
    for block in &shown {
        let line = block.line;
        let Some((name, part)) = &block.file else {
            let known = ["console", "diff", "json", "sh", "text", "toml"];
            let language = block.language.as_str();
            assert!(
                known.contains(&language),
                "line {line}: {language} of no file"
            );
            continue;
        };
        let text = std::fs::read_to_string(path(name));
        let text = text.unwrap_or_else(|error| panic!("line {line}: {name}: {error}"));
        match part {
            Part::Whole => assert_eq!(block.text, text, "line {line}: {name}"),
            Part::Piece => assert!(text.contains(&block.text), "line {line}: not in {name}"),
        }
    }
    // Nothing of it that a reader needs is left out.
    for whole in ["wit/greetings.wit", "greeter/src/lib.rs", "skep.toml"] {
        let wanted = Some((whole.to_owned(), Part::Whole));
        assert!(shown.iter().any(|block| block.file == wanted), "{whole}");
    }
}

#[test]
fn the_settings_that_the_page_shows_are_settings() {
    for block in of("toml").into_iter().filter(|block| block.file.is_none()) {
        let text = block.text.as_str();
        let fragments: Vec<String> = match text.starts_with('[') {
            true => vec![text.to_owned()],
            // Each line is a key of a service.
            false => {
                let table = "[service.front]\ncomponent = \"front.wasm\"\n";
                text.lines()
                    .map(|line| format!("{table}{line}\n"))
                    .collect()
            }
        };
        for fragment in fragments {
            let mut manifest = format!("name = \"app\"\n{fragment}");
            for service in ["front", "greeter", "api", "database-proxy", "worker"] {
                let table = format!("[service.{service}]\n");
                if !manifest.contains(&table) {
                    manifest += &format!("{table}component = \"{service}.wasm\"\n");
                }
            }
            let mistakes = Manifest::parse(&manifest).err();
            assert!(mistakes.is_none(), "line {}: {mistakes:?}", block.line);
        }
    }
}

#[tokio::test]
async fn what_the_page_asks_is_answered_as_it_says() {
    let host = Application::of(EXAMPLE).start().await;
    let page = page::text(PAGE);
    let (mut change, mut answered) = (None, Vec::new());
    for block in blocks(&page) {
        match block.language.as_str() {
            "diff" => change = Some(block),
            "console" => {
                let mut told = String::new();
                for command in block.commands() {
                    let said = said(&host, &page::words(command), change.as_ref()).await;
                    told += &format!("$ {command}\n{}", trimmed(&said));
                }
                answered.push((block, told));
                change = None;
            }
            _ => {}
        }
    }
    assert!(answered.len() > 5, "{} are asked", answered.len());
    expect_file![page::path(PAGE)].assert_eq(&page::with(&page, &answered));
    // What is said to be in the log is there.
    let log = of("text");
    let mut log = log
        .iter()
        .filter(|block| block.text.starts_with("service `"));
    host.message(log.next().unwrap().text.trim_end()).await;
    host.assert_no_panic();
}

/// What a command says: of `skep` to the example, perhaps with a greeter of a changed interface; of
/// `curl` to the running host.
async fn said(host: &Host, command: &[String], change: Option<&Block>) -> String {
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["skep", arguments @ ..] => {
            let mut application = Application::of(EXAMPLE);
            if let Some(change) = change {
                application = application.component("greeter", &greeter(change));
            }
            let output = application.run(arguments);
            format!("{}\n{}", output.stderr, output.stdout)
        }
        ["curl", "-s", options @ .., url] => {
            let reply = host.get(url.strip_prefix(ADDRESS).unwrap()).await;
            let status = format!("{}\n", reply.status.as_u16());
            match options {
                [] => reply.text().to_owned(),
                ["-w", "%{http_code}\\n"] => format!("{}{status}", reply.text()),
                ["-o", "/dev/null", "-w", "%{http_code}\\n"] => status,
                other => panic!("curl {other:?}"),
            }
        }
        other => panic!("{other:?}"),
    }
}

/// A component of the greeter's world, with nothing behind it, after a change to the interface.
fn greeter(change: &Block) -> Vec<u8> {
    let wit = std::fs::read_to_string(path("wit/greetings.wit")).unwrap();
    let mut resolve = Resolve::default();
    let package = resolve
        .push_str("greetings.wit", &change.change(&wit))
        .unwrap();
    let world = resolve.select_world(&[package], Some("greeter")).unwrap();
    component_of(&resolve, world)
}

/// Without blanks at the ends of lines, which editors do not keep, and without empty lines around.
fn trimmed(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    format!("{}\n", lines.join("\n").trim_matches('\n'))
}
