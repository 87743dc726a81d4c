//! What the manifest asks of `skep build` and `skep dev`: what is built how, and whose files are whose.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use skep_core::manifest::{Manifest, Service};
use skep_core::name::ServiceName;
use skep_core::watched::Watched;

use crate::deploy::{self, DeployError, Source};

/// A manifest without mistakes, as it lay on disk when it was read last.
#[derive(Debug)]
pub(super) struct Project {
    manifest: PathBuf,
    pub(super) directory: PathBuf,
    services: BTreeMap<ServiceName, Made>,
    /// What the host and the builds themselves write.
    outputs: BTreeSet<PathBuf>,
    /// Where the host keeps its own; empty until the manifest has been read.
    pub(super) state: PathBuf,
}

/// How a service comes to its component. All paths are absolute.
#[derive(Debug, PartialEq)]
pub(super) struct Made {
    pub(super) component: PathBuf,
    pub(super) command: Option<String>,
    watch: Vec<Watch>,
}

/// What of the files counts for a service.
#[derive(Debug, PartialEq)]
struct Watch {
    /// It, or what it is below.
    root: PathBuf,
    /// As the manifest names it, from whose directory its paths go out.
    named: Watched,
}

/// What a change was about.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Touched {
    pub(super) manifest: bool,
    pub(super) services: BTreeSet<ServiceName>,
}

impl Touched {
    pub(super) fn is_empty(&self) -> bool {
        !self.manifest && self.services.is_empty()
    }
}

impl Project {
    /// One of which nothing is known but where its manifest is.
    pub(super) fn unread(manifest: &Path) -> Project {
        let manifest = absolute(manifest);
        Project {
            directory: manifest.parent().unwrap_or(Path::new("/")).to_owned(),
            manifest,
            services: BTreeMap::new(),
            outputs: BTreeSet::new(),
            state: PathBuf::new(),
        }
    }

    /// Reads the manifest. The components need not be there.
    ///
    /// # Errors
    /// If it cannot be read, or has mistakes.
    pub(super) fn read(manifest: &Path) -> Result<Project, DeployError> {
        let (read, source) = deploy::read_manifest(manifest)?;
        Ok(Project::unread(manifest).with(&read, &source))
    }

    fn with(mut self, manifest: &Manifest, source: &Source) -> Project {
        let made = |service: &Service| {
            let (component, build) = (&service.component.value, service.build.as_ref());
            let watch = |named: Watched| Watch {
                root: self.directory.join(named.root()),
                named,
            };
            let watch = match build {
                Some(build) => build
                    .watch
                    .iter()
                    .map(|it| watch(it.value.clone()))
                    .collect(),
                None => vec![watch(Watched::path(component))],
            };
            Made {
                component: self.directory.join(component),
                command: build.map(|build| build.command.value.clone()),
                watch,
            }
        };
        let services = manifest.services.iter();
        self.services = services
            .map(|(name, it)| (name.clone(), made(it)))
            .collect();
        let built = self.services.values().filter(|made| made.command.is_some());
        self.outputs = built.map(|made| made.component.clone()).collect();
        let state = deploy::state_directory_of(manifest, source);
        self.state = absolute(&state);
        self.outputs.insert(self.state.clone());
        if let Some(cache) = &manifest.host.cache {
            self.outputs.insert(self.directory.join(&cache.value));
        }
        self
    }

    /// As if nothing but the manifest had changed.
    pub(super) fn manifest_alone(&self) -> Touched {
        self.touched(&BTreeSet::from([self.manifest.clone()]))
    }

    /// How a service of this manifest comes to its component.
    pub(super) fn made(&self, service: &ServiceName) -> Option<&Made> {
        self.services.get(service)
    }

    /// Each service and how it comes to its component.
    pub(super) fn services(&self) -> impl Iterator<Item = (&ServiceName, &Made)> {
        self.services.iter()
    }

    /// Whether a file counts for what is built by this command.
    pub(super) fn is_source_of(&self, command: &str, file: &Path) -> bool {
        let mut services = self.services.values();
        services.any(|made| made.command.as_deref() == Some(command) && self.is_watched(made, file))
    }

    /// The services that are built by this command.
    pub(super) fn built_by(&self, command: &str) -> impl Iterator<Item = &ServiceName> {
        let by = move |made: &Made| made.command.as_deref() == Some(command);
        let services = self.services.iter();
        services
            .filter(move |(_, made)| by(made))
            .map(|(name, _)| name)
    }

    /// The services that are new, or come to their components in another way than they did.
    pub(super) fn made_otherwise_than(&self, before: &Project) -> Vec<ServiceName> {
        let same = |made: &Made, before: &Made| {
            (&made.component, &made.command) == (&before.component, &before.command)
        };
        let services = self.services.iter();
        let otherwise = services.filter(|(name, made)| {
            let before = before.services.get(*name);
            before.is_none_or(|before| !same(made, before))
        });
        otherwise.map(|(name, _)| name.clone()).collect()
    }

    /// What is probably not meant, a line each.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for (name, made) in self.services.iter().filter(|(_, it)| it.command.is_some()) {
            if made.watch.is_empty() {
                warnings.push(format!(
                    "`{name}` is built at the start alone: its `build.watch` names nothing"
                ));
            }
            for watch in made.watch.iter().filter(|watch| !watch.root.exists()) {
                warnings.push(format!(
                    "`{name}` watches {}, which is not there yet",
                    watch.root.display()
                ));
            }
        }
        warnings
    }

    /// The files that count, and the directories that others are below.
    pub(super) fn roots(&self) -> BTreeSet<&Path> {
        let watched = self.services.values().flat_map(|made| &made.watch);
        let roots = watched.map(|watch| &watch.root).chain([&self.manifest]);
        roots.map(PathBuf::as_path).collect()
    }

    /// Whether a file below a root counts for anything.
    pub(super) fn counts(&self, file: &Path) -> bool {
        let mut services = self.services.values();
        file == self.manifest || services.any(|made| self.is_watched(made, file))
    }

    fn is_watched(&self, made: &Made, file: &Path) -> bool {
        let relative = file.strip_prefix(&self.directory).unwrap_or(file);
        made.watch.iter().any(|watch| match watch.named.root() {
            root if root.is_absolute() => watch.named.has(file),
            _ => watch.named.has(relative),
        })
    }

    /// Whether it counts for nothing wherever it is: what is written here follows from what is watched.
    pub(super) fn is_output(&self, path: &Path) -> bool {
        self.outputs.contains(path)
    }

    /// Whose files these are.
    pub(super) fn touched(&self, changed: &BTreeSet<PathBuf>) -> Touched {
        let services = self.services.iter();
        let touched =
            services.filter(|(_, made)| changed.iter().any(|file| self.is_watched(made, file)));
        Touched {
            manifest: changed.contains(&self.manifest),
            services: touched.map(|(name, _)| name.clone()).collect(),
        }
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: &str = "name = \"shop\"\n\
        [service.cart]\ncomponent = \"out/cart.wasm\"\n\
        build = { command = \"make cart\", watch = [\"cart\", \"wit/cart.wit\"] }\n\
        [service.front]\ncomponent = \"out/front.wasm\"\n\
        build = { command = \"make front\", watch = [\"front/src\", \"wit\"] }\n\
        [service.ready]\ncomponent = \"ready.wasm\"\n";

    fn project(text: &str) -> Project {
        let path = PathBuf::from("/shop/skep.toml");
        let text = text.to_owned();
        let manifest = Manifest::parse(&text).unwrap();
        Project::unread(&path).with(&manifest, &Source { path, text })
    }

    #[track_caller]
    fn check(changed: &[&str], manifest: bool, services: &[&str]) {
        let changed = changed.iter().map(PathBuf::from).collect();
        let services = services
            .iter()
            .map(|name| ServiceName::parse(name).unwrap());
        let expected = Touched {
            manifest,
            services: services.collect(),
        };
        assert_eq!(project(SHOP).touched(&changed), expected);
    }

    #[test]
    fn only_those_whose_paths_a_change_is_below_are_touched() {
        check(&["/shop/cart/src/lib.rs"], false, &["cart"]);
        check(&["/shop/front/src/lib.rs"], false, &["front"]);
        check(&["/shop/wit/cart.wit"], false, &["cart", "front"]);
        check(&["/shop/wit/front.wit"], false, &["front"]);
        check(&["/shop/front/Cargo.toml"], false, &[]);
        check(&["/shop/cartons/a"], false, &[]);
        check(
            &["/shop/ready.wasm", "/shop/cart"],
            false,
            &["cart", "ready"],
        );
        check(&["/shop/skep.toml"], true, &[]);
    }

    #[test]
    fn of_a_pattern_only_the_files_that_fit_count() {
        let text = "name = \"shop\"\n[service.cart]\ncomponent = \"cart.wasm\"\n\
            build = { command = \"make\", watch = [\"cart/**/*.rs\", \"*.lock\"] }\n";
        let project = project(text);
        let roots = ["/shop", "/shop/cart", "/shop/skep.toml"];
        assert_eq!(project.roots(), roots.into_iter().map(Path::new).collect());
        for (file, counts) in [
            ("/shop/cart/src/lib.rs", true),
            ("/shop/Cargo.lock", true),
            ("/shop/cart/src/notes.txt", false),
            ("/shop/cart/Cargo.lock", false),
            ("/shop/skep.toml", true),
        ] {
            assert_eq!(project.counts(Path::new(file)), counts, "{file}");
            let touched = project.touched(&BTreeSet::from([PathBuf::from(file)]));
            assert_eq!(!touched.is_empty(), counts, "{file}");
        }
    }

    #[test]
    fn what_is_written_by_builds_and_by_the_host_does_not_count() {
        let project = project(SHOP);
        for output in ["/shop/out/cart.wasm", "/shop/.skep"] {
            assert!(project.is_output(Path::new(output)), "{output}");
        }
        assert!(!project.is_output(Path::new("/shop/ready.wasm")));
    }

    #[test]
    fn another_command_or_place_asks_for_a_build_and_other_paths_do_not() {
        let before = project(SHOP);
        let otherwise = |text: &str| {
            let names = project(text).made_otherwise_than(&before);
            names.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(otherwise(SHOP), [""; 0]);
        assert_eq!(otherwise(&SHOP.replace("make front", "make it")), ["front"]);
        assert_eq!(otherwise(&SHOP.replace("ready.wasm", "r.wasm")), ["ready"]);
        assert_eq!(otherwise(&SHOP.replace("front/src", "front")), [""; 0]);
        let new = format!("{SHOP}[service.new]\ncomponent = \"new.wasm\"\n");
        assert_eq!(otherwise(&new), ["new"]);
    }
}
