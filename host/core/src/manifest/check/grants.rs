//! `grants` of a service.
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::PathBuf;

use super::super::file::{ConfigFile, ConfigFrom, GrantsFile};
use super::super::leaf::Map;
use super::super::mistake::Mistake;
use super::super::read::{Entry, Field, good};
use super::Checker;
use crate::grant::{ConfigValue, DirectoryGrant, GrantedValue, Grants, Origin};
use crate::spanned::Spanned;

impl Checker {
    pub(super) fn grants(&mut self, field: &Field<GrantsFile>) -> Grants {
        let Some(file) = good(field) else {
            return Grants::default();
        };
        for bucket in good(&file.keyvalue).iter().flat_map(|list| list.iter()) {
            let message = "key-value buckets are not available yet";
            self.note(
                Mistake::new("not-available", bucket.span.clone(), message)
                    .label("cannot be granted")
                    .help("remove `keyvalue`; keep data in the instance or in files for now"),
            );
        }
        Grants {
            http: self.origins(&file.http),
            config: self.values(&file.config, "config"),
            environment: self.values(&file.environment, "environment"),
            directories: self.directories(file),
            args: good(&file.args).map_or_else(Vec::new, |args| args.value.clone()),
        }
    }

    fn origins(&mut self, field: &Field<Vec<Spanned<Origin>>>) -> Vec<Spanned<Origin>> {
        let origins = good(field).map_or_else(Vec::new, |origins| origins.value.clone());
        let mut seen = HashMap::new();
        for origin in &origins {
            let first = *seen.entry(&origin.value).or_insert(origin.span.start);
            if first != origin.span.start {
                let what = format!("the origin {}", origin.value);
                self.duplicate("duplicate-origin", origin.span.clone(), &what, first);
            }
        }
        origins
    }

    fn values(
        &mut self,
        field: &Field<Map<ConfigFile>>,
        what: &str,
    ) -> BTreeMap<String, Spanned<GrantedValue>> {
        let mut values = BTreeMap::new();
        for (name, value) in good(field).iter().flat_map(|map| map.value.0.iter()) {
            let variable = what == "environment";
            if name.is_empty() || name.contains('\0') || (variable && name.contains('=')) {
                let message = format!("`{}` cannot be the name of a value", name.value);
                self.note(
                    Mistake::new("bad-variable", name.span.clone(), message)
                        .label(format!("name in `{what}`"))
                        .help("a name is not empty and has no `=`"),
                );
            }
            let Entry::Good(value) = value else { continue };
            let granted = match &value.value {
                ConfigFile::Literal(text) => Some(GrantedValue {
                    from: ConfigValue::Literal(text.clone()),
                    secret: false,
                }),
                ConfigFile::From(from) => self.value_from(from, name, &value.span),
            };
            if let Some(granted) = granted {
                values.insert(
                    name.value.clone(),
                    Spanned::new(granted, value.span.clone()),
                );
            }
        }
        values
    }

    fn value_from(
        &mut self,
        from: &ConfigFrom,
        name: &Spanned<String>,
        span: &Range<usize>,
    ) -> Option<GrantedValue> {
        let source = match (&from.env, &from.file) {
            (Some(Entry::Good(env)), None) => ConfigValue::Env(env.value.clone()),
            (None, Some(Entry::Good(file))) => ConfigValue::File(file.value.clone()),
            (Some(Entry::Bad), None) | (None, Some(Entry::Bad)) => return None,
            // The mistake is in an unknown key.
            (None, None) if self.noted_within(span) => return None,
            (None, None) | (Some(_), Some(_)) => {
                let message = format!("`{}` needs one source", name.value);
                self.note(
                    Mistake::new("one-source", span.clone(), message)
                        .label("`env` or `file`, and only one of them")
                        .help("write { env = \"NAME\" } or { file = \"path\" }"),
                );
                return None;
            }
        };
        Some(GrantedValue {
            from: source,
            secret: good(&from.secret).is_some_and(|secret| secret.value),
        })
    }

    fn directories(&mut self, file: &GrantsFile) -> Vec<Spanned<DirectoryGrant>> {
        let mut grants: Vec<Spanned<DirectoryGrant>> = Vec::new();
        let mut seen = HashMap::new();
        for table in good(&file.directories).iter().flat_map(|list| list.iter()) {
            let (span, whose) = (table.span.clone(), "this directory");
            let host = self.required(&table.host, "host", span.clone(), whose, "host = \"data\"");
            let guest = self.required(&table.guest, "guest", span, whose, "guest = \"/data\"");
            let Some(guest) = guest else { continue };
            if !is_guest_path(&guest.value) {
                let message = "`guest` is an absolute path without empty, `.` and `..` segments";
                self.note(
                    Mistake::new("bad-guest-path", guest.span.clone(), message)
                        .label("where the guest sees the directory")
                        .help("write for example \"/data\""),
                );
            }
            let first = *seen.entry(&guest.value).or_insert(guest.span.start);
            if first != guest.span.start {
                let what = format!("the guest's directory `{}`", guest.value);
                self.duplicate("duplicate-directory", guest.span.clone(), &what, first);
            }
            let grant = DirectoryGrant {
                host: host.map_or_else(PathBuf::new, |host| host.value.clone()),
                guest: guest.value.clone(),
                mode: good(&table.mode).map(|mode| mode.value).unwrap_or_default(),
            };
            grants.push(Spanned::new(grant, table.span.clone()));
        }
        grants
    }
}

fn is_guest_path(path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/') else {
        return false;
    };
    let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
    rest.is_empty() || rest.split('/').all(plain)
}
