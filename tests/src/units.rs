//! The units of systemd and the commands in them.

use std::fs;
use std::path::PathBuf;

/// The directory of the units.
#[must_use]
pub fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../systemd").canonicalize().unwrap()
}

/// The unit files whose names end with `ending`. Symbolic links are skipped: they are second names.
#[must_use]
pub fn files(ending: &str) -> Vec<PathBuf> {
    let all = fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().path());
    let is_unit = |path: &PathBuf| path.to_str().unwrap().ends_with(ending) && !path.is_symlink();
    let mut units: Vec<_> = all.filter(is_unit).collect();
    units.sort();
    units
}

/// The name of each service and its `ExecStart` line. Lines that end with a backslash are joined.
#[must_use]
pub fn commands() -> Vec<(String, String)> {
    let command = |path: &PathBuf| {
        let unit = fs::read_to_string(path).unwrap().replace("\\\n", " ");
        let line =
            unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap().to_owned();
        (path.file_name().unwrap().to_str().unwrap().to_owned(), line)
    };
    files(".service").iter().map(command).collect()
}

/// The shell script in the `ExecStart` line of a service.
///
/// # Panics
/// If the service does not exist.
#[must_use]
pub fn script(service: &str) -> String {
    let (_, command) = commands().into_iter().find(|(name, _)| name == service).unwrap();
    let (_, script) = command.split_once(" -c '").unwrap();
    // systemd reads $$ as a dollar sign.
    script.trim_end_matches('\'').replace("$$", "$")
}
