//! What was measured: one value per suite, subject, case, metric and round, and the statistics
//! over rounds. Medians, because one disturbed round must not move a figure.

use serde::Serialize;

/// What is measured, in which unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
}

pub(crate) const RATE: Metric = Metric {
    name: "requests_per_second",
    unit: "1/s",
};
pub(crate) const P50: Metric = Metric {
    name: "latency_p50",
    unit: "ms",
};
pub(crate) const P99: Metric = Metric {
    name: "latency_p99",
    unit: "ms",
};
pub(crate) const CPU: Metric = Metric {
    name: "cpu_per_request",
    unit: "us",
};
pub(crate) const RSS_IDLE: Metric = Metric {
    name: "rss_idle",
    unit: "MiB",
};
pub(crate) const RSS: Metric = Metric {
    name: "rss_loaded",
    unit: "MiB",
};
pub(crate) const RSS_PEAK: Metric = Metric {
    name: "rss_peak",
    unit: "MiB",
};
pub(crate) const ERRORS: Metric = Metric {
    name: "errors",
    unit: "requests",
};
pub(crate) const OTHERS: Metric = Metric {
    name: "core_used_by_others",
    unit: "share",
};

/// What a value belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) suite: &'static str,
    pub(crate) subject: String,
    pub(crate) case: String,
}

impl Key {
    pub(crate) fn new(
        suite: &'static str,
        subject: impl Into<String>,
        case: impl Into<String>,
    ) -> Self {
        Self {
            suite,
            subject: subject.into(),
            case: case.into(),
        }
    }
}

/// One metric of one key, over all rounds.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) key: Key,
    pub(crate) metric: Metric,
    /// Round and value, in the order of recording.
    values: Vec<(usize, f64)>,
}

impl Series {
    pub(crate) fn median(&self) -> f64 {
        median(self.values.iter().map(|(_, value)| *value).collect())
    }

    pub(crate) fn min(&self) -> f64 {
        self.values
            .iter()
            .map(|(_, value)| *value)
            .fold(f64::INFINITY, f64::min)
    }

    pub(crate) fn max(&self) -> f64 {
        self.values
            .iter()
            .map(|(_, value)| *value)
            .fold(f64::NEG_INFINITY, f64::max)
    }

    pub(crate) fn sum(&self) -> f64 {
        self.values.iter().map(|(_, value)| *value).sum()
    }
}

/// Everything that a run of the bench has found.
#[derive(Debug, Default)]
pub(crate) struct Results {
    series: Vec<Series>,
    notes: Vec<(&'static str, String)>,
}

/// One row of the JSON file.
#[derive(Debug, Serialize)]
pub(crate) struct Row<'a> {
    suite: &'static str,
    subject: &'a str,
    case: &'a str,
    metric: String,
    unit: &'static str,
    value: f64,
}

impl Results {
    pub(crate) fn record(&mut self, key: &Key, metric: Metric, round: usize, value: f64) {
        let known = self
            .series
            .iter_mut()
            .find(|it| it.key == *key && it.metric == metric);
        match known {
            Some(series) => series.values.push((round, value)),
            None => {
                let values = vec![(round, value)];
                self.series.push(Series {
                    key: key.clone(),
                    metric,
                    values,
                });
            }
        }
    }

    /// Something that a reader of the suite's tables has to know, said once.
    pub(crate) fn note(&mut self, suite: &'static str, text: impl Into<String>) {
        let note = (suite, text.into());
        if !self.notes.contains(&note) {
            eprintln!("  note: {}", note.1);
            self.notes.push(note);
        }
    }

    pub(crate) fn notes(&self, suite: &'static str) -> impl Iterator<Item = &str> {
        self.notes
            .iter()
            .filter(move |note| note.0 == suite)
            .map(|note| note.1.as_str())
    }

    /// The subjects that a suite has figures of, in the order of their appearance.
    pub(crate) fn subjects(&self, suite: &str) -> Vec<&str> {
        let mut subjects = Vec::new();
        for series in self
            .series
            .iter()
            .filter(|series| series.key.suite == suite)
        {
            if !subjects.contains(&series.key.subject.as_str()) {
                subjects.push(&series.key.subject);
            }
        }
        subjects
    }

    pub(crate) fn get(&self, key: &Key, metric: Metric) -> Option<&Series> {
        self.series
            .iter()
            .find(|series| series.key == *key && series.metric == metric)
    }

    pub(crate) fn median(&self, key: &Key, metric: Metric) -> Option<f64> {
        self.get(key, metric).map(Series::median)
    }

    /// The median over rounds of `of` ÷ `to`: within a round both met the same machine.
    pub(crate) fn ratio(&self, of: &Key, to: &Key, metric: Metric) -> Option<f64> {
        let to = self.get(to, metric)?;
        let ratios: Vec<f64> = (self.get(of, metric)?.values.iter())
            .filter_map(|(round, value)| {
                let (_, base) = to.values.iter().find(|(other, _)| other == round)?;
                (*base > 0.0).then(|| value / base)
            })
            .collect();
        (!ratios.is_empty()).then(|| median(ratios))
    }

    /// Rows for machines: the median under the metric's own name, the range beside it.
    pub(crate) fn rows(&self) -> Vec<Row<'_>> {
        let mut rows = Vec::new();
        for series in &self.series {
            let values = [
                ("", series.median()),
                ("_min", series.min()),
                ("_max", series.max()),
            ];
            // JSON has no infinity: an answer that never came has no row.
            for (suffix, value) in values.into_iter().filter(|(_, value)| value.is_finite()) {
                rows.push(Row {
                    suite: series.key.suite,
                    subject: &series.key.subject,
                    case: &series.key.case,
                    metric: format!("{}{suffix}", series.metric.name),
                    unit: series.metric.unit,
                    value,
                });
            }
        }
        rows
    }
}

/// The middle value, or the mean of the two middle ones.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        count if count % 2 == 1 => values[count / 2],
        count => f64::midpoint(values[count / 2 - 1], values[count / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_ratios_are_taken_over_rounds() {
        let mut results = Results::default();
        let (skep, axum) = (
            Key::new("http", "skep", "hello"),
            Key::new("http", "axum", "hello"),
        );
        for (round, ours, theirs) in [(0, 20.0, 10.0), (1, 90.0, 30.0), (2, 22.0, 11.0)] {
            results.record(&skep, CPU, round, ours);
            results.record(&axum, CPU, round, theirs);
        }
        results.record(&axum, CPU, 3, 1.0);
        assert_eq!(results.median(&skep, CPU), Some(22.0));
        assert_eq!(results.ratio(&skep, &axum, CPU), Some(2.0));
        assert_eq!(
            results.ratio(&skep, &Key::new("http", "none", "hello"), CPU),
            None
        );
        let rows = serde_json::to_value(results.rows()).expect("JSON");
        assert_eq!(
            rows[0],
            serde_json::json!({"suite": "http", "subject": "skep", "case": "hello",
                "metric": "cpu_per_request", "unit": "us", "value": 22.0})
        );
        assert_eq!(rows[2]["metric"], "cpu_per_request_max");
        assert_eq!(median(vec![1.0, 2.0]), 1.5);
    }
}
