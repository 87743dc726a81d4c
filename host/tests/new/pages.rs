//! What docs/languages tells people to type, typed.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::bench::Bench;

macro_rules! each {
    ($($name:ident: $page:literal;)*) => {
        $(
            #[test]
            fn $name() {
                follow($page);
            }
        )*
    };
}

each! {
    the_page_about_rust_is_right: "rust";
    the_page_about_javascript_is_right: "javascript";
    the_page_about_typescript_is_right: "typescript";
    the_page_about_python_is_right: "python";
    the_page_about_c_is_right: "c";
    the_page_about_go_is_right: "go";
}

/// Runs all its commands in one shell. Where a page shows an answer in a block of text after them, that is
/// what they print there.
fn follow(name: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/languages");
    let page = fs::read_to_string(file.join(format!("{name}.md"))).unwrap();
    // The first block of text is what a machine is prepared with.
    let commands = blocks(&page, "sh").concat();
    let answers = blocks(&page, "text")
        .into_iter()
        .skip(1)
        .collect::<String>();
    assert_eq!(answers.lines().count(), 4, "{page}");

    let bench = Bench::new();
    let port = free_port();
    stand_in_for_downloads(&bench, port);
    let commands = commands.replace(":8080", &format!(":{port}"));
    let script = format!("trap 'kill $! 2>/dev/null || true' EXIT\n{commands}");
    let said = bench.shell(&script);
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let said = lines(&said);
    let mut wanted = lines(&answers).into_iter();
    let mut next = wanted.next();
    for line in &said {
        if Some(line) == next.as_ref() {
            next = wanted.next();
        }
    }
    assert_eq!(next, None, "not said, or not in that order: {said:#?}");
}

fn blocks(page: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let parts = page.split(&fence).skip(1);
    parts
        .map(|part| part.split_once("```").unwrap().0.to_owned())
        .collect()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Tests load nothing from the network: `npm install` links what has been prepared, and pip has nothing to
/// do. What is new listens where nobody else does.
fn stand_in_for_downloads(bench: &Bench, port: u16) {
    let bin = bench.path().join(".bin");
    fs::create_dir(&bin).unwrap();
    let program = |name: &str, text: &str| {
        let file = bin.join(name);
        fs::write(&file, format!("#!/bin/sh\nset -e\n{text}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    };
    let npm = bench
        .links()
        .map(|(name, to)| format!("ln -s {to:?} node_modules/.bin/{name}"));
    let npm = npm.collect::<Vec<_>>().join("\n    ");
    program(
        "npm",
        &format!(
            "if [ \"$1\" = install ]; then\n    mkdir -p node_modules/.bin\n    {npm}\n    exit\nfi\n\
             PATH=${{PATH#*:}}\nexec npm \"$@\""
        ),
    );
    program(
        "pip",
        "[ \"$*\" = \"install -r requirements.txt\" ] && [ -f requirements.txt ]",
    );
    program(
        "skep",
        &format!(
            "if [ \"$1\" = new ]; then\n    {skep:?} \"$@\"\n    \
             sed -i s/:8080/:{port}/ */skep.toml\n    exit\nfi\nexec {skep:?} \"$@\"",
            skep = env!("CARGO_BIN_EXE_skep")
        ),
    );
}
