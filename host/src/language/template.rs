//! What a new service begins with: the files of languages/templates, with the WIT and the generated
//! bindings that they share, and what they say in `skep.toml`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use skep_core::name::ServiceName;

use super::Language;

/// Path below languages/, and content.
static PARTS: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/templates.rs"));

/// What a service is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "lower")]
pub enum Kind {
    /// Answers HTTP requests
    Http,
    /// Exports an interface for other services
    Provider,
    /// Answers HTTP requests with what another service says
    Consumer,
    /// Runs beside the services that answer
    Worker,
}

/// A service that is to be written.
#[derive(Clone, Copy, Debug)]
pub struct Template<'a> {
    pub language: Language,
    pub kind: Kind,
    pub name: &'a ServiceName,
}

/// Why there is no such service.
#[derive(Debug, thiserror::Error)]
#[error("`{name}` cannot be a crate's name: it is a word of Rust's; take another")]
pub struct BadTemplate {
    name: ServiceName,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Kind::Http => "http",
            Kind::Provider => "provider",
            Kind::Consumer => "consumer",
            Kind::Worker => "worker",
        }
    }

    /// Whether it answers requests.
    fn answers(self) -> bool {
        matches!(self, Kind::Http | Kind::Consumer)
    }

    /// Whether it has to do with the interface of greetings.
    fn greets(self) -> bool {
        matches!(self, Kind::Provider | Kind::Consumer)
    }

    fn what(self) -> &'static str {
        match self {
            Kind::Http => "An HTTP service",
            Kind::Provider => "A service that others call",
            Kind::Consumer => "An HTTP service that calls another one",
            Kind::Worker => "A worker",
        }
    }
}

impl Template<'_> {
    /// Its files, by their paths in its folder, without a manifest.
    ///
    /// # Errors
    /// If the language can't have a service of this name.
    pub fn files(&self) -> Result<BTreeMap<PathBuf, Vec<u8>>, BadTemplate> {
        if self.language == Language::Rust && RUST_WORDS.contains(&self.name.as_str()) {
            return Err(BadTemplate {
                name: self.name.clone(),
            });
        }
        let mut files = BTreeMap::new();
        for (from, to) in self.parts() {
            for (path, content) in PARTS {
                if let Ok(rest) = Path::new(path).strip_prefix(&from) {
                    files.insert(placed(&to, rest), self.filled(content));
                }
            }
        }
        Ok(files)
    }

    /// What of languages/ it is put together of, a file or a folder each, and where that goes.
    fn parts(&self) -> Vec<(String, String)> {
        let (language, kind) = (self.language.as_str(), self.kind.as_str());
        let mut parts = vec![
            ("templates/README.md".to_owned(), "README.md".to_owned()),
            (format!("templates/{language}/every"), String::new()),
            (format!("templates/{language}/{kind}"), String::new()),
        ];
        if self.has_wit() {
            parts.extend(self.wit());
        }
        parts.extend(self.bindings());
        parts
    }

    /// Programs need none, nor does what uses nothing but a crate's.
    fn has_wit(&self) -> bool {
        match self.language {
            Language::Rust => self.kind.greets(),
            Language::C | Language::Go => self.kind != Kind::Worker,
            Language::Js | Language::Ts | Language::Python => true,
        }
    }

    fn wit(&self) -> Vec<(String, String)> {
        let rust = self.language == Language::Rust;
        let mut parts = Vec::new();
        // A consumer in Rust has a world of its own: its HTTP side is a crate's.
        if !(rust && self.kind == Kind::Consumer) {
            let world = format!("wit/worlds/{}.wit", self.kind.as_str());
            parts.push((world, "wit/world.wit".to_owned()));
        }
        let wasi: &[&str] = match self.kind {
            _ if rust => &[],
            Kind::Provider => &[],
            Kind::Worker => &["cli", "clocks", "io"],
            Kind::Http | Kind::Consumer => &["cli", "clocks", "http", "io", "random"],
        };
        for package in wasi {
            let from = format!("wit/wasi/{package}.wit");
            parts.push((from, format!("wit/deps/{package}.wit")));
        }
        if self.kind.greets() {
            let (from, to) = ("wit/greetings.wit", "wit/deps/greetings.wit");
            parts.push((from.to_owned(), to.to_owned()));
        }
        parts
    }

    /// What has been generated of its WIT, where a build does not do that.
    fn bindings(&self) -> Vec<(String, String)> {
        let kind = self.kind.as_str();
        let here = |from: &str| (from.to_owned(), String::new());
        match (self.language, self.kind) {
            (_, Kind::Worker) => Vec::new(),
            (Language::C, _) => vec![(format!("bindings/c/{kind}"), "gen".to_owned())],
            (Language::Go, _) => {
                let mut parts = vec![("bindings/go/runtime".to_owned(), "runtime".to_owned())];
                if self.kind.answers() {
                    parts.push(here("bindings/go/http"));
                }
                if self.kind.greets() {
                    parts.push(here(&format!("bindings/go/{kind}")));
                }
                parts
            }
            _ => Vec::new(),
        }
    }

    fn filled(&self, content: &[u8]) -> Vec<u8> {
        let Ok(text) = str::from_utf8(content) else {
            return content.to_owned();
        };
        let mut text = text
            .replace("{{name}}", self.name.as_str())
            .replace("{{what}}", self.kind.what())
            .replace("{{language}}", self.language.title())
            .replace("{{lang}}", self.language.as_str())
            .replace("{{test}}", self.test())
            .replace(
                "{{setup}}",
                &self.setup().map(|it| format!("{it}\n")).unwrap_or_default(),
            );
        while let Some((before, rest)) = text.split_once("{{version:") {
            let Some((tool, after)) = rest.split_once("}}") else {
                break;
            };
            let version = skep_pins::pins().get(tool).map_or("", |pin| &pin.version);
            text = format!("{before}{version}{after}");
        }
        text.into_bytes()
    }

    /// What is to be done once before it can be built, if anything.
    pub fn setup(&self) -> Option<&'static str> {
        match self.language {
            Language::Js | Language::Ts => Some("npm install"),
            Language::Python => Some("pip install -r requirements.txt"),
            Language::Rust | Language::C | Language::Go => None,
        }
    }

    /// Runs its tests.
    pub fn test(&self) -> &'static str {
        match self.language {
            Language::Rust => "cargo test",
            Language::Js | Language::Ts => "npm test",
            Language::Python => "python3 -m unittest",
            Language::C => "make test",
            Language::Go => "go test ./...",
        }
    }

    /// Where its build puts the component, in its folder.
    fn component(&self) -> String {
        match (self.language, self.kind) {
            // A program keeps the name of its package, a library does not.
            (Language::Rust, Kind::Worker) => {
                format!("target/wasm32-wasip2/release/{}.wasm", self.name)
            }
            (Language::Rust, _) => {
                let library = self.name.as_str().replace('-', "_");
                format!("target/wasm32-wasip2/release/{library}.wasm")
            }
            _ => format!("{}.wasm", self.name),
        }
    }

    /// Its table of the manifest, if that is so many folders above it; its requests come by these routes.
    pub fn table(&self, folder: Option<&Path>, routes: &[&str]) -> String {
        let command = match self.language {
            Language::Rust => "cargo build --release --target wasm32-wasip2".to_owned(),
            Language::Js | Language::Ts => "npm run build".to_owned(),
            Language::Python => format!(
                "componentize-py -d wit -w service componentize app -o {}",
                self.component()
            ),
            Language::C => "make".to_owned(),
            Language::Go => "sh build.sh".to_owned(),
        };
        let watch: &[&str] = match self.language {
            Language::Rust => &["src", "wit", "Cargo.toml"],
            Language::Js | Language::Ts => &["src", "wit", "package.json"],
            Language::Python => &["*.py", "wit"],
            Language::C => &["src", "gen", "Makefile"],
            Language::Go => &["**/*.go", "go.mod", "wit"],
        };
        let exists = |watched: &&&str| **watched != "wit" || self.has_wit();
        let below = |path: &str| match folder {
            Some(folder) => folder.join(path).display().to_string(),
            None => path.to_owned(),
        };
        let watch: Vec<String> = watch
            .iter()
            .filter(exists)
            .map(|path| below(path))
            .collect();
        let command = match folder {
            Some(folder) => format!("cd {} && {command}", folder.display()),
            None => command,
        };
        let mut table = format!(
            "[service.{}]\ncomponent = {:?}\nbuild     = {{ command = {command:?}, watch = {watch:?} }}\n",
            self.name,
            below(&self.component())
        );
        if self.kind.answers() {
            table += &format!("routes    = {routes:?}\n");
        }
        // Figures: docs/languages/README.md.
        if matches!(self.language, Language::Python | Language::Go) && self.kind != Kind::Worker {
            table += "# Making an instance takes many times as long as a request, so that one serves many: what a\n\
                      # request leaves in its memory the next one finds. Without this line each gets its own.\n\
                      instances = { reuse = 1000 }\n";
        }
        table
    }
}

/// Where a file goes of which this is the rest of the path below a part, if that part goes there.
fn placed(to: &str, rest: &Path) -> PathBuf {
    match rest.to_str() {
        // The part is a file. Joining nothing would make a folder's path of it.
        Some("") => PathBuf::from(to),
        // Without the dot it is no file of ours that git reads.
        Some("gitignore") => Path::new(to).join(".gitignore"),
        _ => Path::new(to).join(rest),
    }
}

/// Words that cargo takes for no package's name.
const RUST_WORDS: [&str; 40] = [
    "as", "async", "await", "break", "const", "continue", "crate", "dyn", "else", "enum", "extern",
    "false", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "match", "mod", "move", "mut",
    "pub", "ref", "return", "self", "static", "struct", "super", "test", "trait", "true", "type",
    "unsafe", "use", "where", "while", "yield",
];
