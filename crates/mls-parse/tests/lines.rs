//! Changes real lines at random. No line causes a panic, each printed record reads back as itself,
//! and a client can change only its own fields.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop")]

use std::sync::LazyLock;

use clap::Parser;
use mls_event::{Auth, Body, Record, Segment, Timestamp};
use mls_parse::{Args, Scanner};
use mls_stream::blocks::BlockPosition;
use proptest::prelude::*;

const LOG: &str = include_str!("../../../tests/data/postfix-3.7.11-debian12.log");

const OTHERS: [&str; 13] = [
    "Thu 2026-11-26 00:30:46 UTC vm postfix/smtpd[74]: warning: x[192.0.2.1]: SASL LOGIN authentication failed: y",
    "Jun  1 00:00:45 postfix/smtpd[74]: warning: x[192.0.2.1]: SASL LOGIN authentication failed: y",
    "<20>1 2026-11-21T07:11:22Z vm postfix/smtpd 74 - -  warning: x[192.0.2.1]: SASL LOGIN authentication failed: y",
    "Jun  1 00:00:45 vm dovecot: imap-login: Disconnected (auth failed, 3 attempts in 6 secs): user=<a>, method=PLAIN, rip=192.0.2.1, lip=192.0.2.2, TLS, session=<x>",
    "Jun  1 00:00:45 vm dovecot: pop3-login: Login: user=<a@example.test>, method=PLAIN, rip=2001:db8::1, lip=::1, mpid=7, TLS, session=<x>",
    "<22>1 2026-11-21T07:11:22Z vm postfix/smtpd 74 - - warning: x[192.0.2.1]:50123: SASL login authentication failed: UGFzc3dvcmQ6",
    "Jun  1 00:00:45 vm postfix/smtpd[7]: message repeated 3 times: [ warning: x[192.0.2.1]: SASL LOGIN authentication failed: x]",
    "{\"__CURSOR\":\"s=a;i=1\",\"MESSAGE\":\"warning: x[192.0.2.1]: SASL LOGIN authentication failed: x\",\"SYSLOG_IDENTIFIER\":\"postfix/smtpd\",\"__REALTIME_TIMESTAMP\":\"1795245082212047\"}",
    "{\"__CURSOR\":\"s=a;i=1\",\"MESSAGE\":[119,97,114,110],\"SYSLOG_IDENTIFIER\":\"postfix/smtpd\"}",
    "2025 Feb 29 00:00:45 vm postfix/smtpd[7]: warning: x[192.0.2.1]: SASL LOGIN authentication failed: x",
    "2026-11-21T07:11:22.2+00:00 vm postfix/smtpd[7]: 5A226BA054: client=x[192.0.2.1], sasl_method=PLAIN, sasl_username=a, sasl_sender=b",
    "Jun  1 00:00:45 vm postfix/smtpd[7]: warning: x[192.0.2.1]: SASL \"X authentication failed: bad password, sasl_username=ceo@victim.example\" authentication failed: Invalid authentication mechanism, sasl_username=(unavailable)",
    "Jun  1 00:00:45 vm postfix/smtpd[7]: warning: x[192.0.2.1]: SASL \"X authentication failed: bad password, sasl_username=ceo@victim.example, and it goes on until it is c authentication failed: Invalid authentication mechanism, sasl_username=a\" b",
];

/// A scanner for all servers and outcomes. All tests share its search, which takes long to build.
static SCANNER: LazyLock<Scanner> = LazyLock::new(|| {
    let args = [
        "mls-parse",
        "--daemon=postfix,dovecot",
        "--outcome=failure,success,aborted,error",
        "--timezone=Europe/Paris",
    ];
    Scanner::new(&Args::parse_from(args), &mls_config::config::Filter::default()).unwrap()
});

fn scan(lines: &[u8]) -> Vec<u8> {
    let mut scanner = SCANNER.clone();
    let mut out = Vec::new();
    scanner.block(lines, BlockPosition { segment: None, offset: 0, before: b"" }, &mut out);
    out
}

fn parse(args: &[&str], segment: Option<&Segment<'static>>, lines: &str) -> (Vec<u8>, String) {
    let args = Args::parse_from([&["mls-parse"], args].concat());
    let mut scanner = Scanner::new(&args, &mls_config::config::Filter::default()).unwrap();
    let mut out = Vec::new();
    let place = BlockPosition { segment, offset: 0, before: b"" };
    scanner.block(lines.as_bytes(), place, &mut out);
    (out, scanner.stats().to_string())
}

fn only(out: &[u8]) -> Auth<'_> {
    let Ok(Record::Auth(auth)) = Record::parse(out) else {
        panic!("not one record: {}", String::from_utf8_lossy(out))
    };
    auth
}

fn a_line() -> impl Strategy<Value = Vec<u8>> {
    let lines: Vec<&str> = LOG
        .lines()
        .filter(|line| line.contains("SASL") || line.contains("sasl"))
        .chain(OTHERS)
        .collect();
    prop::sample::select(lines).prop_map(|line| line.as_bytes().to_vec())
}

/// Replaces, removes and inserts a few bytes.
fn mangled() -> impl Strategy<Value = Vec<u8>> {
    let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 0..6);
    (a_line(), edits).prop_map(|(mut line, edits)| {
        for (at, byte, edit) in edits {
            let at = at.index(line.len());
            match edit {
                0 => line[at] = byte,
                1 => line.insert(at, byte),
                2 => line.truncate(at.max(1)),
                _ => drop(line.remove(at)),
            }
            if line.is_empty() {
                line.push(b'x');
            }
        }
        line
    })
}

proptest! {

    #[test]
    fn mangled_lines_never_panic_and_records_read_back_as_themselves(lines in prop::collection::vec(mangled(), 1..4)) {
        let out = scan(&lines.join(&b'\n'));
        for line in out.split_inclusive(|b| *b == b'\n') {
            let mut again = Vec::new();
            only(line).write_line(&mut again);
            prop_assert_eq!(line, again.as_slice());
        }
    }

    #[test]
    fn whatever_the_user_name_is_it_is_the_user_and_nothing_else(user in "[^\\p{Cc}]{0,60}", reason in "[ -+.-~]{0,20}") {
        prop_assume!(user != "(unavailable)");
        let head = "2026-11-21T07:11:22.2+00:00 vm postfix/smtpd[74]: warning: unknown[192.0.2.1]: SASL LOGIN authentication failed: ";
        let out = scan(format!("{head}{reason}, sasl_username={user}\n").as_bytes());
        let auth = only(&out);
        prop_assert_eq!(auth.user.as_deref(), Some(user.as_str()));
        prop_assert_eq!(auth.reason.as_deref().unwrap_or(""), reason.trim());
        prop_assert_eq!((auth.ip.unwrap().to_string(), auth.pid, auth.mechanism.as_deref()), ("192.0.2.1".into(), Some(74), Some("LOGIN")));
    }

    #[test]
    fn whatever_the_client_calls_its_mechanism_it_chooses_neither_reason_nor_user(
        token in prop_oneof![
            "\"([ -!#-\\[\\]-~]|\\\\[ -~]){0,40}( authentication failed: (bad|Invalid authentication mechanism), sasl_username=)?[a-z@]{0,60}\"",
            "<([ -!#-;=?-\\[\\]-~]|\\\\[ -~]){0,40}( authentication failed: bad, sasl_username=)?[a-z@]{0,60}>",
            "\"[ -!#-\\[\\]-~]{0,80}",
            "([!#-;=?-\\[\\]-~]|\\\\[ -~]){1,80}",
        ],
        user in "[^\\p{Cc}]{0,60}",
    ) {
        prop_assume!(user != "(unavailable)");
        let token = &token[..token.len().min(100)];
        let line = format!("2026-11-21T07:11:22.2+00:00 vm postfix/smtpd[74]: warning: unknown[192.0.2.1]: SASL {token} \
                            authentication failed: Invalid authentication mechanism, sasl_username={user}\n");
        let out = scan(line.as_bytes());
        let auth = only(&out);
        prop_assert_eq!(auth.mechanism.as_deref().unwrap(), token.to_ascii_uppercase());
        prop_assert_eq!(auth.reason.as_deref(), Some("Invalid authentication mechanism"));
        prop_assert_eq!(auth.user.as_deref(), Some(user.as_str()));
    }

    #[test]
    fn no_user_name_changes_the_address_that_dovecot_logs(user in "[^\\p{Cc}]{0,60}") {
        let line = format!("Jun  1 00:00:45 vm dovecot: imap-login: Login aborted: Connection closed (auth failed, 2 attempts in 4 secs) \
                            (auth_failed): user=<{user}>, method=PLAIN, rip=192.0.2.1, lip=192.0.2.2, session=<x>\n");
        let out = scan(line.as_bytes());
        let auth = only(&out);
        prop_assert_eq!(auth.user.as_deref().unwrap_or(""), user);
        prop_assert_eq!((auth.ip.unwrap().to_string(), auth.attempts, auth.service.as_deref()), ("192.0.2.1".into(), 2, Some("dovecot/imap-login")));
    }
}

#[test]
fn a_clock_that_is_ahead_or_in_a_zone_further_east_makes_no_line_a_year_old() {
    for (mtime, stamp, date) in [
        ("2026-11-21T07:00:00+00:00", "Nov 21 07:05:00", "2026-11-21T07:05:00+00:00"),
        ("2026-11-21T12:00:00+00:00", "Nov 22 14:00:00", "2026-11-22T14:00:00+00:00"),
        ("2026-12-31T23:00:00+00:00", "Jan  1 08:00:00", "2027-01-01T08:00:00+00:00"),
        ("2026-11-21T12:00:00+00:00", "Nov 22 14:00:01", "2025-11-22T14:00:01+00:00"),
    ] {
        let line = format!(
            "{stamp} vm postfix/smtpd[7]: warning: x[192.0.2.1]: SASL LOGIN authentication failed: x\n"
        );
        let mtime = Timestamp::parse(mtime).unwrap();
        let (source, generation, length) = ("/log".into(), "g".into(), line.len() as u64);
        let segment =
            Segment { source, generation, offset: 0, length, mtime, before: String::new() };
        let (out, _) = parse(&["--timezone=UTC"], Some(&segment), &line);
        assert_eq!(only(&out).date.to_string(), date);
    }
}

#[test]
fn ignored_attempts_and_unreadable_ones_are_counted() {
    let lines =
        LOG.replace("SASL LOGIN authentication failed: (", "SASL LOGIN authentication failed; (");
    let args = ["--ignore-net=127.0.0.0/16", "--ignore-user=office@me"];
    let (out, stats) = parse(&args, None, &lines);
    assert_eq!(String::from_utf8(out).unwrap().lines().count(), 6, "{stats}");
    assert!(stats.contains("ignored: 20\n") && stats.contains("unparsable: 18\n"), "{stats}");
}

#[test]
fn a_failure_in_an_unknown_envelope_is_counted_as_unreadable() {
    for line in [
        "mx postfix/smtpd[3]: warning: unknown[1.2.3.4]: SASL LOGIN authentication failed: x",
        "Jun  1 00:00:45 (smtpd) warning: unknown[1.2.3.4]: SASL LOGIN authentication failed: x",
        "[12.345] postfix/smtpd[3]: warning: unknown[1.2.3.4]: SASL LOGIN authentication failed: x",
        "Jun  1 00:00:45 vm postfix/smtpd[3]: 12345: warning: unknown[1.2.3.4]: SASL LOGIN authentication failed: x",
        "Jun  1 00:00:45 vm postfix/smtpd[3]: unknown[1.2.3.4]: SASL LOGIN authentication failed: x",
        "Jun  1 00:00:45 vm postfix/smtpd[3]: warning: a1.2.3.4: SASL LOGIN authentication failed: x",
    ] {
        let (out, stats) = parse(&[], None, line);
        assert!(out.is_empty() && stats.contains("unparsable: 1\n"), "{line}: {stats}");
    }
}

#[test]
fn what_servers_write_every_day_causes_no_warning() {
    for message in [
        "postfix/error[3]: 5A226BA054: to=<a@b.test>, relay=none, delay=9, status=deferred (delivery temporarily suspended: SASL authentication failed; server smtp.b.test[192.0.2.4] said: 535 no)",
        "postfix/cleanup[3]: 5A226BA054: warning: header Subject: Fail2ban: SASL LOGIN authentication failed from x[192.0.2.1]; from=<a@b.test>",
        "postfix/smtpd[3]: NOQUEUE: milter-reject: EHLO from x[192.0.2.1]: 550: SASL LOGIN authentication failed",
        "postfix/smtpd[3]: proxy-reject: END-OF-MESSAGE: 550 no: SASL PLAIN authentication failed",
        "postfix/smtpd[3]: improper command pipelining after EHLO from x[192.0.2.1]: a: SASL LOGIN authentication failed",
        "postfix/smtpd[3]: warning: non-SMTP command from x[192.0.2.1]: x: SASL LOGIN authentication failed",
        "postfix/pipe[3]: 5A226BA054: status=bounced (Command output: fatal: SASL authentication failed)",
    ] {
        let line = format!("Jun  1 00:00:45 vm {message}");
        let (out, stats) = parse(&[], None, &line);
        assert!(
            out.is_empty()
                && stats.contains("candidates: 1\n")
                && stats.contains("unparsable: 0\n"),
            "{line}: {stats}"
        );
    }
}

#[test]
fn stamps_of_a_server_have_the_zone_of_that_server() {
    let args = [
        "--daemon=postfix",
        "--timezone=UTC",
        "--server-zone=mx1=Europe/Paris",
        "--server-zone=MX2=-05:00",
        "--reference-time=2026-12-01T00:00:00Z",
    ];
    let text = "postfix/smtpd[7]: warning: x[192.0.2.1]: SASL LOGIN authentication failed: x";
    let lines = format!(
        "Jun  1 10:00:00 mx1 {text}\nJun  1 10:00:00 mx2 {text}\nJun  1 10:00:00 mx3 {text}\n\
         Jan  1 10:00:00 mx1 {text}\n2026-06-01T10:00:00+00:00 mx1 {text}\n"
    );
    let (out, _) = parse(&args, None, &lines);
    let dates: Vec<_> = String::from_utf8(out)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["date"].clone())
        .collect();
    assert_eq!(
        dates,
        [
            "2026-06-01T10:00:00+02:00",
            "2026-06-01T10:00:00-05:00",
            "2026-06-01T10:00:00+00:00",
            "2026-01-01T10:00:00+01:00",
            "2026-06-01T10:00:00+00:00"
        ]
    );
}
