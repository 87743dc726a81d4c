//! The JSON Schema of the manifest and its reference page, both from the types that read it.
use std::collections::BTreeMap;
use std::fmt::Write as _;

use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use serde_json::{Map, Value};

use super::file::ManifestFile;

/// The JSON Schema (2020-12) of `skep.toml`, as it is kept in `docs/skep.schema.json`.
pub fn json() -> Value {
    let settings = SchemaSettings::draft2020_12().with_transform(WithoutNull);
    let mut schema = settings
        .into_generator()
        .into_root_schema_for::<ManifestFile>();
    schema.insert("title".into(), "skep.toml".into());
    tidy(schema.to_value())
}

/// Keys in the order of the alphabet, whatever order the build of serde_json keeps, and descriptions
/// in one line.
fn tidy(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<String, Value> = map.into_iter().collect();
            let tidied = sorted.into_iter().map(|(key, value)| match value {
                Value::String(text) if key == "description" => (key, one_line(&text).into()),
                value => (key, tidy(value)),
            });
            Value::Object(tidied.collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(tidy).collect()),
        value => value,
    }
}

/// TOML has no null: an optional key is left out.
#[derive(Debug, Clone)]
struct WithoutNull;

impl Transform for WithoutNull {
    fn transform(&mut self, schema: &mut Schema) {
        if let Some(Value::Array(types)) = schema.get_mut("type") {
            types.retain(|name| name != "null");
            if let [one] = types.as_slice() {
                let one = one.clone();
                schema.insert("type".into(), one);
            }
        }
        if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
            choices.retain(|choice| choice.get("type").is_none_or(|name| name != "null"));
            if let [Value::Object(one)] = choices.as_slice() {
                let one = one.clone();
                schema.remove("anyOf");
                for (key, value) in one {
                    schema.insert(key, value);
                }
            }
        }
        if let Some(Value::Array(words)) = schema.get_mut("enum") {
            words.retain(|word| !word.is_null());
        }
        transform_subschemas(self, schema);
    }
}

/// The reference of all keys as a page of Markdown, as it is kept in `docs/manifest.md` below the
/// page's introduction.
pub fn reference() -> String {
    let root = json();
    let mut page = Page {
        root: &root,
        text: String::new(),
    };
    page.table("skep.toml", "", &root);
    page.text
}

struct Page<'s> {
    root: &'s Value,
    text: String,
}

impl Page<'_> {
    /// One section with a row for each key, then the sections of the tables below.
    fn table(&mut self, title: &str, path: &str, schema: &Value) {
        let no_keys = Map::new();
        let keys = schema["properties"].as_object().unwrap_or(&no_keys);
        let required = schema["required"].as_array();
        let _ = write!(self.text, "\n## `{title}`\n\n");
        if let Some(about) = schema["description"].as_str() {
            let _ = write!(self.text, "{}\n\n", about);
        }
        self.text
            .push_str("| key | value | default | meaning |\n|---|---|---|---|\n");
        for (key, value) in keys {
            let needed = required.is_some_and(|keys| keys.iter().any(|name| name == key));
            let default = match value.get("default") {
                Some(default) => format!("`{}`", toml_value(default)),
                None if needed => "**required**".to_owned(),
                None => "–".to_owned(),
            };
            let about = value["description"].as_str().unwrap_or_default();
            let kind = self.kind(value);
            let _ = writeln!(self.text, "| `{key}` | {kind} | {default} | {about} |");
        }
        for (key, value) in keys {
            for (title, path, below) in self.below(path, key, value) {
                self.table(&title, &path, &below);
            }
        }
    }

    /// The tables that can stand at a key, with their titles.
    fn below(&self, path: &str, key: &str, value: &Value) -> Vec<(String, String, Value)> {
        let dotted = match path {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
        };
        let value = self.resolve(value);
        if value.get("properties").is_some() {
            let title = match path {
                "" => format!("[{dotted}]"),
                _ => dotted.clone(),
            };
            return vec![(title, dotted, value.clone())];
        }
        let choices = value["anyOf"].as_array().into_iter().flatten();
        let inner = choices
            .chain(value.get("additionalProperties"))
            .map(|inner| (inner, "NAME"))
            .chain(value.get("items").map(|items| (items, "item")));
        let mut found = Vec::new();
        for (inner, kind) in inner {
            let inner = self.resolve(inner);
            if inner.get("properties").is_some() {
                let (title, path) = match (path, kind, value.get("anyOf")) {
                    ("", "item", _) => (format!("[[{dotted}]]"), dotted.clone()),
                    ("", ..) => (format!("[{dotted}.NAME]"), format!("{dotted}.NAME")),
                    (_, _, None) => (format!("{dotted} (each)"), dotted.clone()),
                    (_, _, Some(_)) => (dotted.clone(), dotted.clone()),
                };
                found.push((title, path, inner.clone()));
            } else if inner.get("anyOf").is_some() || inner["additionalProperties"].is_object() {
                found.extend(self.below(path, &format!("{key}.NAME"), inner));
            }
        }
        found
    }

    /// What kind of value a key takes, in a word.
    fn kind(&self, value: &Value) -> String {
        let value = self.resolve(value);
        if let Some(title) = value["title"].as_str() {
            return title.to_owned();
        }
        if let Some(words) = value["enum"].as_array() {
            if words.len() > 4 {
                return "word".to_owned();
            }
            let words: Vec<String> = words.iter().map(|w| format!("`{w}`")).collect();
            return words.join(", ");
        }
        if let Some(choices) = value["anyOf"].as_array() {
            let kinds: Vec<String> = choices.iter().map(|choice| self.kind(choice)).collect();
            return kinds.join(" or ");
        }
        if let Some(items) = value.get("items") {
            return format!("list: {}", self.kind(items));
        }
        let example = value["examples"].as_array().and_then(|all| all.first());
        match (&value["type"], example) {
            (_, Some(example)) => format!("such as `{example}`"),
            (Value::String(name), None) => match name.as_str() {
                "object" => "table",
                "integer" => "number",
                "boolean" => "`true`, `false`",
                name => name,
            }
            .to_owned(),
            _ => "value".to_owned(),
        }
    }

    /// Follows a reference into the definitions.
    fn resolve<'v>(&'v self, value: &'v Value) -> &'v Value {
        value["$ref"]
            .as_str()
            .and_then(|path| self.root.pointer(path.trim_start_matches('#')))
            .unwrap_or(value)
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn toml_value(value: &Value) -> String {
    match value {
        Value::Object(map) if map.is_empty() => "{}".to_owned(),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests;
