//! `--verify` refuses a log that still identifies somebody, and accepts other logs.

use std::fs::File;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;

use mls_anonymize::key::PseudonymKey;

use crate::{key, tool};

#[test]
fn verify_accepts_common_words_that_are_also_user_names() {
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
        Jun  1 00:00:45 mx postfix/smtp[7]: x: said: 554 by header check Subject: Papers of Alice (in reply to end of DATA)\n\
        Jun  1 00:00:45 mx dovecot: imap(wilma): Error: stat(/var/vmail/klinik-nord.cf/x) and (/var/vmail/klinik-nord.so) failed\n";
    let (_, written, _) = tool(&["--key-file", key()], names.as_bytes());
    let written = String::from_utf8(written).unwrap();
    assert!(
        !["rosalinde", "Papers", "Alice", "klinik"].iter().any(|name| written.contains(name)),
        "{written}"
    );
    assert!(
        written.contains("lmtp(5678, u") && written.contains(" (in reply to end of DATA)\n"),
        "{written}"
    );
}

#[test]
fn verify_finds_a_name_or_its_domain_that_was_not_replaced() {
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
fn secrets_are_replaced_despite_keep_and_are_not_in_the_map() {
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

/// A client can choose a user name that is also part of Postfix's error messages.
#[test]
fn verify_refuses_a_user_named_like_an_error_message_until_it_is_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let words = dir.path().join("words");
    File::create(&words)
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

/// Next to a fixed range such as `192.168/16`, only few bits of an address change, maybe none.
#[test]
fn verify_refuses_a_public_address_that_is_its_own_pseudonym() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    let mut keys = (1..20).map(|n| {
        write!(File::create(&path).unwrap(), "{n:064x}").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let key = PseudonymKey::load(&path).unwrap().for_purpose("Crypto-PAn");
        mls_anonymize::address::CryptoPan::new(&key)
    });
    let unchanged = |pseudonyms: mls_anonymize::address::CryptoPan| {
        let mut addresses = [0xc0a9_0000, 0xa9ff_0000].into_iter().flat_map(|network: u32| {
            (0..=u16::MAX).map(move |low| Ipv4Addr::from_bits(network | u32::from(low)))
        });
        addresses.find(|ip| pseudonyms.pseudonym((*ip).into()) == IpAddr::V4(*ip))
    };
    // With the key in the file, `ip` is its own pseudonym.
    let ip = keys.find_map(unchanged).unwrap();
    let log = format!("Jun  1 00:00:45 mx postfix/smtpd[7]: connect from unknown[{ip}]\n");
    let path = path.to_str().unwrap();
    let (code, _, said) = tool(&["--verify", "--key-file", path], log.as_bytes());
    assert_eq!(code, Some(65), "{said}");
    assert!(said.contains("is the same address; use another key"), "{said}");
}

#[test]
fn a_line_that_would_be_read_in_another_way_is_reported_and_omitted() {
    let line = include_bytes!("../../../../tests/fuzz/corpus/anonymize_verify/1be05fd188d3");
    let log = [line.trim_ascii_end(), b"\nJun  1 00:00:45 mx postfix/smtpd[7]: lost connection\n"]
        .concat();
    let (code, written, said) = tool(&["--verify", "--key-file", key()], &log);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(String::from_utf8(written).unwrap().lines().count(), 1, "{said}");
    assert!(said.contains("stdin:1: the line is omitted, because "), "{said}");
}
