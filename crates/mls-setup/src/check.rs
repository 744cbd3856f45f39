//! Checks of values that the configuration reader does not make.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use mls_config::Config;
use mls_config::config::is_host;

use crate::answers::Answers;
use crate::calendar::cron_fields;
use crate::file::CONFIGURATION;
use crate::installation::Installation;
use crate::jobs::ENFORCE;
use crate::question;
use crate::system::{Scheduler, TargetSystem};
use crate::units::SHIPPED_USER;

pub(crate) struct Checks<'a> {
    pub(crate) system: &'a TargetSystem,
    pub(crate) installation: &'a Installation,
}

/// The kind of value that a key accepts. "Empty" means that the key has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    Path,
    Paths,
    MailLog,
    /// A value that the configuration reader accepts.
    Configured,
    Recipients,
    Schedule,
    ExtractionSchedule,
    User,
    OneOf(&'static [&'static str]),
    /// `nftables`, `postfix`, both, or empty.
    Enforcers,
    /// A host name or an IP address.
    Host,
    /// A host name, an IP address, or the directory of a socket.
    HostOrSocket,
    /// Any text, but not empty.
    Text,
    /// Any text, or empty.
    OptionalText,
    /// The path of a file, or empty.
    File,
    /// The path of a file with a password or a key, or empty.
    SecretFile,
}

/// Checks of keys that setup does not ask for.
const KEYS: [(&str, Check); 12] = [
    ("paths.working_dir", Check::Path),
    ("paths.state_dir", Check::Path),
    ("paths.csv_filename", Check::Path),
    ("paths.logins_filename", Check::Path),
    ("block.directory", Check::Path),
    ("general.log_file", Check::Path),
    ("geolocation.country_db_path", Check::Paths),
    ("ASN_ASO.asn_db_path", Check::Paths),
    ("systemd.alert_schedule", Check::Schedule),
    ("systemd.prune_schedule", Check::Schedule),
    ("paths.metrics_file", Check::Path),
    ("database.sql_export_dir", Check::Path),
];

/// A section, and two of its keys that must be set both or not at all.
const PAIRS: [(&str, &str, &str); 2] =
    [("report", "smtp_user", "smtp_password_file"), ("database", "ssl_cert", "ssl_key")];

impl Checks<'_> {
    /// Checks all values. The error names the first wrong value and the reason.
    pub(crate) fn all(&self, answers: &Answers) -> Result<(), String> {
        for (key, check) in KEYS.into_iter().chain(question::checks()) {
            if answers.is_set(key) {
                let value = answers.get(key);
                self.value(key, check, value).map_err(|why| {
                    let (section, key) = key.split_once('.').unwrap_or(("", key));
                    format!("[{section}] {key} = {value}: {why}")
                })?;
            }
        }
        for (section, key, other) in PAIRS {
            let is_set = |key: &str| answers.is_set(&format!("{section}.{key}"));
            let why = format!("[{section}] {key} and {other} belong together: set both or neither");
            refuse_if(is_set(key) != is_set(other), &why)?;
        }
        // Only alerts about addresses lead to blocking.
        refuse_if(
            answers.is_set(ENFORCE) && !answers.is_set("alert.ip"),
            "[block] enforce needs [alert] ip, the threshold for blocking: set ip, such as \
             ip = 20/10m",
        )
    }

    /// Checks a value of `key`. The error is the reason why the value cannot be used.
    pub(crate) fn value(&self, key: &str, check: Check, value: &str) -> Result<(), String> {
        refuse_if(value.contains(char::is_control), "a value must not have control characters")?;
        match check {
            Check::Path => path(value),
            Check::Paths => value.split(", ").try_for_each(path),
            Check::MailLog => self.mail_log(value),
            Check::Configured => accepted(key, value),
            Check::Recipients => self.recipients(value),
            Check::Schedule => self.schedule(value),
            Check::ExtractionSchedule => self.extraction_schedule(value),
            Check::User => self.user(value),
            Check::OneOf(values) => {
                let shown =
                    values.iter().map(|value| if value.is_empty() { "none" } else { value });
                let shown = shown.collect::<Vec<_>>().join(", ");
                refuse_if(!values.contains(&value), &format!("give one of {shown}"))
            }
            Check::Enforcers => accepted(key, value).and_then(|()| self.enforcers(value)),
            Check::HostOrSocket if value.starts_with('/') => Ok(()),
            Check::Host | Check::HostOrSocket => refuse_if(
                !is_host(value),
                "give a host name or an IP address without a port, such as mail.example.org",
            ),
            Check::Text => refuse_if(value.is_empty(), "a value is needed"),
            Check::OptionalText => Ok(()),
            Check::File => self.file(value, "give the path of a file"),
            Check::SecretFile => self.file(
                value,
                "write the password or the key to a file that only the service user may read, and give its path",
            ),
        }
    }

    fn mail_log(&self, value: &str) -> Result<(), String> {
        if value == "journal" {
            let found = ["usr/bin/journalctl", "bin/journalctl"];
            let is_there = found.iter().any(|name| Path::new("/").join(name).exists());
            return refuse_if(
                !is_there,
                "journalctl is not installed: give the path of a log file",
            );
        }
        path(value)?;
        let file = self.system.path(value);
        refuse_if(file.is_dir(), &format!("{value} is a directory: give the path of a file"))?;
        let directory = Path::new(value).parent().unwrap_or(Path::new("/"));
        let is_there = self.system.path(directory).is_dir();
        refuse_if(
            !is_there,
            &format!(
                "there is no directory {}: create it, or give another path",
                directory.display()
            ),
        )
    }

    /// Lets mls-mail check the addresses, because it sends the mails.
    fn recipients(&self, value: &str) -> Result<(), String> {
        if value.is_empty() {
            return Ok(());
        }
        let ask = || -> anyhow::Result<_> {
            let mut file = tempfile::NamedTempFile::new()?;
            writeln!(file, "[report]\nemail = {value}")?;
            let mut command = Command::new(self.installation.program("mls-mail"));
            command.arg("--config").arg(file.path()).args(["--test", "--dry-run"]);
            Ok(command.output()?)
        };
        let output =
            ask().map_err(|error| format!("mls-mail could not check the addresses: {error:#}"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        let why = said.trim().trim_start_matches("mls-mail: error: ");
        // The file that mls-mail names is temporary, so show only the key and the value.
        let why = why.split_once("[report] ").map_or(why, |(_, why)| why);
        refuse_if(!output.status.success(), why)
    }

    fn schedule(&self, value: &str) -> Result<(), String> {
        let is_known = value == "never"
            || match self.system.scheduler {
                Scheduler::Cron => cron_fields(value).is_some(),
                Scheduler::Systemd => {
                    let mut command = Command::new("systemd-analyze");
                    command.args(["calendar", "--", value]);
                    let output = command.output();
                    let output =
                        output.map_err(|why| format!("starting systemd-analyze: {why}"))?;
                    output.status.success()
                }
            };
        let manual = match self.system.scheduler {
            Scheduler::Cron => "cron does not support every schedule",
            Scheduler::Systemd => "see systemd.time(7)",
        };
        let why = format!(
            "this schedule cannot be used: give a schedule such as hourly, 23:59, Mon 06:00 or \
             *:0/15 ({manual}), or never"
        );
        refuse_if(!is_known, &why)
    }

    fn extraction_schedule(&self, value: &str) -> Result<(), String> {
        match (value, self.system.scheduler) {
            ("follow", Scheduler::Systemd) => Ok(()),
            ("follow", Scheduler::Cron) => Err(
                "systemd is not running here, and cron cannot follow a log: give a schedule such as hourly or *:0/5".into(),
            ),
            (_, Scheduler::Systemd) => {
                self.schedule(value).map_err(|why| why + ", or follow to read new lines at once")
            }
            (_, Scheduler::Cron) => self.schedule(value),
        }
    }

    fn enforcers(&self, value: &str) -> Result<(), String> {
        let needs_systemd = self.system.scheduler == Scheduler::Cron && !value.is_empty();
        refuse_if(
            needs_systemd,
            "systemd is not running here, and only its units block addresses: give none, or leave \
             [block] enforce empty",
        )
    }

    fn user(&self, value: &str) -> Result<(), String> {
        let starts_well = value.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
        let is_plain =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
        let is_name = starts_well && value.len() <= 31 && value.chars().all(is_plain);
        refuse_if(
            !is_name,
            "this is not a valid user name: use at most 31 characters (a-z, 0-9, _ and -), and begin \
             with a letter or _",
        )?;
        refuse_if(value == "root", "the service must not run as root: give another user")?;
        let is_there = value == SHIPPED_USER || self.system.account(value).is_some();
        refuse_if(
            !is_there,
            &format!(
                "there is no user {value}: give a user that exists, or maillogsentinel (setup \
                 creates this user)"
            ),
        )
    }

    fn file(&self, value: &str, cure: &str) -> Result<(), String> {
        if value.is_empty() {
            return Ok(());
        }
        path(value)?;
        let is_file = self.system.path(value).is_file();
        refuse_if(!is_file, &format!("there is no file {value}: {cure}"))
    }
}

/// Lets the configuration reader check a value. In the message of the reader, file and line are
/// wrong, so returns only the words about what to give.
fn accepted(key: &str, value: &str) -> Result<(), String> {
    let (section, key) = key.split_once('.').unwrap_or_default();
    let text = format!("[{section}]\n{key} = {value}\n");
    Config::parse(Path::new(CONFIGURATION), &text).map(drop).map_err(|error| {
        let why = error.to_string();
        why.rsplit_once("is not allowed; ").map_or(&*why, |(_, give)| give).to_owned()
    })
}

/// Refuses a path that cannot be in a unit or in the logrotate rule, and a path that the sandbox of
/// the units hides.
fn path(value: &str) -> Result<(), String> {
    refuse_if(
        value.contains(['"', '\\', '%', '*', '?', '[', ']', '{', '}']),
        "a path must not have any of \" \\ % * ? [ ] { }",
    )?;
    refuse_if(!value.starts_with('/'), "give an absolute path")?;
    let has_dots = value.split('/').any(|part| part == "." || part == "..");
    refuse_if(has_dots, "give the path without . and ..")?;
    let is_hidden = ["/home/", "/root/", "/run/user/", "/tmp/", "/var/tmp/"]
        .iter()
        .any(|directory| value.starts_with(directory));
    refuse_if(
        is_hidden,
        "the service cannot use home directories, /var/tmp or /tmp: choose another directory",
    )
}

fn refuse_if(wrong: bool, why: &str) -> Result<(), String> {
    if wrong { Err(why.to_owned()) } else { Ok(()) }
}
