//! Every key of a manifest is among the settings, under the name that is written.
use std::collections::BTreeSet;

use serde_json::Value;

use super::*;
use crate::manifest::{Manifest, schema};

/// Sets every key, and none to its default.
const FULL: &str = include_str!("full.toml");
/// Sets nothing that can be left out.
const BARE: &str = "name = \"shop\"\nservice.cart.component = \"c.wasm\"\nservice.catalog.component = \"d.wasm\"\n\
    [group.pair]\nservices = [\"cart\"]\n[link.cart.catalog]\n[[route]]\npath = \"/\"\nservice = \"catalog\"";

/// All settings of a manifest, from its root; names of services and the like as `*`.
fn all(text: &str) -> Settings {
    let manifest = Manifest::parse(text).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"));
    let service = manifest.services["cart"].settings();
    let link = manifest.links.values().next().unwrap().settings();
    let group = manifest.groups.values().next().unwrap().settings();
    let route = manifest.routes.iter().max_by_key(|route| route.timeout);
    let parts = [
        ("http", manifest.http.settings()),
        ("host", manifest.host.settings()),
        ("service.*", service),
        ("link.*.*", link),
        ("group.*", group),
        ("route", route.unwrap().settings()),
    ];
    let below = |(table, settings): (&str, Settings)| {
        let table = table.to_owned();
        let settings = settings.into_iter();
        settings.map(move |(key, setting)| (format!("{table}.{key}"), setting))
    };
    parts.into_iter().flat_map(below).collect()
}

/// The dotted keys of all leaves of a schema.
fn leaves(root: &Value, schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    let schema = match schema["$ref"].as_str() {
        Some(path) => root.pointer(path.trim_start_matches('#')).unwrap(),
        None => schema,
    };
    let below = |key: &str| match path {
        "" => key.to_owned(),
        path => format!("{path}.{key}"),
    };
    if let Some(keys) = schema["properties"].as_object() {
        for (key, value) in keys {
            leaves(root, value, &below(key), found);
        }
    } else if schema["additionalProperties"].is_object() {
        leaves(root, &schema["additionalProperties"], &below("*"), found);
    } else if let Some(choices) = schema["anyOf"].as_array() {
        let table = choices.iter().find(|choice| choice.get("$ref").is_some());
        match table {
            Some(table) => leaves(root, table, path, found),
            None => drop(found.insert(path.to_owned())),
        }
    } else if path == "route" {
        leaves(root, &schema["items"], path, found);
    } else {
        found.insert(path.to_owned());
    }
}

#[test]
fn every_key_of_the_raw_shape_is_among_the_settings() {
    let root = schema::json();
    let mut written = BTreeSet::new();
    leaves(&root, &root, "", &mut written);
    // Names are what things are called, host, path and methods are what a route is.
    for identity in [
        "name",
        "service.*.routes",
        "route.host",
        "route.path",
        "route.methods",
    ] {
        assert!(written.remove(identity), "{identity}");
    }
    // Short for keys of the three checks.
    for short in ["path", "timeout", "interval"] {
        assert!(written.remove(&format!("service.*.health.{short}")));
    }
    // A value is a text, or a table that says where it is read.
    written.retain(|key| {
        !key.starts_with("service.*.grants.config.")
            && !key.starts_with("service.*.grants.environment.")
    });
    assert!(
        written.remove("service.*.grants.keyvalue"),
        "not available yet"
    );

    let named = [
        "service.*.links.",
        "service.*.grants.config.",
        "service.*.grants.environment.",
    ];
    let mut set: BTreeSet<String> = all(FULL).into_keys().collect();
    let links = set.iter().filter(|key| key.starts_with(named[0])).count();
    assert_eq!(links, 1);
    set.retain(|key| !named.iter().any(|prefix| key.starts_with(prefix)));
    set.insert("service.*.links.*".to_owned());
    assert_eq!(set, written);
}

#[test]
fn every_key_makes_a_difference() {
    let (bare, full) = (all(BARE), all(FULL));
    for (key, setting) in &full {
        assert_ne!(
            bare.get(key),
            Some(setting),
            "{key} is at its default in full.toml"
        );
    }
}

#[test]
fn what_follows_from_other_keys_is_not_set() {
    let of = |limits: &str| {
        let text = format!("name = \"s\"\n[service.cart]\ncomponent = \"c.wasm\"\n{limits}");
        Manifest::parse(&text).unwrap().services["cart"].settings()
    };
    assert_eq!(
        of("limits = { memory = \"64MiB\", memory-total = \"4GiB\", cpu = \"500ms\" }"),
        of("")
    );
    for derived in ["limits.memory-total", "limits.cpu", "stop-timeout"] {
        assert!(!of("limits = { deadline = \"100ms\", memory = \"1MiB\" }").contains_key(derived));
    }
    assert_eq!(
        of("limits = { cpu = \"90ms\" }")["limits.cpu"].to_string(),
        "90ms"
    );
    assert_eq!(
        of("stop-timeout = \"10s\"")["stop-timeout"].to_string(),
        "10s"
    );
}

#[test]
fn settings_are_shown_as_they_are_written() {
    let settings = all(FULL);
    let shown = |key: &str| settings[key].to_string();
    assert_eq!(
        shown("service.*.links.\"shop:catalog/products@0.1.0\""),
        "catalog"
    );
    assert_eq!(shown("service.*.restart.backoff"), "200ms..40s");
    assert_eq!(shown("service.*.grants.args"), "[--verbose, \"\"]");
    assert_eq!(
        shown("service.*.grants.directories"),
        "[data as /data (read-write)]"
    );
    assert_eq!(
        shown("service.*.grants.config.token"),
        "{ env = \"TOKEN\" } (secret)"
    );
    assert_eq!(
        shown("service.*.grants.config.\"the motd\""),
        "{ file = \"motd.txt\" }"
    );
}

#[test]
fn what_may_be_a_secret_is_compared_and_never_shown() {
    let settings = all(FULL);
    let hidden = &settings["service.*.grants.environment.PASSWORD"];
    let texts = [
        hidden.to_string(),
        format!("{hidden:?}"),
        serde_json::to_string(hidden).unwrap(),
    ];
    assert_eq!(
        texts,
        ["(not shown)", "Hidden((not shown))", "{\"hidden\":true}"]
    );
    let other = all(&FULL.replace("hunter2", "hunter3"));
    assert_ne!(&other["service.*.grants.environment.PASSWORD"], hidden);
}
