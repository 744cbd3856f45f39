//! Finds containers of mail servers that log to the journal. Only the name of the container shows
//! which entries of the journal are theirs.

use std::process::Command;

use crate::system::{TargetSystem, run};

/// The largest number of containers to examine, and of entries to read from each container.
const MAX_CONTAINERS: usize = 100;
const MAX_ENTRIES: &str = "--lines=200";

/// Returns a match for journalctl for each container whose name or newest entries look like a mail
/// server: `CONTAINER_NAME=postfix-mailcow`. Commas separate the matches.
pub(crate) fn journal_matches(system: &TargetSystem) -> String {
    let names = ask(system, &["--field=CONTAINER_NAME"]);
    let matches =
        names.lines().take(MAX_CONTAINERS).filter(|name| is_plain(name)).filter_map(|name| {
            let filter = format!("CONTAINER_NAME={name}");
            let is_mail_server = is_named_like_one(name)
                || has_its_words(&ask(system, &["--output=cat", MAX_ENTRIES, &filter]));
            is_mail_server.then_some(filter)
        });
    matches.collect::<Vec<_>>().join(", ")
}

/// Whether a name has no comma and is safe to show. Any user can write a journal entry with the
/// field `CONTAINER_NAME`, and setup shows the name on a terminal.
fn is_plain(name: &str) -> bool {
    !name.contains(',') && mls_event::display_text(name) == name
}

fn is_named_like_one(name: &str) -> bool {
    ["postfix", "dovecot"].iter().any(|server| name.contains(server))
}

fn has_its_words(entries: &str) -> bool {
    ["postfix/smtpd[", "-login: "].iter().any(|words| entries.contains(words))
}

/// The output of journalctl. Empty if journalctl fails.
fn ask(system: &TargetSystem, args: &[&str]) -> String {
    let mut journalctl = Command::new("journalctl");
    if !system.is_running() {
        journalctl.arg("--root").arg(system.root());
    }
    journalctl.args(["--no-pager", "--quiet"]).args(args);
    let output = run(journalctl).map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).into_owned()
}
