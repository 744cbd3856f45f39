//! Compares mls-parse with a [second reader](slow) that shares no code with it. Both readers must
//! make the same records of the same lines.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod slow;

use clap::Parser;
use mls_parse::{Args, Scanner};
use mls_stream::blocks::BlockPosition;
use serde_json::Value;
use testdata::log::{Generator, Stamps};
use testdata::random::Random;

/// Text that clients can choose: names, and text that looks like the words of a server.
const HOSTILE: [&str; 22] = [
    "bob",
    "élève@exémple.test",
    "a b",
    "",
    "(unavailable)",
    "%s%n",
    "=cmd|' /C calc'!A0",
    "x, sasl_username=y",
    "x> authentication failed: y",
    ": SASL LOGIN authentication failed: z",
    "a>, method=PLAIN, rip=192.0.2.66",
    "a> rip=192.0.2.66",
    "): user=<b>",
    "]",
    "[192.0.2.6]",
    "warning: x[192.0.2.6]: SASL LOGIN authentication failed: y",
    "last message repeated 7 times",
    "Jun  1 00:00:45 vm postfix/smtpd[7]: ",
    "stdout P",
    "\u{9b}31m",
    "\u{202e}",
    "x\"y<z\\",
];

/// Mechanisms as Postfix logs them (`%.100s`): without quotes, with closed quotes, or empty.
const MECHANISMS: [&str; 12] = [
    "LOGIN",
    "PLAIN",
    "login",
    "CRAM-MD5",
    "XOAUTH2",
    "SCRAM-SHA-256-PLUS",
    "",
    "LOGIN,X",
    "\"X authentication failed: y, sasl_username=z\"",
    "<X authentication failed: y>",
    "a\\ b",
    "\"a <b \\\" authentication aborted\"",
];

const REASONS: [&str; 14] = [
    "",
    ":",
    ": ",
    ": (reason unavailable)",
    ": UGFzc3dvcmQ6",
    ": Password:",
    ": authentication failure",
    ": Invalid authentication mechanism",
    ": generic failure",
    ": no mechanism available",
    ": Connection lost to authentication server",
    ": a: b",
    ": remote authentication server unavailable",
    "ly",
];

const CLIENTS: [&str; 10] = [
    "unknown[192.0.2.1]",
    "a.example[192.0.2.1]",
    "unknown[unknown]",
    "x_y[2001:db8::1]",
    "unknown[fe80::1%eth0]",
    "a[::ffff:192.0.2.7]",
    "unknown[192.0.2.1]:50123",
    "a[192.0.2.300]",
    "unknown[IPv6:2001:db8::2]",
    "a b[192.0.2.1]",
];

/// How sessions of Dovecot 2.0 to 2.4 end; `#` stands for a number.
const ENDINGS: [&str; 24] = [
    "Aborted login (auth failed, # attempts)",
    "Disconnected (auth failed, # attempts in # secs)",
    "Disconnected: Connection closed: read(size=1003) failed: Connection reset by peer (auth failed, # attempts in 0 secs)",
    "Login aborted: Logged out (auth failed, # attempts in # secs) (auth_failed)",
    "Login aborted: x (auth failed, # attempts in # secs, last failure: no (y): z) (auth_failed)",
    "Login aborted: x (user disabled, # attempts in # secs) (user_disabled)",
    "Login aborted: x (authorization failed, # attempts in # secs) (authorization_failed)",
    "Disconnected: Inactivity (password expired)",
    "Disconnected (tried to use disallowed plaintext auth)",
    "Aborted login (tried to use unsupported auth mechanism)",
    "Disconnected (proxy dest auth failed)",
    "Login aborted: x (proxy dest authentication failure to mx:143, 1/# successful auths in # secs) (proxy_dest_auth_failed)",
    "Login aborted: x (proxy dest connection failed to mx, 1/# successful auths in # secs) (proxy_dest_connect_failed)",
    "Disconnected (auth service reported temporary failure)",
    "Login aborted: x (internal failure, 1/# successful auths in # secs) (internal_failure)",
    "Disconnected (internal failure, 1 successful auths)",
    "Login aborted: x (auth process communication failure, # attempts in # secs) (auth_process_comm_fail)",
    "Disconnected (client didn't finish SASL auth, waited # secs)",
    "Login aborted: x (client didn't finish SASL auth, # attempts in # secs) (auth_waiting_client)",
    "Login aborted: x (auth aborted by client, # attempts in # secs) (auth_aborted_by_client)",
    "Disconnected (no auth attempts in # secs)",
    "Login aborted: x (no auth attempts in # secs) (no_auth_attempts)",
    "Disconnected (disconnected before auth was ready, waited # secs)",
    "Login aborted: x (disconnected during TLS handshake) (tls_handshake_not_finished)",
];

const OTHERS: [&str; 10] = [
    "postfix/smtpd[7]: connect from unknown[192.0.2.1]",
    "postfix/smtpd[7]: NOQUEUE: client=unknown[192.0.2.1]",
    "postfix/smtp[7]: warning: SASL authentication failed; server a[192.0.2.1] said: 535 no",
    "postfix/cleanup[7]: 5A226BA054: warning: header Subject: SASL LOGIN authentication failed: #; from=<a>",
    "postfix/smtpd[7]: warning: non-SMTP command from a[192.0.2.1]: a[192.0.2.6]: SASL LOGIN authentication failed: x",
    "postfix/smtpd[7]: disconnect from unknown[192.0.2.1] ehlo=1 auth=0/# quit=1 commands=2/3",
    "dovecot: auth: passwd-file(a,192.0.2.1,<x>): Password mismatch",
    "dovecot: auth-worker(#): conn unix:auth-worker (pid=1,uid=2): auth-worker<3>: sql(a,192.0.2.1): unknown user",
    "dovecot: imap(a)<7><x>: Logged out in=# out=2",
    "cron[7]: (root) CMD (echo authentication failed rip=192.0.2.1)",
];

struct Lines {
    random: Random,
    generator: Generator,
}

impl Lines {
    fn number(&mut self, bound: u64) -> u64 {
        self.random.below(bound) + 1
    }

    /// Hostile text: one entry of `HOSTILE`, or sometimes two entries.
    fn chosen(&mut self) -> String {
        let first = *self.random.pick(&HOSTILE);
        let second = if self.random.below(4) == 0 { *self.random.pick(&HOSTILE) } else { "" };
        format!("{first}{second}")
    }

    fn numbered(&mut self, text: &str) -> String {
        let mut numbered = String::new();
        for part in text.split('#') {
            if !numbered.is_empty() {
                numbered += &self.number(5).to_string();
            }
            numbered += part;
        }
        numbered
    }

    /// Program, process ID and message.
    fn message(&mut self) -> (String, Option<u64>, String) {
        let pid = Some(self.number(9999));
        let service =
            *self.random.pick(&["postfix/smtpd", "postfix/submission/smtpd", "mx-in/smtpd"]);
        let (client, mechanism) = (*self.random.pick(&CLIENTS), *self.random.pick(&MECHANISMS));
        match self.random.below(6) {
            0 | 1 => {
                let mut message =
                    format!("warning: {client}: SASL {mechanism} authentication failed");
                message += *self.random.pick(&REASONS);
                if self.random.below(2) == 0 {
                    message += ", sasl_username=";
                    message += &self.chosen();
                }
                (service.into(), pid, message)
            }
            2 => {
                let message = format!("warning: {client}: SASL {mechanism} authentication aborted");
                (service.into(), pid, message)
            }
            3 => {
                let id = *self.random.pick(&["5A226BA054", "NOQUEUE", "4Qx1ZB2Tqcz9", "a b", ""]);
                let mechanism = *self.random.pick(&["PLAIN", "login", "XOAUTH2"]);
                let user = *self.random.pick(&["bob", "a, b", "x, sasl_username=y", "élève"]);
                let more = *self.random.pick(&[
                    "",
                    ", sasl_sender=a@b",
                    ", orig_queue_id=x, orig_client=y",
                ]);
                let message = format!(
                    "{id}: client={client}, sasl_method={mechanism}, sasl_username={user}{more}"
                );
                (service.into(), pid, message)
            }
            _ => {
                let process = *self.random.pick(&[
                    "imap-login",
                    "pop3-login",
                    "managesieve-login",
                    "submission-login",
                    "imap",
                ]);
                let ending = match self.random.below(8) {
                    0 => "Login".to_owned(),
                    1 => "Logged in".to_owned(),
                    _ => {
                        let ending = *self.random.pick(&ENDINGS);
                        self.numbered(ending)
                    }
                };
                let user = match self.random.below(3) {
                    0 => String::new(),
                    _ => format!("user=<{}>, ", self.chosen()),
                };
                let method = *self.random.pick(&["", "method=PLAIN, ", "method=login, "]);
                let rip = *self.random.pick(&[
                    "192.0.2.1",
                    "2001:db8::1",
                    "::ffff:192.0.2.7",
                    "fe80::1%eth0",
                    "x",
                ]);
                let tail =
                    *self.random.pick(&["", ", lip=192.0.2.2", ", lip=::1, TLS, session=<a/b+c>"]);
                (
                    "dovecot".into(),
                    None,
                    format!("{process}: {ending}: {user}{method}rip={rip}{tail}"),
                )
            }
        }
    }

    fn line(&mut self) -> String {
        if self.random.below(8) == 0 {
            let mut line = Vec::new();
            self.generator.line(&mut line);
            return String::from_utf8(line).unwrap().trim_end_matches('\n').to_owned();
        }
        let (day, hour, second) = (self.number(28), self.number(23), self.number(59));
        let bsd = format!("Jun {day:2} {hour:02}:00:{second:02}");
        let iso = format!("2026-06-{day:02}T{hour:02}:00:{second:02}.{:06}", self.number(999_999));
        if self.random.below(8) == 0 {
            let other = *self.random.pick(&OTHERS);
            return format!("{bsd} vm {}", self.numbered(other));
        }
        let (program, pid, message) = self.message();
        let message = match self.random.below(10) {
            0 => format!("message repeated {} times: [ {message}]", self.number(5)),
            _ => message,
        };
        let tag = pid.map_or(program.clone(), |pid| format!("{program}[{pid}]"));
        match self.random.below(6) {
            0 => format!("{bsd} {tag}: {message}"),
            1 => format!("<22>{bsd} vm {tag}: {message}"),
            2 => format!("{iso}Z mx.example {tag}: {message}"),
            3 => format!("{iso}+02:00 mx {tag}: {message}"),
            4 => {
                let pid = pid.map_or("-".to_owned(), |pid| pid.to_string());
                format!("<22>1 {iso}Z vm {program} {pid} - - {message}")
            }
            _ => format!("{bsd} vm {tag}: {message}"),
        }
    }
}

/// The records that mls-parse makes of lines, without the members that the slow reader leaves out.
fn fast(scanner: &mut Scanner, lines: &[u8]) -> Vec<Value> {
    let mut out = Vec::new();
    scanner.block(lines, BlockPosition { segment: None, offset: 0, before: b"" }, &mut out);
    let records = out.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let parse = |line| {
        let mut record: Value = serde_json::from_slice(line).unwrap();
        let members = record.as_object_mut().unwrap();
        for member in ["v", "type"] {
            members.remove(member);
        }
        record
    };
    records.map(parse).collect()
}

/// `scripts/test --full` sets `MLS_LINES` to a million.
#[test]
fn a_slow_reader_written_from_the_sources_makes_the_same_records() {
    let count = std::env::var("MLS_LINES").map_or(50_000, |lines| lines.parse().unwrap());
    let args = [
        "mls-parse",
        "--timezone=UTC",
        "--reference-time=2026-12-31T00:00:00Z",
        "--outcome=failure,success,aborted,error",
    ];
    let args = Args::parse_from(args);
    let mut scanner = Scanner::new(&args, &mls_config::config::Filter::default()).unwrap();
    let generator = Generator::new(5, Stamps::Mixed);
    let mut lines = Lines { random: Random::new(5), generator };
    let (mut left, mut attempts) = (count, 0);
    while left > 0 {
        let block: Vec<String> = (0..left.min(500)).map(|_| lines.line()).collect();
        left -= block.len();
        let expected: Vec<Value> = block.iter().filter_map(|line| slow::read(line)).collect();
        attempts += expected.len();
        if fast(&mut scanner, (block.join("\n") + "\n").as_bytes()) != expected {
            for line in block {
                let expected: Vec<Value> = slow::read(&line).into_iter().collect();
                assert_eq!(fast(&mut scanner, line.as_bytes()), expected, "{line}");
            }
            unreachable!("each line alone is read as by the slow reader, and all together are not");
        }
    }
    assert!(attempts > count / 3, "{attempts} attempts in {count} lines are too few");
}
