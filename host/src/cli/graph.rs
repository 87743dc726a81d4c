//! `skep graph`: an application's services, routes and links, from its manifest and its components.
//! Starts nothing and compiles nothing.

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::Serialize;
use skep_core::contract::Link;
use skep_core::name::ServiceName;

use super::{Exit, report};
use crate::artifact::Role;
use crate::deploy::{self, Application};

/// Show which services an application has, how requests reach them, and which calls which
#[derive(Args, Debug)]
#[command(after_help = super::EXIT_CODES)]
pub struct Graph {
    /// The manifest
    #[arg(default_value = "skep.toml")]
    manifest: PathBuf,
    /// How to say it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// How the graph is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Text,
    /// One object; fields may be added, never changed
    Json,
    /// For Graphviz: skep graph --format dot | dot -Tsvg
    Dot,
    /// For pages of Markdown that draw Mermaid
    Mermaid,
}

/// Runs `skep graph`.
pub fn run(arguments: &Graph) -> Exit {
    show(&arguments.manifest, arguments.format)
}

/// Runs `skep inspect --app`.
pub fn inspect(manifest: &Path, json: bool) -> Exit {
    show(manifest, if json { Format::Json } else { Format::Text })
}

fn show(manifest: &Path, format: Format) -> Exit {
    let application = match deploy::read(manifest) {
        Ok(application) => application,
        Err(error) => return report::deploy_error(&error, true),
    };
    let picture = Picture::of(&application);
    let text = match format {
        Format::Text => picture.to_string(),
        Format::Dot => picture.dot(),
        Format::Mermaid => picture.mermaid(),
        Format::Json => match serde_json::to_string_pretty(&picture) {
            Ok(json) => json + "\n",
            Err(error) => {
                report::failure(&error);
                return Exit::Failed;
            }
        },
    };
    // Nobody may be reading any more (`| head`): that is no failure of ours.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    Exit::Ok
}

/// What is shown; as it is with `--format json`.
#[derive(Debug, Serialize)]
struct Picture {
    name: String,
    services: Vec<Node>,
    routes: Vec<Way>,
    links: Vec<Link>,
}

#[derive(Debug, Serialize)]
struct Node {
    name: ServiceName,
    role: Role,
    component: PathBuf,
    /// SHA-256 of the component.
    digest: String,
}

#[derive(Debug, Serialize)]
struct Way {
    host: String,
    path: String,
    methods: String,
    service: ServiceName,
}

impl Picture {
    fn of(application: &Application) -> Picture {
        let manifest = &application.manifest;
        let mut services: Vec<_> = application.parts.iter().collect();
        // As people wrote them.
        services.sort_by_key(|(name, _)| manifest.services.get(*name).map(|s| s.name.span.start));
        let node = |(name, part): (&ServiceName, &deploy::Part)| Node {
            name: name.clone(),
            role: part.artifact.description().role,
            component: part.artifact.path().to_owned(),
            digest: part.artifact.digest().to_string(),
        };
        let mut routes: Vec<_> = manifest.routes.iter().collect();
        routes.sort_by_key(|route| route.spec.span.start);
        let way = |route: &skep_core::manifest::Route| Way {
            host: route.spec.host.to_string(),
            path: route.spec.path.to_string(),
            methods: route.spec.methods.to_string(),
            service: route.service.value.clone(),
        };
        Picture {
            name: manifest.name.to_string(),
            services: services.into_iter().map(node).collect(),
            routes: routes.into_iter().map(way).collect(),
            links: application.links.iter().cloned().collect(),
        }
    }

    /// The number of a service, for a name that means nothing to whoever draws the graph.
    fn number(&self, service: &ServiceName) -> usize {
        let position = self.services.iter().position(|node| node.name == *service);
        position.unwrap_or(self.services.len())
    }

    fn dot(&self) -> String {
        let mut text = format!("digraph {} {{\n", quoted(&self.name));
        text += "  rankdir=LR;\n  node [shape=box];\n";
        if !self.routes.is_empty() {
            text += "  clients [shape=plaintext];\n";
        }
        for node in &self.services {
            let number = self.number(&node.name);
            let _ = writeln!(text, "  s{number} [label={}];", quoted(node.name.as_str()));
        }
        for way in &self.routes {
            let number = self.number(&way.service);
            let _ = writeln!(
                text,
                "  clients -> s{number} [label={}];",
                quoted(&way.short())
            );
        }
        for link in &self.links {
            let (from, to) = (self.number(&link.caller), self.number(&link.callee));
            let _ = writeln!(text, "  s{from} -> s{to} [label={}];", quoted(&link.import));
        }
        text + "}\n"
    }

    fn mermaid(&self) -> String {
        let mut text = "flowchart LR\n".to_owned();
        if !self.routes.is_empty() {
            text += "  clients([clients])\n";
        }
        for node in &self.services {
            let number = self.number(&node.name);
            let _ = writeln!(text, "  s{number}[\"{}\"]", entities(node.name.as_str()));
        }
        for way in &self.routes {
            let number = self.number(&way.service);
            let _ = writeln!(
                text,
                "  clients -->|\"{}\"| s{number}",
                entities(&way.short())
            );
        }
        for link in &self.links {
            let (from, to) = (self.number(&link.caller), self.number(&link.callee));
            let _ = writeln!(text, "  s{from} -->|\"{}\"| s{to}", entities(&link.import));
        }
        text
    }
}

impl Way {
    /// What is not said holds for any.
    fn short(&self) -> String {
        let mut text = self.path.clone();
        if self.host != "any host" {
            text = format!("{}{text}", self.host);
        }
        if self.methods != "any method" {
            text = format!("{} {text}", self.methods);
        }
        text
    }
}

impl fmt::Display for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "application {}\n\nservices", self.name)?;
        let width = self
            .services
            .iter()
            .map(|node| node.name.as_str().len())
            .max();
        let width = width.unwrap_or(0);
        let roles = self
            .services
            .iter()
            .map(|node| node.role.text().len())
            .max();
        let roles = roles.unwrap_or(0);
        for node in &self.services {
            let (role, component) = (node.role.text(), node.component.display());
            writeln!(f, "  {:width$}  {role:roles$}  {component}", node.name)?;
        }
        writeln!(f, "\nroutes")?;
        for way in &self.routes {
            writeln!(f, "  {} → {}", way.short(), way.service)?;
        }
        if self.routes.is_empty() {
            writeln!(f, "  none")?;
        }
        writeln!(f, "\nlinks")?;
        for link in &self.links {
            writeln!(f, "  {link}")?;
        }
        if self.links.is_empty() {
            writeln!(f, "  none")?;
        }
        Ok(())
    }
}

/// A string of the language of Graphviz: only quotes and backslashes mean something in it.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A label of Mermaid: quotes end it, and it takes HTML.
fn entities(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '"' => escaped += "#quot;",
            '<' => escaped += "#lt;",
            '>' => escaped += "#gt;",
            '#' => escaped += "#35;",
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn picture() -> Picture {
        let name = |name: &str| -> ServiceName { name.parse().unwrap() };
        let node = |of: &str, role| Node {
            name: name(of),
            role,
            component: format!("{of}.wasm").into(),
            digest: "0".repeat(8),
        };
        let way = |path: &str, host: &str, methods: &str| Way {
            host: host.into(),
            path: path.into(),
            methods: methods.into(),
            service: name("front"),
        };
        Picture {
            name: "shop".into(),
            services: vec![
                node("front", Role::HttpHandler02),
                node("end", Role::Library),
            ],
            routes: vec![
                way("/{*rest}", "any host", "any method"),
                way("/\"<b>", "*.shop.example", "GET, HEAD"),
            ],
            links: vec![Link {
                caller: name("front"),
                import: "shop:catalog/products@0.2.0".into(),
                callee: name("end"),
                export: "shop:catalog/products@0.2.1".into(),
            }],
        }
    }

    #[test]
    fn for_people() {
        expect![[r#"
            application shop

            services
              front  HTTP handler (WASI 0.2)                     front.wasm
              end    provider (answers calls of other services)  end.wasm

            routes
              /{*rest} → front
              GET, HEAD *.shop.example/"<b> → front

            links
              front → end: shop:catalog/products@0.2.0 (as shop:catalog/products@0.2.1)
        "#]]
        .assert_eq(&picture().to_string());
    }

    #[test]
    fn for_graphviz() {
        expect![[r#"
            digraph "shop" {
              rankdir=LR;
              node [shape=box];
              clients [shape=plaintext];
              s0 [label="front"];
              s1 [label="end"];
              clients -> s0 [label="/{*rest}"];
              clients -> s0 [label="GET, HEAD *.shop.example/\"<b>"];
              s0 -> s1 [label="shop:catalog/products@0.2.0"];
            }
        "#]]
        .assert_eq(&picture().dot());
    }

    #[test]
    fn for_mermaid() {
        expect![[r#"
            flowchart LR
              clients([clients])
              s0["front"]
              s1["end"]
              clients -->|"/{*rest}"| s0
              clients -->|"GET, HEAD *.shop.example/#quot;#lt;b#gt;"| s0
              s0 -->|"shop:catalog/products@0.2.0"| s1
        "#]]
        .assert_eq(&picture().mermaid());
    }
}
