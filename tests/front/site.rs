//! A directory with a log and a configuration for the front end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use mls_tests::{Site, text};

pub(crate) struct Front {
    pub(crate) site: Site,
    pub(crate) config: PathBuf,
}

impl Front {
    pub(crate) fn new(name: &str, more: &str) -> Self {
        let site = Site::new();
        let dir = site.path().display().to_string();
        let user = text(&Command::new("id").arg("-un").output().unwrap().stdout);
        site.write(
            name,
            &format!(
                "[paths]\nworking_dir = {dir}\nstate_dir = {dir}/state\nmail_log = {dir}/mail.log\ncsv_filename = F\n\
                 [geolocation]\ncountry_db_path = {dir}/c.csv\n[ASN_ASO]\nasn_db_path = {dir}/a.csv\n\
                 [general]\nlog_file = x.log\n[systemd]\nuser = {user}\n{more}\n"
            ),
        );
        fs::create_dir(site.path().join("state")).unwrap();
        fs::create_dir(site.path().join("home")).unwrap();
        let config = site.path().join(name);
        Self { site, config }
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command =
            Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/maillogsentinel"));
        command.arg("--config").arg(&self.config).args(args);
        command.env("HOME", self.site.path().join("home")).env_remove("SUDO_UID");
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    pub(crate) fn succeeds(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(
            output.status.success(),
            "{args:?}: {}{}",
            text(&output.stdout),
            text(&output.stderr)
        );
        text(&output.stdout)
    }

    pub(crate) fn archive(&self) -> Vec<String> {
        let home = self.site.path().join("home");
        let directory = fs::read_dir(home).unwrap().next().unwrap().unwrap().path();
        let mut names: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

pub(crate) const LOGIN: &str = "2026-06-01T10:00:00+00:00 vm postfix/smtps/smtpd[7]: 4A1B2C3D: client=home.example[192.0.2.7], \
                     sasl_method=PLAIN, sasl_username=u7\n";
