//! What is read out of an anonymized log is what is read out of the log, by pseudonyms.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use clap::Parser;
use mls_anonymize::anonymizer::Anonymizer;
use mls_anonymize::key::Key;
use mls_anonymize::pseudonym::Pseudonyms;
use mls_anonymize::rules::Rules;
use mls_parse::Scanner;
use mls_stream::blocks::Place;
use proptest::prelude::*;
use testdata::log::{Generator, Stamps};

const LOG: &str = include_str!("../../../tests/data/postfix-3.7.11-debian12.log");

/// The key file, which nobody else may read; git keeps no modes but the right to execute.
fn key() -> &'static str {
    use std::os::unix::fs::PermissionsExt;
    const KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cmd/key");
    std::fs::set_permissions(KEY, std::fs::Permissions::from_mode(0o600)).unwrap();
    KEY
}

/// Lines of other programs and versions, and of clients that mean harm.
const OTHERS: [&str; 18] = [
    "Thu 2026-11-26 00:30:46 UTC vm postfix/smtpd[7]: warning: x[192.0.2.1]: SASL LOGIN authentication failed: x, sasl_username=a@b.test",
    "Jun  1 00:00:45 vm dovecot: imap-login: Disconnected (auth failed, 3 attempts in 6 secs): user=<a, rip=192.0.2.9>, method=PLAIN, rip=192.0.2.1, lip=192.0.2.2, TLS, session=<x+/y>",
    "Jun  1 00:00:45 vm dovecot: imap-login: Login: user=<a>, method=PLAIN, rip=192.0.2.1, lip=192.0.2.2, session=<x, rip=>",
    "Jun  1 00:00:45 vm dovecot: pop3-login: Login: user=<a@example.test>, method=PLAIN, rip=2001:db8::1, lip=::1, mpid=7, TLS, session=<x>",
    "<22>1 2026-11-21T07:11:22Z vm postfix/smtpd 74 - [o ip=\"192.0.2.8\"] warning: x[192.0.2.1]:50123: SASL login authentication failed: UGFzc3dvcmQ6",
    "Jun  1 00:00:45 vm postfix/smtpd[7]: message repeated 3 times: [ warning: x[192.0.2.1]: SASL LOGIN authentication failed: x]",
    "Jun  1 00:00:45 vm postfix/smtpd[7]: warning: x[192.0.2.1]: SASL CRAM-MD5 authentication failed: PDEyMy40NTZAbXguZXhhbXBsZS50ZXN0Pg==, sasl_username=a",
    "Jun  1 00:00:45 vm postfix/smtpd[7]: warning: x[192.0.2.1]: SASL NTLM authentication failed: TlRMTVNTUAACAAAA, sasl_username=",
    "2025 Feb 28 00:00:45 vm postfix/smtpd[7]: warning: x[::ffff:192.0.2.1]: SASL a@b.test authentication failed: said mx.example.test[192.0.2.4]: no, sasl_username=vm",
    "Jun  1 00:00:45 vm postfix/smtpd[7]: warning: 7.2.0.192.dyn.example[fe80::7%eth0]: SASL LOGIN authentication aborted",
    "2026-11-21T07:11:22.2+00:00 vm postfix/smtpd[7]: 5A226BA054: client=x[192.0.2.1], sasl_method=PLAIN, sasl_username=a, sasl_sender=b@c.test",
    "Jun  1 00:00:45 vm postfix/smtpd[7]: warning: x[192.0.2.1]: SASL LOGIN authentication failed: x, sasl_username=1.2.3.4[::1], sasl_username=<a@b>: SASL PLAIN authentication failed",
    "Jun  1 00:00:45 vm postfix/smtpd[7]: warning: x[300.0.2.1]: SASL LOGIN authentication failed: x, sasl_username=a",
    "Jun  1 00:00:45 vm postfix/smtpd[7]: NOQUEUE: reject: RCPT from x[192.0.2.1]: 554 5.7.1 <u@v.test>: no; from=<\"a b\"@c.test> to=<d> proto=ESMTP helo=<warning: x[192.0.2.6]: SASL X authentication failed: y>",
    "Jun  1 00:00:45 vm postfix/cleanup[7]: 5A226BA054: warning: header Subject: hi; from=<x> from y[192.0.2.3]; from=<a@b.test> to=<c@d.test> proto=ESMTP helo=<e>",
    "Jun  1 00:00:45 vm dovecot: auth: passwd-file(carol@example.test,192.0.2.5,<x+/y>): unknown user",
    "Jun  1 00:00:45 vm postfix/smtpd[7]: warning: x[192.0.2.1]: SASL \"X authentication failed: bad password, sasl_username=ceo@victim.example\" authentication failed: Invalid authentication mechanism, sasl_username=(unavailable)",
    "Jun  1 00:00:45 vm postfix/smtpd[7]: warning: x[192.0.2.1]: SASL \"X authentication failed: bad password, sasl_username=ceo@victim.example, and it goes on until it is c authentication failed: Invalid authentication mechanism, sasl_username=a\" b",
];

fn anonymizer() -> Anonymizer {
    let key = Key::load(Path::new(key())).unwrap();
    Anonymizer::new(Pseudonyms::new(&key, &[]).unwrap(), Rules::default(), false)
}

fn anonymize(log: &[u8]) -> Vec<u8> {
    let (mut names, mut out) = (anonymizer(), Vec::new());
    for line in log.split_inclusive(|b| *b == b'\n') {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        names.line(text, &mut out);
        out.extend_from_slice(&line[text.len()..]);
    }
    out
}

fn records(lines: &[u8]) -> Vec<u8> {
    let (mut names, mut out) = (anonymizer(), Vec::new());
    for line in lines.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        names.record(line, &mut out).unwrap();
        out.push(b'\n');
    }
    out
}

fn parse(log: &[u8]) -> Vec<u8> {
    let args = [
        "mls-parse",
        "--daemon=postfix,dovecot",
        "--outcome=failure,success,aborted",
        "--timezone=Europe/Paris",
        "--reference-time=2026-12-01T00:00:00Z",
    ];
    let mut scanner =
        Scanner::new(&mls_parse::Args::parse_from(args), &mls_config::config::Filter::default())
            .unwrap();
    let mut out = Vec::new();
    scanner.block(log, Place { segment: None, offset: 0, before: b"" }, &mut out);
    out
}

fn assert_same(log: &[u8]) {
    let (one, other) = (parse(&anonymize(log)), records(&parse(log)));
    for (one, other) in one.split(|b| *b == b'\n').zip(other.split(|b| *b == b'\n')) {
        assert_eq!(String::from_utf8_lossy(one), String::from_utf8_lossy(other));
    }
    assert_eq!(one.len(), other.len());
}

#[test]
fn a_bare_word_is_a_name_where_what_stands_before_it_says_so() {
    let pseudonym = |user: bool, name: &str| {
        let (mut names, mut out) =
            (Pseudonyms::new(&Key::load(Path::new(key())).unwrap(), &[]).unwrap(), Vec::new());
        if user {
            names.user(name, &mut out);
        } else {
            names.host(name.as_bytes(), &mut out);
        }
        String::from_utf8(out).unwrap()
    };
    for (line, user, name) in [
        (
            r"Jun  1 00:00:45 localhost postfix/postscreen[7]: PREGREET 9 after 0 from [127.0.0.1]:42313: EHLO mailer\r\n",
            false,
            "mailer",
        ),
        (
            r"Jun  1 00:00:45 localhost postfix/smtpd[7]: lost connection after EHLO from unknown[127.0.0.1]: helo mailer",
            false,
            "mailer",
        ),
        (
            "Jun  1 00:00:45 localhost postfix/local[7]: 4: status=sent (delivered to command: procmail DEFAULT=/home/carol/Maildir/)",
            true,
            "carol",
        ),
        (
            "Jun  1 00:00:45 localhost postfix/local[7]: 4: relay=local, status=bounced (unknown user: \"carol\")",
            true,
            "carol",
        ),
        (
            "Jun  1 00:00:45 localhost auth[7]: pam_unix(dovecot:session): session opened for user carol(uid=7) by (uid=0)",
            true,
            "carol",
        ),
        (
            "Jun  1 00:00:45 localhost rspamd[7]: ip: 127.0.0.1, user: carol, (default: F)",
            true,
            "carol",
        ),
        (
            "Jun  1 00:00:45 localhost saslauthd[7]: do_auth : auth failure: [user=carol] [service=smtp] [realm=] [mech=pam]",
            true,
            "carol",
        ),
        (
            "Jun  1 00:00:45 localhost dovecot: imap(x@wilma.test): Error: user: Couldn't drop privileges",
            true,
            "x@wilma.test",
        ),
        (
            "Jun  1 00:00:45 localhost x[7]: no password for user lookup, user not found: wilma.test",
            false,
            "wilma.test",
        ),
        // rsyslog writes tabs so.
        (
            "Jun  1 00:00:45 localhost dovecot: auth: Debug: client passdb out: OK#0111#011user=wilma#011",
            true,
            "wilma",
        ),
        (
            "Jun  1 00:00:45 localhost dovecot: auth: Debug: x#011wilma@example.com#011",
            true,
            "wilma@example.com",
        ),
        (
            "Jun  1 00:00:45 localhost policyd-spf[7]: Pass; envelope-from=bounces+ann=corp.example@lists.example; x",
            true,
            "bounces+ann=corp.example@lists.example",
        ),
        (
            "Jun  1 00:00:45 localhost policyd-spf[7]: Pass; envelope-from=srs0=h4sh=xy=corp.example=ann@forward.example; x",
            true,
            "srs0=h4sh=xy=corp.example=ann@forward.example",
        ),
        ("Jun  1 00:00:45 localhost x[7]: 81.2.69.143=listed", false, "81.2.69.143"),
        (
            "Jun  1 00:00:45 localhost x[7]: dkim=pass header.from=y, wilma.test=pass",
            false,
            "wilma.test",
        ),
    ] {
        let written = String::from_utf8(anonymize(line.as_bytes())).unwrap();
        assert_eq!(written, line.replace(name, &pseudonym(user, name)));
    }
}

#[test]
fn secrets_of_dovecots_debug_log_are_replaced() {
    for (line, secret) in [
        (
            "dovecot: auth: Debug: client in: AUTH#0111#011PLAIN#011resp=AHdpbG1hAHNlY3JldA==",
            "AHdpbG1hAHNlY3JldA==",
        ),
        (
            "dovecot: auth: passwd-file(wilma,192.0.2.1): Password mismatch (given password: hunter2)",
            "hunter2",
        ),
        ("dovecot: auth: Debug: OK#0111#011user=wilma#011pass=hunter2#011x", "hunter2"),
    ] {
        let written =
            String::from_utf8(anonymize(format!("Jun  1 00:00:45 localhost {line}").as_bytes()))
                .unwrap();
        assert!(!written.contains(secret) && !written.contains("wilma"), "{written}");
    }
}

#[test]
fn what_checks_quote_is_replaced_whatever_stands_around_it() {
    let behind = "from x[192.0.2.3]; from=<a@b.test> to=<c@d.test> proto=ESMTP helo=<e>: some text";
    for message in [
        format!("warning: header Subject: yes, wilma {behind}"),
        format!("warning: header Subject:yes: wilma {behind}"),
        format!("replace: header Subject: yes, wilma {behind}: Subject: [SPAM] yes, wilma"),
        format!("reject: body yes, wilma: yes {behind}"),
        format!(
            "reject: mime-error improper use of 8-bit data in message header: To: yes, wilma {behind}"
        ),
    ] {
        for before in
            ["", "5A226BA054: ", "Jun  1 00:00:45 localhost postfix/cleanup[7]: 5A226BA054: "]
        {
            let written =
                String::from_utf8(anonymize(format!("{before}{message}").as_bytes())).unwrap();
            assert!(!written.contains("yes") && !written.contains("wilma"), "{written}");
            assert!(written.contains(" from h") && written.contains(">: some text"), "{written}");
        }
    }
}

#[test]
fn a_message_id_has_one_pseudonym_in_the_words_of_every_program() {
    let (mut names, mut out) =
        (Pseudonyms::new(&Key::load(Path::new(key())).unwrap(), &[]).unwrap(), Vec::new());
    names.mail(mls_anonymize::class::Class::MessageId, b"a.7+x", b"wilma.test", &mut out);
    let pseudonym = String::from_utf8(out).unwrap();
    for message in [
        "postfix/cleanup[7]: 5A226BA054: message-id=<%m>",
        "postfix/cleanup[7]: 5A226BA054: resent-message-id=<%m>",
        "postfix/cleanup[7]: 5A226BA054: message-id=%m",
        "postfix/cleanup[7]: 5A226BA054: info: header Message-Id: <%m> from local; from=<>",
        "dovecot: lda: sieve: msgid=<%m>: stored mail into mailbox 'INBOX'",
        "dovecot: lda: msgid=%m: saved mail to INBOX",
        "amavis[7]: (7) Passed CLEAN, Message-ID: <%m>, Resent-Message-ID: <%m>, Hits: -",
        "rspamd[7]: <4ad5b0>; task; rspamd_task_write_log: id: <%m>, qid: <5A226BA054>, ip: 127.0.0.1, (default: F)",
        "spamd[7]: spamd: processing message <%m> for nobody:99",
        "spamd[7]: spamd: result: . 0 - size=7,rport=7,mid=<%m>,rmid=<%m>,autolearn=ham",
    ] {
        let line = format!("Jun  1 00:00:45 localhost {message}");
        let written =
            String::from_utf8(anonymize(line.replace("%m", "a.7+x@wilma.test").as_bytes()))
                .unwrap();
        assert!(!written.contains("wilma"), "{written}");
        assert_eq!(written.matches(&pseudonym).count(), line.matches("%m").count(), "{written}");
    }
}

#[test]
fn what_servers_write_every_day_is_no_reason_to_refuse() {
    let log = "Jun  1 00:00:45 mx dovecot: imap-login: Login: user=<vmail>, method=PLAIN, rip=192.0.2.1, lip=192.0.2.2\n\
        Jun  1 00:00:45 mx dovecot: imap(vmail): Error: open failed: (euid=5000(vmail) egid=5000(vmail) missing +w perm)\n\
        Jun  1 00:00:45 mx dovecot: master: Warning: service(anvil): client_limit reached\n\
        Jun  1 00:00:45 mx postfix/smtpd[7]: Anonymous TLS connection established from unknown[192.0.2.1]\n\
        Jun  1 00:00:45 mx postfix/smtpd[7]: warning: unknown[192.0.2.1]: SASL LOGIN authentication failed: x, sasl_username=anonymous\n";
    let log =
        log.replace("user=<vmail>", "user=<wilhelmina>").replace("imap(vmail)", "imap(wilhelmina)");
    let own = [
        ": Helo command rejected: need fully-qualified hostname;",
        "NOQUEUE: reject: EHLO from unknown[",
        " ehlo=1 helo=1 auth=0/1 quit=1 commands=3/4",
        ": 501 Syntax: HELO hostname;",
        "said: 552 Quota exceeded for user in this domain",
        "rspamd: qid: <4ABC1D2>, x",
    ];
    let log =
        log + &own.map(|words| format!("Jun  1 00:00:45 mx postfix/smtpd[7]: x{words}\n")).concat();
    let (code, written, said) = tool(&["--verify", "--key-file", key()], log.as_bytes());
    assert_eq!(code, Some(0), "{said}");
    let written = String::from_utf8(written).unwrap();
    assert!(written.contains("5000(vmail)") && written.contains("service(anvil)"), "{written}");
    assert!(own.iter().all(|words| written.contains(words)), "{written}");

    let names = "Jun  1 00:00:45 mx dovecot: lmtp(5678, rosalinde): x\n\
        Jun  1 00:00:45 mx dovecot: imap(wilma): delete: uid=7, size=12, subject=Papers, all of Alice\n\
        Jun  1 00:00:45 mx postfix/smtp[7]: x: said: 554 by header check Subject: Papers of Alice (in reply to end of DATA)\n";
    let (_, written, _) = tool(&["--key-file", key()], names.as_bytes());
    let written = String::from_utf8(written).unwrap();
    assert!(
        !["rosalinde", "Papers", "Alice"].iter().any(|name| written.contains(name)),
        "{written}"
    );
    assert!(
        written.contains("lmtp(5678, u") && written.contains(" (in reply to end of DATA)\n"),
        "{written}"
    );
}

#[test]
fn a_name_that_is_left_is_found_by_its_end() {
    let log = "Jun  1 00:00:45 localhost postfix/smtpd[7]: connect from mx.wilma.conf[192.0.2.1]\n";
    for (left, code) in
        [("/mx.wilma.conf", 65), ("/mx.wilma.confer", 0), ("/wilma.conf", 65), ("/mx-wilma.pid", 0)]
    {
        let log = format!("{log}Jun  1 00:00:46 localhost x[7]: etc{left}\n");
        let (was, _, said) = tool(&["--verify", "--key-file", key()], log.as_bytes());
        assert_eq!(was, Some(code), "{log}{said}");
    }
}

#[test]
fn blank_lines_and_a_mark_in_front_do_not_make_a_log_of_records_and_rows() {
    let record = "{\"v\":1,\"type\":\"auth\",\"date\":\"2026-06-01T00:00:45Z\",\"outcome\":\"failure\",\"user\":\"wilma\"}\n";
    let rows = "server,date,ip,user,hostname,reverse_dns_status,country_code,asn,aso\nmx,2026-06-01 00:00,192.0.2.1,wilma,null,N/A,N/A,N/A,N/A\n";
    for text in [record, rows] {
        for before in ["\n \n", "\u{feff}"] {
            let (code, written, said) =
                tool(&["--verify", "--key-file", key()], format!("{before}{text}").as_bytes());
            let written = String::from_utf8(written).unwrap();
            assert_eq!(code, Some(0), "{said}");
            assert!(
                !written.contains("wilma") && written.lines().count() >= text.lines().count(),
                "{written}"
            );
        }
    }
}

#[test]
fn every_envelope_is_anonymized_and_read_the_same() {
    let message = "warning: x.wilma.test[192.0.2.1]: SASL LOGIN authentication failed: x, sasl_username=carol";
    let lines = [
        format!("Jun  1 00:00:45 vm 3f2a9c01b7de[812]: Jun  1 00:00:45 mx.wilma.test postfix/smtpd[7]: {message}"),
        format!("2026-11-21T07:11:22.1Z stdout F Jun  1 00:00:45 mx.wilma.test postfix/smtpd[7]: {message}"),
        format!("postfix-1  | Jun  1 00:00:45 mx.wilma.test postfix/smtpd[7]: {message}"),
        format!("Jun  1 00:00:45 mx.wilma.test mail.warn postfix/smtpd[7]: {message}"),
        format!("2026-11-21T07:11:22+00:00 INFO    postfix/smtpd[7]: {message}"),
        format!("Jun  1 00:00:45 postfix/smtpd[7]: {message}"),
        "Jun  1 00:00:45 imap-login: Info: Disconnected (auth failed, 3 attempts in 6 secs): user=<carol>, method=PLAIN, rip=192.0.2.1, lip=192.0.2.2".to_owned(),
        format!(r#"{{"log":"Jun  1 00:00:45 mx.wilma.test postfix/smtpd[7]: {message}\n","stream":"stdout","attrs":{{"tag":"wilma.test"}},"time":"2026-06-01T00:00:45.1Z"}}"#),
    ];
    for line in lines {
        let (code, written, said) = tool(&["--verify", "--key-file", key()], line.as_bytes());
        assert_eq!(code, Some(0), "{line}: {said}");
        assert_same(line.as_bytes());
        let written = String::from_utf8(written).unwrap();
        for name in ["wilma", "carol", "192.0.2"] {
            assert!(!written.contains(name), "{written}");
        }
        assert!(
            !line.contains("imap-login") || written.contains(" imap-login: Info: "),
            "{written}"
        );
        assert_eq!(parse(line.as_bytes()).is_empty(), parse(written.as_bytes()).is_empty());
    }
}

#[test]
fn names_that_dovecot_writes_in_parentheses_are_replaced_in_any_envelope() {
    for message in [
        "sql(carol,192.0.2.1,<x+/y>): Password mismatch",
        "imap(carol)<1234><x+/y>: Disconnected",
        "auth-worker(7): Error: x: user 'carol' has no password",
    ] {
        for before in ["dovecot: ", "Jun  1 00:00:45 mx dovecot: ", "auth: Info: "] {
            let written =
                String::from_utf8(anonymize(format!("{before}{message}").as_bytes())).unwrap();
            assert!(!written.contains("carol"), "{written}");
        }
    }
}

#[test]
fn secrets_cannot_be_kept_and_are_not_in_the_map() {
    let dir = tempfile::tempdir().unwrap();
    let map = dir.path().join("map");
    let log = "Jun  1 00:00:45 mx dovecot: auth: sql(carol,192.0.2.1): Password mismatch (SHA1 of given password: f3bbbd66a63d4bf1747940578ec3d0103530e21d)\n\
        Jun  1 00:00:46 mx dovecot: auth: sql(carol,192.0.2.1): unknown user (given password: hunter2)\n";
    let args = [
        "--verify",
        "--keep",
        "user,challenge",
        "--map",
        map.to_str().unwrap(),
        "--key-file",
        key(),
    ];
    let (code, written, said) = tool(&args, log.as_bytes());
    assert_eq!(code, Some(0), "{said}");
    let (written, map) =
        (String::from_utf8(written).unwrap(), std::fs::read_to_string(map).unwrap());
    for secret in ["f3bbbd66", "hunter2"] {
        assert!(!written.contains(secret) && !map.contains(secret), "{written}{map}");
    }
    assert!(written.contains("sql(carol,") && map.contains("192.0.2.1"), "{written}{map}");
}

/// A client may choose a name that Postfix's own words contain.
#[test]
fn user_named_like_a_refusal_is_reported_and_can_be_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let words = dir.path().join("words");
    std::fs::File::create(&words)
        .unwrap()
        .write_all("# Postfix's words\nno mechanism available\n".as_bytes())
        .unwrap();
    let log = "Jun  1 00:00:45 mx postfix/smtpd[7]: warning: x[192.0.2.1]: SASL LOGIN authentication failed: x, sasl_username= no mechanism available\n\
        Jun  1 00:00:46 mx postfix/smtpd[7]: warning: SASL authentication failure: no mechanism available\n";
    let (code, _, said) = tool(&["--verify", "--key-file", key()], log.as_bytes());
    assert_eq!(code, Some(65), "{said}");
    assert!(
        said.contains("\" no mechanism available\" was replaced") && said.contains("--allow-words"),
        "{said}"
    );
    let words = words.to_str().unwrap();
    let (code, written, said) =
        tool(&["--verify", "--allow-words", words, "--key-file", key()], log.as_bytes());
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(String::from_utf8(written).unwrap().matches("no mechanism available").count(), 1);
}

/// Next to a range that keeps its prefix, few bits of an address are left to change.
#[test]
fn public_address_that_is_its_own_pseudonym_is_a_reason_to_refuse() {
    let pseudonyms = mls_anonymize::address::CryptoPan::new(
        &Key::load(Path::new(key())).unwrap().for_purpose("Crypto-PAn").unwrap(),
    );
    let unchanged = (0..=u16::MAX)
        .map(|low| std::net::Ipv4Addr::from_bits(0xc0a9_0000 | u32::from(low)))
        .chain(
            (0..=u16::MAX).map(|low| std::net::Ipv4Addr::from_bits(0xa9ff_0000 | u32::from(low))),
        )
        .find(|ip| pseudonyms.pseudonym((*ip).into()) == std::net::IpAddr::V4(*ip));
    let Some(ip) = unchanged else { return };
    let log = format!("Jun  1 00:00:45 mx postfix/smtpd[7]: connect from unknown[{ip}]\n");
    let (code, _, said) = tool(&["--verify", "--key-file", key()], log.as_bytes());
    assert_eq!(code, Some(65), "{said}");
    assert!(said.contains("is its own pseudonym under this key"), "{said}");
}

/// Runs the tool.
fn tool(arguments: &[&str], input: &[u8]) -> (Option<i32>, Vec<u8>, String) {
    let mut tool = Command::new(env!("CARGO_BIN_EXE_mls-anonymize"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = tool.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        // A tool that has found something stops reading.
        scope.spawn(move || stdin.write_all(input));
        tool.wait_with_output().unwrap()
    });
    (output.status.code(), output.stdout, String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The log's own pieces, found without the tool: addresses, mail addresses, host names, in lower case.
fn originals(log: &str) -> BTreeSet<String> {
    let pattern = regex::Regex::new(
        r"(?x) [\w.+-]+@[\w.-]+\.[a-z]+ | \b[\w-]+(?:\.[\w-]+)*\.(?:test|net|example)\b | \[(\d+(?:\.\d+){3})\] | \[([0-9a-f:]*:[0-9a-f:]+)\]",
    );
    let pattern = pattern.unwrap();
    let found = pattern
        .captures_iter(log)
        .filter_map(|groups| groups.get(1).or(groups.get(2)).or(groups.get(0)));
    let found = found.flat_map(|found| {
        let text = found.as_str().to_lowercase();
        let domain = text.split_once('@').map(|(_, domain)| domain.to_owned());
        [Some(text), domain]
    });
    found.flatten().filter(|text| !text.starts_with("127.") && text != "::1").collect()
}

/// Which of `originals` stand in `log` as words.
fn left(log: &str, originals: &BTreeSet<String>) -> Vec<String> {
    let mut left = Vec::new();
    for line in log.to_lowercase().lines() {
        let words = line.split(|c: char| !(c.is_alphanumeric() || "@.:_+-".contains(c)));
        let words = words.map(|word| word.trim_matches(['.', ':']));
        left.extend(words.filter(|word| originals.contains(*word)).map(str::to_owned));
    }
    left
}

fn generated(lines: usize, seed: u64, stamps: Stamps) -> Vec<u8> {
    let (mut generator, mut log) = (Generator::new(seed, stamps), Vec::new());
    for _ in 0..lines {
        generator.line(&mut log);
    }
    log
}

#[test]
fn real_lines_read_the_same_and_name_nobody() {
    assert_same(LOG.as_bytes());
    let written = String::from_utf8(anonymize(LOG.as_bytes())).unwrap();
    let originals = originals(LOG);
    assert!(
        originals.contains("admin@example.test") && originals.contains("mail.example.test"),
        "{originals:?}"
    );
    assert_eq!(left(&written, &originals), [""; 0]);
    assert!(!written.to_lowercase().contains("example") && !written.contains("exémple"));
    let (code, verified, said) = tool(&["--verify", "--key-file", key()], LOG.as_bytes());
    assert_eq!((code, String::from_utf8(verified).unwrap(), said.as_str()), (Some(0), written, ""));
}

#[test]
fn other_and_hostile_lines_read_the_same() {
    let log = OTHERS.join("\n");
    assert_same(log.as_bytes());
    assert_same(b"Jun  1 00:00:45 \x80 postfix/smtpd[7]: warning: x[::1]: SASL PLAIN authentication failed: at\0\x80");
    assert_same(
        b"Jun  1 00:00:45 vm dovecot: [192.0.@\x802.1]pop3-login: Login: user=<a>, method=PLAIN, rip=::1, lip=::1",
    );
    assert!(String::from_utf8(parse(log.as_bytes())).unwrap().lines().count() >= 11);
    let written = String::from_utf8(anonymize(log.as_bytes())).unwrap();
    for word in [
        "192.0.2", "2001:db8", "example", "c.test", "b.test", "v.test", "a b", "x+/y", "hi;",
        "carol", "MTIz", "TlRM", "ceo",
    ] {
        assert!(!written.contains(word), "{word} in {written}");
    }
    let (code, _, said) = tool(&["--verify", "--key-file", key()], log.as_bytes());
    assert_eq!((code, said.as_str()), (Some(0), ""));
}

/// `scripts/test --full` sets `MLS_LINES` to a million.
#[test]
fn generated_logs_read_the_same_name_nobody_and_have_the_same_totals() {
    let lines = std::env::var("MLS_LINES").map_or(5_000, |lines| lines.parse().unwrap());
    for (seed, stamps) in [(1, Stamps::Rfc3339), (2, Stamps::Mixed), (3, Stamps::Bsd)] {
        let log = generated(lines, seed, stamps);
        assert_same(&log);
        let (code, written, said) = tool(&["--verify", "--key-file", key()], &log);
        assert_eq!((code, said.as_str()), (Some(0), ""));
        // Another process, without the help of a cache that is filled the same way.
        assert!(written == anonymize(&log));
        let (log, written) = (String::from_utf8(log).unwrap(), String::from_utf8(written).unwrap());
        let mut originals = originals(&log);
        assert!(originals.len() > lines / 2);
        // Among many addresses, some have the pseudonym of another.
        for address in left(&written, &originals) {
            assert!(address.parse::<std::net::IpAddr>().is_ok(), "{address} is left");
            originals.remove(&address);
        }
        assert!(originals.len() > lines / 2);
        if stamps != Stamps::Mixed {
            assert_eq!(totals(&log), totals(&written));
        }
    }
}

/// What pflogsumm counts.
fn totals(log: &str) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().write_all(log.as_bytes()).unwrap();
    let output = Command::new("pflogsumm").arg(file.path()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let totals = text.split("Host/Domain Summary").next().unwrap();
    assert!(totals.contains("delivered") && totals.lines().count() > 30, "{text}");
    totals.to_owned()
}

#[test]
fn an_alert_hides_its_user_in_every_member() {
    let alert = r#"{"v":1,"type":"alert","date":"2026-06-01T00:00:45Z","kind":"guessed","key":"wilma","attempts":null,"threshold":null,"ip":"192.0.2.7","user":"wilma","evidence":"40 names failed from 192.0.2.7 before wilma logged in"}"#;
    let (code, written, _) = tool(&["--verify", "--key-file", key()], alert.as_bytes());
    assert_eq!(code, Some(0));
    let written: serde_json::Value = serde_json::from_slice(&written).unwrap();
    assert_eq!(written["key"], written["user"]);
    assert_eq!(written["kind"], "guessed");
    assert!(written["evidence"].is_null());
    assert!(!written.to_string().contains("wilma") && !written.to_string().contains("192.0.2.7"));
}

#[test]
fn records_and_rows_get_the_pseudonyms_of_the_log() {
    let header = "server,date,ip,user,hostname,reverse_dns_status,country_code,asn,aso\n";
    let row =
        "mx1,2026-06-01 00:00,192.0.2.7,\"a, \"\"b\"\"\",mail.example.org,OK,DE,64500,Example AS\n";
    let record = r#"{"v":1,"type":"auth","date":"2026-06-01T00:00:45Z","server":"mx1","service":"postfix/smtpd","pid":7,"outcome":"failure","attempts":1,"mechanism":"LOGIN","ip":"192.0.2.7","client":"mail.example.org","user":"a, \"b\"","reason":null,"hostname":"mail.example.org","reverse_dns_status":"OK","country_code":"DE","asn":64500,"aso":"Example AS","later":{"user":"bob","of":["10.1.2.3",7]}}"#;
    let (code, rows, _) =
        tool(&["--verify", "--key-file", key()], [header, row].concat().as_bytes());
    assert_eq!(code, Some(0));
    let (code, records, _) = tool(&["--verify", "--key-file", key()], record.as_bytes());
    assert_eq!(code, Some(0));
    let record: serde_json::Value = serde_json::from_slice(&records).unwrap();
    let cell = |name: &str| record[name].as_str().unwrap();
    let expected = format!(
        "{header}{},2026-06-01 00:00,{},{},{},OK,DE,N/A,N/A\n",
        cell("server"),
        cell("ip"),
        cell("user"),
        cell("hostname")
    );
    assert_eq!(String::from_utf8(rows).unwrap(), expected);
    assert_eq!((record["asn"].is_null(), record["aso"].is_null()), (true, true));
    let later = record["later"].to_string();
    assert!(
        !later.contains("bob")
            && !later.contains("10.1.2.3")
            && later.contains("\"10.")
            && later.contains(",7]")
    );
    // And the log's line says the same.
    let line = "Jun  1 00:00:45 mx1 postfix/smtpd[7]: warning: mail.example.org[192.0.2.7]: SASL LOGIN authentication failed: x, sasl_username=a, \"b\"";
    let written = String::from_utf8(anonymize(line.as_bytes())).unwrap();
    let mut expected =
        format!("Jun  1 00:00:45 {} postfix/smtpd[7]: warning: {}", cell("server"), cell("client"));
    let _ = write!(
        expected,
        "[{}]: SASL LOGIN authentication failed: x, sasl_username={}",
        cell("ip"),
        cell("user")
    );
    assert_eq!(written, expected);
}

#[test]
fn numbers_of_any_size_stay_and_what_is_nested_is_replaced_like_what_is_not() {
    let head = r#"{"v":1,"type":"later","n":"#;
    for kept in [
        "1e400",
        "[1E+400,-0.0,{\"n\":123456789012345678901234567890}]",
        "{\"date\":\"x.y\",\"n\":[[],{}]}",
    ] {
        let line = format!("{head}{kept}}}\n");
        assert_eq!(String::from_utf8(records(line.as_bytes())).unwrap(), line);
    }
    let line = format!(
        "{head}[{{\"kind\":\"user\",\"key\":\"wilma\",\"date\":{{\"user\":\"wilma\"}},\"asn\":64500}}]}}"
    );
    let written = String::from_utf8(records(line.as_bytes())).unwrap();
    assert!(!written.contains("wilma") && written.contains("\"asn\":null"), "{written}");
    // Nobody reads so deep.
    let line = format!("{head}{}1{}}}", "[".repeat(9_000), "]".repeat(9_000));
    let written = records(line.as_bytes());
    let written: serde_json::Value = serde_json::from_slice(&written).unwrap();
    assert!(written["n"].is_array());
}

#[test]
fn gzip_goes_in_and_out_and_a_map_is_private_and_complete() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (log, share, map) = (path("mail.log.gz"), path("share.log.gz"), path("map"));
    let file = std::fs::File::create(&log).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    gzip.write_all(LOG.as_bytes()).unwrap();
    gzip.finish().unwrap();
    std::fs::File::create(&map)
        .unwrap()
        .set_permissions(std::fs::Permissions::from_mode(0o644))
        .unwrap();
    let arguments = ["--key-file", key(), "--input", &log, "--output", &share, "--map", &map];
    assert_eq!(tool(&arguments, b"").0, Some(0));
    let mut written = String::new();
    let file = std::fs::File::open(&share).unwrap();
    std::io::Read::read_to_string(&mut flate2::read::MultiGzDecoder::new(file), &mut written)
        .unwrap();
    assert_eq!(written.as_bytes(), anonymize(LOG.as_bytes()));
    assert_eq!(std::fs::metadata(&map).unwrap().permissions().mode() & 0o777, 0o600);
    let map = std::fs::read_to_string(&map).unwrap();
    let pseudonym = map.lines().find_map(|line| line.strip_suffix("\tadmin@example.test")).unwrap();
    assert!(
        written.contains(&format!("sasl_username={}", pseudonym.strip_prefix("user\t").unwrap()))
    );
    // What goes wrong leaves no file.
    std::fs::remove_file(&share).unwrap();
    std::fs::File::options().write(true).open(&log).unwrap().set_len(500).unwrap();
    assert_eq!(tool(&arguments, b"").0, Some(74));
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2);
}

#[test]
fn keys_decide_and_without_one_each_run_has_its_own() {
    let line = LOG.lines().last().unwrap().as_bytes();
    let run = |arguments: &[&str]| tool(arguments, line).1;
    assert_eq!(run(&["--key-file", key()]), run(&["--key-file", key()]));
    assert_ne!(run(&[]), run(&[]));
}

#[test]
fn lines_of_any_length_and_any_bytes_go_through() {
    let long = [
        b"x".repeat(3 << 20),
        b"\nJun  1 00:00:45 vm a: 192.0.2.1\r\n".to_vec(),
        b"\xff\0<\n".to_vec(),
    ]
    .concat();
    let (code, written, said) = tool(&["--key-file", key()], &long);
    assert_eq!((code, said.lines().count()), (Some(0), 1), "{said}");
    assert!(written.ends_with(b"\r\n\xff\0<\n") && written.len() < 100);
    let many = [b"a.".repeat(400_000), b"b@c ".repeat(20_000)].concat();
    assert_eq!(tool(&["--key-file", key(), "--strict"], &many).0, Some(0));
    // None of these is searched to its end for each of its words: that would take an hour.
    for word in ["a+=", "a(", "a[", "a@[", "user: \"", "helo=1"] {
        let line = format!("Jun  1 00:00:45 vm dovecot: {}", word.repeat(1_000_000 / word.len()));
        assert_eq!(tool(&["--key-file", key(), "--strict"], line.as_bytes()).0, Some(0), "{word}");
    }
}

fn a_line() -> impl Strategy<Value = Vec<u8>> {
    let lines: Vec<&str> = LOG.lines().filter(|line| line.contains("sasl")).chain(OTHERS).collect();
    prop::sample::select(lines).prop_map(|line| line.as_bytes().to_vec())
}

/// What clients like to send.
fn a_word() -> impl Strategy<Value = Vec<u8>> {
    let words = [
        ", sasl_username=",
        ": SASL LOGIN authentication failed: ",
        "[192.0.2.1]",
        "user=<",
        ">, method=",
        ", rip=",
        "::",
        "@b.test",
        "<",
        ">",
        "]",
        "warning: ",
        "(auth failed, 1 attempts",
        "from=<",
        ", sasl_sender=",
        "\u{85}",
        "=",
        "unknown",
        "fe80::1%eth0",
        "Subject: ",
        "user: \"",
        ": body ",
        "\"",
        "\\",
        " authentication failed: Invalid authentication mechanism",
    ];
    prop_oneof![
        prop::sample::select(words.to_vec()).prop_map(|word| word.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..6)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mangled_lines_read_the_same(
        line in a_line(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), a_word(), 0..4_usize), 0..5),
    ) {
        let mut line = line;
        for (at, word, removed) in edits {
            let at = at.index(line.len());
            let end = (at + removed).min(line.len());
            line.splice(at..end, word);
            if line.is_empty() {
                break;
            }
        }
        line.retain(|b| *b != b'\n');
        assert_same(&line);
    }
}
