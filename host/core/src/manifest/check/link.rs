//! `[link.CALLER.CALLEE]`: ranges, defaults, and that both are services.
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::super::file::{BreakerFile, LinkFile, RetryBudgetFile};
use super::super::leaf::Map;
use super::super::mistake::Mistake;
use super::super::read::{Entry, Field, good};
use super::Checker;
use super::service::TIME_MIN;
use crate::duration::{DurationRange, show};
use crate::limits;
use crate::link::{self, BreakerPolicy, BudgetPolicy, LinkPolicy};
use crate::name::ServiceName;
use crate::spanned::Spanned;

type Policies = BTreeMap<(ServiceName, ServiceName), Spanned<LinkPolicy>>;

impl Checker {
    pub(super) fn link_policies(
        &mut self,
        field: &Field<Map<Map<LinkFile>>>,
        names: &[String],
    ) -> Policies {
        let known: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        let mut policies = Policies::new();
        for (caller, callees) in good(field).iter().flat_map(|map| map.value.0.iter()) {
            let Entry::Good(callees) = callees else {
                continue;
            };
            let from = self.end_of_link(caller, &known);
            for (callee, file) in &callees.value.0 {
                // What is no table is most likely a key in the wrong place, not a service.
                let Entry::Good(file) = file else { continue };
                let to = self.end_of_link(callee, &known);
                let policy = self.link_policy(&file.value);
                if let (Some(from), Some(to)) = (&from, to) {
                    let policy = Spanned::new(policy, callee.span.clone());
                    policies.insert((from.clone(), to), policy);
                }
            }
        }
        policies
    }

    /// The service that is named, if there is one.
    fn end_of_link(
        &mut self,
        written: &Spanned<String>,
        known: &BTreeSet<&str>,
    ) -> Option<ServiceName> {
        match ServiceName::parse(&written.value) {
            Ok(name) => {
                let name = Spanned::new(name, written.span.clone());
                self.known_service(known, &name).then_some(name.value)
            }
            Err(error) => {
                self.note(
                    Mistake::new("bad-name", written.span.clone(), error.to_string())
                        .label("name of a service")
                        .help("write [link.CALLER.CALLEE], with the names of two services"),
                );
                None
            }
        }
    }

    fn link_policy(&mut self, file: &LinkFile) -> LinkPolicy {
        let default = LinkPolicy::default();
        let timeout = self.time_between(&file.timeout, "timeout", TIME_MIN..=limits::DEADLINE_MAX);
        let retries = self.count_between(&file.retries, "retries", 0..=link::RETRIES_MAX);
        let concurrency = self.count_between(
            &file.concurrency,
            "concurrency",
            1..=limits::CONCURRENCY_MAX,
        );
        let retries = retries.map_or(default.retries, |retries| retries.value);
        let idempotent = self.idempotent(&file.idempotent);
        LinkPolicy {
            timeout,
            retries,
            budget: self.retry_budget(&file.retry_budget),
            concurrency: concurrency.map(|concurrency| concurrency.value),
            breaker: good(&file.breaker).map(|breaker| self.breaker(&breaker.value)),
            idempotent,
        }
    }

    fn idempotent(&mut self, field: &Field<Vec<Spanned<String>>>) -> Vec<Spanned<String>> {
        let written = good(field).map_or(&[][..], |list| list.value.as_slice());
        let mut first: BTreeMap<&str, usize> = BTreeMap::new();
        for function in written {
            if let Some(start) = first.insert(&function.value, function.span.start) {
                let what = format!("`{}`", function.value);
                self.duplicate("duplicate-function", function.span.clone(), &what, start);
            }
        }
        written.to_vec()
    }

    fn retry_budget(&mut self, field: &Field<RetryBudgetFile>) -> BudgetPolicy {
        let default = BudgetPolicy::default();
        let Some(file) = good(field) else {
            return default;
        };
        let percent = self.count_between(&file.percent, "percent", 0..=link::BUDGET_PERCENT_MAX);
        let per_second = self.count_between(
            &file.per_second,
            "per-second",
            0..=link::BUDGET_PER_SECOND_MAX,
        );
        let within = self.time_between(
            &file.within,
            "within",
            link::BUDGET_WITHIN_MIN..=link::BUDGET_WITHIN_MAX,
        );
        BudgetPolicy {
            percent: percent.map_or(default.percent, |percent| percent.value),
            per_second: per_second.map_or(default.per_second, |rate| rate.value),
            within: within.unwrap_or(default.within),
        }
    }

    fn breaker(&mut self, file: &BreakerFile) -> BreakerPolicy {
        let default = BreakerPolicy::default();
        let failures =
            self.count_between(&file.failures, "failures", 1..=link::BREAKER_FAILURES_MAX);
        let within = self.time_between(&file.within, "within", TIME_MIN..=link::BREAKER_WITHIN_MAX);
        BreakerPolicy {
            failures: failures.map_or(default.failures, |failures| failures.value),
            within: within.unwrap_or(default.within),
            open: self.open(&file.open).unwrap_or(default.open),
        }
    }

    fn open(&mut self, field: &Field<DurationRange>) -> Option<DurationRange> {
        let written = good(field)?;
        let inside = |time: Duration| (link::OPEN_MIN..=link::OPEN_MAX).contains(&time);
        if inside(written.floor()) && inside(written.ceiling()) {
            return Some(written.value);
        }
        let message = format!(
            "`open` must be from {} to {}, not {}",
            show(link::OPEN_MIN),
            show(link::OPEN_MAX),
            written.value,
        );
        self.note(
            Mistake::new("out-of-range", written.span.clone(), message)
                .label("out of range")
                .help(format!("for example \"{}\"", link::default_open())),
        );
        None
    }
}
