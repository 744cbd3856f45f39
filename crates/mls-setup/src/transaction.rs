//! Applies all steps or none.

use crate::signals::{Interrupted, Signals};
use crate::step::{Changes, Step, Undo};
use crate::system::TargetSystem;

/// Applies the steps in order, for the service user `user`, and returns what was done. If a step
/// fails or a signal arrives, undoes all steps in reverse order, and returns the error.
pub(crate) fn apply(
    system: &TargetSystem,
    user: &str,
    steps: &[Step],
    signals: &Signals,
) -> anyhow::Result<Vec<String>> {
    let mut changes = Changes::new(system, user);
    let mut done = Vec::new();
    for step in steps {
        let result = signals.check().map_err(Into::into).and_then(|()| changes.apply(step));
        match result {
            Ok(action) => done.extend(action),
            Err(error) => {
                let is_undone = roll_back(system, changes.undo);
                // If Ctrl-C ended a command, report the signal, not the failed command.
                signals.check().map_err(|_| Interrupted { is_undone })?;
                return Err(error);
            }
        }
    }
    if signals.check().is_err() {
        let is_undone = roll_back(system, changes.undo);
        return Err(Interrupted { is_undone }.into());
    }
    Ok(done)
}

/// Undoes changes, the last one first. Returns whether all of them are undone.
fn roll_back(system: &TargetSystem, undo: Vec<Undo>) -> bool {
    if !undo.is_empty() {
        log::warn!("undoing the changes");
    }
    let mut is_undone = true;
    for step in undo.into_iter().rev() {
        let doing = step.to_string();
        if let Err(error) = step.run(system) {
            log::error!("could not undo a change: {doing}: {error:#}");
            is_undone = false;
        }
    }
    is_undone
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
    use std::path::{Path, PathBuf};
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::file::NewFile;
    use crate::installation::Installation;
    use crate::plan::{Plan, read_configuration};
    use crate::units::SHIPPED_USER;

    /// A system with users, units and an earlier configuration; `None` if this test cannot be run here.
    fn system() -> Option<(tempfile::TempDir, TargetSystem)> {
        if !rustix::process::geteuid().is_root() || !Path::new("/usr/bin/systemctl").exists() {
            assert!(std::env::var_os("CI").is_none(), "skipped in CI: it takes root and systemd");
            return None;
        }
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let units = "usr/lib/systemd/system";
        for directory in ["etc/systemd/system", "etc/logrotate.d", "var/log", "var/lib", units] {
            fs::create_dir_all(root.path().join(directory)).unwrap();
        }
        for (name, text) in [
            ("passwd", "root:x:0:0::/root:/bin/sh\nbob:x:1000:1000::/:/bin/sh\n"),
            ("group", "root:x:0:\nadm:x:4:\nsystemd-journal:x:101:\nbob:x:1000:\n"),
            ("shadow", "root:*:1::::::\nbob:*:1::::::\n"),
            ("maillogsentinel.conf", "# mine\n[report]\nemail = a@localhost\n"),
            ("logrotate.d/maillogsentinel", "old\n"),
        ] {
            put(&root.path().join("etc").join(name), text);
        }
        put(&root.path().join("var/log/mail.log"), "");
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../systemd");
        for entry in fs::read_dir(shipped).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                let target = root.path().join(units).join(entry.file_name());
                fs::copy(entry.path(), target).unwrap();
            }
        }
        let system = TargetSystem::open(root.path()).unwrap();
        Some((root, system))
    }

    fn put(path: &Path, text: &str) {
        std::io::Write::write_all(&mut fs::File::create(path).unwrap(), text.as_bytes()).unwrap();
    }

    /// Every file with its mode, owner and content, except backups and locks of the shadow suite.
    fn snapshot(root: &Path) -> BTreeMap<PathBuf, String> {
        let mut all = BTreeMap::new();
        let mut directories = vec![root.to_owned()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                if name.ends_with('-') || name == ".pwd.lock" {
                    continue;
                }
                let meta = fs::symlink_metadata(&path).unwrap();
                let content = if meta.is_dir() {
                    directories.push(path.clone());
                    String::new()
                } else if meta.is_symlink() {
                    fs::read_link(&path).unwrap().display().to_string()
                } else {
                    fs::read_to_string(&path).unwrap()
                };
                let owner = format!("{:o} {}:{}", meta.mode(), meta.uid(), meta.gid());
                all.insert(path, format!("{owner} {content}"));
            }
        }
        all
    }

    /// The steps of a setup with a user, files of all kinds, directories that systemd does not
    /// create, a stale file, and units to enable and disable.
    fn steps(system: &TargetSystem, conf: &str) -> Vec<Step> {
        let file = tempfile::NamedTempFile::new().unwrap();
        put(file.path(), conf);
        let (answers, base) = read_configuration(file.path()).unwrap();
        let installation = Installation::Package { programs: "/nonexistent".into() };
        Plan::new(system, &installation, &answers, &base).unwrap().steps(system)
    }

    #[test]
    fn a_step_that_fails_undoes_all_steps_before_it() {
        let Some((root, system)) = system() else { return };
        let signals = Signals::catch().unwrap();
        let conf = "[paths]\nworking_dir = /srv/a/b\n[database]\ndb_type = sqlite\n[report]\nemail = b@localhost\n";
        // Some units are enabled and some files exist before the setup that fails.
        apply(
            &system,
            "bob",
            &steps(&system, "[systemd]\nextraction_schedule = follow\n"),
            &signals,
        )
        .unwrap();
        put(&root.path().join("etc/logrotate.d/maillogsentinel"), "old\n");
        let before = snapshot(root.path());
        let count = steps(&system, conf).len();
        assert!(count > 20, "{count}");
        for n in 0..=count {
            let mut steps = steps(&system, conf);
            // This step fails: no directory can be below a file.
            let file = NewFile::text("/etc/passwd/file", String::new());
            steps.insert(n, Step::Write(file));
            assert!(apply(&system, SHIPPED_USER, &steps, &signals).is_err());
            assert_eq!(snapshot(root.path()), before, "step {n} of {count} failed");
        }
        assert!(!apply(&system, SHIPPED_USER, &steps(&system, conf), &signals).unwrap().is_empty());
        assert_ne!(snapshot(root.path()), before);
        let missing = Undo::RemoveParent(root.path().join("missing"));
        assert!(!roll_back(&system, vec![missing]));
        let again = apply(&system, SHIPPED_USER, &steps(&system, conf), &signals).unwrap();
        assert!(again.is_empty(), "the same setup once more changes nothing: {again:?}");
    }

    #[test]
    fn a_group_that_renames_a_new_directory_gets_no_directory_of_root() {
        let Some((root, system)) = system() else { return };
        let log = root.path().join("var/log");
        chown(&log, Some(0), Some(4)).unwrap();
        fs::set_permissions(&log, fs::Permissions::from_mode(0o775)).unwrap();
        fs::create_dir(root.path().join("srv")).unwrap();
        fs::create_dir(log.join("audit")).unwrap();
        fs::set_permissions(log.join("audit"), fs::Permissions::from_mode(0o700)).unwrap();
        symlink(root.path().join("srv"), log.join("link")).unwrap();
        let is_finished = AtomicBool::new(false);
        std::thread::scope(|scope| {
            // A member of the group can do this at any moment: rename the directory, and put
            // something else in its place.
            scope.spawn(|| {
                while !is_finished.load(Ordering::Relaxed) {
                    for entry in fs::read_dir(&log).unwrap().flatten() {
                        let path = entry.path();
                        let name = entry.file_name().to_string_lossy().into_owned();
                        if name.contains("maillogsentinel") && !name.starts_with("away") {
                            let _ = fs::rename(&path, log.join(format!("away-{name}")));
                            let _ = fs::rename(log.join("link"), &path);
                            let _ = fs::rename(&path, log.join("link"));
                        }
                    }
                }
            });
            let path = PathBuf::from("/var/log/maillogsentinel");
            for _ in 0..300 {
                let step = Step::MakeDirectory { path: path.clone(), mode: 0o750 };
                let _ = Changes::new(&system, "bob").apply(&step);
                for directory in [log.join("audit"), root.path().join("srv")] {
                    assert_eq!(fs::metadata(directory).unwrap().uid(), 0);
                }
            }
            is_finished.store(true, Ordering::Relaxed);
        });
        assert_eq!(fs::metadata(&log).unwrap().uid(), 0);
        assert_eq!(fs::read_dir(root.path().join("srv")).unwrap().count(), 0);
    }
}
