//! The report for Prometheus, in its text exposition format, version 0.0.4, for the textfile
//! collector of `node_exporter`.
//!
//! Metrics that end in `_total` are counters. They grow until the end of the period, and the next period
//! begins at 0; with `--date today` that is at midnight. `rate()` and `increase()` handle such resets. All
//! other metrics are gauges of the period. Unknown values have no series: their number is
//! `failed_logins_total` without the sum over a label.
//!
//! No label is a user name or an address, because attackers choose them, and a time series database keeps
//! each for a long time. `--top` limits the number of countries and autonomous systems. `--top 500`
//! shows all countries.

use std::collections::BTreeMap;
use std::fmt::Write;

use mls_event::Rule;

use crate::report::Report;

/// Returns all metrics.
pub(crate) fn render(report: &Report) -> String {
    let mut metrics = Metrics(String::new());
    write_attempts(&mut metrics, report);
    write_logins(&mut metrics, report);
    write_names(&mut metrics, report);
    if let Some(csv) = &report.csv {
        metrics.gauge("csv_bytes", "Size of the newest CSV.", one(csv.bytes));
        metrics.gauge("csv_rows", "Rows of the newest CSV.", one(csv.rows));
    }
    let now = u64::try_from(report.generated.timestamp()).unwrap_or_default();
    metrics.gauge("report_timestamp_seconds", "When these metrics were made.", one(now));
    metrics.0
}

fn write_attempts(metrics: &mut Metrics, report: &Report) {
    metrics.counter("failed_logins", "Failed logins in the period.", one(report.attempts));
    let countries = report.countries.top.iter();
    let countries = countries.map(|x| (label("country_code", &x.country_code), x.attempts));
    metrics.counter("failed_logins_by_country", "Failed logins by country.", countries);
    let systems = report.systems.top.iter();
    let systems = systems.filter_map(|x| Some((label("asn", &x.asn?.to_string()), x.attempts)));
    metrics.counter("failed_logins_by_as", "Failed logins by autonomous system.", systems);
    let hours = (0..).zip(report.hours).map(|(hour, n)| (label("hour", &format!("{hour:02}")), n));
    metrics.counter("failed_logins_by_hour", "Failed logins by hour of the day.", hours);
    let failures = report.reverse_dns_failures.top.iter();
    let failures = failures.map(|x| (label("status", &x.status), x.attempts));
    metrics.counter("reverse_dns_failures", "Failed logins whose reverse lookup failed.", failures);
    if let Some(previous) = report.previous_attempts {
        let help = "Failed logins in the period of the same length before.";
        metrics.gauge("previous_failed_logins", help, one(previous));
    }
    if let Some(usual) = report.usual_attempts {
        metrics.gauge("usual_failed_logins", "Failed logins of a usual day.", one(usual));
    }
}

fn write_logins(metrics: &mut Metrics, report: &Report) {
    let Some(successful) = report.successful_logins else { return };
    metrics.counter("logins", "Successful logins in the period.", one(successful.logins));
    let by_rule = [Rule::Guessed, Rule::Spread, Rule::Targeted].map(|rule| {
        let findings = report.suspicious_logins.iter().filter(|it| it.rule == rule);
        (label("rule", rule.name()), findings.count() as u64)
    });
    metrics.gauge("suspicious_logins", "Suspicious logins in the period by rule.", by_rule);
}

fn write_names(metrics: &mut Metrics, report: &Report) {
    let mut gauge = |name, help, n: usize| metrics.gauge(name, help, one(n as u64));
    gauge("addresses", "Addresses that failed to log in.", report.addresses.distinct);
    gauge("users", "User names that were tried.", report.users.distinct);
    if let Some(new) = &report.new {
        gauge("new_addresses", "Addresses not seen before the period.", new.addresses.distinct);
        gauge("new_users", "User names not seen before the period.", new.users.distinct);
    }
    let slow = report.slow_attackers.distinct;
    gauge("slow_attackers", "Addresses that try a little on many days.", slow);
    let distributed = report.distributed_attacks.distinct;
    gauge("distributed_attacks", "Users tried from many addresses.", distributed);
}

/// Metrics in the text format.
struct Metrics(String);

impl Metrics {
    /// A counter; its name gets the suffix `_total`.
    fn counter(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (String, u64)>,
    ) {
        self.metric(&format!("{name}_total"), "counter", help, samples);
    }

    fn gauge(&mut self, name: &str, help: &str, samples: impl IntoIterator<Item = (String, u64)>) {
        self.metric(name, "gauge", help, samples);
    }

    /// Adds a metric and its samples, if it has any. Adds the values of samples with the same labels, because
    /// the collector refuses a file with two of them.
    fn metric(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        samples: impl IntoIterator<Item = (String, u64)>,
    ) {
        let mut by_label: BTreeMap<String, u64> = BTreeMap::new();
        for (label, n) in samples {
            *by_label.entry(label).or_default() += n;
        }
        if by_label.is_empty() {
            return;
        }
        let name = format!("maillogsentinel_{name}");
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (label, n) in by_label {
            let _ = writeln!(self.0, "{name}{label} {n}");
        }
    }
}

/// One sample without labels.
fn one(n: u64) -> [(String, u64); 1] {
    [(String::new(), n)]
}

/// Backslash, quote and newline are the only characters of a value that have a meaning.
fn label(name: &str, value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("{{{name}=\"{value}\"}}")
}
