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

/// Whether to fetch the IP databases at the end; not a key of the configuration.
pub(crate) const FETCH: &str = "fetch";
/// Whether to send a test mail at the end; not a key of the configuration.
pub(crate) const TEST_MAIL: &str = "test_mail";

/// The entries of the journal to read in addition to those of this machine's mail servers.
pub(crate) const JOURNAL_MATCH: &str = "paths.journal_match";
/// The matches for containers that setup has found; not a key of the configuration.
pub(crate) const MAIL_CONTAINERS: &str = "mail_containers";

/// The mail servers whose lines are read.
const DAEMONS: &str = "parse.daemons";

/// Keys, each with another key that it needs.
const DEPENDENT: [(&str, &str); 3] = [
    (ENFORCE, "alert.ip"),
    ("report.smtp_password_file", "report.smtp_user"),
    ("database.ssl_key", "database.ssl_cert"),
];

/// Keys, each with keys whose values fit only its value: if it changes, they lose theirs.
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

const ALWAYS: Question = Question {
    key: "paths.mail_log",
    text: "Mail log to read: a file, or journal for the systemd journal",
    check: Check::MailLog,
    is_asked: |_| true,
    default: "",
};

const QUESTIONS: [Question; 36] = [
    ALWAYS,
    Question {
        key: JOURNAL_MATCH,
        text: "Containers that write mail logs to the journal (none: do not read them)",
        check: Check::JournalMatches,
        is_asked: |answers| {
            answers.get("paths.mail_log") == "journal" && answers.is_set(MAIL_CONTAINERS)
        },
        default: "",
    },
    Question {
        key: "systemd.extraction_schedule",
        text: "When to read it: follow (continuously), hourly, *:0/15, ... or never",
        check: Check::ExtractionSchedule,
        ..ALWAYS
    },
    Question {
        key: "report.email",
        text: "Recipients of the daily digest, separated by commas",
        check: Check::Recipients,
        ..ALWAYS
    },
    Question {
        key: "systemd.report_schedule",
        text: "When to send the digest",
        check: Check::Schedule,
        is_asked: has_recipients,
        ..ALWAYS
    },
    Question {
        key: "report.smtp_host",
        text: "Mail server that sends the digest",
        check: Check::Host,
        is_asked: has_recipients,
        default: "localhost",
    },
    Question {
        key: "report.smtp_tls",
        text: "Encryption to the mail server: starttls, tls or none",
        check: Check::OneOf(&["starttls", "tls", "none"]),
        is_asked: has_remote_mail_server,
        default: "starttls",
    },
    Question {
        key: "report.smtp_port",
        text: "Port of the mail server (none: the usual one)",
        check: Check::Port,
        is_asked: has_remote_mail_server,
        default: "",
    },
    Question {
        key: "report.smtp_user",
        text: "User name at the mail server (none: no login)",
        check: Check::OptionalText,
        is_asked: has_remote_mail_server,
        default: "",
    },
    Question {
        key: "report.smtp_password_file",
        text: "File that holds the password for the mail server",
        check: Check::SecretFile,
        is_asked: |answers| has_remote_mail_server(answers) && answers.is_set("report.smtp_user"),
        default: "",
    },
    Question {
        key: "alert.ip",
        text: "Alert when one address fails this often, such as 20/10m (none: no alerts)",
        check: Check::Threshold,
        ..ALWAYS
    },
    Question {
        key: "alert.user",
        text: "Alert when logins of one user fail this often",
        check: Check::Threshold,
        is_asked: has_recipients,
        ..ALWAYS
    },
    Question {
        key: ENFORCE,
        text: "Block addresses that cause alerts, with: nftables, postfix, both or none",
        check: Check::Enforcers,
        is_asked: |answers| answers.is_set("alert.ip"),
        default: "",
    },
    Question {
        key: DAEMONS,
        text: "Servers whose logins are recorded: postfix (SMTP), dovecot (IMAP and POP3) or both",
        check: Check::ListOf(&["postfix", "dovecot"]),
        ..ALWAYS
    },
    Question {
        key: "logins.record",
        text: "Record successful logins too, to find stolen passwords: yes or no (personal data: who logged in when, from where)",
        check: YES_OR_NO,
        ..ALWAYS
    },
    Question {
        key: METRICS_SCHEDULE,
        text: "When to write metrics for Prometheus, such as *:0/5, or never",
        check: Check::Schedule,
        ..ALWAYS
    },
    Question {
        key: "systemd.ip_update_schedule",
        text: "When to fetch the databases of countries and networks",
        check: Check::Schedule,
        ..ALWAYS
    },
    Question {
        key: "systemd.user",
        text: "User that the service runs as",
        check: Check::User,
        ..ALWAYS
    },
    Question {
        key: "retention.csv_days",
        text: "Days to keep recorded logins (none: forever)",
        check: Check::Days,
        ..ALWAYS
    },
    Question {
        key: "database.db_type",
        text: "Database to copy recorded logins to: sqlite, postgresql, mysql (MariaDB too) or none",
        check: Check::OneOf(&["", "sqlite", "postgresql", "mysql"]),
        ..ALWAYS
    },
    Question {
        key: MODE,
        text: "How: load (directly) or files (SQL files that are imported later)",
        check: Check::OneOf(&["load", "files"]),
        is_asked: has_database,
        default: "load",
    },
    Question {
        key: "database.db_path",
        text: "File of the SQLite database",
        check: Check::Path,
        is_asked: |answers| answers.get("database.db_type") == "sqlite",
        ..ALWAYS
    },
    Question {
        key: "database.db_host",
        text: "Host of the database, or the directory of its socket",
        check: Check::HostOrSocket,
        is_asked: has_database_server,
        default: "localhost",
    },
    Question {
        key: "database.db_port",
        text: "Port of the database (none: the usual one)",
        check: Check::Port,
        is_asked: has_database_server,
        default: "",
    },
    Question {
        key: "database.db_name",
        text: "Name of the database",
        check: Check::Text,
        is_asked: has_database_server,
        default: "maillogsentinel",
    },
    Question {
        key: "database.db_user",
        text: "User name at the database",
        check: Check::Text,
        is_asked: has_database_server,
        default: "maillogsentinel",
    },
    Question {
        key: "database.db_password_file",
        text: "File that holds the password for the database",
        check: Check::SecretFile,
        is_asked: has_database_server,
        default: "",
    },
    Question {
        key: "database.ssl_root",
        text: "File of the authority that signs the database's certificate (none: all authorities \
        that this machine trusts)",
        check: Check::File,
        is_asked: has_remote_database,
        default: "",
    },
    Question {
        key: "database.ssl_cert",
        text: "File of the certificate that this machine shows to the database (none: it shows none)",
        check: Check::File,
        is_asked: has_remote_database,
        default: "",
    },
    Question {
        key: "database.ssl_key",
        text: "File of the key of this certificate",
        check: Check::SecretFile,
        is_asked: |answers| has_remote_database(answers) && answers.is_set("database.ssl_cert"),
        default: "",
    },
    Question {
        key: "database.source",
        text: "Name of this mail server in the database (none: the name of the machine)",
        check: Check::OptionalText,
        is_asked: |answers| loads(answers) && has_database_server(answers),
        default: "",
    },
    Question {
        key: "retention.database_days",
        text: "Days to keep attempts in the database (none: forever; answer none on a server of a fleet)",
        check: Check::Days,
        is_asked: has_database,
        default: "",
    },
    Question {
        key: "systemd.sql_export_schedule",
        text: "When to write SQL files",
        check: Check::Schedule,
        is_asked: writes_sql_files,
        default: "",
    },
    Question {
        key: "systemd.sql_import_schedule",
        text: "When to import them into the database",
        check: Check::Schedule,
        is_asked: writes_sql_files,
        default: "",
    },
    Question {
        key: TEST_MAIL,
        text: "Send a test mail at the end: yes or no",
        check: YES_OR_NO,
        is_asked: |answers| answers.is_set(TEST_MAIL) && has_recipients(answers),
        default: "yes",
    },
    Question {
        key: FETCH,
        text: "Fetch the databases of countries and networks now: yes or no",
        check: YES_OR_NO,
        is_asked: |answers| {
            answers.is_set(FETCH) && answers.get("systemd.ip_update_schedule") != "never"
        },
        default: "yes",
    },
];

fn has_recipients(answers: &Answers) -> bool {
    answers.is_set("report.email")
}

fn has_remote_mail_server(answers: &Answers) -> bool {
    // A configuration can have them for this machine too.
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
        "Enter keeps the value in brackets, {NOTHING} clears it, {BACK} goes back to the question before.\n"
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

/// Asks until the answer can be used. Returns false to go back.
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
            return Err(Exit::NoInput.error("the answers ended early: nothing was written"));
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
        match checks.value(question.check, answer) {
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

/// Clears the keys that belong to a key.
fn forget_belonging(answers: &mut Answers, key: &str) {
    let belonging = BELONGING.iter().filter(|(there, _)| *there == key);
    for key in belonging.flat_map(|(_, keys)| *keys) {
        answers.set(key, "");
        forget_belonging(answers, key);
    }
}
