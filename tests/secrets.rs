//! No password appears in `ps`, in an environment, in a message or in a core file.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use mls_tests::hostile::serve;
use mls_tests::{skip, text, tools};
use tempfile::TempDir;

const PASSWORD: &str = "Zitronenfalter-71";

/// A tool that sends a password to a server.
struct Case {
    tool: &'static str,
    args: &'static [&'static str],
    /// The configuration. The test replaces `PORT`, `FILE` (the password file) and `PASSWORD`.
    config: &'static str,
    /// Plays the server until the password arrives.
    server: fn(&mut TcpStream) -> std::io::Result<()>,
}

const CASES: [Case; 5] = [
    Case {
        tool: "mls-mail",
        args: &["--test"],
        config: "[report]\nemail = a@example.com\nsmtp_host = 127.0.0.1\nsmtp_port = PORT\n\
                 smtp_user = u\nsmtp_password_file = FILE\n",
        server: |stream| {
            stream.write_all(b"220 mail.example.com\r\n")?;
            read_some(stream)?;
            stream.write_all(b"250-mail.example.com\r\n250 AUTH PLAIN\r\n")?;
            read_some(stream)
        },
    },
    Case {
        tool: "mls-sql",
        args: &["load"],
        config: "[database]\ndb_type = postgresql\ndb_host = 127.0.0.1\ndb_port = PORT\ndb_name = d\n\
                 db_user = u\ndb_password_file = FILE\n",
        server: ask_for_password,
    },
    Case {
        tool: "mls-sql",
        args: &["import"],
        config: "[database]\ndb_type = postgresql\ndb_host = 127.0.0.1\ndb_port = PORT\ndb_name = d\n\
                 db_user = u\ndb_password = PASSWORD\nsql_export_dir = .\n",
        server: ask_for_password,
    },
    Case {
        tool: "mls-sql",
        args: &["cursor"],
        config: "[database]\ndb_type = mysql\ndb_host = 127.0.0.1\ndb_port = PORT\ndb_name = d\n\
                 db_user = u\ndb_password_file = FILE\n",
        server: |_| Ok(()),
    },
    Case {
        tool: "mls-ipdb",
        args: &["update"],
        config: "[paths]\nstate_dir = .\n[geolocation]\n\
                 country_db_url = http://127.0.0.1:PORT/country?token=PASSWORD\n\
                 [ASN_ASO]\nasn_db_url = http://127.0.0.1:PORT/asn?token=PASSWORD\n",
        server: read_some,
    },
];

fn read_some(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.read(&mut [0; 4096]).map(drop)
}

/// Plays a PostgreSQL server that refuses TLS and asks for the password in clear text.
fn ask_for_password(stream: &mut TcpStream) -> std::io::Result<()> {
    read_some(stream)?;
    stream.write_all(b"N")?;
    read_some(stream)?;
    stream.write_all(b"R\0\0\0\x08\0\0\0\x03")?;
    read_some(stream)
}

/// Starts a server that answers until the password arrives. Then it notifies the receiver.
fn stalled(play: fn(&mut TcpStream) -> std::io::Result<()>) -> (u16, Receiver<()>) {
    let (sender, receiver) = channel();
    let port = serve(move |mut stream| {
        play(&mut stream)?;
        let _ = sender.send(());
        while stream.read(&mut [0; 4096])? > 0 {}
        Ok(())
    });
    (port, receiver)
}

impl Case {
    fn command(&self, directory: &Path, port: u16) -> Command {
        write(&directory.join("password"), &format!("{PASSWORD}\n"));
        let config = self.config.replace("PASSWORD", PASSWORD);
        let config = config.replace("PORT", &port.to_string());
        write(&directory.join("conf"), &config.replace("FILE", "password"));
        let mut command = Command::new("bash");
        command
            .args(["-c", "ulimit -c unlimited; exec \"$0\" \"$@\""])
            .arg(tools().join(self.tool))
            .args(self.args)
            .args(["--config", "conf"])
            .current_dir(directory)
            .env("MLS_DEBUG", "1")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

/// Writes a file of mode 0600, because the tools require this mode.
fn write(path: &Path, content: &str) {
    let mut options = std::fs::File::options();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path).unwrap();
    file.write_all(content.as_bytes()).unwrap();
}

/// Sends SIGABRT to a process. If the process may leave a core file, the kernel writes one.
fn crash(child: Child) -> Output {
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-ABRT", &id]).status().unwrap().success());
    child.wait_with_output().unwrap()
}

fn assert_not_in(what: &str, bytes: &[u8]) {
    assert!(!text(bytes).contains(PASSWORD), "the password is in {what}: {}", text(bytes));
}

#[test]
fn no_process_shows_a_password_while_its_server_stalls() {
    let directory = TempDir::new().unwrap();
    let mut shell = Command::new("bash");
    shell.args(["-c", "ulimit -c unlimited; kill -ABRT $$"]).current_dir(directory.path());
    if !shell.output().unwrap().status.core_dumped() {
        return skip("this machine writes no core files");
    }
    for case in &CASES {
        let directory = TempDir::new().unwrap();
        let (port, received) = stalled(case.server);
        let child = case.command(directory.path(), port).spawn().unwrap();
        received.recv_timeout(Duration::from_secs(30)).unwrap();
        for file in ["cmdline", "environ"] {
            let content = std::fs::read(format!("/proc/{}/{file}", child.id())).unwrap();
            assert!(!content.is_empty());
            assert_not_in(&format!("the {file} of {}", case.tool), &content);
        }
        let output = crash(child);
        assert_not_in("standard error", &output.stderr);
        assert_not_in("standard output", &output.stdout);
        assert_eq!(output.status.signal(), Some(6));
        assert!(!output.status.core_dumped(), "{} {:?} left a core file", case.tool, case.args);
    }
}

#[test]
fn no_message_of_a_failure_shows_a_password() {
    for case in &CASES {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let refusing = serve(|mut stream| stream.write_all(b"500 no\r\n\r\n"));
        for port in [closed, refusing] {
            let directory = TempDir::new().unwrap();
            let mut child = case.command(directory.path(), port).spawn().unwrap();
            // Read only the first messages, because some tools retry for minutes.
            let mut lines = BufReader::new(child.stderr.take().unwrap());
            let mut said = Vec::new();
            while text(&said).lines().count() < 3 && lines.read_until(b'\n', &mut said).unwrap() > 0
            {
                let is_reported =
                    text(&said).contains("error:") || text(&said).contains("warning:");
                if is_reported {
                    break;
                }
            }
            let _ = child.kill();
            child.wait().unwrap();
            assert!(!said.is_empty(), "{} said nothing", case.tool);
            assert_not_in(&format!("a message of {}", case.tool), &said);
        }
    }
}

#[test]
fn a_password_on_the_command_line_is_refused() {
    let output = Command::new(tools().join("mls-sql"))
        .args(["load", "--url", &format!("postgres://u:{PASSWORD}@127.0.0.1:1/x")])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert_not_in("a message", &output.stderr);
}
