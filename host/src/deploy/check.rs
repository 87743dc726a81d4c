//! Compares each service of a manifest with its component: role, imports, grants, limits.

use std::collections::BTreeMap;

use skep_core::instances::HandlerKind;
use skep_core::manifest::{Manifest, Mistake, Service};
use skep_core::name::ServiceName;

use super::member::is_one;
use super::{Application, DeployError, Part, Runs, Source, chain, handover, links, resolve};
use crate::artifact::{Artifact, ArtifactError, Description, GrantNeeded, Need, required_grants};
use crate::capability::{self, Linked};
use crate::listener;

/// Reads all components and returns the application, or every mistake there is.
pub(super) fn components(manifest: Manifest, source: Source) -> Result<Application, DeployError> {
    let artifacts = load(&manifest, &source);
    assemble(manifest, source, artifacts)
}

/// The same with components that have been read; in the order of the services' names.
pub(super) fn assemble(
    manifest: Manifest,
    source: Source,
    artifacts: Vec<Result<Artifact, ArtifactError>>,
) -> Result<Application, DeployError> {
    let mut found = Findings {
        warnings: manifest.warnings().to_vec(),
        ..Findings::default()
    };
    let mut parts = BTreeMap::new();
    for (service, artifact) in manifest.services.values().zip(artifacts) {
        match artifact {
            Ok(artifact) => {
                let part = part(service, artifact, &source, &mut found);
                if let Some(part) = part {
                    parts.insert(service.name.value.clone(), part);
                }
            }
            Err(error) => found.mistake(
                Mistake::new("component", service.component.span.clone(), chain(&error))
                    .label(format!("component of `{}`", service.name.value)),
            ),
        }
    }
    let told = found.mistakes.len();
    let links = links::resolve(&manifest, &parts, &mut found);
    let unlinked = found.mistakes.len() > told;
    check_routes(&manifest, &parts, &mut found);
    // The manifest alone does not tell a worker, which needs no route, nor who is called by others;
    // where links are missing that is not known.
    let is_of_use = |warning: &Mistake| {
        parts.iter().any(|(name, part)| {
            let service = manifest.services.get(name);
            let called = links.lead_to(name) || (unlinked && part.role == Runs::Provider);
            (part.role == Runs::Worker || called)
                && service.is_some_and(|service| service.name.span == warning.span)
        })
    };
    found
        .warnings
        .retain(|warning| warning.code != "no-route" || !is_of_use(warning));
    if let Some(tls) = &manifest.http.tls {
        let (cert, key) = (
            resolve(&source, &tls.cert.value),
            resolve(&source, &tls.key.value),
        );
        if let Err(error) = listener::acceptor(&cert, &key) {
            found.mistake(Mistake::new("tls", tls.cert.span.clone(), chain(&error)));
        }
    }
    found.sort();
    let Findings { mistakes, warnings } = found;
    if mistakes.is_empty() {
        return Ok(Application {
            manifest,
            source,
            parts,
            links,
            warnings,
            texts: BTreeMap::new(),
        });
    }
    Err(DeployError::Mistakes {
        source_text: source,
        mistakes,
        warnings,
    })
}

#[derive(Default)]
pub(super) struct Findings {
    mistakes: Vec<Mistake>,
    warnings: Vec<Mistake>,
}

impl Findings {
    pub(super) fn mistake(&mut self, mistake: Mistake) {
        self.mistakes.push(mistake);
    }

    pub(super) fn warning(&mut self, warning: Mistake) {
        self.warnings.push(warning);
    }

    fn sort(&mut self) {
        self.mistakes.sort_by_key(|mistake| mistake.span.start);
        self.warnings.sort_by_key(|warning| warning.span.start);
    }
}

/// Reads the components side by side; a file that several services use is read once.
pub(super) fn load(manifest: &Manifest, source: &Source) -> Vec<Result<Artifact, ArtifactError>> {
    let paths: Vec<_> = manifest
        .services
        .values()
        .map(|s| resolve(source, &s.component.value))
        .collect();
    let mut distinct = paths.clone();
    distinct.sort();
    distinct.dedup();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = distinct.len().div_ceil(threads).max(1);
    let loaded: BTreeMap<_, _> = std::thread::scope(|scope| {
        let readers: Vec<_> = distinct
            .chunks(share)
            .map(|paths| {
                let read = || {
                    paths
                        .iter()
                        .map(|p| (p.clone(), Artifact::load(p)))
                        .collect()
                };
                scope.spawn(read)
            })
            .collect();
        let join = |reader: std::thread::ScopedJoinHandle<'_, Vec<_>>| {
            reader
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        readers.into_iter().flat_map(join).collect()
    });
    let read = |path: &std::path::PathBuf| match loaded.get(path) {
        Some(Ok(artifact)) => Ok(artifact.clone()),
        // Errors cannot be cloned; a second look at a file that failed finds the same.
        _ => Artifact::load(path),
    };
    paths.iter().map(read).collect()
}

/// Checks one service. `None` if there is nothing to run; the findings say why.
fn part(
    service: &Service,
    artifact: Artifact,
    source: &Source,
    found: &mut Findings,
) -> Option<Part> {
    let name = &service.name.value;
    let description = artifact.description();
    let role = Runs::of(description);
    if role.is_none() {
        found.mistake(
            Mistake::new(
                "no-role",
                service.component.span.clone(),
                format!(
                    "the component of `{name}` exports neither an HTTP handler nor a program nor \
                     functions: there is nothing to run"
                ),
            )
            .label("exports no wasi:http/incoming-handler, wasi:http/handler or wasi:cli/run")
            .help("`skep inspect` shows what it exports"),
        );
    }
    let needs = required_grants(description);
    let linked = check_grants_of_imports(service, &needs, found);
    check_limits(service, description, role, found);
    check_grants(service, source, found);
    Some(Part {
        role: role?,
        linked,
        needs,
        artifact,
    })
}

/// Everything of the host's that the component imports must be given, or granted by the manifest.
fn check_grants_of_imports(
    service: &Service,
    needs: &[GrantNeeded],
    found: &mut Findings,
) -> Linked {
    let name = &service.name.value;
    let grants = &service.grants;
    let linked = Linked {
        outgoing_http: !grants.http.is_empty(),
        config: !grants.config.is_empty(),
    };
    let mut imports = Linked::default();
    let (mut files, mut environment) = (false, false);
    for needed in needs {
        match needed.need {
            Need::Given | Need::Denied => {}
            Need::Optional { grant, .. } => {
                files |= grant == "directories";
                environment |= grant == "environment";
            }
            Need::Required { grant, example } => {
                let granted = match grant {
                    "http" => {
                        imports.outgoing_http = true;
                        linked.outgoing_http
                    }
                    _ => {
                        imports.config = true;
                        linked.config
                    }
                };
                if !granted {
                    found.mistake(
                        Mistake::new(
                            "grant-missing",
                            service.span_of("grants"),
                            format!("`{name}` imports `{}`, which is not granted", needed.import),
                        )
                        .label(format!("no `grants.{grant}` here"))
                        .help(format!("under [service.{name}] write: {example}")),
                    );
                }
            }
            // Another service may have it: `links` looks.
            Need::Missing { .. } => {}
        }
    }
    let unused = [
        (
            "http",
            linked.outgoing_http && !imports.outgoing_http,
            "makes no outgoing requests",
        ),
        (
            "config",
            linked.config && !imports.config,
            "does not import wasi:config/store",
        ),
        (
            "directories",
            !grants.directories.is_empty() && !files,
            "opens no files",
        ),
        (
            "environment",
            !grants.environment.is_empty() && !environment,
            "reads no environment",
        ),
    ];
    for (grant, unused, why) in unused {
        if unused {
            found.warning(
                Mistake::new(
                    "grant-unused",
                    service.span_of(&format!("grants.{grant}")),
                    format!("`{name}` is granted `{grant}` but {why}"),
                )
                .help("leave the grant out: what is not granted cannot be misused"),
            );
        }
    }
    linked
}

/// Of a service that hands over its state.
fn check_handover(service: &Service, role: Option<Runs>, found: &mut Findings) {
    let name = &service.name.value;
    match role {
        Some(Runs::Handler(HandlerKind::Async)) => found.mistake(
            Mistake::new(
                "handover-of-async",
                service.span_of("component"),
                format!(
                    "`{name}` cannot hand over its state: calls of its functions have other instances \
                     than its requests"
                ),
            )
            .label(format!("exports {}", handover::INTERFACE))
            .help("build it for wasi:http/incoming-handler@0.2, or leave the export out"),
        ),
        Some(role) if !is_one(service, role) => found.mistake(
            Mistake::new(
                "handover-of-many",
                service.span_of("instances"),
                format!("`{name}` hands over its state, which has to be in one instance"),
            )
            .label(format!("exports {}", handover::INTERFACE))
            .help("write instances = { max = 1, warm = 1, reuse = 1000000000, idle = \"24h\" }"),
        ),
        _ => {}
    }
}

fn check_limits(
    service: &Service,
    description: &Description,
    role: Option<Runs>,
    found: &mut Findings,
) {
    let name = &service.name.value;
    let needed = description.sizes.memory_min_bytes;
    let memory = service.limits.memory;
    if needed > memory.as_u64() {
        let mebibytes = needed.div_ceil(1 << 20);
        found.mistake(
            Mistake::new(
                "memory-too-small",
                service.span_of("limits.memory"),
                format!("`{name}` begins with {needed} bytes of memory but may have {memory}"),
            )
            .help(format!(
                "raise limits.memory to at least \"{mebibytes}MiB\""
            )),
        );
    }
    if role == Some(Runs::Handler(HandlerKind::Sync))
        && service
            .instances
            .concurrent
            .as_ref()
            .is_some_and(|concurrent| concurrent.value > 1)
    {
        found.warning(
            Mistake::new(
                "concurrent-unused",
                service.span_of("instances.concurrent"),
                format!(
                    "`{name}` is a WASI 0.2 handler: its instances serve one request at a time"
                ),
            )
            .help("leave it out, or build the component for wasi:http/handler@0.3"),
        );
    }
    let exports = &description.contract.exports;
    if exports
        .iter()
        .any(|export| export.name.text() == handover::INTERFACE)
    {
        check_handover(service, role, found);
    }
    if role == Some(Runs::Provider) && service.health.is_some() {
        found.mistake(
            Mistake::new(
                "health-of-provider",
                service.span_of("health"),
                format!("`{name}` answers calls of other services and no health checks over HTTP"),
            )
            .help("leave `health` out, or let the component export an HTTP handler"),
        );
    }
    if role == Some(Runs::Worker) && service.health.is_some() {
        found.mistake(
            Mistake::new(
                "health-of-worker",
                service.span_of("health"),
                format!("`{name}` is a worker: it answers no requests, so no health checks"),
            )
            .help("leave `health` out; a worker is healthy as long as it runs"),
        );
    }
}

/// The values, files and directories that the grants name must be there.
fn check_grants(service: &Service, source: &Source, found: &mut Findings) {
    for (table, values) in [
        ("config", &service.grants.config),
        ("environment", &service.grants.environment),
    ] {
        for (key, value) in values {
            let what = format!("grants.{table}.{key} of `{}`", service.name.value);
            if let Err(error) = capability::value(&what, &value.value.from, source) {
                found.mistake(Mistake::new(
                    "grant-value",
                    value.span.clone(),
                    chain(&error),
                ));
            }
        }
    }
    for directory in &service.grants.directories {
        let one = std::slice::from_ref(directory);
        if let Err(error) = capability::directories(one, source) {
            found.mistake(Mistake::new(
                "grant-directory",
                directory.span.clone(),
                chain(&error),
            ));
        }
    }
}

fn check_routes(manifest: &Manifest, parts: &BTreeMap<ServiceName, Part>, found: &mut Findings) {
    for route in &manifest.routes {
        let name = &route.service.value;
        if parts
            .get(name)
            .is_some_and(|part| matches!(part.role, Runs::Handler(_)))
        {
            continue;
        }
        let (code, what) = match parts.get(name).map(|part| part.role) {
            Some(Runs::Worker) => ("route-to-worker", "a worker, which answers no requests"),
            Some(_) => (
                "route-to-provider",
                "which answers calls of other services and no requests",
            ),
            None => continue,
        };
        found.mistake(
            Mistake::new(
                code,
                route.spec.span.clone(),
                format!("this route leads to `{name}`, {what}"),
            )
            .help("remove the route, or let the component export an HTTP handler"),
        );
    }
}
