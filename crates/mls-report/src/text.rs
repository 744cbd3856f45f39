//! The report as plain text, in the layout that administrators know from the Python original.

use std::fmt::{Display, Write};

use mls_event::clean;
use unicode_width::UnicodeWidthStr;

use crate::columns::Align::{self, Left, Right};
use crate::columns::line_up;
use crate::report::{FEW, List, MANY, New, Report};
use crate::verdict::Verdict;

/// Longest bar of a chart.
const BAR: u64 = 40;

/// The whole report; `top` is how long a list may be, `attachment` the sentence about the attached file.
pub(crate) fn render(report: &Report, top: usize, attachment: Option<&str>) -> String {
    let mut out = head(report);
    // Writing to a String cannot fail.
    let _ = write_body(&mut out, report, top, attachment);
    out
}

/// The box of number signs.
fn head(report: &Report) -> String {
    let address = report.server.address.map_or_else(|| "unknown".to_owned(), |ip| ip.to_string());
    let lines = [
        format!("MailLogSentinel v{}", env!("CARGO_PKG_VERSION")),
        format!(
            "Extraction interval : {}",
            report.extraction_interval.as_deref().unwrap_or("unknown")
        ),
        format!("Report at {}", report.generated.format("%Y-%m-%d %H:%M")),
        format!("Server: {address}   ({})", report.server.name),
    ]
    .map(|line| clean(line.as_bytes()).into_owned());
    let width = lines.iter().map(|line| line.width()).max().unwrap_or_default();
    let border = "#".repeat(width + 9);
    let mut out = format!("{border}\n");
    for line in lines {
        out.extend(["### ", &line, &" ".repeat(width - line.width()), "  ###\n"]);
    }
    out + &border + "\n\n"
}

fn write_body(
    out: &mut String,
    report: &Report,
    top: usize,
    attachment: Option<&str>,
) -> std::fmt::Result {
    write_verdict(out, &report.verdict)?;
    let label = &report.period.label;
    writeln!(out, "Total attempts {label}: {}\n", report.attempts)?;

    writeln!(out, "Top {top} failed authentications {label}:")?;
    write_list(out, [Left, Left, Left, Left, Right], &report.logins, |login, exact| {
        [
            known(login.user.as_ref(), "N/A"),
            known(login.ip.as_ref(), "N/A"),
            known(login.hostname.as_ref(), "null"),
            known(login.country_code.as_ref(), "N/A"),
            times(login.attempts, exact),
        ]
    })?;
    writeln!(out, "Top {top} Usernames {label}:")?;
    write_list(out, [Left, Right], &report.users, |x, exact| {
        [known(x.user.as_ref(), "N/A"), times(x.attempts, exact)]
    })?;
    writeln!(out, "Top {top} countries {label}:")?;
    write_list(out, [Left, Right], &report.countries, |x, exact| {
        [known(x.country_code.as_ref(), "N/A"), times(x.attempts, exact)]
    })?;
    writeln!(out, "Top {top} ASO {label}:")?;
    write_list(out, [Left, Right], &report.organisations, |x, exact| {
        [known(x.aso.as_ref(), "N/A"), times(x.attempts, exact)]
    })?;
    writeln!(out, "Top {top} ASN {label}:")?;
    write_list(out, [Left, Right], &report.systems, |x, exact| {
        [known(x.asn.as_ref(), "N/A"), times(x.attempts, exact)]
    })?;
    write_reverse_dns(out, report)?;

    writeln!(out, "Attempts by hour {label}:")?;
    write_hours(out, &report.hours)?;
    writeln!(out, "Top {top} networks {label}:")?;
    write_list(out, [Left, Right, Right], &report.networks, |x, exact| {
        [
            x.network.to_string(),
            number(x.addresses, "address", "addresses"),
            times(x.attempts, exact),
        ]
    })?;
    writeln!(
        out,
        "Slow attackers {label} (seen on {MANY} of 30 days or more, {FEW} tries a day or fewer on average):"
    )?;
    write_list(out, [Left, Right, Right], &report.slow_attackers, |x, exact| {
        [known(Some(&x.ip), ""), format!("{} days", x.days), times(x.attempts.into(), exact)]
    })?;
    writeln!(out, "Distributed attacks {label} (one user from {MANY} addresses or more):")?;
    write_list(out, [Left, Right, Right], &report.distributed_attacks, |x, exact| {
        [known(Some(&x.user), ""), format!("{} addresses", x.addresses), times(x.attempts, exact)]
    })?;
    writeln!(out, "New {label} (never seen in the data before):")?;
    write_new(out, report.new.as_ref())?;
    writeln!(
        out,
        "Change against the {} before:",
        if report.period.is_day { "day" } else { "stretch" }
    )?;
    writeln!(out, "  {}\n", change(report.attempts, report.previous_attempts))?;

    for note in &report.notes {
        writeln!(out, "Note: {note}\n")?;
    }
    if let Some(csv) = &report.csv {
        writeln!(out, "Total CSV file size: {}", kibibytes(csv.bytes))?;
        writeln!(out, "Total CSV lines:     {}\n", csv.rows)?;
    }
    if let Some(attachment) = attachment {
        writeln!(out, "{attachment}\n")?;
    }
    writeln!(out, "{DOCUMENTATION}")
}

fn write_verdict(out: &mut String, verdict: &Verdict) -> std::fmt::Result {
    writeln!(out, "{}\n", verdict.headline)?;
    for account in &verdict.accounts {
        writeln!(out, "  {}", account.user)?;
        for evidence in &account.evidence {
            writeln!(out, "    - {evidence}")?;
        }
        for step in &account.steps {
            let command = step.command.as_deref().unwrap_or(if step.what.ends_with(':') {
                "(no command: the name has characters with a meaning for doveadm)"
            } else {
                ""
            });
            writeln!(out, "    * {}", format!("{} {command}", step.what).trim_end())?;
        }
        writeln!(out)?;
    }
    verdict.remarks.iter().try_for_each(|remark| writeln!(out, "{remark}\n"))
}

/// Where to read on.
pub(crate) const DOCUMENTATION: &str = "For more details and documentation, see: man mls-report";

fn write_reverse_dns(out: &mut String, report: &Report) -> std::fmt::Result {
    let failures = &report.reverse_dns_failures;
    writeln!(out, "--- Reverse DNS Lookup Failure Summary ---")?;
    writeln!(
        out,
        "Total failed reverse lookups {}: {}",
        report.period.label, report.failed_reverse_lookups
    )?;
    if !failures.top.is_empty() {
        writeln!(out, "Breakdown by error type:")?;
    }
    let names: Vec<_> = failures.top.iter().map(|x| [x.status.clone()]).collect();
    let counts: Vec<_> = failures.top.iter().map(|x| [x.attempts.to_string()]).collect();
    let names = line_up([Left], &names);
    let width = names.iter().map(|name| name.width()).max().unwrap_or_default();
    for (name, count) in names.iter().zip(line_up([Right], &counts)) {
        let meaning = meaning(name).map_or_else(String::new, |meaning| format!("  ({meaning})"));
        writeln!(out, "  {name}{} : {count}{meaning}", " ".repeat(width - name.width()))?;
    }
    writeln!(out)
}

/// What the statuses of mls-enrich say (their table is in the documentation of mls-event).
pub(crate) fn meaning(status: &str) -> Option<&'static str> {
    Some(match status {
        "Errno 1" => "Host name not found",
        "Errno 2" => "Server failed to respond",
        "Errno 3" => "Query refused",
        "Errno 4" => "No PTR data",
        _ => return None,
    })
}

fn write_hours(out: &mut String, hours: &[u64; 24]) -> std::fmt::Result {
    let most = hours.iter().copied().max().unwrap_or_default().max(1);
    let rows: Vec<_> = (hours.iter().enumerate())
        .map(|(hour, n)| {
            // The product of a count and a bar's length may not fit.
            let length = (u128::from(*n) * u128::from(BAR)).div_ceil(u128::from(most));
            [
                format!("  {hour:02}"),
                n.to_string(),
                "#".repeat(usize::try_from(length).unwrap_or_default()),
            ]
        })
        .collect();
    for line in line_up([Left, Right, Left], &rows) {
        writeln!(out, "{line}")?;
    }
    writeln!(out)
}

fn write_new(out: &mut String, new: Option<&New>) -> std::fmt::Result {
    let Some(new) = new else { return writeln!(out, "  (no earlier data to compare with)\n") };
    writeln!(
        out,
        "  {}:",
        bound(number(new.addresses.distinct as u64, "address", "addresses"), new.addresses.exact)
    )?;
    write_list(out, [Left, Right], &new.addresses, |x, exact| {
        [known(x.ip.as_ref(), "N/A"), times(x.attempts, exact)]
    })?;
    writeln!(
        out,
        "  {}:",
        bound(number(new.users.distinct as u64, "user name", "user names"), new.users.exact)
    )?;
    write_list(out, [Left, Right], &new.users, |x, exact| {
        [known(x.user.as_ref(), "N/A"), times(x.attempts, exact)]
    })?;
    writeln!(
        out,
        "  {}:",
        bound(number(new.countries.distinct as u64, "country", "countries"), new.countries.exact)
    )?;
    write_list(out, [Left, Right], &new.countries, |x, exact| {
        [known(x.country_code.as_ref(), "N/A"), times(x.attempts, exact)]
    })
}

/// `12 more than the 43 before (+28 %)`
pub(crate) fn change(now: u64, before: Option<u64>) -> String {
    let Some(before) = before else { return "(no earlier data to compare with)".to_owned() };
    let difference = now.abs_diff(before);
    let (word, sign) = if now < before { ("fewer", "-") } else { ("more", "+") };
    match difference {
        0 => format!("as many as before: {now}"),
        _ if before == 0 => format!("{now} instead of none"),
        _ => {
            let percent =
                (u128::from(difference) * 100 + u128::from(before) / 2) / u128::from(before);
            format!("{difference} {word} than the {before} before ({sign}{percent} %)")
        }
    }
}

/// Ranks and lines up the items of a list.
fn write_list<T, const N: usize>(
    out: &mut String,
    columns: [Align; N],
    list: &List<T>,
    cells: impl Fn(&T, bool) -> [String; N],
) -> std::fmt::Result {
    if list.top.is_empty() {
        writeln!(out, "  (none)")?;
    }
    let rows: Vec<_> = list.top.iter().map(|item| cells(item, list.exact)).collect();
    for (rank, line) in (1..).zip(line_up(columns, &rows)) {
        writeln!(out, "  {rank:>2}. {line}")?;
    }
    writeln!(out)
}

/// `5 times`; `at least 5 times` where the count may be too low.
pub(crate) fn times(n: u64, exact: bool) -> String {
    bound(format!("{n} times"), exact)
}

fn bound(count: String, exact: bool) -> String {
    if exact { count } else { format!("at least {count}") }
}

/// `1 address`, `2 addresses`
pub(crate) fn number(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// A name for people's eyes, or a word for what is unknown. Characters that turn the direction of text around would make
/// `exe.jpg` of `gpj.exe`, so they show as what they are: not text.
pub(crate) fn known(value: Option<&impl Display>, unknown: &str) -> String {
    let turns = |c| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    value.map_or_else(|| unknown.to_owned(), |value| value.to_string().replace(turns, "\u{fffd}"))
}

/// `241.1K`, as the original writes sizes.
pub(crate) fn kibibytes(bytes: u64) -> String {
    let tenths = (u128::from(bytes) * 10 + 512) / 1024;
    format!("{}.{}K", tenths / 10, tenths % 10)
}
