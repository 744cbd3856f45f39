//! The questions of `--interactive`.

use mls_diag::Exit;

use crate::answers::Answers;
use crate::check::{Check, Checks};
use crate::jobs::{ENFORCE, METRICS_SCHEDULE, MODE, has_database, loads, writes_sql_files};
use crate::terminal::{Terminal, say};

/// A question about the value of a key.
struct Question {
    key: &'static str,
    text: &'static str,
    check: Check,
    /// Whether the earlier answers make the question necessary.
    is_asked: fn(&Answers) -> bool,
    /// The default if the configuration has no value.
    default: &'static str,
}

/// The key of an answer: whether to fetch the IP databases at the end. The configuration has no
/// such key.
pub(crate) const FETCH: &str = "fetch";
/// The key of an answer: whether to send a test mail at the end. The configuration has no such key.
pub(crate) const TEST_MAIL: &str = "test_mail";

/// The key of matches for additional entries of the journal. The entries of this machine's mail
/// servers are always read.
pub(crate) const JOURNAL_MATCH: &str = "paths.journal_match";
/// The key of an answer: matches for the containers that setup has found. Not in the configuration.
pub(crate) const MAIL_CONTAINERS: &str = "mail_containers";

/// The key of the mail servers whose lines are read.
const DAEMONS: &str = "parse.daemons";

/// Pairs of keys: the first key needs the second key. If the second key has no value, setup clears
/// the first key.
const DEPENDENT: [(&str, &str); 3] = [
    (ENFORCE, "alert.ip"),
    ("report.smtp_password_file", "report.smtp_user"),
    ("database.ssl_key", "database.ssl_cert"),
];

/// Pairs of a key and the keys that depend on it. If the value of the key changes, setup clears the
/// dependent keys.
const BELONGING: [(&str, &[&str]); 3] = [
    (
        "report.smtp_host",
        &["report.smtp_tls", "report.smtp_port", "report.smtp_user", "report.smtp_password_file"],
    ),
    ("database.db_type", &["database.db_host"]),
    (
        "database.db_host",
        &["database.db_port", "database.ssl_root", "database.ssl_cert", "database.ssl_key"],
    ),
];

/// The answer that clears a value.
const NOTHING: &str = "none";
/// The answer that returns to the previous question.
const BACK: &str = "<";

const YES_OR_NO: Check = Check::OneOf(&["yes", "no"]);

/// Declares the questions. A question has a key, a check of the value, a text, a condition for
/// asking, and a default if the configuration has no value.
macro_rules! questions {
    ($($key:expr, $check:expr, $text:literal $(, if $is_asked:expr)? $(, default $default:literal)?;)+) => {
        const QUESTIONS: &[Question] = &[$(Question {
            key: $key,
            text: $text,
            check: $check,
            is_asked: questions!(@if $($is_asked)?),
            default: concat!($($default)?),
        }),+];
    };
    (@if) => { |_| true };
    (@if $is_asked:expr) => { $is_asked };
}

questions! {
    "paths.mail_log", Check::MailLog,
        "Mail log to read: a file, or journal for the systemd journal";
    JOURNAL_MATCH, Check::Configured,
        "Containers that write mail logs to the journal (none: do not read them)",
        if |answers| answers.get("paths.mail_log") == "journal" && answers.is_set(MAIL_CONTAINERS);
    "systemd.extraction_schedule", Check::ExtractionSchedule,
        "When to read the mail log: follow (continuously), hourly, *:0/15, ... or never";
    "report.email", Check::Recipients,
        "Recipients of the daily digest, separated by commas (none: no mails)";
    "systemd.report_schedule", Check::Schedule,
        "When to send the digest", if has_recipients;
    "report.smtp_host", Check::Host,
        "Mail server that sends the digest", if has_recipients, default "localhost";
    "report.smtp_tls", Check::OneOf(&["starttls", "tls", "none"]),
        "Encryption to the mail server: starttls, tls or none",
        if has_remote_mail_server, default "starttls";
    "report.smtp_port", Check::Configured,
        "Port of the mail server (none: the usual one)", if has_remote_mail_server;
    "report.smtp_user", Check::OptionalText,
        "User name at the mail server (none: no login)", if has_remote_mail_server;
    "report.smtp_password_file", Check::SecretFile,
        "File that holds the password for the mail server",
        if |answers| has_remote_mail_server(answers) && answers.is_set("report.smtp_user");
    "alert.ip", Check::Configured,
        "Alert when one address fails too often: the limit, such as 20/10m (none: no alerts)";
    "alert.user", Check::Configured,
        "Alert when logins of one user fail too often: the limit, such as 20/10m (none: no alerts)",
        if has_recipients;
    ENFORCE, Check::Enforcers,
        "Block addresses that cause alerts: with nftables, postfix or both (none: do not block)",
        if |answers| answers.is_set("alert.ip");
    DAEMONS, Check::Configured,
        "Servers whose logins are recorded: postfix (SMTP), dovecot (IMAP and POP3) or both";
    "logins.record", YES_OR_NO,
        "Record successful logins too, to find stolen passwords: yes or no (personal data: who logged in when, from where)";
    METRICS_SCHEDULE, Check::Schedule,
        "When to write metrics for Prometheus, such as *:0/5, or never";
    "systemd.ip_update_schedule", Check::Schedule,
        "When to update the country and AS databases";
    "systemd.user", Check::User,
        "User that the service runs as";
    "retention.csv_days", Check::Configured,
        "Days to keep failed logins, at least (none: forever)";
    "database.db_type", Check::OneOf(&["", "sqlite", "postgresql", "mysql"]),
        "Database for the recorded logins: sqlite, postgresql, mysql (MariaDB too) or none";
    MODE, Check::OneOf(&["load", "files"]),
        "How to fill the database: load (directly from the log) or files (SQL files that are \
         imported later)",
        if has_database, default "load";
    "database.db_path", Check::Path,
        "File of the SQLite database", if |answers| answers.get("database.db_type") == "sqlite";
    "database.db_host", Check::HostOrSocket,
        "Host of the database, or the directory of its socket",
        if has_database_server, default "localhost";
    "database.db_port", Check::Configured,
        "Port of the database (none: the usual one)", if has_database_server;
    "database.db_name", Check::Text,
        "Name of the database", if has_database_server, default "maillogsentinel";
    "database.db_user", Check::Text,
        "User name at the database", if has_database_server, default "maillogsentinel";
    "database.db_password_file", Check::SecretFile,
        "File that holds the password for the database", if has_database_server;
    "database.ssl_root", Check::File,
        "File of the CA certificate for the database server (none: all CAs that this machine \
         trusts)",
        if has_remote_database;
    "database.ssl_cert", Check::File,
        "File of the certificate that this machine shows to the database (none: no certificate)",
        if has_remote_database;
    "database.ssl_key", Check::SecretFile,
        "File of the key of the certificate that this machine shows to the database",
        if |answers| has_remote_database(answers) && answers.is_set("database.ssl_cert");
    "database.source", Check::OptionalText,
        "Name of this mail server in the database (none: the name of the machine)",
        if |answers| loads(answers) && has_database_server(answers);
    "retention.database_days", Check::Configured,
        "Days to keep attempts in the database (none: forever; answer none if this mail server \
         may only insert rows)",
        if has_database;
    "systemd.sql_export_schedule", Check::Schedule,
        "When to write SQL files", if writes_sql_files;
    "systemd.sql_import_schedule", Check::Schedule,
        "When to import SQL files into the database", if writes_sql_files;
    TEST_MAIL, YES_OR_NO,
        "Send a test mail at the end: yes or no",
        if |answers| answers.is_set(TEST_MAIL) && has_recipients(answers), default "yes";
    FETCH, YES_OR_NO,
        "Download the country and AS databases now: yes or no",
        if |answers| answers.is_set(FETCH) && answers.get("systemd.ip_update_schedule") != "never", default "yes";
}

/// The keys with their checks. For the file of a secret, only the path is checked, because the file
/// may be written after the setup.
pub(crate) fn checks() -> impl Iterator<Item = (&'static str, Check)> {
    QUESTIONS.iter().map(|question| match question.check {
        Check::SecretFile => (question.key, Check::Path),
        check => (question.key, check),
    })
}

fn has_recipients(answers: &Answers) -> bool {
    answers.is_set("report.email")
}

fn has_remote_mail_server(answers: &Answers) -> bool {
    // The mail server of this machine can have these settings too.
    let has_settings = ["report.smtp_tls", "report.smtp_port", "report.smtp_user"]
        .iter()
        .any(|key| answers.is_set(key));
    has_recipients(answers) && (answers.get("report.smtp_host") != "localhost" || has_settings)
}

fn has_database_server(answers: &Answers) -> bool {
    ["postgresql", "mysql"].contains(&answers.get("database.db_type"))
}

fn has_remote_database(answers: &Answers) -> bool {
    let host = answers.get("database.db_host");
    has_database_server(answers) && host != "localhost" && !host.starts_with('/')
}

pub(crate) fn interview(
    terminal: &mut Terminal<'_>,
    checks: &Checks<'_>,
    answers: &mut Answers,
) -> anyhow::Result<()> {
    say(&format!(
        "Enter keeps the value in brackets, {NOTHING} clears it, {BACK} goes back to the previous question.\n"
    ))?;
    let mut asked: Vec<usize> = Vec::new();
    let mut next = 0;
    while let Some(question) = QUESTIONS.get(next) {
        if !(question.is_asked)(answers) {
            next += 1;
            continue;
        }
        if ask(terminal, checks, question, answers)? {
            asked.push(next);
            next += 1;
        } else {
            next = asked.pop().unwrap_or(next);
        }
    }
    for (key, needed) in DEPENDENT {
        if !answers.is_set(needed) {
            answers.set(key, "");
        }
    }
    Ok(())
}

/// Asks until the answer can be used. Returns false if the user wants the previous question.
fn ask(
    terminal: &mut Terminal<'_>,
    checks: &Checks<'_>,
    question: &Question,
    answers: &mut Answers,
) -> anyhow::Result<bool> {
    let value = answers.get(question.key);
    let offered = match question.key {
        JOURNAL_MATCH => answers.get(MAIL_CONTAINERS),
        _ => question.default,
    };
    let default = if value.is_empty() { offered } else { value }.to_owned();
    let shown = if default.is_empty() { NOTHING } else { &default };
    loop {
        let line = terminal.read_line(&format!("{} [{shown}]: ", question.text))?;
        let Some(line) = line else {
            return Err(Exit::NoInput.error(
                "the input ended before the last question: nothing was \
                written",
            ));
        };
        // If "none" is one of the allowed values, it does not clear the key.
        let has_value_none =
            matches!(question.check, Check::OneOf(values) if values.contains(&NOTHING));
        let answer = match line.as_str() {
            "both" if question.key == ENFORCE => "nftables, postfix",
            "mariadb" if question.key == "database.db_type" => "mysql",
            "both" if question.key == DAEMONS => "postfix, dovecot",
            BACK => return Ok(false),
            "" => &default,
            NOTHING if !has_value_none => "",
            line => line,
        };
        match checks.value(question.key, question.check, answer) {
            Ok(()) => {
                if answer != default {
                    forget_belonging(answers, question.key);
                }
                answers.set(question.key, answer);
                return Ok(true);
            }
            Err(why) => say(&format!("  {why}\n"))?,
        }
    }
}

/// Clears the keys that depend on the value of `key`.
fn forget_belonging(answers: &mut Answers, key: &str) {
    let belonging = BELONGING.iter().filter(|(there, _)| *there == key);
    for key in belonging.flat_map(|(_, keys)| *keys) {
        answers.set(key, "");
        forget_belonging(answers, key);
    }
}
