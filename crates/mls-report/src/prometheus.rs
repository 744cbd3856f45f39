//! The report for Prometheus, in its text exposition format, version 0.0.4.
//!
//! All are gauges: they describe a period, not the life of a process. No series carries a user name or an address, because a
//! time series database keeps every label value for ever, and attackers choose theirs; those are in the other forms.

use std::collections::BTreeMap;
use std::fmt::Write;

use mls_event::Rule;

use crate::report::Report;

/// All metrics.
pub(crate) fn render(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_all(&mut out, report);
    out
}

fn write_all(out: &mut String, report: &Report) -> std::fmt::Result {
    let one = |n| [(String::new(), n)];
    let count = |n: usize| [(String::new(), n as u64)];
    metric(out, "attempts", "Failed logins in the period.", one(report.attempts))?;
    if let Some(previous) = report.previous_attempts {
        metric(out, "previous_attempts", "Failed logins in the period before.", one(previous))?;
    }
    if let Some(successful) = report.successful_logins {
        metric(out, "logins", "Successful logins in the period.", one(successful.logins))?;
        let rules = [Rule::Guessed, Rule::Spread, Rule::Targeted];
        let by_rule = rules.map(|rule| {
            let findings = report.suspicious_logins.iter().filter(|it| it.rule == rule);
            (label("rule", rule.name()), findings.count() as u64)
        });
        metric(out, "suspicious_logins", "Suspicious logins in the period by rule.", by_rule)?;
    }
    let hours = (0..).zip(report.hours).map(|(hour, n)| (label("hour", &format!("{hour:02}")), n));
    metric(out, "attempts_by_hour", "Failed logins by hour of the day.", hours)?;
    let countries = report.countries.top.iter();
    let countries = countries.map(|x| {
        (label("country_code", x.country_code.as_deref().unwrap_or_default()), x.attempts)
    });
    metric(out, "attempts_by_country", "Failed logins from the countries with most.", countries)?;
    let systems = report.systems.top.iter();
    let systems = systems.map(|x| {
        (label("asn", &x.asn.map_or_else(String::new, |asn| asn.to_string())), x.attempts)
    });
    metric(out, "attempts_by_as", "Failed logins from the autonomous systems with most.", systems)?;
    metric(
        out,
        "addresses",
        "Distinct addresses that failed to log in.",
        count(report.addresses.distinct),
    )?;
    metric(out, "users", "Distinct user names that were tried.", count(report.users.distinct))?;
    if let Some(new) = &report.new {
        metric(
            out,
            "new_addresses",
            "Addresses never seen before the period.",
            count(new.addresses.distinct),
        )?;
        metric(
            out,
            "new_users",
            "User names never seen before the period.",
            count(new.users.distinct),
        )?;
    }
    metric(
        out,
        "slow_attackers",
        "Addresses that try a little on many days.",
        count(report.slow_attackers.distinct),
    )?;
    let distributed = count(report.distributed_attacks.distinct);
    metric(out, "distributed_attacks", "Users tried from many addresses.", distributed)?;
    let failures =
        report.reverse_dns_failures.top.iter().map(|x| (label("status", &x.status), x.attempts));
    metric(out, "reverse_dns_failures", "Failed logins whose reverse lookup failed.", failures)?;
    if let Some(csv) = &report.csv {
        metric(out, "csv_bytes", "Size of the CSV.", one(csv.bytes))?;
        metric(out, "csv_rows", "Rows of the CSV.", one(csv.rows))?;
    }
    let now = u64::try_from(report.generated.timestamp()).unwrap_or_default();
    metric(out, "report_timestamp_seconds", "When this was counted.", one(now))
}

/// One metric and its samples; nothing where there are none. What has the same labels is one sample: two would spoil the file.
fn metric(
    out: &mut String,
    name: &str,
    help: &str,
    samples: impl IntoIterator<Item = (String, u64)>,
) -> std::fmt::Result {
    let mut by_label: BTreeMap<String, u64> = BTreeMap::new();
    for (label, n) in samples {
        *by_label.entry(label).or_default() += n;
    }
    if by_label.is_empty() {
        return Ok(());
    }
    writeln!(out, "# HELP maillogsentinel_{name} {help}\n# TYPE maillogsentinel_{name} gauge")?;
    by_label.iter().try_for_each(|(label, n)| writeln!(out, "maillogsentinel_{name}{label} {n}"))
}

/// Backslash, quote and newline are the only characters of a value that have a meaning.
fn label(name: &str, value: &str) -> String {
    format!(
        "{{{name}=\"{}\"}}",
        value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
    )
}
