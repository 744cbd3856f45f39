//! `mls-anonymize | mls-parse` equals `mls-parse | mls-anonymize`.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::Command;

use bstr::ByteSlice;
use proptest::prelude::*;
use testdata::log::{Generator, Stamps};

use crate::{LOG, anonymize, assert_same, key, parse, records, tool};

/// Lines of other programs and versions, and lines with hostile text of clients.
const OTHERS: [&str; 21] = [
    "Thu 2026-11-26 00:30:46 UTC vm postfix/smtpd[7]: warning: x[192.0.2.1]: SASL LOGIN authentication failed: x, sasl_username=a@b.test",
    "Jun  1 00:00:45 vm dovecot: imap-login: Disconnected (auth failed, 3 attempts in 6 secs): user=<a, rip=192.0.2.9>, method=PLAIN, rip=192.0.2.1, lip=192.0.2.2, TLS, session=<x+/y>",
    "Jun  1 00:00:45 vm dovecot: imap-login: Login: user=<a>, method=PLAIN, rip=192.0.2.1, lip=192.0.2.2, session=<x, rip=>",
    "Jun  1 00:00:45 vm dovecto: imap-login: Login: user=<a>, method=PLAIN, rip=192.0.2.1, lip=192.0.2.2, session=<x, rip=>",
    "Jun  1 00:00:45 vm dovecot: imap-login: proxy(a,b@example.test,192.0.2.5:143): Started proxying to <192.0.2.5> (0.005 secs): user=<a,b@example.test>, method=PLAIN, rip=192.0.2.1, lip=192.0.2.2, session=<x>",
    "Jun  1 00:00:45 vm dovecot: imap-login: proxy(a-name-that-is-longer-than-the-eighty-bytes-that-dovecot-writes-among-the-fields@example.test,192.0.2.5:143): Started proxying to <192.0.2.5> (0.005 secs): user=<a-name-that-is-longer-than-the-eighty-bytes-that-dovecot-writes-among-the-fie...>, method=PLAIN, rip=192.0.2.1, lip=192.0.2.2, session=<x>",
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

/// The addresses, mail addresses and host names of a log in lower case, found independently of the tool.
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
fn real_lines_are_parsed_the_same_and_identify_nobody() {
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
fn hostile_lines_and_lines_of_other_programs_are_parsed_the_same() {
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

#[test]
fn every_envelope_is_anonymized_and_parsed_the_same() {
    let message = "warning: x.wilma.test[192.0.2.1]: SASL LOGIN authentication failed: x, sasl_username=carol";
    let lines = [
        format!("Jun  1 00:00:45 vm 3f2a9c01b7de[812]: Jun  1 00:00:45 mx.wilma.test postfix/smtpd[7]: {message}"),
        format!("2026-11-21T07:11:22.1Z stdout F Jun  1 00:00:45 mx.wilma.test postfix/smtpd[7]: {message}"),
        format!("postfix-1  | Jun  1 00:00:45 mx.wilma.test postfix/smtpd[7]: {message}"),
        format!("Jun  1 00:00:45 mx.wilma.test mail.warn postfix/smtpd[7]: {message}"),
        format!("2026-11-21T07:11:22+00:00 INFO    postfix/smtpd[7]: {message}"),
        // The second time stamp is damaged, so socklog's level is part of the text.
        format!("2026-11-21_07:11:22.2 192.0.2.1: mail.warn: J?n  1 00:00:45 vm postfix/smtpd[74]: {message}"),
        format!("Jun  1 00:00:45 postfix/smtpd[7]: {message}"),
        "Jun  1 00:00:45 imap-login: Info: Disconnected (auth failed, 3 attempts in 6 secs): user=<carol>, method=PLAIN, rip=192.0.2.1, lip=192.0.2.2".to_owned(),
        "2026-11-21 07:11:22 imap(carol)<7><x>: Info: Disconnected: from 192.0.2.1".to_owned(),
        "2026-11-21 07:11:22 auth(7): Info: carol@wilma.test".to_owned(),
        "2026-11-21 07:11:22 auth-worker(7): Info: carol@wilma.test".to_owned(),
        "2026-11-21 07:11:22 auth-worker(carol): Info: x".to_owned(),
        "2026-11-21 07:11:22 imap-login(7): Info: carol@wilma.test".to_owned(),
        "Jun 01 00:00:45 Info: IMAP(carol): x".to_owned(),
        "Jun  1 00:00:45 mx.wilma.test deliver(carol): x".to_owned(),
        "Jun  1 00:00:45 mx.wilma.test any(carol)<7><wilma>: x".to_owned(),
        "Jun  1 00:00:45 mx.wilma.test imap(carol)<7><x>: Info: x".to_owned(),
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
            !line.contains("imap-login:") || written.contains(" imap-login: Info: "),
            "{written}"
        );
        assert_eq!(parse(line.as_bytes()).is_empty(), parse(written.as_bytes()).is_empty());
    }
}

/// `scripts/test --full` sets `MLS_LINES` to 100,000.
#[test]
fn generated_logs_are_parsed_the_same_identify_nobody_and_have_the_same_totals() {
    let lines = std::env::var("MLS_LINES").map_or(5_000, |lines| lines.parse().unwrap());
    for (seed, stamps) in [(1, Stamps::Rfc3339), (2, Stamps::Mixed), (3, Stamps::Bsd)] {
        let log = generated(lines, seed, stamps);
        assert_same(&log);
        let (code, written, said) = tool(&["--verify", "--key-file", key()], &log);
        assert_eq!((code, said.as_str()), (Some(0), ""));
        // The result does not depend on the cache, which was empty in the process of the tool.
        assert!(written == anonymize(&log));
        let (log, written) = (String::from_utf8(log).unwrap(), String::from_utf8(written).unwrap());
        let mut originals = originals(&log);
        assert!(originals.len() > lines / 2);
        // Among many addresses, the pseudonym of one address can be another original address.
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

fn totals(log: &str) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().write_all(log.as_bytes()).unwrap();
    let output = Command::new("pflogsumm").arg(file.path()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let totals = text.split("Host/Domain Summary").next().unwrap();
    assert!(totals.contains("delivered") && totals.lines().count() > 30, "{text}");
    totals.to_owned()
}

fn a_line() -> impl Strategy<Value = Vec<u8>> {
    let lines: Vec<&str> = LOG.lines().filter(|line| line.contains("sasl")).chain(OTHERS).collect();
    prop::sample::select(lines).prop_map(|line| line.as_bytes().to_vec())
}

/// Text that hostile clients send.
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
    fn mangled_lines_are_parsed_the_same(
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

#[test]
fn a_name_that_a_cut_has_divided_is_replaced_as_a_whole() {
    let line = "postfix/smtpd[7]: warning: x.wilma.test[192.0.2.1]: SASL LOGIN authentication failed: \
                x, sasl_username=carolwilma@carol.test";
    let long = line.replace(": x,", &format!(": {},", "x".repeat(mls_event::DOCKER_PART)));
    let cri = |tag: &str, text: &str| format!("2026-06-01T00:00:45Z stdout {tag} {text}\n");
    let object = |text: &str| {
        format!(
            r#"{{"log":"{text}","stream":"stdout","attrs":{{"tag":"wilma.test"}},"time":"2026-06-01T00:00:45Z"}}"#
        ) + "\n"
    };
    let other = "2026-06-01T00:00:45Z stderr F x\n";
    for cut in (1..line.len()).step_by(3) {
        let (first, last) = line.split_at(cut);
        let lines = cri("P", first) + other + &cri("P:a", "") + &cri("F", last);
        let (first, last) = long.split_at(long.len() - 1 - cut % 40);
        let objects = object(first) + &object(&format!("{last}\\n"));
        for log in [lines, objects] {
            let (_, written, said) = tool(&["--verify", "--key-file", key()], log.as_bytes());
            assert_eq!(said, "", "{cut}: {log}");
            let (found, expected) = (parse(&written), records(&parse(log.as_bytes())));
            assert_eq!(found.to_str_lossy(), expected.to_str_lossy(), "{cut}: {log}");
            assert_eq!(found.lines().count(), 1, "{cut}: {log}");
            for name in ["carol", "wilma", "192.0.2"] {
                assert!(!written.contains_str(name), "{cut}: {}", written.to_str_lossy());
            }
        }
    }
}

#[test]
fn a_line_of_a_container_without_its_last_part_is_reported_and_omitted() {
    let part = "2026-06-01T00:00:45Z stdout P warning: caro\n";
    let long = part.replace("caro", &"carol ".repeat(12_000)) + &part.replace(" P ", " F ");
    for (log, kept) in [
        (part.to_owned(), 0),
        (part.to_owned() + "Jun  1 00:00:45 mx cron[7]: x\n", 1),
        (part.to_owned() + &"x".repeat(2 << 20) + "\n2026-06-01T00:00:45Z stdout F x\n", 1),
        (long, 0),
    ] {
        let (_, written, said) = tool(&["--key-file", key()], log.as_bytes());
        let written = String::from_utf8(written).unwrap();
        assert_eq!(written.lines().count(), kept, "{written}{said}");
        assert!(!written.contains("caro"), "{written}");
        assert!(said.contains("a line of a container has no last part"), "{said}");
    }
}

/// Docker cuts only long lines, so mls-parse joins the next line only to a long line. The pseudonym
/// of a long name is shorter than the name, but the line must stay long.
#[test]
fn two_parts_of_a_docker_line_stay_one_line() {
    let object = |text: &str| {
        format!(r#"{{"log":"{text}","stream":"stdout","time":"2026-06-01T00:00:45Z"}}"#)
    };
    let begin = format!(
        "postfix/smtpd[7]: warning: {}.test[192.0.2.1]: SASL LOGIN authentication failed: ",
        "a".repeat(200)
    );
    let second = "postfix/smtpd[8]: warning: unknown[192.0.2.66]: SASL LOGIN authentication failed: \
                  x, sasl_username=forged\\n";
    let first = begin.clone() + &"x".repeat(mls_event::DOCKER_PART - begin.len());
    let log = object(&first) + "\n" + &object(second) + "\n";
    for log in [log.as_bytes(), &anonymize(log.as_bytes())] {
        let records = String::from_utf8(parse(log)).unwrap();
        assert_eq!(records.lines().count(), 1, "{records}");
        assert!(records.contains(r#""service":"postfix/smtpd","pid":7"#), "{records}");
    }
}
