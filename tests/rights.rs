//! The service user owns the directories of the data and can put symbolic links, hard links and
//! FIFOs there. A tool that root runs must not follow a link to a file elsewhere.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mls_tests::service::Service;
use mls_tests::{is_root, skip, text, tools, wrong_clock};
use tempfile::TempDir;

const SECRET: &str = "only root may read this";

/// An object that the service user puts in the place of a file.
#[derive(Clone, Copy, Debug)]
enum Trap {
    /// A symbolic link to a file of root.
    Link,
    /// A symbolic link to a name that only root can create.
    DanglingLink,
    /// A hard link to a file of root.
    HardLink,
    /// A FIFO. If a tool of the service user waits for the FIFO, the command of root waits too.
    Fifo,
}

const TRAPS: [Trap; 4] = [Trap::Link, Trap::DanglingLink, Trap::HardLink, Trap::Fifo];

/// The files that the tools make, in the directories of the service.
const FILES: [&str; 17] = [
    "F",
    "F.lock",
    "F-20260101",
    "F.recovered-1",
    "L",
    "L.lock",
    "x.log",
    "sql/1_maillogsentinel_export.sql",
    "events.db",
    "state/state.offset",
    "state/logins.offset",
    "state/sql_state.offset",
    "state/mail.ledger",
    "state/alerts.ledger",
    "state/block.state",
    "state/missing-databases",
    "state/block/blocked.txt",
];

/// Files that belong to root, and a service of another user.
struct House {
    root: TempDir,
    service: Service,
}

impl House {
    fn new() -> Self {
        let root = TempDir::new().unwrap();
        let secret = root.path().join("secret");
        let mut file = fs::File::create(&secret).unwrap();
        std::io::Write::write_all(&mut file, SECRET.as_bytes()).unwrap();
        file.set_permissions(fs::Permissions::from_mode(0o600)).unwrap();
        fs::create_dir(root.path().join("home")).unwrap();
        let mut service = Service::new();
        service.log(3);
        service.work_as("nobody");
        Self { root, service }
    }

    fn secret(&self) -> PathBuf {
        self.root.path().join("secret")
    }

    fn plant(&self, trap: Trap, name: &str) {
        let path = self.service.path().join("data").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let _ = fs::remove_file(&path);
        match trap {
            Trap::Link => symlink(self.secret(), &path).unwrap(),
            Trap::DanglingLink => symlink(self.root.path().join("made"), &path).unwrap(),
            Trap::HardLink => fs::hard_link(self.secret(), &path).unwrap(),
            Trap::Fifo => {
                assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
            }
        }
        self.service.succeed("find data -type d -exec chown nobody {} +");
    }

    /// Runs a command as root and returns what it printed. The command may fail.
    fn run(&self, command: &str) -> String {
        let command = command.replace("CLOCK", &wrong_clock("+10d"));
        let mut shell = self.service.command(&format!("timeout 5 {command}"));
        shell.env("HOME", self.root.path().join("home")).env_remove("SUDO_UID");
        let output = shell.stdin(Stdio::null()).output().unwrap();
        text(&output.stdout) + &text(&output.stderr)
    }

    /// Expects the files of root to be unchanged, and `said` not to contain the secret.
    fn check(&self, said: &str, context: &str) {
        assert!(!said.contains(SECRET), "{context}: {said}");
        let meta = fs::metadata(self.secret()).unwrap();
        assert_eq!(fs::read_to_string(self.secret()).unwrap(), SECRET, "{context}");
        assert_eq!((meta.uid(), meta.gid(), meta.mode() & 0o7777), (0, 0, 0o600), "{context}");
        assert!(!self.root.path().join("made").exists(), "{context}: root made a file");
        assert_not_copied(self.root.path().join("home").as_path(), context);
    }
}

/// Expects no file below `directory` to have the content of the secret.
fn assert_not_copied(directory: &Path, context: &str) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let meta = fs::symlink_metadata(&path).unwrap();
        if meta.is_dir() {
            assert_not_copied(&path, context);
        } else if meta.is_file() {
            let bytes = fs::read(&path).unwrap();
            assert!(!text(&bytes).contains(SECRET), "{context}: {}", path.display());
        }
    }
}

const COMMANDS: [&str; 9] = [
    "maillogsentinel --config conf",
    "maillogsentinel --config conf --report",
    "maillogsentinel --config conf --alert",
    "maillogsentinel --config conf --sql-export",
    "maillogsentinel --config conf --sql-import",
    "maillogsentinel --config conf --status",
    "mls-status --config conf",
    "CLOCK maillogsentinel --config conf --prune",
    "maillogsentinel --config conf --purge --yes",
];

#[test]
fn no_command_of_root_follows_a_link_in_a_directory_of_the_service() {
    if !is_root() {
        return skip("only root can be led astray");
    }
    for trap in TRAPS {
        let house = House::new();
        for command in COMMANDS {
            for name in FILES {
                house.plant(trap, name);
            }
            let t = std::time::Instant::now();
            let said = house.run(command);
            println!("{trap:?} {command} {:?}", t.elapsed());
            house.check(&said, &format!("{trap:?}, {command}"));
        }
    }
}

/// The files of a working service. The test replaces one file after the other by a FIFO.
const WAITING: [&str; 10] = [
    "F",
    "F.lock",
    "L",
    "x.log",
    "events.db",
    "state/state.offset",
    "state/logins.offset",
    "state/sql_state.offset",
    "state/mail.ledger",
    "state/block.state",
];

#[test]
fn no_command_waits_for_a_fifo_in_the_place_of_a_file() {
    for name in WAITING {
        let mut service = Service::new();
        service.log(3);
        service.write_operational_log();
        service.make_directories();
        service.succeed("maillogsentinel --config conf; maillogsentinel --config conf --report");
        service.succeed(&format!("rm -f data/{name}; mkfifo data/{name}"));
        for command in COMMANDS {
            let command = command.replace("CLOCK", &wrong_clock("+10d"));
            // A tool that waits for a FIFO waits forever, so 60 seconds are enough on any machine.
            let shell = format!("timeout 60 {command} < /dev/null");
            let output = service.command(&shell).env("HOME", service.path()).output().unwrap();
            let said = text(&output.stdout) + &text(&output.stderr);
            assert_ne!(output.status.code(), Some(124), "{name}: {command}: {said}");
            if command.ends_with("--status") && name != "events.db" {
                let path = service.path().join("data").join(name);
                assert!(said.contains(&path.display().to_string()), "{name}: {said}");
                assert!(said.contains("is not a regular file"), "{name}: {said}");
            }
        }
    }
}

#[test]
fn starting_over_as_root_removes_no_file_of_root() {
    if !is_root() {
        return skip("only root can be led astray");
    }
    for name in FILES {
        let house = House::new();
        // The first run makes all files. Then a link replaces one file.
        let said = house.run("maillogsentinel --config conf");
        assert!(!said.contains("error"), "{said}");
        house.plant(Trap::Link, name);
        let said = house.run("maillogsentinel --config conf --purge --yes");
        house.check(&said, &format!("{name}: {said}"));
    }
}

#[test]
fn neither_setup_nor_its_undo_follows_a_link() {
    if !is_root() {
        return skip("only root can be led astray");
    }
    for trap in TRAPS {
        let house = House::new();
        let system = house.service.path().join("data");
        for directory in ["etc/systemd/system", "etc/logrotate.d", "var/log", "var/lib", "usr/bin"]
        {
            fs::create_dir_all(system.join(directory)).unwrap();
        }
        for (file, content) in [
            ("etc/passwd", "root:x:0:0::/root:/bin/sh\nmaillogsentinel:x:990:990::/:/bin/sh\n"),
            ("etc/group", "root:x:0:\nadm:x:4:\nmaillogsentinel:x:990:\n"),
            ("var/log/mail.log", ""),
            ("answers", "[report]\nemail = a@example.com\n"),
        ] {
            let mut file = fs::File::create(system.join(file)).unwrap();
            std::io::Write::write_all(&mut file, content.as_bytes()).unwrap();
        }
        for name in [
            "etc/maillogsentinel.conf.setup-new",
            "etc/logrotate.d/maillogsentinel.setup-new",
            "var/log/maillogsentinel_setup.log",
        ] {
            house.plant(trap, name);
        }
        let setup = tools().join("mls-setup").display().to_string();
        for arguments in ["--automated data/answers", "--uninstall --yes"] {
            let said = house.run(&format!("{setup} --root data {arguments}"));
            house.check(&said, &format!("{trap:?}, {arguments}: {said}"));
        }
    }
}
