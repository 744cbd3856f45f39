//! `--migrate`: turns an installation of the Python original into an installation of this version.
//!
//! Root runs an ordinary setup with the answers from the original's configuration. This setup moves
//! away the units of the original, because they would hide the units of the package. The owner of
//! the data converts the data, because root must not follow links that this user can create.

pub(crate) mod data;
mod legacy_csv;
mod sql_files;

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use mls_diag::{Exit, OrExit};
use mls_state::regular::if_there;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

use crate::answers::Answers;
use crate::file::CONFIGURATION;
use crate::installation::Installation;
use crate::system::{TargetSystem, run};
use crate::terminal::say;
use crate::units::SHIPPED_USER;

/// The units of the original (`maillogsentinel_setup.py`, `_generate_systemd_units_content`, and its
/// installation guide).
const UNITS: [&str; 12] = [
    "maillogsentinel-extract.timer",
    "maillogsentinel-report.timer",
    "maillogsentinel-sql-export.timer",
    "maillogsentinel-sql-import.timer",
    "maillogsentinel.timer",
    "ipinfo-update.timer",
    "maillogsentinel.service",
    "maillogsentinel-extract.service",
    "maillogsentinel-report.service",
    "maillogsentinel-sql-export.service",
    "maillogsentinel-sql-import.service",
    "ipinfo-update.service",
];

/// The directory in which the original wrote its units.
pub(crate) const UNIT_DIRECTORY: &str = "/etc/systemd/system";

pub(crate) fn original_units(system: &TargetSystem) -> Vec<&'static str> {
    let is_there = |unit: &&str| {
        let path = system.path(Path::new(UNIT_DIRECTORY).join(unit));
        path.symlink_metadata().is_ok_and(|meta| meta.is_file())
    };
    UNITS.into_iter().filter(is_there).collect()
}

/// Adds answers that the configuration of the original does not contain: paths that were fixed in
/// the code of the original, and the owner of the data.
pub(crate) fn complete(answers: &mut Answers, system: &TargetSystem) -> anyhow::Result<()> {
    refuse_crontabs(system)?;
    let working_dir = answers.get("paths.working_dir").to_owned();
    // The default state directory of the original is inside the directory of the CSV.
    let beside_csv = format!("{working_dir}/state");
    let is_there = |path: &str| system.path(path).exists();
    if !is_there(&format!("{}/state.offset", answers.get("paths.state_dir")))
        && is_there(&format!("{beside_csv}/state.offset"))
    {
        answers.set("paths.state_dir", &beside_csv);
    }
    answers.set_default("general.log_file", &format!("{working_dir}/maillogsentinel.log"));
    let database = "/var/lib/maillogsentinel/maillogsentinel.sqlite";
    if !answers.is_set("database.db_type") && is_there(database) {
        answers.set("database.db_type", "sqlite");
        answers.set("database.db_path", database);
    }
    if answers.get("systemd.user") == SHIPPED_USER
        && let Some(owner) = owner(answers, system)?
    {
        answers.set("systemd.user", &owner);
    }
    Ok(())
}

/// Returns the user who ran the original and owns its data.
///
/// This user could create links to files of another user, and root would then find the wrong owner.
/// So root does not use files behind links.
fn owner(answers: &Answers, system: &TargetSystem) -> anyhow::Result<Option<String>> {
    let state = format!("{}/state.offset", answers.get("paths.state_dir"));
    for path in [answers.get("paths.csv_filename"), &state] {
        let uid = owner_without_links(system, path).map_err(|error| {
            Exit::Config.error(format!(
                "{path}: cannot find the user of the Python original ({error}; symbolic links are \
                 not followed): set run_as_user in [User] of the configuration file, then run setup \
                 again"
            ))
        })?;
        if let Some(uid) = uid.filter(|uid| *uid != 0) {
            return Ok(system.name("passwd", uid));
        }
    }
    Ok(None)
}

/// The owner of a file. `None` if the file does not exist, is not a regular file, or has a second
/// name (hard link).
fn owner_without_links(system: &TargetSystem, path: &str) -> io::Result<Option<u32>> {
    let root = fs::File::open(system.root())?;
    let (flags, links) = (OFlags::PATH | OFlags::CLOEXEC, ResolveFlags::NO_SYMLINKS);
    let path = path.trim_start_matches('/');
    let file = openat2(root, path, flags, Mode::empty(), links).map_err(io::Error::from);
    let Some(file) = if_there(file)? else { return Ok(None) };
    let meta = fs::File::from(file).metadata()?;
    Ok((meta.is_file() && meta.nlink() == 1).then(|| meta.uid()))
}

/// Refuses a crontab that starts the original, because the original would write to the new files.
fn refuse_crontabs(system: &TargetSystem) -> anyhow::Result<()> {
    let mut tables = vec![system.path("/etc/crontab")];
    for directory in ["/etc/cron.d", "/var/spool/cron/crontabs", "/var/spool/cron"] {
        let entries = fs::read_dir(system.path(directory)).into_iter().flatten().flatten();
        tables.extend(entries.map(|entry| entry.path()).filter(|path| path.is_file()));
    }
    for table in tables {
        let text = fs::read(&table).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let starts_original = |line: &str| {
            let line = line.trim_start();
            !line.starts_with('#') && line.contains("maillogsentinel.py")
        };
        if let Some(number) = text.lines().position(starts_original) {
            return Err(Exit::Config.error(format!(
                "{}:{}: this line starts the Python original: remove the line, then run setup again",
                table.display(),
                number + 1
            )));
        }
    }
    Ok(())
}

/// The path of the original's configuration file.
pub(crate) fn configuration(
    named: Option<&PathBuf>,
    system: &TargetSystem,
) -> anyhow::Result<PathBuf> {
    let path = named.cloned().unwrap_or_else(|| system.path(CONFIGURATION));
    if path.exists() {
        return Ok(path);
    }
    Err(Exit::NoInput.error(format!(
        "there is no {}: name the configuration file of the Python original with --config FILE",
        path.display()
    )))
}

/// As the owner of the data, converts the data. Then starts the units.
pub(crate) fn finish(
    system: &TargetSystem,
    installation: &Installation,
    user: &str,
    start: &[&str],
) -> anyhow::Result<()> {
    let account = system.service(user)?;
    let mut convert = Command::new(installation.installed_program("mls-setup"));
    convert.args(["--migrate-data", "--config", CONFIGURATION]);
    convert.uid(account.uid).gid(account.gid).current_dir("/");
    let status = convert.status().context("starting mls-setup").or_exit(Exit::Unavailable)?;
    if !status.success() {
        return Err(Exit::Unavailable.error(
            "the configuration is migrated, but the data is not: follow the message above, then \
            run maillogsentinel --setup --migrate again: this command migrates the rest",
        ));
    }
    for unit in start {
        run(system.systemctl(&["restart", unit]))?;
    }
    say("The Python original is migrated. You can remove its programs and the *.original files.\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_of_the_data_is_found_without_links() {
        let root = tempfile::tempdir().unwrap();
        let state = root.path().join("srv/state");
        fs::create_dir_all(&state).unwrap();
        let system = TargetSystem::open(root.path()).unwrap();
        let owner = || owner_without_links(&system, "/srv/state/state.offset");
        assert_eq!(owner().unwrap(), None);
        let file = state.join("state.offset");
        fs::File::create(&file).unwrap();
        let uid = fs::metadata(&file).unwrap().uid();
        assert_eq!(owner().unwrap(), Some(uid));
        fs::hard_link(&file, root.path().join("other")).unwrap();
        assert_eq!(owner().unwrap(), None);
        fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink("../../other", &file).unwrap();
        owner().unwrap_err();
        fs::remove_file(&file).unwrap();
        // A link among the parent directories is refused too.
        fs::rename(&state, root.path().join("srv/real")).unwrap();
        fs::rename(root.path().join("other"), root.path().join("srv/real/state.offset")).unwrap();
        std::os::unix::fs::symlink("real", &state).unwrap();
        owner().unwrap_err();
    }

    #[test]
    fn a_crontab_that_starts_the_original_is_named() {
        let root = tempfile::tempdir().unwrap();
        let cron = root.path().join("etc/cron.d");
        fs::create_dir_all(&cron).unwrap();
        let system = TargetSystem::open(root.path()).unwrap();
        assert!(refuse_crontabs(&system).is_ok());
        let table = cron.join("mls");
        let line = "# python3 maillogsentinel.py\n5 * * * * bob python3 /opt/maillogsentinel.py\n";
        io::Write::write_all(&mut fs::File::create(table).unwrap(), line.as_bytes()).unwrap();
        let error = refuse_crontabs(&system).unwrap_err().to_string();
        assert!(error.contains("etc/cron.d/mls:2: this line starts"), "{error}");
    }
}
