//! Code that the tests of pipelines share: a directory, the tools by name, and a log in which each
//! failure has a different user.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test that cannot go on should stop"
)]

pub mod hostile;
pub mod killing;
pub mod mailbox;
pub mod network;
pub mod servers;
pub mod service;
pub mod stolen;
pub mod units;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// The directory of the tools that were built together with this test.
#[must_use]
pub fn tools() -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    // This test is `target/debug/deps/NAME-HASH`.
    path.pop();
    path.pop();
    assert!(
        path.join("mls-tail").exists(),
        "the tools are not in {}: build the workspace first",
        path.display()
    );
    path
}

/// The prefix that changes the clock of a shell command, for example by `+10d`. It loads only the
/// library of faketime(1). The program faketime would be a process between the shell and the
/// command, and a kill would end only faketime. If a killed process with the same number has left a
/// semaphore, faketime also refuses to start.
#[must_use]
pub fn wrong_clock(change: &str) -> String {
    format!("env LD_PRELOAD=$(echo /usr/lib/*/faketime/libfaketime.so.1) FAKETIME={change}")
}

/// A directory with a log and the output of a pipeline.
pub struct Site {
    dir: TempDir,
    written: u64,
}

/// The pipeline that systemd runs, in the directory of a [`Site`].
pub const EXTRACT: &str = "mls-tail --framed --cursor-file S mail.log | mls-parse --timezone UTC | \
                           mls-enrich --no-dns --country-db c.csv --asn-db a.csv | \
                           mls-csv --append F --cursor-file S --timezone UTC";

impl Default for Site {
    fn default() -> Self {
        Self::new()
    }
}

impl Site {
    /// An empty log in a new directory.
    #[must_use]
    pub fn new() -> Self {
        Self::within(&std::env::temp_dir())
    }

    /// An empty log in a new directory below `parent`.
    #[must_use]
    pub fn within(parent: &Path) -> Self {
        let dir = TempDir::new_in(parent).unwrap();
        let site = Self { dir, written: 0 };
        site.write("mail.log", "");
        site.write("c.csv", "1.0.0.0,255.255.255.255,XX\n");
        site.write("a.csv", "1.0.0.0,255.255.255.255,64496,Example\n");
        site
    }

    /// The path of the directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Creates or replaces a file. If its directory does not exist, creates the directory too.
    pub fn write(&self, name: &str, content: &str) {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        File::create(path).unwrap().write_all(content.as_bytes()).unwrap();
    }

    /// Appends text to a file.
    pub fn append(&self, name: &str, content: &str) {
        self.append_bytes(name, content.as_bytes());
    }

    /// Adds bytes to a file.
    pub fn append_bytes(&self, name: &str, content: &[u8]) {
        let mut file =
            File::options().append(true).create(true).open(self.dir.path().join(name)).unwrap();
        file.write_all(content).unwrap();
    }

    /// Returns the content of a file. If the file does not exist, returns an empty text.
    #[must_use]
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.dir.path().join(name)).unwrap_or_default()
    }

    /// `n` different failures, each followed by a line that is not a failure.
    pub fn failures(&mut self, n: u64) -> String {
        use std::fmt::Write;
        let mut text = String::new();
        for _ in 0..n {
            let (user, second) = (self.written, self.written % 60);
            self.written += 1;
            let head = format!(
                "2026-06-01T00:00:{second:02}.{:06}+00:00 vm postfix/smtpd[74]: ",
                user % 1_000_000
            );
            writeln!(
                text,
                "{head}warning: unknown[192.0.2.1]: SASL LOGIN authentication failed: x, sasl_username=u{user}"
            )
            .unwrap();
            writeln!(
                text,
                "{head}disconnect from unknown[192.0.2.1] ehlo=1 auth=0/1 quit=1 commands=2/3"
            )
            .unwrap();
        }
        text
    }

    /// Adds `n` failures to the log.
    pub fn log(&mut self, n: u64) {
        let text = self.failures(n);
        self.append("mail.log", &text);
    }

    /// Runs a shell command in the directory, with the tools in `PATH`. The exit code comes from
    /// the last stage that failed.
    #[must_use]
    pub fn shell(&self, command: &str) -> Output {
        self.command(command).output().unwrap()
    }

    /// Runs a command that must succeed, and returns its standard output.
    #[expect(clippy::must_use_candidate, reason = "most callers only want it to succeed")]
    pub fn succeed(&self, command: &str) -> String {
        output_of(command, &self.shell(command))
    }

    /// Runs a command that must end with `code`, and returns its messages.
    #[expect(clippy::must_use_candidate, reason = "many callers only want it to fail")]
    pub fn fail(&self, code: i32, command: &str) -> String {
        let output = self.shell(command);
        let messages = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{command}: {messages}");
        messages
    }

    /// Returns a shell command that is not started yet.
    #[must_use]
    pub fn command(&self, command: &str) -> Command {
        let path = format!("{}:{}", tools().display(), std::env::var("PATH").unwrap());
        let mut shell = Command::new("bash");
        shell
            .args(["-o", "pipefail", "-c", command])
            .current_dir(self.dir.path())
            .env("PATH", path);
        shell
    }

    /// Runs [`EXTRACT`], which must succeed.
    pub fn extract(&self) {
        let output = self.shell(EXTRACT);
        assert!(output.status.success(), "{}", text(&output.stderr));
    }

    /// Repeats [`EXTRACT`] until it succeeds: stages of a killed pipeline may still have the lock.
    pub fn extract_until_clean(&self) {
        for _ in 0..600 {
            let output = self.shell(EXTRACT);
            match output.status.code() {
                Some(0) => return,
                Some(75) => std::thread::sleep(std::time::Duration::from_millis(50)),
                _ => panic!("{}: {}", output.status, text(&output.stderr)),
            }
        }
        panic!("another pipeline never ended");
    }

    /// Runs [`EXTRACT`], which must end with `code`. Returns the messages.
    #[must_use]
    pub fn extract_fails(&self, code: i32) -> String {
        let output = self.shell(EXTRACT);
        assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
        text(&output.stderr)
    }

    /// Expects the CSV to have every failure written so far exactly once, and no other row.
    pub fn assert_exact(&self) {
        let csv = self.read("F");
        let rows = csv.lines().filter(|row| !row.starts_with("server,"));
        self.assert_exact_users(rows.map(|row| row.split(',').nth(3).unwrap_or(row)));
    }

    /// Expects the CSV and its rotated files together to have every failure exactly once.
    pub fn assert_all_csv_exact(&self) {
        let mut rows = String::new();
        for name in self.files("F").iter().filter(|name| !name.contains("recovered")) {
            let read = match name.rsplit('.').next() {
                Some("gz") => format!("gzip -dc {name}"),
                Some("xz") => format!("xz -dc {name}"),
                Some("bz2") => format!("bzip2 -dc {name}"),
                Some("zst") => format!("zstd -dcq {name}"),
                Some("lock") => continue,
                _ => format!("cat {name}"),
            };
            let output = self.shell(&read);
            assert!(output.status.success(), "{read}: {}", text(&output.stderr));
            rows += &text(&output.stdout);
        }
        let rows = rows.lines().filter(|row| !row.starts_with("server,"));
        self.assert_exact_users(rows.map(|row| row.split(',').nth(3).unwrap_or(row)));
    }

    /// Expects `users` to be the user names of all failures, each exactly once.
    pub fn assert_exact_users<'a>(&self, users: impl Iterator<Item = &'a str>) {
        let users: Vec<_> = users.map(str::to_owned).collect();
        assert_each_once("u", &users, usize::try_from(self.written).unwrap());
    }

    /// Files in the directory whose names begin with `prefix`.
    #[must_use]
    pub fn files(&self, prefix: &str) -> Vec<String> {
        let names = fs::read_dir(self.dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with(prefix)).collect()
    }
}

/// Expects `count` names, each exactly once. With the prefix `u`, they are `u0`, `u1` and so on.
pub fn assert_each_once(prefix: &str, names: &[String], count: usize) {
    let mut seen: BTreeMap<usize, u32> = BTreeMap::new();
    for name in names {
        let number = name.strip_prefix(prefix).and_then(|n| n.parse().ok());
        let number = number.unwrap_or_else(|| panic!("nobody wrote {name}"));
        *seen.entry(number).or_default() += 1;
    }
    let lost: Vec<_> = (0..count).filter(|number| !seen.contains_key(number)).collect();
    let twice: Vec<_> = seen.iter().filter(|(_, times)| **times > 1).collect();
    assert!(
        lost.is_empty() && twice.is_empty() && seen.len() == count,
        "of {count} lost: {lost:?}, more than once: {twice:?}"
    );
}

/// The standard output of a command that must have succeeded.
///
/// # Panics
/// If the command failed.
#[must_use]
pub fn output_of(command: &str, output: &Output) -> String {
    assert!(output.status.success(), "{command}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Bytes as text.
#[must_use]
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Prints that a test cannot run on this machine. If the variable `CI` is set, the test fails.
pub fn skip(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "skipped in CI: {why}");
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}

/// Whether a program is installed.
#[must_use]
pub fn has(program: &str) -> bool {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap());
    std::env::split_paths(&path).any(|directory| directory.join(program).exists())
}

/// Whether the test runs as root, so that it may mount file systems.
#[must_use]
pub fn is_root() -> bool {
    text(&Command::new("id").arg("-u").output().unwrap().stdout).trim() == "0"
}

/// A small file system that is unmounted when this value is dropped.
pub struct Mounted {
    dir: TempDir,
    device: Option<PathBuf>,
}

impl Mounted {
    /// Mounts a file system in memory. Its size is for example `256k`.
    #[must_use]
    pub fn tmpfs(size: &str) -> Self {
        let mounted = Self { dir: TempDir::new().unwrap(), device: None };
        run(
            "mount",
            &[
                "-t",
                "tmpfs",
                "-o",
                &format!("size={size}"),
                "tmpfs",
                mounted.path().to_str().unwrap(),
            ],
        );
        mounted
    }

    /// Mounts an ext4 image. Its size is for example `8M`.
    #[must_use]
    pub fn ext4(size: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let image = dir.path().with_extension("ext4");
        run("truncate", &["-s", size, image.to_str().unwrap()]);
        run("mkfs.ext4", &["-q", "-F", image.to_str().unwrap()]);
        let mounted = Self { dir, device: Some(image.clone()) };
        run("mount", &["-o", "loop", image.to_str().unwrap(), mounted.path().to_str().unwrap()]);
        mounted
    }

    /// The mount point.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.dir.path()).status();
        if let Some(image) = &self.device {
            let _ = fs::remove_file(image);
        }
    }
}

fn run(program: &str, args: &[&str]) {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap());
    let output = Command::new(program).args(args).env("PATH", path).output().unwrap();
    assert!(output.status.success(), "{program}: {}", text(&output.stderr));
}

/// Runs a command at a new terminal. Waits for each text in `steps` and types its answer. Returns
/// the exit code and all output. If signal N ended the command, the code is 128 + N.
#[must_use]
pub fn terminal(command: &mut Command, steps: &[(&str, &str)]) -> (i32, String) {
    let mut python = Command::new("python3");
    python
        .args(["-c", include_str!("terminal.py")])
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => python.env(name, value),
            None => python.env_remove(name),
        };
    }
    for (wait, send) in steps {
        assert!(!wait.contains('\0') && !send.contains('\0'), "NUL separates them");
    }
    let steps: Vec<u8> =
        steps.iter().flat_map(|(wait, send)| format!("{wait}\0{send}\0").into_bytes()).collect();
    let mut child = python
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&steps).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.stderr.is_empty(), "{}{}", text(&output.stdout), text(&output.stderr));
    (output.status.code().unwrap(), text(&output.stdout))
}
