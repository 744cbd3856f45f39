//! Containers of mail servers that log to the journal. It marks their entries only by the containers' names.

use std::process::Command;

use crate::system::{System, run};

/// Largest number of containers that are examined, and of entries of each.
const MAX_CONTAINERS: usize = 100;
const MAX_ENTRIES: &str = "--lines=200";

/// Matches of journalctl for the containers whose name or newest entries are those of a mail
/// server, separated by commas.
pub(crate) fn journal_matches(system: &System) -> String {
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

/// Any user can write an entry with this field, and setup shows it on a terminal.
fn is_plain(name: &str) -> bool {
    !name.contains(',') && mls_event::display_text(name) == name
}

fn is_named_like_one(name: &str) -> bool {
    ["postfix", "dovecot"].iter().any(|server| name.contains(server))
}

fn has_its_words(entries: &str) -> bool {
    ["postfix/smtpd[", "-login: "].iter().any(|words| entries.contains(words))
}

/// What journalctl says; nothing if there is no journal.
fn ask(system: &System, args: &[&str]) -> String {
    let mut journalctl = Command::new("journalctl");
    if !system.is_running() {
        journalctl.arg("--root").arg(system.root());
    }
    journalctl.args(["--no-pager", "--quiet"]).args(args);
    let output = run(journalctl).map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).into_owned()
}
