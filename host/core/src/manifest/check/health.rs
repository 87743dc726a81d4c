//! `health`: one path for all checks, or each check by itself.
use super::super::file::{CheckFile, CheckTable, HealthFile, HealthTable};
use super::super::mistake::Mistake;
use super::super::read::{Entry, Field, good};
use super::Checker;
use super::service::TIME_MIN;
use crate::health::{self, Health, HealthCheck};
use crate::route::normalise;
use crate::spanned::Spanned;

/// What holds for all checks unless they say otherwise.
struct Common {
    path: Option<Spanned<String>>,
    timeout: Option<std::time::Duration>,
}

impl Checker {
    pub(super) fn health(&mut self, file: &Spanned<HealthFile>) -> Option<Spanned<Health>> {
        let shorthand;
        let table = match &file.value {
            HealthFile::Full(table) => table,
            HealthFile::Path(path) => {
                let path = Spanned::new(path.clone(), file.span.clone());
                shorthand = HealthTable {
                    path: Some(Entry::Good(path)),
                    ..HealthTable::default()
                };
                &shorthand
            }
        };
        let checks = [&table.startup, &table.readiness, &table.liveness];
        let asks_nothing = checks.iter().all(|check| check.is_none());
        let interval_of_nothing = table.interval.is_some() && table.liveness.is_none();
        if table.path.is_none() && (asks_nothing || interval_of_nothing) {
            let span = file.span.clone();
            self.required(&table.path, "path", span, "`health`", "path = \"/healthz\"");
        }
        let common = Common {
            path: good(&table.path).cloned(),
            timeout: self.time_between(&table.timeout, "timeout", TIME_MIN..=health::TIMEOUT_MAX),
        };
        let interval = self.time_between(
            &table.interval,
            "interval",
            health::INTERVAL_MIN..=health::INTERVAL_MAX,
        );
        let path_is_good = common.path.as_ref().is_some_and(|path| self.is_path(path));
        let [startup, readiness, liveness] = checks;
        let mut health = Health {
            startup: self.check(startup, "startup", &common, HealthCheck::startup),
            readiness: self.check(readiness, "readiness", &common, HealthCheck::running),
            liveness: self.check(liveness, "liveness", &common, HealthCheck::running),
        };
        if let Some(path) = common.path.filter(|_| path_is_good) {
            let timeout = common.timeout.unwrap_or(health::TIMEOUT);
            if startup.is_none() {
                health.startup = Some(HealthCheck {
                    timeout,
                    ..HealthCheck::startup(&*path.value)
                });
            }
            if let (Some(interval), None) = (interval, liveness) {
                health.liveness = Some(HealthCheck {
                    timeout,
                    interval,
                    ..HealthCheck::running(&*path.value)
                });
            }
        }
        if let (Some(Entry::Good(written)), Some(_)) = (&table.interval, liveness) {
            self.note(
                Mistake::new(
                    "interval-twice",
                    written.span.clone(),
                    "`interval` is short for a liveness check, and there is one",
                )
                .label("says it twice")
                .help("write it as liveness.interval"),
            );
        }
        Some(Spanned::new(health, file.span.clone()))
    }

    fn check(
        &mut self,
        field: &Field<CheckFile>,
        kind: &str,
        common: &Common,
        default: fn(String) -> HealthCheck,
    ) -> Option<HealthCheck> {
        let file = good(field)?;
        let shorthand;
        let table = match &file.value {
            CheckFile::Full(table) => table,
            CheckFile::Path(path) => {
                let path = Spanned::new(path.clone(), file.span.clone());
                shorthand = CheckTable {
                    path: Some(Entry::Good(path)),
                    ..CheckTable::default()
                };
                &shorthand
            }
        };
        let timeout = self.time_between(&table.timeout, "timeout", TIME_MIN..=health::TIMEOUT_MAX);
        let interval = self.time_between(
            &table.interval,
            "interval",
            health::INTERVAL_MIN..=health::INTERVAL_MAX,
        );
        let thresholds = 1..=health::THRESHOLD_MAX;
        let healthy = self.count_between(&table.healthy_after, "healthy-after", thresholds.clone());
        let unhealthy = self.count_between(&table.unhealthy_after, "unhealthy-after", thresholds);
        let path = match (&table.path, &common.path) {
            (Some(Entry::Good(path)), _) => {
                self.is_path(path).then_some(())?;
                path
            }
            (Some(Entry::Bad), _) => return None,
            (None, Some(path)) => path,
            (None, None) => {
                let whose = format!("`{kind}`");
                let example = "path = \"/healthz\"";
                self.required(&table.path, "path", file.span.clone(), &whose, example)?
            }
        };
        let default = default(path.value.clone());
        Some(HealthCheck {
            timeout: timeout.or(common.timeout).unwrap_or(default.timeout),
            interval: interval.unwrap_or(default.interval),
            healthy_after: healthy.map_or(default.healthy_after, |after| after.value),
            unhealthy_after: unhealthy.map_or(default.unhealthy_after, |after| after.value),
            path: default.path,
        })
    }

    /// False, and a mistake, if a request could not ask for it.
    fn is_path(&mut self, path: &Spanned<String>) -> bool {
        let only_path = path.split('?').next().unwrap_or_default();
        let Err(error) = normalise(only_path) else {
            return true;
        };
        let mut mistake = Mistake::new("bad-path", path.span.clone(), error.to_string())
            .label("path of the health check");
        if !path.starts_with('/') {
            mistake = mistake.help(format!("write \"/{}\"", path.value));
        }
        self.note(mistake);
        false
    }
}
