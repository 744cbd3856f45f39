//! The rotation of the operational log.

use crate::answers::Answers;
use crate::file::NewFile;
use crate::jobs::{JOBS, When};
use crate::system::Account;

pub(crate) const LOGROTATE_FILE: &str = "/etc/logrotate.d/maillogsentinel";

/// Returns the rule; `None` if there is no operational log.
pub(crate) fn file(answers: &Answers, account: Option<&Account>) -> Option<NewFile> {
    let log = answers.get("general.log_file");
    if log.is_empty() {
        return None;
    }
    let user = answers.get("systemd.user");
    let group = account.map_or(user, |account| &account.group);
    // A service that runs all the time does not close the log, so logrotate must truncate the log.
    let keeps_open = JOBS.iter().any(|job| job.when(answers) == When::AllTheTime);
    let how = if keeps_open { "copytruncate" } else { "nocreate" };
    let text = format!(
        "# Written by setup.\n\"{log}\" {{\n    su {user} {group}\n    size {}\n    rotate {}\n    missingok\n    \
         notifempty\n    compress\n    delaycompress\n    {how}\n}}\n",
        answers.get("general.log_file_max_bytes"),
        answers.get("general.log_file_backup_count"),
    );
    Some(NewFile::text(LOGROTATE_FILE, text))
}
