//! Finds containers of mail servers that log to the journal. The journal marks their entries only
//! with the name of the container.

use std::process::Command;

use crate::system::{TargetSystem, run};

/// Largest number of containers that are examined, and of entries of each.
const MAX_CONTAINERS: usize = 100;
const MAX_ENTRIES: &str = "--lines=200";

/// Returns a match for journalctl for each container whose name or newest entries look like those
/// of a mail server. Commas separate the matches.
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

/// Whether a name has no comma and is safe to show. Any user can write an entry with this field,
/// and setup shows the name on a terminal.
fn is_plain(name: &str) -> bool {
    !name.contains(',') && mls_event::display_text(name) == name
}

fn is_named_like_one(name: &str) -> bool {
    ["postfix", "dovecot"].iter().any(|server| name.contains(server))
}

fn has_its_words(entries: &str) -> bool {
    ["postfix/smtpd[", "-login: "].iter().any(|words| entries.contains(words))
}

/// The output of journalctl; empty if there is no journal.
fn ask(system: &TargetSystem, args: &[&str]) -> String {
    let mut journalctl = Command::new("journalctl");
    if !system.is_running() {
        journalctl.arg("--root").arg(system.root());
    }
    journalctl.args(["--no-pager", "--quiet"]).args(args);
    let output = run(journalctl).map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).into_owned()
}
