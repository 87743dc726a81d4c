//! The kept files are those that the types give, and the schema knows the keys that the reader knows.
use std::collections::BTreeSet;
use std::path::PathBuf;

use super::*;
use crate::manifest::{Manifest, Mistake};

/// Set to rewrite the kept files instead of comparing them.
const UPDATE: &str = "UPDATE_SCHEMA";
/// The reference page is written by hand down to this line.
const MARK: &str =
    "<!-- From here on written by `UPDATE_SCHEMA=1 cargo test -p skep-core schema`. -->\n";

fn kept(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs")
        .join(name)
}

fn keep(name: &str, wanted: &str) {
    let path = kept(name);
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&path, wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "docs/{name} is not what the types give: run `{UPDATE}=1 cargo test -p skep-core schema` and look at the difference"
    );
}

#[test]
#[cfg_attr(miri, ignore = "reads files")]
fn the_kept_schema_is_that_of_the_types() {
    let json = serde_json::to_string_pretty(&json()).unwrap();
    keep("skep.schema.json", &format!("{json}\n"));
}

#[test]
#[cfg_attr(miri, ignore = "reads files")]
fn the_kept_reference_is_that_of_the_types() {
    let found = std::fs::read_to_string(kept("manifest.md")).unwrap_or_default();
    let intro = found.split(MARK).next().unwrap_or_default().trim_end();
    keep("manifest.md", &format!("{intro}\n\n{MARK}{}", reference()));
}

/// Calls `visit` for each table of the schema with its keys and with what to write around a key so
/// that it stands in that table.
fn visit(
    root: &Value,
    schema: &Value,
    before: &str,
    after: &str,
    found: &mut dyn FnMut(&BTreeSet<String>, &str, &str),
) {
    let schema = match schema["$ref"].as_str() {
        Some(path) => root.pointer(path.trim_start_matches('#')).unwrap(),
        None => schema,
    };
    for choice in schema["anyOf"].as_array().into_iter().flatten() {
        visit(root, choice, before, after, found);
    }
    if let Some(item) = schema.get("items") {
        visit(
            root,
            item,
            &format!("{before}["),
            &format!("]{after}"),
            found,
        );
    }
    if let Some(value) = schema.get("additionalProperties")
        && value.is_object()
    {
        let (before, after) = (format!("{before}{{ x = "), format!(" }}{after}"));
        visit(root, value, &before, &after, found);
    }
    if let Some(keys) = schema["properties"].as_object() {
        let (before, after) = match before {
            "" => (String::new(), after.to_owned()),
            before => (format!("{before}{{ "), format!(" }}{after}")),
        };
        found(&keys.keys().cloned().collect(), &before, &after);
        for (key, value) in keys {
            visit(root, value, &format!("{before}{key} = "), &after, found);
        }
    }
}

fn unknown_keys(text: &str) -> Vec<Mistake> {
    let mut mistakes = Manifest::parse(text).unwrap_err();
    mistakes.retain(|mistake| mistake.code == "unknown-key");
    mistakes
}

#[test]
fn the_schema_knows_the_keys_that_the_reader_knows() {
    let schema = json();
    let mut tables = 0;
    visit(&schema, &schema, "", "", &mut |keys, before, after| {
        tables += 1;
        let refused = unknown_keys(&format!("{before}qqqqqqqqqqqq = 1{after}"));
        let help = refused[0].help.as_deref().unwrap();
        let known = help.strip_prefix("known keys: ").unwrap();
        let known: BTreeSet<String> = known.split(", ").map(str::to_owned).collect();
        assert_eq!(*keys, known, "{before}");
        for key in keys {
            let text = format!("{before}{key} = 1{after}");
            assert_eq!(unknown_keys(&text), [], "{text}");
        }
    });
    assert_eq!(tables, 29, "every table of the manifest was looked at");
}

#[test]
fn the_schema_says_what_is_needed_and_what_is_left_out() {
    let schema = json();
    assert_eq!(schema["required"], serde_json::json!(["name", "service"]));
    assert_eq!(schema["additionalProperties"], false);
    let text = schema.to_string();
    assert!(!text.contains("null"), "TOML has no null");
    let limits = &schema["$defs"]["ServiceLimitsFile"]["properties"];
    assert_eq!(limits["memory"]["default"], "64MiB");
    assert_eq!(limits["queue"]["maximum"], crate::limits::QUEUE_MAX);
    for (name, table) in schema["$defs"].as_object().unwrap() {
        for (key, value) in table["properties"].as_object().unwrap() {
            assert!(
                value["description"].is_string(),
                "{name}.{key} is not documented"
            );
        }
    }
}
