//! Runs the service once, right after the setup. If the service does not work, the administrator
//! can read why at once.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use mls_diag::{Exit, count};

use crate::answers::Answers;
use crate::file::CONFIGURATION;
use crate::installation::Installation;
use crate::jobs::{JOBS, METRICS_SERVICE, When, loads, records_logins, writes_metrics};
use crate::question::{FETCH, TEST_MAIL};
use crate::system::{Account, Scheduler, TargetSystem, in_one_line, run};
use crate::terminal::say;

/// The first run, and the number of rows before it.
pub(crate) struct Trial<'a> {
    system: &'a TargetSystem,
    installation: &'a Installation,
    answers: &'a Answers,
    failures_before: u64,
    logins_before: u64,
}

/// The key of the CSV of failed logins.
const FAILURES: &str = "paths.csv_filename";
/// The key of the CSV of successful logins.
const LOGINS: &str = "paths.logins_filename";

/// How long to watch a service that runs all the time. A broken pipeline fails within a second.
const WATCHED: Duration = Duration::from_secs(4);

impl<'a> Trial<'a> {
    /// Counts the rows before the setup.
    pub(crate) fn before(
        system: &'a TargetSystem,
        installation: &'a Installation,
        answers: &'a Answers,
    ) -> Self {
        let mut trial =
            Self { system, installation, answers, failures_before: 0, logins_before: 0 };
        if system.is_running() {
            trial.failures_before = trial.rows(FAILURES);
            trial.logins_before = trial.rows(LOGINS);
        }
        trial
    }

    /// If the answers say so, downloads the country and AS databases and sends a test mail. Then
    /// reads the log once, and prints what was recorded.
    pub(crate) fn run(&self, user: &str) -> anyhow::Result<()> {
        let account = self.system.service(user)?;
        if self.answers.get(FETCH) == "yes"
            && self.answers.get("systemd.ip_update_schedule") != "never"
        {
            self.fetch(&account)?;
        }
        if self.answers.get(TEST_MAIL) == "yes" && self.answers.is_set("report.email") {
            self.send_test_mail()?;
        }
        let [extraction, ..] = &JOBS;
        let when = extraction.when(self.answers);
        if when == When::Never {
            return Ok(());
        }
        say("Reading the new lines of the mail log...\n")?;
        match self.system.scheduler {
            Scheduler::Systemd => self.start(extraction.schedule)?,
            Scheduler::Cron => self.front_end(&[]).map_err(does_not_run)?,
        }
        self.count(FAILURES, "failed", self.failures_before)?;
        if records_logins(self.answers) {
            self.count(LOGINS, "successful", self.logins_before)?;
        }
        if loads(self.answers) {
            let status = self.tool("mls-sql", "status", &account);
            say(&String::from_utf8_lossy(&run(status)?.stdout))?;
        }
        // Test the metrics too: their directory may exist already, and the service user may not be
        // allowed to write to it.
        if writes_metrics(self.answers) {
            match self.system.scheduler {
                Scheduler::Systemd => self.start_unit(METRICS_SERVICE)?,
                Scheduler::Cron => self.front_end(&["--metrics"]).map_err(does_not_run)?,
            }
        }
        Ok(())
    }

    /// Prints the number of rows of a CSV, and how many of them are new.
    fn count(&self, key: &str, which: &str, before: u64) -> anyhow::Result<()> {
        let rows = self.rows(key);
        let (new, csv) = (rows.saturating_sub(before), self.answers.get(key));
        let new = count(new, &format!("{which} login"), &format!("{which} logins"));
        say(&format!("Recorded {new}; {csv} has {}.\n", count(rows, "row", "rows")))
    }

    fn send_test_mail(&self) -> anyhow::Result<()> {
        match self.front_end(&["--test-mail"]) {
            Ok(()) => say("The mail server has accepted a test mail to the recipients.\n")?,
            Err(error) => log::warn!("the test mail could not be sent: {error:#}"),
        }
        Ok(())
    }

    /// Starts the jobs that have this schedule.
    fn start(&self, schedule: &str) -> anyhow::Result<()> {
        for job in JOBS.iter().filter(|job| job.schedule == schedule) {
            let when = job.when(self.answers);
            if when != When::Never {
                self.start_unit(job.service)?;
            }
            if let (When::AllTheTime, Some(follow)) = (when, job.follow) {
                self.start_unit(follow)?;
                self.watch(follow)?;
            }
        }
        Ok(())
    }

    fn start_unit(&self, unit: &str) -> anyhow::Result<()> {
        run(self.system.systemctl(&["start", unit])).map(drop).map_err(|_| does_not_work(unit))
    }

    /// Fails if a service that must run all the time has stopped or was restarted.
    fn watch(&self, unit: &str) -> anyhow::Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < WATCHED {
            let properties = "--property=ActiveState,NRestarts";
            let output = run(self.system.systemctl(&["show", properties, unit]))?;
            let state = String::from_utf8_lossy(&output.stdout);
            let runs = state.contains("ActiveState=active\n") && state.contains("NRestarts=0\n");
            if !runs {
                return Err(does_not_work(unit));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    fn front_end(&self, args: &[&str]) -> anyhow::Result<()> {
        let mut command = Command::new(self.installation.installed_program("maillogsentinel"));
        command.args(args);
        run(command).map(drop)
    }

    /// A command that runs as the service user with the new configuration.
    fn tool(&self, name: &str, verb: &str, account: &Account) -> Command {
        let mut command = Command::new(self.installation.installed_program(name));
        command.args(["--config", CONFIGURATION, verb]).current_dir("/");
        command.uid(account.uid).gid(account.gid);
        command
    }

    /// The number of rows in a CSV. Reads the CSV as the owner of the file, because the service
    /// user may have changed.
    fn rows(&self, key: &str) -> u64 {
        let csv = PathBuf::from(self.answers.get(key));
        let Ok(meta) = fs::symlink_metadata(&csv) else { return 0 };
        let mut count = Command::new("wc");
        count.arg("-l").arg("--").arg(csv).uid(meta.uid()).gid(meta.gid()).current_dir("/");
        let output = run(count).map(|output| output.stdout).unwrap_or_default();
        let text = String::from_utf8_lossy(&output);
        let lines = text.split_whitespace().next().and_then(|lines| lines.parse::<u64>().ok());
        // The first line is the header.
        lines.unwrap_or(0).saturating_sub(1)
    }

    fn fetch(&self, account: &Account) -> anyhow::Result<()> {
        if run(self.tool("mls-ipdb", "verify", account)).is_ok() {
            return Ok(());
        }
        say("Downloading the country and AS databases...\n")?;
        if let Err(error) = run(self.tool("mls-ipdb", "update", account)) {
            log::warn!(
                "the country and AS databases could not be downloaded; the next scheduled update tries again: {error:#}"
            );
        }
        Ok(())
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the signature that map_err asks for")]
fn does_not_run(error: anyhow::Error) -> anyhow::Error {
    let why = format!("setup has written all files, but the service does not work: {error:#}");
    Exit::Unavailable.error(why)
}

fn does_not_work(unit: &str) -> anyhow::Error {
    let mut journal = Command::new("journalctl");
    journal.args(["--no-pager", "--output=cat", "--lines=8", "--unit", unit]);
    let said = run(journal).map(|output| output.stdout).unwrap_or_default();
    Exit::Unavailable.error(format!(
        "setup has written all files, but {unit} does not work; systemctl status {unit} shows its state; its last messages: {}",
        in_one_line(&String::from_utf8_lossy(&said))
    ))
}
