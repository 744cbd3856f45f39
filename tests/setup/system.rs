//! A test system: a directory that setup uses as `/`.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use mls_tests::{has, is_root, skip, text, tools};
use tempfile::TempDir;

pub(crate) fn put(path: &Path, content: &str) {
    fs::File::create(path).unwrap().write_all(content.as_bytes()).unwrap();
}

/// The directory that setup uses as `/`. It has a mail log.
pub(crate) struct System(pub(crate) TempDir);

pub(crate) const SCHEDULE: &str = "When to read the mail log";

pub(crate) const RECIPIENTS: &str = "Recipients of the daily digest";

pub(crate) const DATABASE: &str = "Database for the";

pub(crate) const WRITE: &str = "Write this?";

/// The questions of the shortest dialogue, each with an empty answer.
pub(crate) const DEFAULTS: [(&str, &str); 11] = [
    ("Mail log", "\n"),
    (SCHEDULE, "\n"),
    (RECIPIENTS, "\n"),
    ("Alert when one address", "\n"),
    ("Servers whose logins", "\n"),
    ("Record successful logins", "\n"),
    ("When to write metrics", "\n"),
    ("When to update", "\n"),
    ("User that the service", "\n"),
    ("Days to keep", "\n"),
    (DATABASE, "\n"),
];

impl System {
    /// Returns `None` if the test cannot run on this machine.
    pub(crate) fn new() -> Option<Self> {
        if !is_root() || !has("systemctl") || !has("useradd") {
            skip("only root can set a system up, with systemd and the shadow suite");
            return None;
        }
        let system = Self(TempDir::new().unwrap());
        for directory in [
            "etc/systemd/system",
            "etc/logrotate.d",
            "var/log",
            "var/lib",
            "var/cache",
            "srv",
            "run/systemd/journal",
            "usr",
        ] {
            fs::create_dir_all(system.path(directory)).unwrap();
        }
        system.write("etc/passwd", "root:x:0:0::/root:/bin/sh\nbob:x:1000:1000::/:/bin/sh\n");
        system.write("etc/group", "root:x:0:\nadm:x:4:\nsystemd-journal:x:101:\nbob:x:1000:\n");
        system.write("etc/shadow", "root:*:1::::::\nbob:*:1::::::\n");
        system.write("var/log/mail.log", "");
        fs::set_permissions(system.path(""), fs::Permissions::from_mode(0o755)).unwrap();
        Some(system)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        put(&self.path(name), content);
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(tools().join("mls-setup"));
        command.arg("--root").arg(self.0.path()).args(args);
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    pub(crate) fn automated(&self, conf: &str) -> Output {
        let file = TempDir::new().unwrap();
        let path = file.path().join("answers");
        put(&path, conf);
        self.run(&["--automated", path.to_str().unwrap()])
    }

    /// Every file with its mode, owner and content, except `shadow`, `gshadow`, and the lock and
    /// backup files of useradd.
    pub(crate) fn snapshot(&self) -> BTreeMap<PathBuf, String> {
        let mut all = BTreeMap::new();
        let mut directories = vec![self.path("")];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                if name.ends_with('-')
                    || [".pwd.lock", "shadow", "gshadow"].contains(&name.as_str())
                {
                    continue;
                }
                let meta = fs::symlink_metadata(&path).unwrap();
                let content = if meta.is_dir() {
                    directories.push(path.clone());
                    String::new()
                } else if meta.is_symlink() {
                    fs::read_link(&path).unwrap().display().to_string()
                } else {
                    text(&fs::read(&path).unwrap())
                };
                all.insert(path, format!("{:o} {} {content}", meta.mode(), meta.uid()));
            }
        }
        all
    }

    pub(crate) fn enabled(&self, unit: &str) -> bool {
        ["timers.target.wants", "multi-user.target.wants", "maillogsentinel-report.service.wants"]
            .iter()
            .any(|wants| self.path("etc/systemd/system").join(wants).join(unit).is_symlink())
    }
}

/// Makes a fake program that setup calls instead of `name`. Returns its directory and the `PATH`.
pub(crate) fn impostor(name: &str, script: &str) -> (TempDir, String) {
    let dir = TempDir::new().unwrap();
    put(&dir.path().join(name), script);
    fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap());
    (dir, path)
}
