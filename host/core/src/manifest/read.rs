//! Reads the raw shape value by value, so that several mistakes in one table are all found, each at
//! its place.
//!
//! A bad value does not end its table: its field is [`Entry::Bad`], which later checks pass over in
//! silence, since the mistake is noted already.
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use toml::de::{DeTable, DeValue};

use super::mistake::Mistake;
use super::suggest::did_you_mean;
use crate::spanned::Spanned;

/// A value as toml gives it, with its place.
pub(super) type Value<'t> = toml::Spanned<DeValue<'t>>;

/// What stands at a key.
#[derive(Debug, Clone)]
pub(super) enum Entry<T> {
    /// Something that has been noted as a mistake.
    Bad,
    Good(Spanned<T>),
}

/// What may stand at a key.
pub(super) type Field<T> = Option<Entry<T>>;

/// What was written well at a key.
pub(super) fn good<T>(field: &Field<T>) -> Option<&Spanned<T>> {
    match field {
        Some(Entry::Good(value)) => Some(value),
        Some(Entry::Bad) | None => None,
    }
}

/// The schema of a field is that of what is written there.
impl<T: JsonSchema> JsonSchema for Entry<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }
    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// The schema of a value is that without its place.
impl<T: JsonSchema> JsonSchema for Spanned<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }
    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// Something that can stand in a manifest.
pub(super) trait Read: Sized {
    /// What it looks like, for "… must be …, not …".
    const EXPECTS: &'static str;

    /// `None`: a mistake has been noted.
    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self>;
}

/// A table with fixed keys. [`table!`] writes the implementations, so that the schema, the known
/// keys and the reading have one source.
pub(super) trait Table: Default {
    const KEYS: &'static [&'static str];

    /// Reads the value of `key`; false if there is no such key.
    fn set(&mut self, key: &str, value: &Value<'_>, reader: &mut Reader) -> bool;
}

/// Defines a table: its keys, their types and their documentation.
macro_rules! table {
    (
        $(#[$meta:meta])*
        $name:ident {
            $( $(#[$field_meta:meta])* $key:literal $field:ident: $type:ty, )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default, schemars::JsonSchema)]
        #[schemars(deny_unknown_fields)]
        pub(super) struct $name {
            $( $(#[$field_meta])* #[schemars(rename = $key)] pub(super) $field: $crate::manifest::read::Field<$type>, )*
        }

        impl $crate::manifest::read::Table for $name {
            const KEYS: &'static [&'static str] = &[$($key),*];

            fn set(
                &mut self,
                key: &str,
                value: &$crate::manifest::read::Value<'_>,
                reader: &mut $crate::manifest::read::Reader,
            ) -> bool {
                match key {
                    $( $key => self.$field = Some(reader.entry(value)), )*
                    _ => return false,
                }
                true
            }
        }

        impl $crate::manifest::read::Read for $name {
            const EXPECTS: &'static str = "a table";

            fn read(
                value: &$crate::manifest::read::Value<'_>,
                reader: &mut $crate::manifest::read::Reader,
            ) -> Option<Self> {
                reader.table(value)
            }
        }
    };
}
pub(super) use table;

/// Notes mistakes and remembers places while values are read.
#[derive(Debug, Default)]
pub(super) struct Reader {
    pub(super) mistakes: Vec<Mistake>,
    /// Dotted keys from the root, and where their values stand.
    pub(super) places: BTreeMap<String, Range<usize>>,
    /// The key that is being read, from the root.
    path: Vec<String>,
}

impl Reader {
    pub(super) fn note(&mut self, mistake: Mistake) {
        self.mistakes.push(mistake);
    }

    /// Adds what to write instead to the mistake that was noted last.
    pub(super) fn help(&mut self, help: String) {
        if let Some(last) = self.mistakes.last_mut() {
            *last = last.clone().help(help);
        }
    }

    /// The key that is being read, for messages.
    pub(super) fn key(&self) -> &str {
        self.path.last().map_or("the manifest", String::as_str)
    }

    pub(super) fn entry<T: Read>(&mut self, value: &Value<'_>) -> Entry<T> {
        match T::read(value, self) {
            Some(read) => Entry::Good(Spanned::new(read, value.span())),
            None => Entry::Bad,
        }
    }

    /// Reads a table with fixed keys.
    pub(super) fn table<T: Table>(&mut self, value: &Value<'_>) -> Option<T> {
        match value.get_ref() {
            DeValue::Table(table) => Some(self.keys(table)),
            _ => self.wrong_type(value, "a table"),
        }
    }

    pub(super) fn keys<T: Table>(&mut self, table: &DeTable<'_>) -> T {
        let mut read = T::default();
        for (key, value) in table {
            let name = key.get_ref();
            let known = self.within(name, value.span(), |reader| read.set(name, value, reader));
            if !known {
                self.unknown_key::<T>(name, key.span());
            }
        }
        read
    }

    /// Reads something at `key` below what is being read now.
    pub(super) fn within<R>(
        &mut self,
        key: &str,
        span: Range<usize>,
        read: impl FnOnce(&mut Self) -> R,
    ) -> R {
        self.path.push(key.to_owned());
        self.places.insert(self.path.join("."), span);
        let result = read(self);
        self.path.pop();
        result
    }

    fn unknown_key<T: Table>(&mut self, key: &str, span: Range<usize>) {
        let place = match self.path.as_slice() {
            [] => "the manifest".to_owned(),
            path => format!("`{}`", path.join(".")),
        };
        let help = did_you_mean(key, T::KEYS.iter().copied())
            .or_else(|| super::file::home_of(key))
            .unwrap_or_else(|| format!("known keys: {}", T::KEYS.join(", ")));
        self.note(
            Mistake::new("unknown-key", span, format!("{place} has no key `{key}`"))
                .label("unknown key")
                .help(help),
        );
    }

    /// Notes that the value has another type than `expects`.
    pub(super) fn wrong_type<T>(&mut self, value: &Value<'_>, expects: &str) -> Option<T> {
        let found = match value.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let message = format!("`{}` must be {expects}, not {found}", self.key());
        self.note(Mistake::new("wrong-type", value.span(), message).label(format!("is {found}")));
        None
    }

    /// The value as text, or a mistake.
    pub(super) fn text<'v>(&mut self, value: &'v Value<'_>, expects: &str) -> Option<&'v str> {
        match value.get_ref() {
            DeValue::String(text) => Some(text),
            _ => self.wrong_type(value, expects),
        }
    }
}
