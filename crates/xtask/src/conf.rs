//! maillogsentinel.conf(5), made from the commented example.
#![expect(
    clippy::format_push_string,
    reason = "a page is made once, and an allocation more is nothing"
)]

use crate::markdown::{escape, paragraph};

const EXAMPLE: &str = include_str!("../../mls-config/maillogsentinel.conf");

/// The page.
pub(crate) fn page(date: &str) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut page = format!(
        ".TH MAILLOGSENTINEL.CONF 5 \"{date}\" \"MailLogSentinel {version}\" MailLogSentinel\n\
         .SH NAME\nmaillogsentinel.conf \\- configuration of MailLogSentinel\n\
         .SH SYNOPSIS\n/etc/maillogsentinel.conf\n.SH DESCRIPTION\n"
    );
    for block in EXAMPLE.split("\n\n") {
        let mut prose = String::new();
        let mut keys = Vec::new();
        for line in block.lines() {
            if line == "#" {
                paragraph(&mut page, &std::mem::take(&mut prose));
                page += ".PP\n";
            } else if line.starts_with('[') {
                page += &format!(".SH \"{}\"\n", escape(line));
            } else if let Some(comment) = line.strip_prefix("# ") {
                prose += comment;
                prose.push(' ');
            } else if let Some(key) = line.strip_prefix('#') {
                keys.push(key);
            }
        }
        for (n, key) in keys.iter().enumerate() {
            let (key, value) = key.split_once('=').unwrap_or((key, ""));
            let value = if value.trim().is_empty() {
                String::new()
            } else {
                format!(" = {}", escape(value.trim()))
            };
            page += &format!(
                ".T{}\n\\fB{}\\fR{value}\n",
                if n == 0 { "P" } else { "Q" },
                escape(key.trim())
            );
        }
        paragraph(&mut page, &prose);
    }
    page += ".SH \"NAMES OF THE PYTHON ORIGINAL\"\n";
    paragraph(
        &mut page,
        "The file of the Python original is read as it is: its names, in the sections [sqlite_database], [sql_export_systemd], \
         [sql_import_systemd], [sql_export_settings], [geo], [timers], [permissions] and [meta] and elsewhere, stand for those \
         above.",
    );
    page += ".SH FILES\n.TP\n/etc/maillogsentinel.conf\nwhat the units and \\fBmaillogsentinel\\fR(8) read\n";
    page += ".SH SEE ALSO\n\\fBmaillogsentinel\\fR(8), \\fBsystemd.time\\fR(7)\n";
    page
}
