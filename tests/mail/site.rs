//! A mail server in its own directory, and the tools that use it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

pub(crate) const HEADER: &str =
    "server,date,ip,user,hostname,reverse_dns_status,country_code,asn,aso\n";

/// Debian's Python, which finds the modules of Debian packages.
pub(crate) const PYTHON: &str = "/usr/bin/python3";

pub(crate) struct Site {
    pub(crate) dir: TempDir,
    pub(crate) server: Option<Child>,
    pub(crate) settings: String,
}

pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Site {
    /// Starts a server that answers as `script` says.
    pub(crate) fn new(script: &Value, options: &[&str]) -> Self {
        let mut site =
            Self { dir: tempfile::tempdir().unwrap(), server: None, settings: String::new() };
        if options.contains(&"--tls") {
            site.make_certificates();
        }
        site.serve(script, options);
        site
    }

    pub(crate) fn without_server() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), server: None, settings: String::new() }
    }

    /// Stops the server, if one runs, and starts a new server.
    pub(crate) fn serve(&mut self, script: &Value, options: &[&str]) {
        self.stop();
        let mut server = Command::new(PYTHON)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/mail/server.py"))
            .arg(self.dir.path())
            .arg(script.to_string())
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut port).unwrap();
        self.server = Some(server);
        assert!(!port.is_empty(), "the mail server did not start: is python3-aiosmtpd installed?");
        self.configure(&format!("smtp_host = localhost\nsmtp_port = {}\n", port.trim()));
    }

    pub(crate) fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            drop(server.stdin.take());
            server.wait().unwrap();
        }
    }

    /// Writes a configuration with the keys of `server`.
    pub(crate) fn configure(&mut self, server: &str) {
        server.clone_into(&mut self.settings);
        self.configure_also("email = admin@example.com\n");
    }

    pub(crate) fn configure_also(&self, more: &str) {
        let dir = self.dir.path().display();
        let text = format!(
            "[paths]\nworking_dir = {dir}\nstate_dir = {dir}\n[report]\nsender_override = mls@example.com\n{}{more}",
            self.settings
        );
        mls_state::atomic::write(&self.dir.path().join("mls.conf"), text.as_bytes(), 0o644)
            .unwrap();
    }

    pub(crate) fn csv(&self) -> std::path::PathBuf {
        self.dir.path().join("maillogsentinel.csv")
    }

    pub(crate) fn append(&self, rows: &str) {
        let mut file = fs::File::options().append(true).create(true).open(self.csv()).unwrap();
        if file.metadata().unwrap().len() == 0 {
            file.write_all(HEADER.as_bytes()).unwrap();
        }
        file.write_all(rows.as_bytes()).unwrap();
    }

    /// Mails the digest that `args` describe.
    pub(crate) fn digest(&self, args: &[&str]) -> Run {
        self.run("mls-report --config mls.conf --timezone UTC --format mail \"$@\" | mls-mail --config mls.conf --smtp-timeout 2", args)
    }

    /// Mails the alerts without a pause between two mails. Prints the records of the alerts.
    pub(crate) fn alerts(&self) -> Run {
        self.run(
            "mls-alert --config mls.conf --timezone UTC --framed | tee records | \
             mls-mail --config mls.conf --smtp-timeout 2 --alert-interval 0
             code=$?; grep '\"type\":\"alert\"' records; exit $code",
            &[],
        )
    }

    /// Runs a pipeline; `$@` is `args`.
    pub(crate) fn run(&self, pipeline: &str, args: &[&str]) -> Run {
        let output = self.command(pipeline, args).output().unwrap();
        Run {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// A pipeline that is not started. Its working directory is `dir`.
    pub(crate) fn command(&self, pipeline: &str, args: &[&str]) -> Command {
        let path = format!("{}:{}", mls_tests::tools().display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("bash");
        command
            .args(["-o", "pipefail", "-c", pipeline, "-"])
            .args(args)
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .env("PATH", path)
            .env("SSL_CERT_FILE", self.dir.path().join("ca.pem"));
        command
    }

    /// The messages that arrived, in order, each with its envelope.
    pub(crate) fn messages(&self) -> Vec<(Value, Value)> {
        (1..)
            .map_while(|n| {
                let raw = fs::read(self.dir.path().join(format!("{n}.eml"))).ok()?;
                let envelope = fs::read(self.dir.path().join(format!("{n}.json"))).unwrap();
                Some((parse(&raw), serde_json::from_slice(&envelope).unwrap()))
            })
            .collect()
    }

    /// Creates a certificate authority, and a certificate for localhost that this authority signs.
    pub(crate) fn make_certificates(&self) {
        let run = |args: &[&str]| {
            let output =
                Command::new("openssl").args(args).current_dir(self.dir.path()).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        let key = [
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ];
        run(&[&key[..], &["-subj", "/CN=Test CA", "-keyout", "ca.key", "-out", "ca.pem"]].concat());
        run(&[
            &key[..],
            &[
                "-subj",
                "/CN=localhost",
                "-addext",
                "subjectAltName=DNS:localhost",
                "-addext",
                "basicConstraints=CA:FALSE",
            ],
            &["-CA", "ca.pem", "-CAkey", "ca.key", "-keyout", "key.pem", "-out", "cert.pem"],
        ]
        .concat());
    }

    /// Replaces the certificate with a certificate that expired in 2021.
    pub(crate) fn let_certificate_expire(&self) {
        let script = "openssl req -new -key key.pem -subj /CN=localhost -out req.pem && : > index && echo 01 > serial && \
            printf '[ca]\ndefault_ca=a\n[a]\ndatabase=index\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=p\n\
            [p]\ncommonName=supplied\n[e]\nsubjectAltName=DNS:localhost\n' > ca.cnf && \
            openssl ca -batch -config ca.cnf -cert ca.pem -keyfile ca.key -in req.pem \
            -out cert.pem -notext -extensions e -startdate 20200101000000Z -enddate 20210101000000Z";
        let run = self.run(script, &[]);
        assert_eq!(run.code, 0, "{}", run.err);
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

/// Parses a message with Python.
pub(crate) fn parse(raw: &[u8]) -> Value {
    let mut python = Command::new(PYTHON)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/mail/parse.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(raw).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

pub(crate) fn part<'a>(message: &'a Value, kind: &str) -> Option<&'a Value> {
    message["parts"].as_array().unwrap().iter().find(|part| part["type"] == kind)
}

pub(crate) fn text(message: &Value) -> &str {
    part(message, "text/plain").unwrap()["text"].as_str().unwrap()
}

pub(crate) fn row(date: &str, user: &str) -> String {
    format!("mail,{date},192.0.2.1,{user},null,Errno 1,CN,1,O\n")
}

pub(crate) fn sha256(path: &Path) -> String {
    mls_state::cursor_file::sha256(&fs::read(path).unwrap())
}

pub(crate) const ONE_DAY: [&str; 2] = ["--date", "2026-06-01"];
