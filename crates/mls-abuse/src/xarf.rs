//! The report as X-ARF version 4: category `connection`, type `login_attack`
//! (<https://xarf.org/>, schemas/v4/types/connection-login-attack.json).

use data_encoding::BASE64;
use mls_diag::count;
use mls_state::cursor_file::sha256;
use serde_json::{Value, json};

use crate::evidence::{Evidence, utc};
use crate::reporter::Reporter;
use crate::text::attempts_of;

/// The version of the schema that the report follows.
const XARF_VERSION: &str = "4.2.0";

/// The report; `None` without attempts.
pub(crate) fn render(evidence: &Evidence, subject: &str, reporter: &Reporter) -> Option<Value> {
    let (first, last) = (utc(evidence.first?), utc(evidence.last?));
    let contact = json!({
        "org": reporter.organisation,
        "contact": reporter.address,
        "domain": reporter.domain(),
    });
    let attempts = attempts_of(evidence);
    let mut items = vec![item("The newest failed logins, times in UTC", &attempts)];
    if !evidence.lines.is_empty() {
        let lines: String = evidence.lines.iter().map(|line| line.clone() + "\n").collect();
        items.push(item("The newest lines of the mail log", &lines));
    }
    let mut report = json!({
        "xarf_version": XARF_VERSION,
        "report_id": uuid(&format!("{subject} {first} {last} {} {}", evidence.attempts, reporter.address)),
        "timestamp": last,
        "reporter": contact,
        "sender": contact,
        "source_identifier": subject,
        "category": "connection",
        "type": "login_attack",
        "evidence_source": "automated_filter",
        "protocol": "tcp",
        "first_seen": first,
        "last_seen": last,
        "attempt_count": evidence.attempts,
        "description": format!("{} at a mail server", count(evidence.attempts, "failed login", "failed logins")),
        "evidence": items,
    });
    match evidence.newest.iter().rev().find_map(|attempt| attempt.port) {
        Some(port) => report["source_port"] = port.into(),
        None => log::warn!(
            "the newest attempts have no client port (X-ARF requires a port), so the receiver may \
             refuse the report; set smtpd_client_port_logging = yes in Postfix, and give mls-abuse \
             the records of mls-parse, not the CSV (the CSV has no ports)"
        ),
    }
    Some(report)
}

fn item(description: &str, text: &str) -> Value {
    json!({
        "content_type": "text/plain",
        "description": description,
        "payload": BASE64.encode(text.as_bytes()),
        "hash": format!("sha256:{}", sha256(text.as_bytes())),
        "size": text.len(),
    })
}

/// Makes an identifier in the form of a UUID version 4 (RFC 9562) from a hash, so that the same report
/// has the same identifier.
fn uuid(text: &str) -> String {
    let hash = sha256(text.as_bytes());
    format!(
        "{}-{}-4{}-8{}-{}",
        &hash[..8],
        &hash[8..12],
        &hash[12..15],
        &hash[15..18],
        &hash[18..30]
    )
}
