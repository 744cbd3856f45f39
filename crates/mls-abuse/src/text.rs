//! The report as text for a mail.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};

use mls_diag::{count, thousands};

use crate::evidence::{Evidence, utc};
use crate::reporter::Reporter;

/// The largest number of lines in a table.
const MAX_LINES: usize = 20;

/// Returns the text of a mail, signed by `reporter`.
pub(crate) fn render(evidence: &Evidence, subject: &str, reporter: &Reporter) -> String {
    let failed = count(evidence.attempts, "failed login", "failed logins");
    let mut text = format!(
        "Subject: {failed} from {subject}\n\n\
         Our mail server counted {failed} from {subject}.\n\
         Please look into these logins: a machine may be infected or misused.\n\n"
    );
    // Writing to a String cannot fail.
    let mut row = |name: &str, value: &dyn Display| {
        let _ = writeln!(text, "{name:<20}{value}");
    };
    row("Source:", &subject);
    row("Network:", &evidence.network.as_deref().unwrap_or("unknown"));
    if let (Some(first), Some(last)) = (evidence.first, evidence.last) {
        row("First attempt:", &utc(first));
        row("Last attempt:", &utc(last));
    }
    row("Attempts:", &thousands(evidence.attempts));
    row("Protocol:", &"TCP");
    table(&mut text, "Addresses", &evidence.addresses);
    table(&mut text, "Services", &evidence.services);
    table(&mut text, "Client ports", &evidence.ports);
    let _ = write!(text, "\nThe newest attempts, times in UTC:\n\n");
    text += &attempts_of(evidence);
    if !evidence.lines.is_empty() {
        let _ = write!(text, "\nThe newest lines of the mail log:\n\n");
        for line in &evidence.lines {
            let _ = writeln!(text, "{line}");
        }
    }
    let _ = write!(text, "\n{}\n{}\n", reporter.organisation, reporter.address);
    text
}

/// One line for each of the newest attempts.
pub(crate) fn attempts_of(evidence: &Evidence) -> String {
    evidence.newest.iter().fold(String::new(), |mut text, attempt| {
        let _ = write!(text, "{} from {}", utc(attempt.at), attempt.ip);
        let port = attempt.port.map(|port| port.to_string());
        for (name, value) in [
            ("port", port.as_deref()),
            ("at", attempt.server.as_deref()),
            ("service", attempt.service.as_deref()),
            ("mechanism", attempt.mechanism.as_deref()),
        ] {
            if let Some(value) = value {
                let _ = write!(text, " {name} {value}");
            }
        }
        text + "\n"
    })
}

fn table<K: Display + Ord>(text: &mut String, title: &str, counts: &BTreeMap<K, u64>) {
    if counts.is_empty() {
        return;
    }
    let mut counts: Vec<_> = counts.iter().collect();
    counts.sort_by_key(|(_, n)| std::cmp::Reverse(**n));
    let _ = write!(text, "\n{title}:\n");
    for (name, n) in counts.iter().take(MAX_LINES) {
        let _ = writeln!(text, "{n:>8}  {name}");
    }
    if let Some(more) = counts.len().checked_sub(MAX_LINES).filter(|more| *more > 0) {
        let _ = writeln!(text, "          and {more} more");
    }
}
