//! Builds the services that the tests run in each language, of languages/features, with that
//! language's own tools. Only what changed is built.
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;
use std::{fs, thread};

use super::LANGUAGES;
use super::table::{megabytes, seconds, table};
use super::tools;
use crate::Result;
use crate::guests::copy_if_different;
use crate::run::{captured, root, say, target_dir};

/// Anything that changes what comes out of the same sources is to change this.
const RECIPE: u32 = 1;

/// A component to be built: `LANGUAGE-WORLD.wasm`.
struct Feature {
    language: &'static str,
    world: &'static str,
    /// Where it is put together and built.
    folder: PathBuf,
}

/// What became of it.
struct Built {
    bytes: u64,
    took: Option<String>,
}

/// Into target/guests. The host and the generator of bindings have been built.
pub(crate) fn build() -> Result {
    let tools = tools::prepare(&LANGUAGES)?;
    let path = tools::path_with(&tools)?;
    let pins: Vec<String> = tools
        .iter()
        .map(|tool| format!("{}-{}", tool.name, tool.version))
        .collect();

    say("building the services that the tests run in other languages");
    let mut rows = vec![["component", "size", "built in"].map(String::from).to_vec()];
    // A thread for each language: their tools use one core each for most of the time.
    let outcomes: Vec<Result<Vec<(String, Built)>>> = thread::scope(|scope| {
        let threads: Vec<_> = LANGUAGES
            .into_iter()
            .map(|language| {
                let (path, pins) = (&path, &pins);
                scope.spawn(move || {
                    worlds(language)
                        .map(|world| {
                            let feature = Feature::new(language, world);
                            let built = feature.build(path, pins)?;
                            Ok((format!("{language}-{world}"), built))
                        })
                        .collect()
                })
            })
            .collect();
        let joined = threads.into_iter().map(thread::ScopedJoinHandle::join);
        joined
            .map(|outcome| outcome.unwrap_or_else(|_| Err("a build's thread panicked".to_owned())))
            .collect()
    });
    for outcome in outcomes {
        for (name, built) in outcome? {
            let took = built.took.unwrap_or_else(|| "as it was".to_owned());
            rows.push(vec![name, megabytes(built.bytes), took]);
        }
    }
    eprint!("{}", table(&rows));
    Ok(())
}

/// WASI 0.3 is where the language's tools have it; Rust's are in components/.
fn worlds(language: &str) -> impl Iterator<Item = &'static str> {
    let concurrent = (language == "python").then_some("concurrent");
    ["provider", "service"].into_iter().chain(concurrent)
}

impl Feature {
    fn new(language: &'static str, world: &'static str) -> Self {
        let folder = target_dir()
            .join("languages")
            .join(format!("{language}-{world}"));
        Self {
            language,
            world,
            folder,
        }
    }

    fn build(&self, path: &OsString, pins: &[String]) -> Result<Built> {
        let name = format!("{}-{}.wasm", self.language, self.world);
        let to = target_dir().join("guests").join(&name);
        let sources = self.sources()?;
        let mut digest = DefaultHasher::new();
        (RECIPE, &sources, pins).hash(&mut digest);
        let digest = format!("{:016x}", digest.finish());
        let stamp = self.folder.join("built-of");
        let size = |file: &Path| fs::metadata(file).map(|data| data.len());
        if let (Ok(bytes), Ok(stamped)) = (size(&to), fs::read_to_string(&stamp))
            && stamped == digest
        {
            return Ok(Built { bytes, took: None });
        }

        let begun = Instant::now();
        self.stage(&sources)?;
        for mut step in self.steps() {
            step.current_dir(&self.folder).env("PATH", path);
            captured(&format!("building {name}"), &mut step)?;
        }
        let made = self.folder.join("made.wasm");
        let bytes = size(&made).map_err(|error| format!("{}: {error}", made.display()))?;
        copy_if_different(&made, &to)?;
        fs::write(&stamp, digest).map_err(|error| format!("{}: {error}", stamp.display()))?;
        Ok(Built {
            bytes,
            took: Some(seconds(begun.elapsed())),
        })
    }

    /// Every file that it is made of, by its path in the folder where it is built.
    fn sources(&self) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
        let languages = root().join("languages");
        let features = languages.join("features");
        let own = features.join(self.language);
        let mut sources = BTreeMap::new();
        for file in files(&own.join(self.world))? {
            add(&mut sources, &file, &own.join(self.world), "")?;
        }
        for shared in ["go.mod", "tsconfig.json"].map(|name| own.join(name)) {
            if shared.is_file() {
                add(&mut sources, &shared, &own, "")?;
            }
        }
        if self.language == "go" {
            let runtime = languages.join("bindings/go/runtime");
            for file in files(&runtime)? {
                add(&mut sources, &file, &runtime, "runtime")?;
            }
        }
        let wit = features.join("wit");
        add(
            &mut sources,
            &wit.join(format!("{}.wit", self.world)),
            &wit,
            "wit",
        )?;
        let wasi = if self.world == "concurrent" {
            root().join("wit/wasi-0.3/deps")
        } else {
            add(&mut sources, &wit.join("library.wit"), &wit, "wit/deps")?;
            languages.join("wit/wasi")
        };
        for file in files(&wasi)? {
            add(&mut sources, &file, &wasi, "wit/deps")?;
        }
        Ok(sources)
    }

    /// Anew, so that nothing of an earlier build is left.
    fn stage(&self, sources: &BTreeMap<PathBuf, Vec<u8>>) -> Result {
        let _ = fs::remove_dir_all(&self.folder);
        for (path, content) in sources {
            let file = self.folder.join(path);
            let folder = file.parent().unwrap_or(&self.folder);
            fs::create_dir_all(folder)
                .and_then(|()| fs::write(&file, content))
                .map_err(|error| format!("writing {}: {error}", file.display()))?;
        }
        Ok(())
    }

    fn steps(&self) -> Vec<Command> {
        let (language, world) = (self.language, self.world);
        let jco = |source: &str| {
            let mut jco = command(&["jco", "componentize", source, "--wit", "wit"]);
            jco.args(["--world-name", world, "--out", "made.wasm"]);
            if world == "provider" {
                // Else it imports what a client of HTTP needs.
                jco.args(["--disable", "http"]);
            }
            jco
        };
        match language {
            "js" => vec![jco(&format!("{world}.js"))],
            "ts" => {
                let mut types = command(&["jco", "guest-types", "wit", "--world-name", world]);
                types.args(["--out-dir", "types"]);
                vec![types, command(&["tsc"]), jco(&format!("{world}.ts"))]
            }
            "python" => {
                let mut made = command(&["componentize-py", "-d", "wit", "-w", world]);
                made.args(["componentize", "app", "-o", "made.wasm"]);
                vec![made]
            }
            "c" => {
                let zig = ["zig", "cc", "-target", "wasm32-wasi", "-Oz"];
                let mut bindings = command(&zig);
                // Generated code is compiled without warnings: they would not be ours.
                bindings.args(["-w", "-c", &format!("gen/{world}.c"), "-o", "bindings.o"]);
                let mut core = command(&zig);
                core.args(["-Wall", "-Wextra", "-Werror", "-Wl,--strip-debug"])
                    .args(["-mexec-model=reactor", &format!("{world}.c"), "bindings.o"])
                    .args([&format!("gen/{world}_component_type.o"), "-o", "core.wasm"]);
                let mut made = built("skep");
                made.args(["componentize", "core.wasm", "-o", "made.wasm"]);
                vec![bindgen("c", world, "gen"), bindings, core, made]
            }
            _ => {
                let mut core = command(&["go", "build", "-buildmode=c-shared", "-trimpath"]);
                core.args(["-ldflags=-s -w -checklinkname=0", "-o", "core.wasm", "."])
                    .envs([("GOOS", "wasip1"), ("GOARCH", "wasm")])
                    .envs([("GOFLAGS", "-mod=mod"), ("GOPROXY", "off")]);
                let mut made = built("skep");
                made.args(["componentize", "core.wasm", "--wit", "wit"])
                    .args(["--world", world, "-o", "made.wasm"]);
                vec![bindgen("go", world, "."), core, made]
            }
        }
    }
}

fn add(sources: &mut BTreeMap<PathBuf, Vec<u8>>, file: &Path, of: &Path, to: &str) -> Result {
    let path = Path::new(to).join(file.strip_prefix(of).unwrap_or(file));
    let content = fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    sources.insert(path, content);
    Ok(())
}

/// Every file below the folder.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |error| format!("reading {}: {error}", folder.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            found.append(&mut files(&path)?);
        } else {
            found.push(path);
        }
    }
    Ok(found)
}

fn command(words: &[&str]) -> Command {
    let mut command = Command::new(words.first().unwrap_or(&"false"));
    command.args(words.iter().skip(1));
    command
}

/// A program of the workspace.
fn built(program: &str) -> Command {
    Command::new(target_dir().join("release").join(program))
}

fn bindgen(language: &str, world: &str, to: &str) -> Command {
    let mut bindgen = built("skep-bindgen");
    bindgen.args([language, "wit", world, to]);
    bindgen
}
