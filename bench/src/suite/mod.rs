//! The suites: each one question with its way to answer it. A new suite is a file here and an
//! arm in each function below.

mod calls;
mod chains;
mod fairness;
mod http;
mod languages;
mod restart;
mod services;
mod slow;
mod start;
mod swaps;

use anyhow::Result;

use crate::plan::Bench;
use crate::report::{Goal, Table};
use crate::results::Results;

/// A question to the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Suite {
    /// What one request costs.
    Http,
    /// What a hundred services cost.
    Services,
    /// How long a start takes.
    Start,
    /// What slow and idle clients do to others.
    Slow,
    /// What guests that compute do to others.
    Fairness,
    /// How soon a service answers again after a crash.
    Restart,
    /// What a call between services costs.
    Calls,
    /// What requests through several services cost.
    Chains,
    /// What is noticed while services are replaced.
    Swaps,
    /// What services in other languages cost.
    Languages,
}

impl Suite {
    /// In the order of the page.
    pub(crate) const ALL: &[Self] = &[
        Self::Http,
        Self::Services,
        Self::Start,
        Self::Slow,
        Self::Fairness,
        Self::Restart,
        Self::Calls,
        Self::Chains,
        Self::Swaps,
        Self::Languages,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Http => http::NAME,
            Self::Services => services::NAME,
            Self::Start => start::NAME,
            Self::Slow => slow::NAME,
            Self::Fairness => fairness::NAME,
            Self::Restart => restart::NAME,
            Self::Calls => calls::NAME,
            Self::Chains => chains::NAME,
            Self::Swaps => swaps::NAME,
            Self::Languages => languages::NAME,
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Http => "Requests",
            Self::Services => "A hundred services",
            Self::Start => "Start",
            Self::Slow => "Idle and slow clients",
            Self::Fairness => "Guests that compute",
            Self::Restart => "After a crash",
            Self::Calls => "Calls between services",
            Self::Chains => "Chains of services",
            Self::Swaps => "While services are replaced",
            Self::Languages => "Languages",
        }
    }

    pub(crate) fn question(self) -> &'static str {
        match self {
            Self::Http => "What does one request cost, beside native servers and `wasmtime serve`?",
            Self::Services => {
                "What do a hundred services in one process cost, idle and under load?"
            }
            Self::Start => "How long does it take from starting the process to the first answer?",
            Self::Slow => "What do many idle connections and slow senders do to other clients?",
            Self::Fairness => "What do guests that compute do to the clients of another service?",
            Self::Restart => "How soon does a service of one instance answer again after a crash?",
            Self::Calls => "What does a call cost that one service makes of another?",
            Self::Chains => "What do requests cost that lead through several services?",
            Self::Swaps => "What do clients notice while services are replaced?",
            Self::Languages => "What does a service cost in each language?",
        }
    }

    pub(crate) fn method(self, bench: &Bench) -> String {
        match self {
            Self::Http => http::method(bench),
            Self::Services => services::method(bench),
            Self::Start => start::method(bench),
            Self::Slow => slow::method(bench),
            Self::Fairness => fairness::method(bench),
            Self::Restart => restart::method(bench),
            Self::Calls => calls::method(bench),
            Self::Chains => chains::method(bench),
            Self::Swaps => swaps::method(bench),
            Self::Languages => languages::method(bench),
        }
    }

    pub(crate) fn run(self, bench: &Bench, results: &mut Results) -> Result<()> {
        match self {
            Self::Http => http::run(bench, results),
            Self::Services => services::run(bench, results),
            Self::Start => start::run(bench, results),
            Self::Slow => slow::run(bench, results),
            Self::Fairness => fairness::run(bench, results),
            Self::Restart => restart::run(bench, results),
            Self::Calls => calls::run(bench, results),
            Self::Chains => chains::run(bench, results),
            Self::Swaps => swaps::run(bench, results),
            Self::Languages => languages::run(bench, results),
        }
    }

    pub(crate) fn tables(self, bench: &Bench, results: &Results) -> Vec<Table> {
        match self {
            Self::Http => http::tables(bench, results),
            Self::Services => services::tables(results),
            Self::Start => start::tables(results),
            Self::Slow => slow::tables(results),
            Self::Fairness => fairness::tables(results),
            Self::Restart => restart::tables(results),
            Self::Calls => calls::tables(results),
            Self::Chains => chains::tables(results),
            Self::Swaps => swaps::tables(results),
            Self::Languages => languages::tables(results),
        }
    }

    pub(crate) fn goals(self, bench: &Bench, results: &Results) -> Vec<Goal> {
        match self {
            Self::Http => http::goals(bench, results),
            Self::Services => services::goals(results),
            Self::Start => start::goals(results),
            Self::Slow => slow::goals(results),
            Self::Fairness => fairness::goals(results),
            Self::Restart => restart::goals(results),
            Self::Calls => calls::goals(results),
            Self::Chains => chains::goals(results),
            Self::Swaps => swaps::goals(results),
            Self::Languages => languages::goals(results),
        }
    }
}
