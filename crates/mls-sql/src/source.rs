//! The identity of a source: its name, the ID of its machine, and the logs that mls-tail has read.

use std::collections::BTreeSet;
use std::path::Path;

use mls_config::config::Database as Settings;
use mls_diag::Exit;
use mls_state::cursor_file::sha256;
use serde_json::Value;

use crate::args::{PositionFlags, SourceFlag};

/// The source that a run loads.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// The name from `--source`, else from the configuration, else this machine's name.
    pub(crate) name: String,
    /// The ID of this machine, as [`machine()`] returns it.
    pub(crate) machine: Option<String>,
    /// `--take-over`: continue from the position of another machine.
    pub(crate) take_over: bool,
    /// `--allow-duplicates`: load records even if the table may already contain their attempts.
    pub(crate) allow_duplicates: bool,
}

impl Source {
    /// Exit 64 if [`check_name`] refuses the name of the source.
    pub(crate) fn new(flag: SourceFlag, settings: &Settings) -> anyhow::Result<Self> {
        let name = flag.source.or_else(|| settings.source.clone()).unwrap_or_else(host);
        check_name(&name)?;
        Ok(Self { name, machine: machine(), take_over: false, allow_duplicates: false })
    }

    /// Exit 64 if [`check_name`] refuses the name of the source.
    pub(crate) fn at(flags: PositionFlags, settings: &Settings) -> anyhow::Result<Self> {
        Ok(Self { take_over: flags.take_over, ..Self::new(flags.source, settings)? })
    }
}

pub(crate) fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Exit 64 if the name of a source is not valid. The database cannot store a name that is too long.
pub(crate) fn check_name(name: &str) -> anyhow::Result<()> {
    if (1..=255).contains(&name.len()) && !name.contains(char::is_control) {
        return Ok(());
    }
    Err(Exit::Usage.error(format!(
        "{name:?} is not a source name; use 1 to 255 bytes without control characters"
    )))
}

/// Returns a hash of the machine ID, because the machine ID is confidential (machine-id(5)).
/// `None` if there is no machine ID, as in some containers.
pub(crate) fn machine() -> Option<String> {
    hash_of(Path::new("/etc/machine-id"))
}

fn hash_of(path: &Path) -> Option<String> {
    let id = std::fs::read_to_string(path).ok()?;
    let id = id.trim();
    let is_id = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| sha256(format!("maillogsentinel {id}").as_bytes())[..32].to_owned())
}

/// Returns the IDs of the logs that mls-tail has read, according to its cursor. The ID of a file is
/// its generation (see `pos` in mls-event(5)). The ID of a journal is the sequence ID (`s=` in a
/// cursor of systemd).
pub(crate) fn logs(cursor: &Value) -> BTreeSet<String> {
    let files = cursor["logs"].as_object().into_iter().flat_map(|logs| logs.values());
    let generations = files.flat_map(|log| log["generations"].as_array().into_iter().flatten());
    let names = generations
        .filter(|generation| generation["offset"].as_u64().is_some_and(|offset| offset > 0))
        .filter_map(|generation| generation["generation"].as_str());
    let journals = cursor["journal"].as_str().into_iter().flat_map(|text| text.split(';'));
    let journals = journals.filter(|part| part.starts_with("s="));
    names.chain(journals).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use mls_state::atomic;
    use serde_json::json;

    use super::*;

    #[test]
    fn machine_id_is_hashed_and_a_missing_one_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("machine-id");
        assert_eq!(hash_of(&path), None);
        atomic::write(&path, b"uninitialized\n", 0o600).unwrap();
        assert_eq!(hash_of(&path), None);
        atomic::write(&path, b"0123456789abcdef0123456789abcdef\n", 0o600).unwrap();
        let id = hash_of(&path).unwrap();
        assert!(id.len() == 32 && !id.contains("0123456789"), "{id}");
    }

    #[test]
    fn logs_are_known_by_generation_and_journals_by_sequence() {
        let cursor = json!({
            "logs": { "/var/log/mail.log": { "generations": [
                { "generation": "a1", "offset": 10 }, { "generation": "b2", "offset": 0 },
            ] } },
            "journal": "s=0f;i=1;b=2;m=3;t=4;x=5",
        });
        assert_eq!(logs(&cursor), ["a1", "s=0f"].map(str::to_owned).into());
        assert_eq!(logs(&Value::Null), BTreeSet::new());
        assert_eq!(logs(&json!(17)), BTreeSet::new());
    }
}
