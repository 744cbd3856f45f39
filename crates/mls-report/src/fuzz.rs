//! Functions that `tests/fuzz` calls with any input bytes. A function panics if a check fails.

#![expect(clippy::expect_used, reason = "a failed check must stop the run")]

use std::net::Ipv4Addr;
use std::path::Path;

use chrono::DateTime;
use clap::Parser;
use mls_config::Config;
use mls_machine::Machine;

use crate::args::Args;
use crate::report::Report;
use crate::run::ReportRun;
use crate::{html, prometheus, text};

/// Makes the report of a file of attempts. Checks that no text of the file becomes a command for a
/// terminal, a browser, a mail server or a collector of metrics.
pub fn report(file: &Path) {
    let name = file.to_string_lossy();
    let args = ["mls-report", "--timezone", "UTC", "--since", "2026-06-01", &name];
    let machine =
        Machine { name: "mail.example".to_owned(), address: Some(Ipv4Addr::LOCALHOST.into()) };
    let now = DateTime::parse_from_rfc3339("2026-12-01T00:00:00Z").expect("a time");
    let job = ReportRun { args: Args::parse_from(args), config: Config::default(), now, machine };
    let mut scope = job.scope().expect("a file");
    // A stream that was cut off has no report.
    let Ok(report) = job.report(&mut scope) else { return };
    assert_harmless(&report);
    let message = job.message(&scope, &report).expect("a message");
    let message = String::from_utf8(message).expect("a message in ASCII");
    for line in message.split("\r\n").take_while(|line| !line.is_empty()) {
        let name = line.split(':').next().unwrap_or_default();
        assert!(line.starts_with([' ', '\t']) || FIELDS.contains(&name), "{line:?}");
    }
}

/// The allowed header fields.
const FIELDS: [&str; 7] =
    ["Auto-Submitted", "Content-Type", "Date", "List-Id", "MIME-Version", "Message-ID", "Subject"];

/// The allowed HTML elements.
const ELEMENTS: &str = "bdi body br code details div h1 h2 h3 head html li meta p pre span strong style summary table td th title tr ul";

/// What else may follow a `<` in the page: the document type, and comments for Outlook.
const DECLARATIONS: [&str; 3] = ["!DOCTYPE html>", "!--[if mso]>", "![endif]-->"];

fn assert_harmless(report: &Report) {
    let is_control = |c: char| c.is_control() && c != '\n';
    let shown = text::render(report, 10, None);
    assert_eq!(mls_event::display_text(&shown.replace('\n', " ")), shown.replace('\n', " "));
    assert!(!shown.contains(is_control), "{shown:?}");
    let page = html::render(report, 10, None, html::Medium::Page).expect("a page");
    assert!(!page.contains(is_control), "{page:?}");
    for tag in page.split('<').skip(1) {
        let name = tag.trim_start_matches('/');
        let name = &name[..name.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(name.len())];
        let is_element = !name.is_empty() && ELEMENTS.split(' ').any(|known| known == name);
        assert!(is_element || DECLARATIONS.iter().any(|known| tag.starts_with(known)), "<{tag}");
    }
    let json = serde_json::to_string(report).expect("JSON");
    assert!(!json.contains(char::is_control));
    for line in prometheus::render(report).lines() {
        assert!(line.starts_with('#') || line.starts_with("maillogsentinel_"), "{line}");
    }
}
