//! Tests the values of `reverse_dns_status` with the DNS server unbound (Debian package `unbound`).
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should stop"
)]

use std::io::Write;
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

struct Unbound(Child);

impl Drop for Unbound {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// On Debian, the PATH of a normal user does not contain daemons.
fn unbound() -> Command {
    let places = ["/usr/sbin/unbound", "/usr/local/sbin/unbound"];
    Command::new(places.into_iter().find(|place| Path::new(place).exists()).unwrap_or("unbound"))
}

/// Starts unbound on a free port, and waits until it answers.
fn start(dir: &Path) -> (Unbound, u16) {
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let dead = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let conf = dir.join("unbound.conf");
    let text = format!(
        r#"server:
  interface: 127.0.0.1@{port}
  do-daemonize: no
  username: ""
  chroot: ""
  directory: "{dir}"
  pidfile: ""
  use-syslog: no
  do-not-query-localhost: no
  module-config: "iterator"
  local-zone: "11.in-addr.arpa." static
  local-data-ptr: "11.0.0.1 mail.example.com"
  local-data: '5.0.0.11.in-addr.arpa. TXT "no pointer"'
  local-zone: "12.in-addr.arpa." refuse
  local-zone: "a.2.ip6.arpa." static
  local-data-ptr: "2a00::1 six.example.com"
forward-zone:
  name: "13.in-addr.arpa."
  forward-addr: 127.0.0.1@{dead}
remote-control:
  control-enable: no
"#,
        dir = dir.display()
    );
    mls_state::atomic::write(&conf, text.as_bytes(), 0o644).unwrap();
    let child = unbound().args(["-d", "-p", "-c"]).arg(&conf).stderr(Stdio::null()).spawn();
    let unbound = Unbound(child.expect("needs the Debian package unbound"));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_millis(100))).unwrap();
    // Repeat a query until the first answer arrives.
    let question =
        b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01x\x0211\x07in-addr\x04arpa\x00\x00\x0c\x00\x01";
    for _ in 0..100 {
        let _ = socket.send_to(question, ("127.0.0.1", port));
        if socket.recv(&mut [0; 512]).is_ok() {
            return (unbound, port);
        }
    }
    panic!("unbound does not answer");
}

#[test]
fn every_outcome_of_a_real_resolver_has_its_status() {
    let dir = tempfile::tempdir().unwrap();
    let (_unbound, port) = start(dir.path());
    let mut child = Command::new(env!("CARGO_BIN_EXE_mls-enrich"))
        .args([
            "--dns-server",
            &format!("127.0.0.1:{port}"),
            "--dns-timeout",
            "2",
            "--data-dir",
            ".",
        ])
        .current_dir(dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let expected = [
        ("11.0.0.1", "OK", Some("mail.example.com")),
        ("11.0.0.2", "Errno 1", None),
        ("13.0.0.1", "Errno 2", None),
        ("12.0.0.1", "Errno 3", None),
        ("11.0.0.5", "Errno 4", None),
        ("2a00::1", "OK", Some("six.example.com")),
    ];
    let mut input = child.stdin.take().unwrap();
    for (ip, ..) in expected {
        let record =
            r#"{"v":1,"type":"auth","date":"2026-06-01T00:00:45Z","outcome":"failure","ip":"IP"}"#;
        writeln!(input, "{}", record.replace("IP", ip)).unwrap();
    }
    drop(input);
    let output = child.wait_with_output().unwrap();
    let lines: Vec<Value> = output
        .stdout
        .split_inclusive(|b| *b == b'\n')
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    let found: Vec<_> = lines
        .iter()
        .map(|line| {
            let text = |name: &str| line[name].as_str();
            (text("ip").unwrap(), text("reverse_dns_status").unwrap(), text("hostname"))
        })
        .collect();
    assert_eq!(found, expected);
}
