//! `skep new NAME`: writes a service, or an application of two, to begin with.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use skep_core::manifest::Manifest;
use skep_core::name::{BadName, ServiceName};

use super::Exit;
use crate::language::Language;
use crate::language::template::{BadTemplate, Kind, Template};

/// The services of an application that is new.
const FRONT: &str = "front";
const GREETER: &str = "greeter";

const MANIFEST: &str = "skep.toml";

/// Write a new service, which builds and runs as it is; or with --app an application of two
///
/// Beside a skep.toml the service is added to that application; elsewhere it gets a manifest of its own.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = super::EXIT_CODES)]
pub struct New {
    /// Its name, and its folder's: lower-case letters, digits and `-`
    name: String,
    /// The language; with --app one for each of the two services, or one for both
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        num_args = 1,
        default_value = "rust"
    )]
    lang: Vec<Language>,
    /// What the service is for
    #[arg(long, value_enum, default_value = "http")]
    kind: Kind,
    /// Write an application: a service that answers HTTP requests and calls another one
    #[arg(long, conflicts_with = "kind")]
    app: bool,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("`{name}` cannot be a name: {why}")]
    Name { name: String, why: BadName },
    #[error(transparent)]
    Template(#[from] BadTemplate),
    #[error("{} languages are named, for {wanted}", named)]
    Languages { named: usize, wanted: &'static str },
    #[error("{} is there already, and not empty; take another name", path.display())]
    There { path: PathBuf },
    #[error(
        "the service cannot be added to {}: {why}; nothing was written",
        path.display()
    )]
    Application { path: PathBuf, why: String },
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// What is to be written, and what is then to be said.
struct Writing {
    files: BTreeMap<PathBuf, Vec<u8>>,
    next: Vec<String>,
}

/// Runs the command.
pub fn run(arguments: &New) -> Exit {
    match write(arguments) {
        Ok(writing) => {
            let mut out = io::stdout().lock();
            let files = writing.files.len();
            let _ = writeln!(out, "wrote {}/, {files} files; next:", arguments.name);
            for line in writing.next {
                let _ = writeln!(out, "  {line}");
            }
            Exit::Ok
        }
        Err(failure) => {
            super::report::failure(&failure);
            match failure {
                Failure::Languages { .. } | Failure::Name { .. } => Exit::Usage,
                _ => Exit::Failed,
            }
        }
    }
}

fn write(arguments: &New) -> Result<Writing, Failure> {
    let name = named(&arguments.name)?;
    let folder = PathBuf::from(name.as_str());
    if folder.exists() && folder.read_dir().map_or(true, |mut it| it.next().is_some()) {
        return Err(Failure::There { path: folder });
    }
    let writing = match (arguments.app, &*arguments.lang) {
        (true, [one]) => application(&name, [*one; 2])?,
        (true, [front, greeter]) => application(&name, [*front, *greeter])?,
        (false, [one]) => {
            let template = Template {
                language: *one,
                kind: arguments.kind,
                name: &name,
            };
            match Path::new(MANIFEST).exists() {
                true => addition(template)?,
                false => alone(template)?,
            }
        }
        (app, named) => {
            return Err(Failure::Languages {
                named: named.len(),
                wanted: if app { "two services" } else { "one service" },
            });
        }
    };
    for (path, content) in &writing.files {
        let failed = |source| Failure::Write {
            path: path.clone(),
            source,
        };
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).map_err(failed)?;
        std::fs::write(path, content).map_err(failed)?;
    }
    Ok(writing)
}

fn named(name: &str) -> Result<ServiceName, Failure> {
    ServiceName::parse(name).map_err(|why| Failure::Name {
        name: name.to_owned(),
        why,
    })
}

/// A service with a manifest of its own.
fn alone(template: Template<'_>) -> Result<Writing, Failure> {
    let name = template.name.as_str();
    let mut files = within(name, template.files()?);
    let mut manifest = manifest(name, template.kind != Kind::Worker);
    manifest += &template.table(None, &["/{*rest}"]);
    if template.kind == Kind::Consumer {
        let greeter = named(GREETER)?;
        let provider = Template {
            kind: Kind::Provider,
            name: &greeter,
            ..template
        };
        let beside = Path::new("..").join(GREETER);
        manifest += &format!(
            "\n# It calls whichever service exports `example:greetings/greetings`, and does not start without.\n\
             # `skep new --lang {} --kind provider {GREETER}`, beside this folder, writes one: then take the\n\
             # signs away before these lines. `skep new --app` writes both at once.\n",
            template.language.as_str()
        );
        for line in provider.table(Some(&beside), &[]).lines() {
            let _ = writeln!(manifest, "# {line}");
        }
    }
    put(&mut files, name, MANIFEST, manifest);
    ignore_state(&mut files, name);
    Ok(Writing {
        files,
        next: steps(name, template.setup().map(str::to_owned)),
    })
}

/// A service of the application whose manifest is here. What is in that stays as it is.
fn addition(template: Template<'_>) -> Result<Writing, Failure> {
    let path = PathBuf::from(MANIFEST);
    let refused = |why: String| Failure::Application {
        path: path.clone(),
        why,
    };
    let text = std::fs::read_to_string(&path).map_err(|error| refused(error.to_string()))?;
    let name = template.name;
    let (one, below) = (format!("/{name}"), format!("/{name}/{{*rest}}"));
    let table = template.table(Some(Path::new(name.as_str())), &[&one, &below]);
    let gap = if text.ends_with('\n') { "\n" } else { "\n\n" };
    let text = format!("{text}{gap}{table}");
    Manifest::parse(&text).map_err(|mistakes| {
        let first = mistakes.first().map(|it| it.message.clone());
        refused(first.unwrap_or_default())
    })?;
    let mut files = within(name.as_str(), template.files()?);
    files.insert(path, text.into_bytes());
    let setup = template.setup().map(|it| format!("(cd {name} && {it})"));
    let build = format!("skep build {name}");
    let next = setup.into_iter().chain([build, "skep run".to_owned()]);
    Ok(Writing {
        files,
        next: next.collect(),
    })
}

/// A service that answers requests by asking the other.
fn application(name: &ServiceName, languages: [Language; 2]) -> Result<Writing, Failure> {
    let (front, greeter) = (named(FRONT)?, named(GREETER)?);
    let [of_front, of_greeter] = languages;
    let templates = [
        Template {
            language: of_front,
            kind: Kind::Consumer,
            name: &front,
        },
        Template {
            language: of_greeter,
            kind: Kind::Provider,
            name: &greeter,
        },
    ];
    let name = name.as_str();
    let mut files = BTreeMap::new();
    let mut manifest = manifest(name, true);
    let mut setups = Vec::new();
    for template in templates {
        let folder = Path::new(template.name.as_str());
        files.extend(within(Path::new(name).join(folder), template.files()?));
        manifest += &template.table(Some(folder), &["/{*rest}"]);
        manifest.push('\n');
        let setup = template.setup();
        setups.extend(setup.map(|it| format!("(cd {} && {it})", folder.display())));
    }
    let lines: String = setups.iter().map(|it| format!("{it}\n")).collect();
    let readme = format!(
        "# {name}\n\nTwo services: `front` answers HTTP requests, and asks `greeter` for the words, through the\n\
         interface in `greeter/wit`. Each can be of any language, and be replaced while the other serves.\n\n\
         ```sh\n{lines}skep build\nskep run     # http://127.0.0.1:8080/your-name\n```\n",
    );
    put(
        &mut files,
        name,
        MANIFEST,
        manifest.trim_end().to_owned() + "\n",
    );
    put(&mut files, name, "README.md", readme);
    ignore_state(&mut files, name);
    Ok(Writing {
        files,
        next: steps(name, setups),
    })
}

/// What is to be typed next where a folder of this name has been written.
fn steps(name: &str, setups: impl IntoIterator<Item = String>) -> Vec<String> {
    let begin = std::iter::once(format!("cd {name}"));
    let end = ["skep build", "skep run"].map(str::to_owned);
    begin.chain(setups).chain(end).collect()
}

fn manifest(name: &str, listens: bool) -> String {
    let mut text = format!(
        "# `skep check` finds every mistake in here, `skep dev` keeps what runs as the sources are.\nname = {name:?}\n\n"
    );
    if listens {
        text += "[http]\nlisten = \"127.0.0.1:8080\"\n\n";
    }
    text
}

fn within(
    folder: impl AsRef<Path>,
    files: BTreeMap<PathBuf, Vec<u8>>,
) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = files.into_iter();
    files
        .map(|(path, content)| (folder.as_ref().join(path), content))
        .collect()
}

fn put(files: &mut BTreeMap<PathBuf, Vec<u8>>, folder: &str, name: &str, text: String) {
    files.insert(Path::new(folder).join(name), text.into_bytes());
}

/// What the host keeps beside the manifest is not for the repository.
fn ignore_state(files: &mut BTreeMap<PathBuf, Vec<u8>>, folder: &str) {
    let ignored = files.entry(Path::new(folder).join(".gitignore"));
    ignored.or_default().extend_from_slice(b"/.skep/\n");
}
