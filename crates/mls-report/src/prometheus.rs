//! The report for Prometheus, in its text exposition format, version 0.0.4.
//!
//! All are gauges: they describe a period, not the life of a process. No series carries a user name or an address, because a
//! time series database keeps every label value for ever, and attackers choose theirs; those are in the other forms.

use std::fmt::{Display, Write};

use crate::report::Report;

/// All metrics.
pub(crate) fn render(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_all(&mut out, report);
    out
}

fn write_all(out: &mut String, report: &Report) -> std::fmt::Result {
    metric(out, "attempts", "Failed logins in the period.", [([], report.attempts)])?;
    if let Some(previous) = report.previous_attempts {
        metric(out, "previous_attempts", "Failed logins in the period before.", [([], previous)])?;
    }
    metric(
        out,
        "attempts_by_hour",
        "Failed logins by hour of the day.",
        report.hours.iter().enumerate().map(|(hour, n)| ([("hour", format!("{hour:02}"))], *n)),
    )?;
    metric(
        out,
        "attempts_by_country",
        "Failed logins from the countries with most.",
        report
            .countries
            .top
            .iter()
            .map(|x| ([("country_code", x.country_code.clone().unwrap_or_default())], x.attempts)),
    )?;
    metric(
        out,
        "attempts_by_as",
        "Failed logins from the autonomous systems with most.",
        report
            .systems
            .top
            .iter()
            .map(|x| ([("asn", x.asn.map_or_else(String::new, |asn| asn.to_string()))], x.attempts)),
    )?;
    metric(out, "addresses", "Distinct addresses that failed to log in.", [([], report.addresses.distinct)])?;
    metric(out, "users", "Distinct user names that were tried.", [([], report.users.distinct)])?;
    if let Some(new) = &report.new {
        metric(out, "new_addresses", "Addresses never seen before the period.", [([], new.addresses.distinct)])?;
        metric(out, "new_users", "User names never seen before the period.", [([], new.users.distinct)])?;
    }
    metric(out, "slow_attackers", "Addresses that try a little on many days.", [([], report.slow_attackers.distinct)])?;
    metric(
        out,
        "distributed_attacks",
        "Users tried from many addresses.",
        [([], report.distributed_attacks.distinct)],
    )?;
    metric(
        out,
        "reverse_dns_failures",
        "Failed logins whose reverse lookup failed.",
        report.reverse_dns_failures.top.iter().map(|x| ([("status", x.status.clone())], x.attempts)),
    )?;
    if let Some(csv) = &report.csv {
        metric(out, "csv_bytes", "Size of the CSV.", [([], csv.bytes)])?;
        metric(out, "csv_rows", "Rows of the CSV.", [([], csv.rows)])?;
    }
    metric(out, "report_timestamp_seconds", "When this was counted.", [([], report.generated.timestamp())])
}

/// One metric and its samples; none where there are none.
fn metric<const N: usize, V: Display>(
    out: &mut String,
    name: &str,
    help: &str,
    samples: impl IntoIterator<Item = ([(&'static str, String); N], V)>,
) -> std::fmt::Result {
    let mut samples = samples.into_iter().peekable();
    if samples.peek().is_none() {
        return Ok(());
    }
    writeln!(out, "# HELP maillogsentinel_{name} {help}\n# TYPE maillogsentinel_{name} gauge")?;
    for (labels, value) in samples {
        let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        writeln!(out, "maillogsentinel_{name}{labels} {value}")?;
    }
    Ok(())
}

/// A label's value: backslash, quote and newline are the only characters with a meaning.
fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
