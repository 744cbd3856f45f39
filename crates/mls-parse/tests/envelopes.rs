//! Tests of every kind of envelope.

use mls_parse::envelope::open;

fn shown(line: &str) -> String {
    let Some(e) = open(line.as_bytes()) else { return "-".into() };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let stamp = e.stamp.map_or("-".into(), text);
    let host = e.host.map_or("-".into(), text);
    let outer: String = e.outer_hosts.iter().map(|host| text(host) + ">").collect();
    let pid = e.pid.map_or("-".into(), |pid| pid.to_string());
    format!("{stamp}|{outer}{host}|{}|{pid}|{}|{}", text(e.program), e.repeated, text(e.message))
}

/// Each kind of line and its parts: stamp, hosts, program, process, repetitions, message.
const LINES: &[(&str, &str)] = &[
    (
        "2026-11-21T07:11:22.2+00:00 vm postfix/smtpd[74]: a: b",
        "2026-11-21T07:11:22.2+00:00|vm|postfix/smtpd|74|1|a: b",
    ),
    (
        "2026-11-21 07:11:22 vm postfix/smtpd[74]: a: b",
        "2026-11-21 07:11:22|vm|postfix/smtpd|74|1|a: b",
    ),
    ("Jun  1 00:00:45 vm postfix/smtpd[74]: a: b", "Jun  1 00:00:45|vm|postfix/smtpd|74|1|a: b"),
    (
        "Nov 14 2026 09:08:30 vm postfix/smtpd[74]: a: b",
        "Nov 14 2026 09:08:30|vm|postfix/smtpd|74|1|a: b",
    ),
    ("märz 14 09:08:30 vm postfix/smtpd[74]: a: b", "märz 14 09:08:30|vm|postfix/smtpd|74|1|a: b"),
    (
        "<22>Jun 01 00:00:45 vm postfix/smtpd[74]: a: b",
        "Jun 01 00:00:45|vm|postfix/smtpd|74|1|a: b",
    ),
    (
        "<22> Jun 01 00:00:45 vm postfix/smtpd[74]: a: b",
        "Jun 01 00:00:45|vm|postfix/smtpd|74|1|a: b",
    ),
    (
        "\0\0\0Jun  1 00:00:45 vm postfix/smtpd[74]: a: b",
        "Jun  1 00:00:45|vm|postfix/smtpd|74|1|a: b",
    ),
    (
        "Thu 2026-11-26 00:30:46 UTC vm postfix/smtpd[74]: a: b",
        "Thu 2026-11-26 00:30:46 UTC|vm|postfix/smtpd|74|1|a: b",
    ),
    (
        "Thu 2026-11-26 00:30:46 UTC vm postfix@-.service[74]: a: b",
        "Thu 2026-11-26 00:30:46 UTC|vm|postfix@-.service|74|1|a: b",
    ),
    (
        "mail_postfix.1.x7k2m9@node1    | Jun  1 00:00:45 mx postfix/smtpd[74]: a: b",
        "Jun  1 00:00:45|mail_postfix.1.x7k2m9@node1>mx|postfix/smtpd|74|1|a: b",
    ),
    (
        "[pod/mail-0/postfix] Jun  1 00:00:45 mx postfix/smtpd[74]: a: b",
        "Jun  1 00:00:45|mail-0/postfix>mx|postfix/smtpd|74|1|a: b",
    ),
    (
        "[pod/mail-0/postfix] 2026-11-21T07:11:22.2Z postfix/smtpd[74]: a: b",
        "2026-11-21T07:11:22.2Z|mail-0/postfix>-|postfix/smtpd|74|1|a: b",
    ),
    ("Jun  1 00:00:45 [postfix/smtpd] a: b", "Jun  1 00:00:45|-|postfix/smtpd|-|1|a: b"),
    (
        "Jun  1 00:00:45 [dovecot] imap-login: a: b",
        "Jun  1 00:00:45|-|dovecot|-|1|imap-login: a: b",
    ),
    (
        "Jun  1 00:00:45 vm mail:warn|warning postfix/smtpd[74]: a: b",
        "Jun  1 00:00:45|vm|postfix/smtpd|74|1|a: b",
    ),
    (
        "133 <22>1 2026-11-21T07:11:22Z vm postfix/smtpd 74 - - a: b",
        "2026-11-21T07:11:22Z|vm|postfix/smtpd|74|1|a: b",
    ),
    (
        "1795245082.212047 vm postfix/smtpd[74]: a: b",
        "1795245082.212047|vm|postfix/smtpd|74|1|a: b",
    ),
    (
        "Jun  1 00:00:45\tvm\tpostfix/smtpd[74]: a:\tb",
        "Jun  1 00:00:45|vm|postfix/smtpd|74|1|a:\tb",
    ),
    (
        "2026-11-21T07:11:22Z vm \tpostfix/smtpd[74]:\ta: b",
        "2026-11-21T07:11:22Z|vm|postfix/smtpd|74|1|a: b",
    ),
    (
        "2026-11-21 07:11:22\tINFO\tpostfix/smtpd[74]: a: b",
        "2026-11-21 07:11:22|-|postfix/smtpd|74|1|a: b",
    ),
    ("2025 Jun  1 00:00:45 vm dovecot: a: b", "2025 Jun  1 00:00:45|vm|dovecot|-|1|a: b"),
    ("Jun  1 00:00:45 vm dovecot-proxy: a: b", "Jun  1 00:00:45|vm|dovecot-proxy|-|1|a: b"),
    ("Jun  1 00:00:45 vm mta/smtpd[7]: a: b", "Jun  1 00:00:45|vm|mta/smtpd|7|1|a: b"),
    ("Jun  1 00:00:45 postfix/smtpd[74]: a: b", "Jun  1 00:00:45|-|postfix/smtpd|74|1|a: b"),
    ("Jun  1 00:00:45 dovecot: a: b", "Jun  1 00:00:45|-|dovecot|-|1|a: b"),
    ("Jun  1 00:00:45 vm: dovecot:  a: b", "Jun  1 00:00:45|vm:|dovecot|-|1|a: b"),
    (
        "Jun  1 00:00:45 <mail.warn> vm postfix/smtpd[74]: a: b",
        "Jun  1 00:00:45|vm|postfix/smtpd|74|1|a: b",
    ),
    (
        "Jun  1 00:00:45 vm mail.warn postfix/smtpd[74]: a: b",
        "Jun  1 00:00:45|vm|postfix/smtpd|74|1|a: b",
    ),
    (
        "Mon Jun  1 00:00:45 2026 mail.warn postfix/smtpd[74]: a: b",
        "Mon Jun  1 00:00:45 2026|-|postfix/smtpd|74|1|a: b",
    ),
    (
        "Mon Jun  1 00:00:45 2026 mail.info dovecot: a: b",
        "Mon Jun  1 00:00:45 2026|-|dovecot|-|1|a: b",
    ),
    ("Jun  1 00:00:45 mail.info dovecot: a: b", "Jun  1 00:00:45|mail.info|dovecot|-|1|a: b"),
    ("\u{feff}Jun  1 00:00:45 vm dovecot: a: b", "Jun  1 00:00:45|vm|dovecot|-|1|a: b"),
    ("  Jun  1 00:00:45 vm dovecot: dovecot: a: b", "Jun  1 00:00:45|vm|dovecot|-|1|a: b"),
    (
        "@400000006745d6a20c9a1b00 mail.info: Jun  1 00:00:45 postfix/smtpd[74]: a: b",
        "@400000006745d6a20c9a1b00|-|postfix/smtpd|74|1|a: b",
    ),
    (
        "mail.warn: Jun  1 00:00:45 postfix/smtpd[74]: a: b",
        "Jun  1 00:00:45|-|postfix/smtpd|74|1|a: b",
    ),
    (
        "2026-11-21_07:11:22.2 192.0.2.1: mail.warn: Jun  1 00:00:45 vm postfix/smtpd[74]: a: b",
        "2026-11-21_07:11:22.2|vm|postfix/smtpd|74|1|a: b",
    ),
    (
        "2026-11-21T07:11:22.2+00:00 INFO    postfix/smtpd[74]: a: b",
        "2026-11-21T07:11:22.2+00:00|-|postfix/smtpd|74|1|a: b",
    ),
    (
        // RSYSLOG_SyslogProtocol23Format
        "<20>1 2026-11-21T07:11:22Z vm postfix/smtpd 74 - -  a: b",
        "2026-11-21T07:11:22Z|vm|postfix/smtpd|74|1|a: b",
    ),
    (
        "<22>1 2026-11-21T07:11:22Z vm postfix/smtpd 74 - - a: b",
        "2026-11-21T07:11:22Z|vm|postfix/smtpd|74|1|a: b",
    ),
    (
        "1 2026-11-21T07:11:22Z - postfix/smtpd - - [x y=\"]\\\"\"][z] a",
        "2026-11-21T07:11:22Z|-|postfix/smtpd|-|1|a",
    ),
    ("Jun  1 00:00:45 vm p[7]: [ID 197553 mail.warning] a", "Jun  1 00:00:45|vm|p|7|1|a"),
    ("Jun  1 00:00:45 vm p[7]: message repeated 3 times: [ a[b]]", "Jun  1 00:00:45|vm|p|7|3|a[b]"),
    (
        "Jun  1 00:00:45 imap-login: Info: a: b",
        "Jun  1 00:00:45|-|imap-login|-|1|imap-login: Info: a: b",
    ),
    (
        "dovecot: Jun 01 00:00:45 Info: imap-login: a: b",
        "Jun 01 00:00:45|-|imap-login|-|1|imap-login: a: b",
    ),
    ("dovecot: 2026-06-01 00:00:45 Info: auth(default): a", "2026-06-01 00:00:45|-|auth|-|1|a"),
    ("Jun 01 00:00:45 Info: imap-login: a: b", "Jun 01 00:00:45|-|imap-login|-|1|imap-login: a: b"),
    (
        "Jun  1 00:00:45 vm imap-login[7]: a: b",
        "Jun  1 00:00:45|vm|imap-login|7|1|imap-login[7]: a: b",
    ),
    (
        "2026-11-21 07:11:22 auth-worker(7): Info: a",
        "2026-11-21 07:11:22|-|auth-worker|-|1|auth-worker(7): Info: a",
    ),
    (
        "2026-11-21 07:11:22 imap-login(7): Info: a",
        "2026-11-21 07:11:22|-|imap-login|7|1|imap-login(7): Info: a",
    ),
    (
        "2026-11-21 07:11:22 imap(anna)<7><x>: Info: a",
        "2026-11-21 07:11:22|-|imap|-|1|imap(anna)<7><x>: Info: a",
    ),
    ("Jun  1 00:00:45 vm imap(anna)[7]: a: b", "Jun  1 00:00:45|vm|imap|7|1|a: b"),
    ("Jun  1 00:00:45 vm a@b.c-login: Info: x", "Jun  1 00:00:45|vm|a@b.c-login|-|1|Info: x"),
    (
        "@400000006745d6a20c9a1b00 imap-login: Info: a",
        "@400000006745d6a20c9a1b00|-|imap-login|-|1|imap-login: Info: a",
    ),
];

#[test]
fn every_envelope_gives_the_same_parts() {
    for (line, parts) in LINES {
        assert_eq!(shown(line), *parts, "{line}");
    }
}

#[test]
fn envelopes_inside_each_other_are_opened() {
    let message = "postfix/smtpd[74]: a: b";
    for (line, parts) in [
        (
            format!("Jun  1 00:00:45 vm 3f2a9c01b7de[812]: Jun  1 00:00:44 mx {message}"),
            "Jun  1 00:00:44|vm>mx|postfix/smtpd|74|1|a: b",
        ),
        (
            format!("2026-06-01T00:00:45Z vm mail[812]: Jun  1 00:00:44 mx {message}"),
            "2026-06-01T00:00:45Z|vm>mx|postfix/smtpd|74|1|a: b",
        ),
        (
            format!(
                "<30>1 2026-06-01T00:00:45Z vm 3f2a9c01b7de 812 3f2a9c01b7de - <22>Jun  1 00:00:44 mx {message}"
            ),
            "2026-06-01T00:00:45Z|vm>mx|postfix/smtpd|74|1|a: b",
        ),
        (
            format!("Jun  1 00:00:45 vm 3f2a9c01b7de[812]: {message}"),
            "Jun  1 00:00:45|vm|postfix/smtpd|74|1|a: b",
        ),
        (
            "Jun  1 00:00:45 vm mail/dovecot[812]: dovecot: imap-login: a".into(),
            "Jun  1 00:00:45|vm|dovecot|-|1|imap-login: a",
        ),
        (
            // The name of a container.
            format!("Jun  1 00:00:45 vm postfix-mailcow[812]: Jun  1 00:00:44 mx {message}"),
            "Jun  1 00:00:44|vm>mx|postfix/smtpd|74|1|a: b",
        ),
        (
            format!("2026-06-01T00:00:45.1Z stdout F Jun  1 00:00:44 mx {message}"),
            "2026-06-01T00:00:45.1Z|mx|postfix/smtpd|74|1|a: b",
        ),
        (
            format!("2026-06-01T00:00:45.1Z stderr F:x {message}"),
            "2026-06-01T00:00:45.1Z|-|postfix/smtpd|74|1|a: b",
        ),
        (
            format!("postfix-1  | Jun  1 00:00:44 mx {message}"),
            "Jun  1 00:00:44|postfix-1>mx|postfix/smtpd|74|1|a: b",
        ),
        (
            format!(
                "\x1b[36mpostfix-1  | \x1b[0m2026-06-01T00:00:45.1Z Jun  1 00:00:44 mx {message}"
            ),
            "2026-06-01T00:00:45.1Z|postfix-1>mx|postfix/smtpd|74|1|a: b",
        ),
        (
            format!("\x1b[36mpostfix-1  |\x1b[0m Jun  1 00:00:44 mx {message}"),
            "Jun  1 00:00:44|postfix-1>mx|postfix/smtpd|74|1|a: b",
        ),
        (
            format!("mail-1  | 2026-06-01T00:00:45Z INFO    {message}"),
            "2026-06-01T00:00:45Z|mail-1>-|postfix/smtpd|74|1|a: b",
        ),
        (format!("mail-1  | {message}"), "-|mail-1>-|postfix/smtpd|74|1|a: b"),
        (
            format!("2026-06-01T00:00:45.1Z Jun  1 00:00:44 {message}"),
            "2026-06-01T00:00:45.1Z|-|postfix/smtpd|74|1|a: b",
        ),
        (
            "2026-06-01T00:00:45.1Z stderr F Jun  1 00:00:44 imap-login: Info: a".into(),
            "2026-06-01T00:00:45.1Z|-|imap-login|-|1|imap-login: Info: a",
        ),
        (
            // More than `MAX_DEPTH` envelopes.
            format!("mail-1  | {}{message}", "2026-06-01T00:00:45.1Z stdout F ".repeat(5)),
            "-",
        ),
    ] {
        assert_eq!(shown(&line), parts, "{line}");
    }
}

#[test]
fn text_of_a_client_is_never_read_as_another_line() {
    let forged = "Jun  1 00:00:44 mx postfix/smtpd[74]: warning: x[192.0.2.1]: SASL X authentication failed: y";
    for program in
        ["postfix/smtpd[7]", "postfix-out/cleanup[7]", "dovecot", "mta/cleanup[7]", "smtpd[7]"]
    {
        let line = format!("Jun  1 00:00:45 vm {program}: {forged}");
        assert_eq!(open(line.as_bytes()).unwrap().message, forged.as_bytes(), "{line}");
    }
    // A message without a stamp is a line only if it begins with the tag of a mail server.
    for message in ["cron[74]: a", "postfix/smtpd: a", "see postfix/smtpd[74]: a", "auth-login: a"]
    {
        let line = format!("Jun  1 00:00:45 vm app[7]: {message}");
        assert_eq!(open(line.as_bytes()).unwrap().program, b"app", "{line}");
    }
}

#[test]
fn a_text_that_is_not_a_log_line_has_no_envelope() {
    for line in [
        "",
        "x",
        "Jun  1",
        "Jun  1 00:00:45 vm",
        "1 2 3 4 5",
        "a b c",
        "Jun  1 00:00:45 vm two words: x",
        "<22>",
        "warning: header Subject: x",
        "1 a b c d e [",
        "postfix/smtpd[74]: a",
        "\x1b[36",
    ] {
        assert_eq!(shown(line), "-", "{line}");
    }
}
