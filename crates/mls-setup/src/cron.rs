//! The file for cron, on a machine without systemd.

use crate::answers::Answers;
use crate::calendar::cron_fields;
use crate::file::NewFile;
use crate::jobs::{JOBS, When};

pub(crate) const CRON_FILE: &str = "/etc/cron.d/maillogsentinel";

/// Returns the file, with a line for each job.
pub(crate) fn file(answers: &Answers) -> NewFile {
    let user = answers.get("systemd.user");
    let mut lines =
        vec!["# Written by setup.".to_owned(), "PATH=/usr/local/bin:/usr/bin:/bin".to_owned()];
    for job in &JOBS {
        if let When::At(schedule) = job.when(answers) {
            let fields = cron_fields(schedule).unwrap_or_default();
            let line = format!("{fields} {user} {}", job.command);
            // Two jobs of systemd can have the same command.
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
    }
    NewFile::text(CRON_FILE, lines.join("\n") + "\n")
}
