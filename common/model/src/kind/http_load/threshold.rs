//! Conditions on the result: `p99_ms<50`, `error_rate<=0.01`.
//!
//! In: text, a report. Out: what was measured and whether it holds.
//! Tests: below.

use super::report::Report;
use std::fmt;
use std::str::FromStr;

/// A condition.
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    text: String,
    metric: Metric,
    comparison: Comparison,
    bound: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Series {
    Response,
    Service,
    Lateness,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Statistic {
    Min,
    Mean,
    P50,
    P90,
    P95,
    P99,
    P999,
    Max,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Metric {
    Latency(Series, Statistic),
    ErrorRate,
    CompletedRate,
    SentRate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

const METRICS: &str = "metrics are min_ms mean_ms p50_ms p90_ms p95_ms p99_ms p999_ms max_ms \
(also with service_ or lateness_ before them), error_rate, completed_rate and sent_rate";

impl Threshold {
    /// What was measured, and whether the condition holds.
    #[must_use]
    pub fn judge(&self, report: &Report) -> (f64, bool) {
        let measured = match self.metric {
            Metric::Latency(series, statistic) => {
                let summary = match series {
                    Series::Response => &report.response,
                    Series::Service => &report.service,
                    Series::Lateness => &report.lateness,
                };
                match statistic {
                    Statistic::Min => summary.min_ms,
                    Statistic::Mean => summary.mean_ms,
                    Statistic::P50 => summary.p50_ms,
                    Statistic::P90 => summary.p90_ms,
                    Statistic::P95 => summary.p95_ms,
                    Statistic::P99 => summary.p99_ms,
                    Statistic::P999 => summary.p999_ms,
                    Statistic::Max => summary.max_ms,
                }
            }
            Metric::ErrorRate => report.error_rate,
            Metric::CompletedRate => report.completed_rate,
            Metric::SentRate => report.sent_rate,
        };
        // A latency of which nothing was measured holds no promise.
        let nothing = matches!(self.metric, Metric::Latency(..)) && report.response.count == 0;
        let holds = match self.comparison {
            Comparison::Less => measured < self.bound,
            Comparison::LessOrEqual => measured <= self.bound,
            Comparison::Greater => measured > self.bound,
            Comparison::GreaterOrEqual => measured >= self.bound,
        };
        (measured, holds && !nothing)
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Threshold, String> {
        let form =
            || format!("`{text}` must be a metric, one of < <= > >=, and a number, for example p99_ms<50");
        let at = text.find(['<', '>']).ok_or_else(form)?;
        let (name, rest) = text.split_at(at);
        let (comparison, number) = if let Some(number) = rest.strip_prefix("<=") {
            (Comparison::LessOrEqual, number)
        } else if let Some(number) = rest.strip_prefix(">=") {
            (Comparison::GreaterOrEqual, number)
        } else if let Some(number) = rest.strip_prefix('<') {
            (Comparison::Less, number)
        } else {
            (Comparison::Greater, &rest[1..])
        };
        let bound: f64 = number.trim().parse().map_err(|_| form())?;
        if !bound.is_finite() {
            return Err(form());
        }
        let metric =
            parse_metric(name.trim()).ok_or_else(|| format!("`{}` is unknown; {METRICS}", name.trim()))?;
        Ok(Threshold { text: text.to_owned(), metric, comparison, bound })
    }
}

fn parse_metric(name: &str) -> Option<Metric> {
    match name {
        "error_rate" => return Some(Metric::ErrorRate),
        "completed_rate" => return Some(Metric::CompletedRate),
        "sent_rate" => return Some(Metric::SentRate),
        _ => {}
    }
    let (series, statistic) = if let Some(rest) = name.strip_prefix("service_") {
        (Series::Service, rest)
    } else if let Some(rest) = name.strip_prefix("lateness_") {
        (Series::Lateness, rest)
    } else {
        (Series::Response, name.strip_prefix("response_").unwrap_or(name))
    };
    let statistic = match statistic {
        "min_ms" => Statistic::Min,
        "mean_ms" => Statistic::Mean,
        "p50_ms" => Statistic::P50,
        "p90_ms" => Statistic::P90,
        "p95_ms" => Statistic::P95,
        "p99_ms" => Statistic::P99,
        "p999_ms" => Statistic::P999,
        "max_ms" => Statistic::Max,
        _ => return None,
    };
    Some(Metric::Latency(series, statistic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_judged_by_its_metric() {
        let mut report = Report::default();
        report.response.count = 10;
        report.response.p99_ms = 49.9;
        report.error_rate = 0.01;
        let judge = |text: &str| text.parse::<Threshold>().unwrap().judge(&report).1;
        assert!(judge("p99_ms<50"));
        assert!(!judge("p99_ms < 49.9"));
        assert!(judge("p99_ms<=49.9"));
        assert!(!judge("error_rate<0.01"));
        assert!(judge("error_rate<=0.01"));
        assert!(!judge("completed_rate>1"));
    }

    #[test]
    fn nothing_measured_holds_no_promise() {
        assert!(!"p99_ms<50".parse::<Threshold>().unwrap().judge(&Report::default()).1);
    }

    #[test]
    fn what_is_no_threshold_is_answered_with_the_form_or_the_metrics() {
        for bad in ["p99_ms", "p99_ms=5", "p99_ms<", "p99_ms<x", "p99_ms<inf"] {
            assert!(bad.parse::<Threshold>().unwrap_err().contains("for example"), "{bad}");
        }
        assert!("p98_ms<5".parse::<Threshold>().unwrap_err().contains("p99_ms"));
    }
}
