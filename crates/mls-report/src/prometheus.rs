//! The report for Prometheus, in its text exposition format, version 0.0.4, for the textfile
//! collector of `node_exporter`.
//!
//! A report of a period consists of gauges. With `--since-last`, most metrics are counters, whose
//! names end in `_total`. Each run replaces the file and adds the new rows to the counters. So the
//! counters never decrease, and `rate()` and `increase()` work. All counters are 0 when the file is
//! written for the first time. Unknown values have no series. If a label has `--top` series, a new
//! value of this label gets no series. So the sum over a label can be smaller than the total.
//!
//! The names of these counters begin with `maillogsentinel_`:
//!
//! - `failed_logins_total`: failed logins
//! - `failed_logins_by_country_total`: failed logins by `country_code`
//! - `failed_logins_by_as_total`: failed logins by `asn`, the autonomous system
//! - `failed_logins_by_server_total`: failed logins by `server`
//! - `reverse_dns_failures_total`: failed reverse lookups by `status`
//! - `suspicious_logins_total`: suspicious logins by `rule`, counted once for each user and day
//!
//! User names and addresses are never labels: attackers choose them, and a time series database
//! keeps each value for a long time. `--top` limits the number of series for a label; 500 is enough
//! for all countries. The limit also protects the label `server`: anybody can send any server name
//! to a central log host over UDP.

use std::collections::BTreeMap;
use std::fmt::Write;

use mls_event::Rule;

use crate::counters::{Counters, first_line};
use crate::report::Report;
use crate::since_last::DigestEnd;

/// Returns the metrics of a period.
pub(crate) fn render(report: &Report) -> String {
    let mut metrics = Metrics(String::new());
    write_attempts(&mut metrics, report);
    write_logins(&mut metrics, report);
    write_names(&mut metrics, report);
    write_file(&mut metrics, report);
    metrics.0
}

/// The metrics of `--since-last`: the counters of the last run plus the numbers of this report.
/// `end` is the position at which this report ends.
pub(crate) fn render_counters(
    report: &Report,
    earlier: &Counters,
    end: &DigestEnd,
    top: usize,
) -> anyhow::Result<String> {
    let mut metrics = Metrics(first_line(end)?);
    let mut counter = |name: &str, help: &str, samples: Vec<(String, u64)>| {
        let name = format!("{name}_total");
        let samples = earlier.plus(&full_name(&name), samples, top);
        metrics.metric(&name, "counter", help, samples);
    };
    counter("failed_logins", "Failed logins.", one(report.attempts).into());
    counter("failed_logins_by_country", "Failed logins by country.", by_country(report));
    counter("failed_logins_by_as", "Failed logins by autonomous system.", by_system(report));
    counter("failed_logins_by_server", "Failed logins by server.", by_server(report));
    counter("reverse_dns_failures", REVERSE_DNS_FAILURES, by_status(report));
    let has_logins = report.successful_logins.is_some();
    if has_logins || earlier.has(&full_name("suspicious_logins_total")) {
        counter("suspicious_logins", "Suspicious logins by rule.", by_rule(report));
    }
    write_file(&mut metrics, report);
    Ok(metrics.0)
}

const REVERSE_DNS_FAILURES: &str = "Failed logins whose reverse lookup failed.";

fn write_file(metrics: &mut Metrics, report: &Report) {
    if let Some(csv) = &report.csv {
        metrics.gauge("csv_bytes", "Size of the newest CSV.", one(csv.bytes));
        metrics.gauge("csv_rows", "Rows of the newest CSV.", one(csv.rows));
    }
    let now = u64::try_from(report.generated.timestamp()).unwrap_or_default();
    metrics.gauge("report_timestamp_seconds", "When these metrics were made.", one(now));
}

fn by_country(report: &Report) -> Vec<(String, u64)> {
    let countries = report.countries.top.iter();
    countries.map(|x| (label("country_code", &x.country_code), x.attempts)).collect()
}

fn by_system(report: &Report) -> Vec<(String, u64)> {
    let systems = report.systems.top.iter();
    systems.filter_map(|x| Some((label("asn", &x.asn?.to_string()), x.attempts))).collect()
}

fn by_server(report: &Report) -> Vec<(String, u64)> {
    let servers = report.servers.top.iter();
    servers.map(|x| (label("server", &x.server), x.attempts)).collect()
}

fn by_status(report: &Report) -> Vec<(String, u64)> {
    let failures = report.reverse_dns_failures.top.iter();
    failures.map(|x| (label("status", &x.status), x.attempts)).collect()
}

fn by_rule(report: &Report) -> Vec<(String, u64)> {
    let rules = [Rule::Guessed, Rule::Spread, Rule::Targeted].into_iter();
    let count = |rule| report.suspicious_logins.iter().filter(|it| it.rule == rule).count() as u64;
    rules.map(|rule| (label("rule", rule.name()), count(rule))).collect()
}

fn write_attempts(metrics: &mut Metrics, report: &Report) {
    metrics.gauge("failed_logins", "Failed logins in the period.", one(report.attempts));
    metrics.gauge("failed_logins_by_country", "Failed logins by country.", by_country(report));
    metrics.gauge("failed_logins_by_as", "Failed logins by autonomous system.", by_system(report));
    metrics.gauge("failed_logins_by_server", "Failed logins by server.", by_server(report));
    let hours = (0..).zip(report.hours).map(|(hour, n)| (label("hour", &format!("{hour:02}")), n));
    metrics.gauge("failed_logins_by_hour", "Failed logins by hour of the day.", hours);
    metrics.gauge("reverse_dns_failures", REVERSE_DNS_FAILURES, by_status(report));
    if let Some(previous) = report.previous_attempts {
        let help = "Failed logins in the period of the same length before this one.";
        metrics.gauge("previous_failed_logins", help, one(previous));
    }
    if let Some(usual) = report.usual_attempts {
        metrics.gauge("usual_failed_logins", "Failed logins of a usual day.", one(usual));
    }
}

fn write_logins(metrics: &mut Metrics, report: &Report) {
    let Some(successful) = report.successful_logins else { return };
    metrics.gauge("logins", "Successful logins in the period.", one(successful.logins));
    let help = "Suspicious logins in the period by rule.";
    metrics.gauge("suspicious_logins", help, by_rule(report));
}

fn write_names(metrics: &mut Metrics, report: &Report) {
    let mut gauge = |name, help, n: usize| metrics.gauge(name, help, one(n as u64));
    gauge("addresses", "Addresses that failed to log in.", report.addresses.distinct);
    gauge("users", "User names that were tried.", report.users.distinct);
    if let Some(new) = &report.new {
        gauge("new_addresses", "Addresses not seen before the period.", new.addresses.distinct);
        gauge("new_users", "User names not seen before the period.", new.users.distinct);
    }
    let widespread = report.widespread_attackers.distinct;
    gauge("widespread_attackers", "Addresses that tried several servers.", widespread);
    let slow = report.slow_attackers.distinct;
    gauge("slow_attackers", "Addresses that make a few attempts on many days.", slow);
    let distributed = report.distributed_attacks.distinct;
    gauge("distributed_attacks", "Users tried from many addresses.", distributed);
    let silent = report.silent_servers.distinct;
    gauge("silent_servers", "Servers without attempts for longer than usual.", silent);
    let silent = report.silent_servers.top.iter();
    let silent = silent.map(|x| (label("server", &x.server), 1));
    metrics.gauge("server_is_silent", "1 for each silent server.", silent);
}

struct Metrics(String);

impl Metrics {
    fn gauge(&mut self, name: &str, help: &str, samples: impl IntoIterator<Item = (String, u64)>) {
        self.metric(name, "gauge", help, samples);
    }

    /// Writes a metric, if it has samples. Adds samples with the same labels together, because the
    /// collector refuses a file in which two samples have the same labels.
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
        let name = full_name(name);
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (label, n) in by_label {
            let _ = writeln!(self.0, "{name}{label} {n}");
        }
    }
}

fn full_name(name: &str) -> String {
    format!("maillogsentinel_{name}")
}

fn one(n: u64) -> [(String, u64); 1] {
    [(String::new(), n)]
}

/// Backslash, quote and newline are the only special characters in a value.
fn label(name: &str, value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("{{{name}=\"{value}\"}}")
}
