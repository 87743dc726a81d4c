//! The values that stand in a manifest's tables: how each is read, and its schema beside it.
use std::borrow::Cow;
use std::fmt::Display;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use toml::de::DeValue;

use super::mistake::Mistake;
use super::network::Network;
use super::read::{Entry, Read, Reader, Value};
use super::suggest::did_you_mean;
use crate::cpu::CpuShare;
use crate::duration::DurationRange;
use crate::grant::{DirectoryMode, Origin};
use crate::limits::MemoryPolicy;
use crate::name::{AppName, ServiceName};
use crate::percent::Percent;
use crate::restart::RestartWhen;
use crate::route::method::{METHODS, Method};
use crate::route::{HostPattern, PathPattern};
use crate::size::ByteSize;
use crate::spanned::Spanned;
use crate::supervision::{Escalate, Strategy};
use crate::watched::Watched;

/// Gives a leaf its schema; leaves are written out where they are used.
macro_rules! schema {
    ($type:ty, $($schema:tt)+) => {
        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($($schema)+)
            }
        }
    };
}

/// A leaf that is written as a string and parsed: its mistakes come from its own parser.
macro_rules! parsed {
    ($type:ty, $code:literal, $expects:literal, $schema:tt) => {
        schema!($type, $schema);
        impl Read for $type {
            const EXPECTS: &'static str = $expects;
            fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
                let text = reader.text(value, Self::EXPECTS)?;
                parse(text, $code, value, reader)
            }
        }
    };
}

fn parse<T: FromStr<Err: Display>>(
    text: &str,
    code: &'static str,
    value: &Value<'_>,
    reader: &mut Reader,
) -> Option<T> {
    match text.parse() {
        Ok(parsed) => Some(parsed),
        Err(error) => {
            let message = error.to_string();
            let label = format!("value of `{}`", reader.key());
            reader.note(Mistake::new(code, value.span(), message).label(label));
            if let Some(help) = remedy(code, text) {
                reader.help(help);
            }
            None
        }
    }
}

/// What to write instead, where the text shows what was meant.
fn remedy(code: &str, text: &str) -> Option<String> {
    let write = |text: &str| Some(format!("write \"{text}\""));
    match code {
        "bad-name" => crate::name::nearest(text).and_then(|name| write(&name)),
        "bad-path" if !text.starts_with('/') && !text.is_empty() => write(&format!("/{text}")),
        "bad-path" if text.ends_with("/*") || text.ends_with("/**") => {
            write(&format!("{}{{*rest}}", text.trim_end_matches('*')))
        }
        "bad-method" => {
            let upper = text.to_ascii_uppercase();
            did_you_mean(&upper, METHODS).or_else(|| Some(format!("one of {}", METHODS.join(", "))))
        }
        "bad-size" => unit_remedy(
            text,
            &[("K", "KiB"), ("M", "MiB"), ("G", "GiB"), ("T", "TiB")],
        ),
        "bad-duration" => unit_remedy(
            text,
            &[
                ("", "s"),
                ("sec", "s"),
                ("secs", "s"),
                ("second", "s"),
                ("seconds", "s"),
                ("min", "m"),
                ("mins", "m"),
                ("minutes", "m"),
                ("hours", "h"),
                ("days", "d"),
            ],
        ),
        "bad-percentage" if text.trim().parse::<u32>().is_ok() => {
            write(&format!("{}%", text.trim()))
        }
        "bad-share" if text.trim().parse::<u32>().is_ok_and(|percent| percent > 0) => {
            write(&format!("{}%", text.trim()))
        }
        "bad-origin" if !text.contains("://") => write(&format!("https://{text}")),
        "bad-origin" => {
            let (scheme, rest) = text.split_once("://")?;
            let host = rest.split(['/', '?', '#']).next()?;
            let host = host.rsplit('@').next()?;
            let origin = format!("{scheme}://{host}");
            origin.parse::<Origin>().ok().and_then(|_| write(&origin))
        }
        "bad-host" if text == "*" => Some("leave `host` out to serve any host".to_owned()),
        "bad-host" => {
            let host = text.split_once("://").map_or(text, |(_, rest)| rest);
            let host = host.split(['/', '?', '#']).next()?.rsplit('@').next()?;
            let host = crate::route::host::without_port(host);
            host.parse::<HostPattern>().ok().and_then(|_| write(host))
        }
        "bad-address" => address_remedy(text).and_then(|address| write(&address)),
        _ => None,
    }
}

fn unit_remedy(text: &str, units: &[(&str, &str)]) -> Option<String> {
    let (number, unit) = crate::size::split_number(text.trim());
    if number.is_empty() || number.len() > 9 {
        return None;
    }
    let (_, right) = units
        .iter()
        .find(|(wrong, _)| wrong.eq_ignore_ascii_case(unit.trim()))?;
    Some(format!("write \"{number}{right}\""))
}

fn address_remedy(text: &str) -> Option<String> {
    let text = text.split_once("://").map_or(text, |(_, rest)| rest);
    let candidates = [
        text.replace("localhost", "127.0.0.1"),
        format!("0.0.0.0{text}"),
        format!("127.0.0.1:{text}"),
        format!("{text}:8080"),
    ];
    candidates
        .into_iter()
        .find(|candidate| candidate.parse::<SocketAddr>().is_ok())
}

parsed!(AppName, "bad-name", "a name such as \"shop\"", {
    "type": "string", "pattern": "^[a-z][a-z0-9-]{0,62}$"
});
parsed!(ServiceName, "bad-name", "the name of a service", {
    "type": "string", "pattern": "^[a-z][a-z0-9-]{0,62}$"
});
parsed!(Network, "bad-network", "a network such as \"10.0.0.0/8\"", {
    "type": "string", "examples": ["10.0.0.0/8", "::1"]
});
parsed!(Origin, "bad-origin", "an origin such as \"https://api.example.com\"", {
    "type": "string", "pattern": "^https?://",
    "examples": ["https://api.example.com", "https://*.example.com", "http://127.0.0.1:9000"]
});
parsed!(HostPattern, "bad-host", "a host such as \"shop.example\" or \"*.example.com\"", {
    "type": "string", "examples": ["shop.example", "*.example.com"]
});
parsed!(PathPattern, "bad-path", "a path such as \"/cart/{id}\"", {
    "type": "string", "pattern": "^/", "examples": ["/", "/cart/{id}", "/cart/{*rest}"]
});
parsed!(Method, "bad-method", "a method such as \"GET\"", {
    "type": "string", "enum": METHODS
});
parsed!(Watched, "bad-pattern", "a path, or a pattern such as \"src/**/*.rs\"", {
    "type": "string", "examples": ["src", "src/**/*.rs"]
});
parsed!(CpuShare, "bad-share", "a share of a core such as \"50%\"", {
    "title": "share of a core",
    "type": "string", "pattern": "^[0-9]+ ?%$", "examples": ["50%"]
});
parsed!(Percent, "bad-percentage", "a percentage such as \"5%\"", {
    "title": "percentage",
    "type": "string", "pattern": "^[0-9]+ ?%$", "examples": ["5%"]
});
parsed!(DurationRange, "bad-duration", "a range such as \"100ms..30s\"", {
    "title": "range of durations", "type": "string", "examples": ["100ms..30s"]
});

schema!(ByteSize, {
    "title": "size",
    "type": ["string", "integer"], "minimum": 0,
    "pattern": "^[0-9]+ ?([KMGT]i?B|kB|B)?$", "examples": ["64MiB"]
});

impl Read for ByteSize {
    const EXPECTS: &'static str = "a size such as \"64MiB\"";
    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        if let DeValue::Integer(_) = value.get_ref() {
            return whole_number(value, reader, Self::EXPECTS, u64::MAX).map(Self::bytes);
        }
        let text = reader.text(value, Self::EXPECTS)?;
        parse(text, "bad-size", value, reader)
    }
}

/// A duration, as the manifest writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Time(pub(super) Duration);

impl FromStr for Time {
    type Err = crate::duration::BadDuration;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        crate::duration::parse(text).map(Self)
    }
}

schema!(Time, {
    "title": "duration",
    "type": "string", "pattern": "^[0-9]+ ?(ms|s|m|h|d)$", "examples": ["500ms", "5s"]
});

impl Read for Time {
    const EXPECTS: &'static str = "a duration with its unit, such as \"5s\"";
    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        let text = reader.text(value, Self::EXPECTS)?;
        parse(text, "bad-duration", value, reader)
    }
}

impl Read for bool {
    const EXPECTS: &'static str = "true or false";
    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        match value.get_ref() {
            DeValue::Boolean(value) => Some(*value),
            _ => reader.wrong_type(value, Self::EXPECTS),
        }
    }
}

impl Read for u32 {
    const EXPECTS: &'static str = "a whole number";
    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        let number = whole_number(value, reader, Self::EXPECTS, u64::from(u32::MAX))?;
        Self::try_from(number).ok()
    }
}

fn whole_number(
    value: &Value<'_>,
    reader: &mut Reader,
    expects: &'static str,
    largest: u64,
) -> Option<u64> {
    let DeValue::Integer(number) = value.get_ref() else {
        return reader.wrong_type(value, expects);
    };
    let parsed = u64::from_str_radix(number.as_str(), number.radix()).ok();
    let parsed = parsed.filter(|number| *number <= largest);
    if parsed.is_none() {
        let message = format!("`{}` must be from 0 to {largest}", reader.key());
        reader.note(Mistake::new("out-of-range", value.span(), message).label("out of range"));
    }
    parsed
}

impl Read for String {
    const EXPECTS: &'static str = "a string";
    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        let text = reader.text(value, Self::EXPECTS)?;
        if text.contains('\0') {
            let message = format!("`{}` has a NUL character", reader.key());
            reader.note(Mistake::new("bad-text", value.span(), message).label("NUL is not text"));
            return None;
        }
        Some(text.to_owned())
    }
}

impl Read for PathBuf {
    const EXPECTS: &'static str = "a path";
    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        let text = reader.text(value, Self::EXPECTS)?;
        if text.is_empty() || text.contains('\0') {
            let message = format!("`{}` is not the path of a file", reader.key());
            reader.note(
                Mistake::new("bad-file", value.span(), message)
                    .label("not a path")
                    .help("write a path relative to the manifest"),
            );
            return None;
        }
        Some(text.into())
    }
}

/// An address to listen on. The standard library's own message says too little.
#[derive(Debug, Clone)]
pub(super) struct Listen(pub(super) SocketAddr);

impl FromStr for Listen {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse()
            .map(Self)
            .map_err(|_| "an address is an IP address and a port, like \"127.0.0.1:8080\"")
    }
}

parsed!(Listen, "bad-address", "an address such as \"127.0.0.1:8080\"", {
    "type": "string", "examples": ["127.0.0.1:8080", "[::]:80"]
});

/// One of a few words.
fn choose<T: Copy>(
    words: &[(&str, T)],
    value: &Value<'_>,
    reader: &mut Reader,
    expects: &str,
) -> Option<T> {
    let text = reader.text(value, expects)?;
    if let Some((_, choice)) = words.iter().find(|(word, _)| *word == text) {
        return Some(*choice);
    }
    let help = did_you_mean(text, words.iter().map(|(word, _)| *word))
        .unwrap_or_else(|| format!("write {expects}"));
    let message = format!("`{}` must be {expects}, not \"{text}\"", reader.key());
    reader.note(
        Mistake::new("bad-choice", value.span(), message)
            .label("not one of them")
            .help(help),
    );
    None
}

schema!(RestartWhen, { "type": "string", "enum": ["on-failure", "always", "never"] });

impl Read for RestartWhen {
    const EXPECTS: &'static str = "\"on-failure\", \"always\" or \"never\"";
    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        let words = [
            ("on-failure", Self::OnFailure),
            ("always", Self::Always),
            ("never", Self::Never),
        ];
        choose(&words, value, reader, Self::EXPECTS)
    }
}

schema!(MemoryPolicy, { "type": "string", "enum": ["fail", "trap"] });

impl Read for MemoryPolicy {
    const EXPECTS: &'static str = "\"fail\" or \"trap\"";
    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        let words = [("fail", Self::Fail), ("trap", Self::Trap)];
        choose(&words, value, reader, Self::EXPECTS)
    }
}

schema!(Strategy, { "type": "string", "enum": ["one-for-one", "one-for-all", "rest-for-one"] });

impl Read for Strategy {
    const EXPECTS: &'static str = "\"one-for-one\", \"one-for-all\" or \"rest-for-one\"";
    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        let words = [
            ("one-for-one", Self::OneForOne),
            ("one-for-all", Self::OneForAll),
            ("rest-for-one", Self::RestForOne),
        ];
        choose(&words, value, reader, Self::EXPECTS)
    }
}

schema!(Escalate, { "type": "string", "enum": ["park", "restart"] });

impl Read for Escalate {
    const EXPECTS: &'static str = "\"park\" or \"restart\"";
    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        let words = [("park", Self::Park), ("restart", Self::Restart)];
        choose(&words, value, reader, Self::EXPECTS)
    }
}

schema!(DirectoryMode, { "type": "string", "enum": ["read-only", "read-write"] });

impl Read for DirectoryMode {
    const EXPECTS: &'static str = "\"read-only\" or \"read-write\"";
    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        let words = [
            ("read-only", Self::ReadOnly),
            ("read-write", Self::ReadWrite),
        ];
        choose(&words, value, reader, Self::EXPECTS)
    }
}

/// A list; its bad items are left out, since they have been noted.
impl<T: Read> Read for Vec<Spanned<T>> {
    const EXPECTS: &'static str = "a list";
    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        let DeValue::Array(items) = value.get_ref() else {
            let expects = format!("a list, each item {}", T::EXPECTS);
            let help = match value.get_ref() {
                DeValue::Table(_) => format!("write [[{}]]", reader.key()),
                _ => format!("write {} = [ … ]", reader.key()),
            };
            reader.wrong_type::<()>(value, &expects);
            reader.help(help);
            return None;
        };
        let read = |item: &Value<'_>| Some(Spanned::new(T::read(item, reader)?, item.span()));
        Some(items.iter().filter_map(read).collect())
    }
}

/// One value, or a list of them.
#[derive(Debug, Clone)]
pub(super) struct OneOrMany<T>(pub(super) Vec<Spanned<T>>);

impl<T: Read> Read for OneOrMany<T> {
    const EXPECTS: &'static str = T::EXPECTS;
    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        if let DeValue::Array(_) = value.get_ref() {
            return Vec::read(value, reader).map(Self);
        }
        let one = T::read(value, reader)?;
        Some(Self(vec![Spanned::new(one, value.span())]))
    }
}

impl<T: JsonSchema> JsonSchema for OneOrMany<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("OneOrMany{}", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1 }] })
    }
}

/// A table whose keys are free; in the order of the keys.
#[derive(Debug, Clone)]
pub(super) struct Map<T>(pub(super) Vec<(Spanned<String>, Entry<T>)>);

impl<T: Read> Read for Map<T> {
    const EXPECTS: &'static str = "a table";
    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        let DeValue::Table(table) = value.get_ref() else {
            return reader.wrong_type(value, Self::EXPECTS);
        };
        let read = table.iter().map(|(key, value)| {
            let name = key.get_ref();
            let entry = reader.within(name, value.span(), |reader| reader.entry(value));
            (Spanned::new(name.clone().into_owned(), key.span()), entry)
        });
        Some(Self(read.collect()))
    }
}

impl<T: JsonSchema> JsonSchema for Map<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("Map{}", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<T>();
        json_schema!({ "type": "object", "additionalProperties": value })
    }
}
