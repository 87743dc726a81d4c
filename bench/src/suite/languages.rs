//! Suite `languages`: what it costs to write a service in each language, from its build to a request;
//! and for JavaScript the same handler beside workerd.

mod building;
mod workerd;

use std::time::Instant;

use anyhow::{Context, Result};

use self::workerd::Workerd;
use crate::case::Case;
use crate::measure;
use crate::plan::Bench;
use crate::process::{Cores, stop_if_interrupted};
use crate::report::{Goal, Table, cell};
use crate::results::{CPU, ERRORS, Key, Metric, P50, P99, RATE, RSS, Results, Series};
use crate::subject::{REUSE, Server, start};

pub(super) const NAME: &str = "languages";

/// As `skep new --lang` has them, and as people write them.
const LANGUAGES: [(&str, &str); 6] = [
    ("rust", "Rust"),
    ("js", "JavaScript"),
    ("ts", "TypeScript"),
    ("python", "Python"),
    ("c", "C"),
    ("go", "Go"),
];
/// Of JavaScript's an instance answers one request: docs/languages/javascript.md.
const SINGLE_USE: [&str; 2] = ["js", "ts"];
const WORKERD: &str = "workerd";
const PATH: &str = "/hello";

const BYTES: Metric = Metric {
    name: "component_size",
    unit: "MiB",
};
const CLEAN: Metric = Metric {
    name: "build_clean",
    unit: "s",
};
const EDITED: Metric = Metric {
    name: "build_after_edit",
    unit: "s",
};
const COMPILE: Metric = Metric {
    name: "compile",
    unit: "s",
};
const COMPILE_EDITED: Metric = Metric {
    name: "compile_after_edit",
    unit: "s",
};
const FIRST: Metric = Metric {
    name: "first_answer",
    unit: "ms",
};

/// One server of a round.
enum Subject<'a> {
    Skep(&'static str, Option<u64>),
    Workerd(&'a Workerd),
}

pub(super) fn run(bench: &Bench, results: &mut Results) -> Result<()> {
    for (language, _) in LANGUAGES {
        eprintln!("  building a new service: {language}");
        if let Err(error) = building::measure(bench, language, results) {
            stop_if_interrupted()?;
            results.note(NAME, format!("{language} is not built: {error:#}"));
        }
    }
    let workerd = Workerd::find()
        .inspect_err(|error| results.note(NAME, format!("{WORKERD} is left out: {error:#}")));
    let workerd = workerd.ok();
    let mut subjects: Vec<Subject<'_>> = Vec::new();
    for (language, _) in LANGUAGES {
        subjects.push(Subject::Skep(language, None));
        if !SINGLE_USE.contains(&language) {
            subjects.push(Subject::Skep(language, Some(REUSE)));
        }
    }
    subjects.extend(workerd.as_ref().map(Subject::Workerd));
    // Unmeasured: fills the compiled cache, on all cores.
    for (language, _) in LANGUAGES {
        let filled = serve(bench, language, None, Cores::All);
        filled.with_context(|| format!("serving {language}"))?;
        stop_if_interrupted()?;
    }
    for round in 0..bench.rounds {
        for subject in &subjects {
            let name = subject.name();
            eprintln!("  round {} of {}: {name}", round + 1, bench.rounds);
            if let Err(error) = subject.measure(bench, round, results) {
                stop_if_interrupted()?;
                results.note(NAME, format!("{name} is left out: {error:#}"));
            }
        }
    }
    Ok(())
}

impl Subject<'_> {
    fn name(&self) -> String {
        match self {
            Subject::Skep(language, None) => (*language).to_owned(),
            Subject::Skep(language, Some(_)) => format!("{language}-reuse"),
            Subject::Workerd(_) => WORKERD.to_owned(),
        }
    }

    fn measure(&self, bench: &Bench, round: usize, results: &mut Results) -> Result<()> {
        let case = Case {
            name: "hello".into(),
            paths: vec![PATH.into()],
            ..Case::hello(bench.connections)
        };
        let key = Key::new(NAME, self.name(), &case.name);
        let begun = Instant::now();
        let server = match self {
            Subject::Skep(language, reuse) => serve(bench, language, *reuse, bench.server_cores)?,
            Subject::Workerd(workerd) => {
                start(bench.server_cores, PATH, &|address| workerd.launch(address))?
            }
        };
        let first = begun.elapsed().as_secs_f64() * 1e3;
        results.record(&key, FIRST, round, first);
        measure::check(&server, &case)?;
        measure::measure(bench, &server, &case, &key, round, results)
    }
}

/// The service of languages/features, beside the provider that it imports.
fn serve(bench: &Bench, language: &str, reuse: Option<u64>, cores: Cores) -> Result<Server> {
    let component = |world: &str| {
        let file = format!("{language}-{world}.wasm");
        let component = bench.programs.component(&file);
        component.context("`cargo xtask features` builds those of the languages")
    };
    let (service, provider) = (component("service")?, component("provider")?);
    let instances = reuse.map(|reuse| format!("instances = {{ reuse = {reuse} }}\n"));
    let instances = instances.unwrap_or_default();
    let launch = |address| {
        bench.programs.application(&format!(
            "name = \"bench\"\n[http]\nlisten = \"{address}\"\n\
             [service.front]\ncomponent = {service:?}\nroutes = [\"{PATH}\"]\n{instances}\
             grants = {{ http = [\"https://example.com\"], config = {{ greeting = \"hello\" }} }}\n\
             [service.provider]\ncomponent = {provider:?}\n"
        ))
    };
    start(cores, PATH, &launch)
}

pub(super) fn method(bench: &Bench) -> String {
    format!(
        "Building: `skep new`, `skep build`, an edit of one line, `skep build`; the tools of \
         languages/tools.toml, the first build of Rust with its crates compiled anew. Compiling: \
         `skep check` with an empty cache, less the same with a full one, on all cores; after \
         the edit functions that have not changed are taken from the cache. Requests: `GET {PATH}` \
         of the services in languages/features, whose answer is one line, {} connections, {} rounds; \
         a fresh instance for each request, which is the default, and where the language allows it \
         instances that serve on. The first answer is counted from the start of the process, with a \
         full cache. {WORKERD} runs a script with the same lines for this path as the service in JavaScript.",
        bench.connections, bench.rounds
    )
}

pub(super) fn tables(results: &Results) -> Vec<Table> {
    let mut building = Vec::new();
    let mut requests = Vec::new();
    let rust = Key::new(NAME, "rust", "hello");
    let mut request = |subject: String, title: String| {
        let key = Key::new(NAME, subject, "hello");
        if results.get(&key, CPU).is_none() {
            return;
        }
        let median = |metric| cell(results.median(&key, metric));
        requests.push(vec![
            title,
            median(RATE),
            median(P50),
            median(P99),
            median(CPU),
            cell(results.ratio(&key, &rust, CPU)),
            median(FIRST),
            median(RSS),
            format!("{}", results.get(&key, ERRORS).map_or(0.0, Series::sum)),
        ]);
    };
    for (language, title) in LANGUAGES {
        let key = Key::new(NAME, language, "build");
        if results.get(&key, CLEAN).is_some() {
            let median = |metric| cell(results.median(&key, metric));
            building.push(vec![
                title.to_owned(),
                median(CLEAN),
                median(EDITED),
                median(BYTES),
                median(COMPILE),
                median(COMPILE_EDITED),
            ]);
        }
        request(language.to_owned(), format!("{title}, fresh"));
        request(format!("{language}-reuse"), format!("{title}, reused"));
    }
    request(WORKERD.to_owned(), "JavaScript in workerd".to_owned());
    let mut tables = vec![
        Table {
            title: "From sources to a component that runs".into(),
            header: vec![
                "language",
                "build s",
                "after an edit s",
                "MiB",
                "compile s",
                "after an edit s",
            ],
            rows: building,
        },
        Table {
            title: "A request".into(),
            header: vec![
                "language, instances",
                "req/s",
                "p50 ms",
                "p99 ms",
                "CPU µs/req",
                "÷ Rust, fresh",
                "first answer ms",
                "RSS MiB",
                "errors",
            ],
            rows: requests,
        },
    ];
    tables.retain(|table| !table.rows.is_empty());
    tables
}

pub(super) fn goals(results: &Results) -> Vec<Goal> {
    let key = |subject: &str| Key::new(NAME, subject, "hello");
    vec![Goal {
        text: "CPU per request, JavaScript ÷ workerd".into(),
        measured: results.ratio(&key("js"), &key(WORKERD), CPU),
        at_most: 1.0,
        unit: "",
    }]
}
