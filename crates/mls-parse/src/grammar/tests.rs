//! Tests of the forms of messages.

use super::*;

fn failure(message: &str) -> Pieces<'_> {
    pieces(message.as_bytes(), &POSTFIX).unwrap_or_else(|| panic!("no failure: {message}"))
}

#[test]
fn text_from_the_client_never_ends_an_earlier_field() {
    let a = failure(
        "warning: x[192.0.2.1]: SASL LOGIN authentication failed: no, sasl_username=a, sasl_username=b: SASL x",
    );
    assert_eq!((a.reason, a.user), (Some(&b"no"[..]), Some(&b"a, sasl_username=b: SASL x"[..])));
    let line = "imap-login: Login: user=<a>, method=PLAIN, rip=192.0.2.66>, method=LOGIN, rip=192.0.2.1, lip=::1, TLS";
    let a = pieces(line.as_bytes(), &DOVECOT).unwrap();
    assert_eq!(a.user, Some(&b"a>, method=PLAIN, rip=192.0.2.66"[..]));
    assert_eq!(
        (a.mechanism, a.ip.unwrap().to_string().as_str()),
        (Some(&b"LOGIN"[..]), "192.0.2.1")
    );
}

#[test]
fn reasons_may_be_anything_or_nothing() {
    for (text, reason) in [
        (": UGFzc3dvcmQ6", Some("UGFzc3dvcmQ6")),
        (": Password:", Some("Password:")),
        (
            ": Invalid authentication mechanism: 'NTLM'",
            Some("Invalid authentication mechanism: 'NTLM'"),
        ),
        (": ", None),
        (":", None),
        ("", None),
    ] {
        let message = format!("warning: unknown[unknown]: SASL ntlm authentication failed{text}");
        let a = failure(&message);
        assert_eq!(a.reason.map(clean).as_deref(), reason);
        assert_eq!(a.mechanism.map(mechanism).as_deref(), Some("NTLM"));
        assert_eq!((a.ip, a.client, a.user), (None, None, None));
    }
}

#[test]
fn dovecot_leaves_out_unknown_fields() {
    for (fields, user, mechanism, attempts) in [
        (
            "Disconnected (auth failed, 2 attempts): user=<a>, method=PLAIN, rip=192.0.2.1, lip=::1",
            Some("a"),
            Some("PLAIN"),
            2,
        ),
        (
            "Disconnected: Inactivity (auth failed, 1 attempts): rip=192.0.2.1, lip=::1",
            None,
            None,
            1,
        ),
        (
            "Aborted login (auth failed, 1 attempts in 9 secs): user=<>, rip=192.0.2.1",
            None,
            None,
            1,
        ),
        (
            "Aborted login (auth failed, 1 attempts in 9 secs): method=LOGIN, rip=192.0.2.1",
            None,
            Some("LOGIN"),
            1,
        ),
        ("Logged in: user=<a>, method=PLAIN, rip=192.0.2.1", Some("a"), Some("PLAIN"), 1),
    ] {
        let line = format!("imap-login: {fields}");
        let a = pieces(line.as_bytes(), &DOVECOT).unwrap();
        assert_eq!(
            (a.user, a.mechanism, a.attempts),
            (user.map(str::as_bytes), mechanism.map(str::as_bytes), attempts),
            "{line}"
        );
        assert_eq!(a.ip.unwrap().to_string(), "192.0.2.1");
    }
}

#[test]
fn a_mechanism_is_the_name_that_the_client_sent() {
    for (word, expected) in [("LOGIN,X", Some("LOGIN,X")), ("", None), ("xoauth2", Some("XOAUTH2"))]
    {
        let message = format!(
            "warning: x[192.0.2.1]: SASL {word} authentication failed: Invalid authentication mechanism"
        );
        assert_eq!(failure(&message).mechanism.map(mechanism).as_deref(), expected);
    }
}

#[test]
fn a_mechanism_ends_where_postfix_ends_its_token() {
    let forged = " authentication failed: bad password, sasl_username=ceo@victim.example";
    let refused = " authentication failed: Invalid authentication mechanism";
    let cut =
        |token: &str| token.as_bytes().iter().take(100).map(|b| char::from(*b)).collect::<String>();
    for token in [
        format!("\"X{forged}\""),
        format!("<X{forged}>"),
        format!("<a \"> b\" <c> d{forged}>"),
        format!("\"X \\\"{forged}\""),
        format!("X\"{refused}, sasl_username=a\""),
        cut(&format!("\"{forged}{forged}\"")),
        cut(&format!("\"{refused}, sasl_username=ceo{refused}, sasl_username=a\"")),
        // In the next two tokens, a quote is never closed.
        format!("\"X{forged}"),
        format!("\"X{refused}, sasl_username=ceo"),
        "\"LOGIN X\"".into(),
        "\"LOGIN\"".into(),
        "LOGIN\\ X".into(),
        "X<\">".into(),
        "a\\".into(),
    ] {
        for user in
            [None, Some("(unavailable)"), Some("a\" authentication failed: x, sasl_username=b")]
        {
            let tail = user.map_or(String::new(), |user| format!(", sasl_username={user}"));
            let message = format!("warning: x[192.0.2.1]: SASL {token}{refused}{tail}");
            let a = failure(&message);
            assert_eq!(a.mechanism, Some(token.as_bytes()), "{message}");
            assert_eq!(a.reason, Some(&b"Invalid authentication mechanism"[..]), "{message}");
            let user = user.filter(|user| *user != "(unavailable)");
            assert_eq!(a.user, user.map(str::as_bytes), "{message}");
        }
    }
    // Postfix 3.7.7 and earlier do not cut the mechanism.
    let token = format!("\"{}{refused}, sasl_username=ceo\"", "x".repeat(99));
    let message = format!("warning: x[192.0.2.1]: SASL {token}{refused}");
    let a = failure(&message);
    assert_eq!((a.mechanism.unwrap().len(), a.user), (token.len(), None));
    // Cyrus SASL has other words. A blank outside quotes ends the token.
    let message =
        "warning: x[192.0.2.1]: SASL \"a b\" authentication failed: no mechanism available";
    assert_eq!(failure(message).mechanism, Some(&b"\"a b\""[..]));
    assert_eq!(
        pieces(b"warning: x[192.0.2.1]: SASL LOGIN X authentication failed: x", &POSTFIX),
        None
    );
}

#[test]
fn the_address_is_the_one_in_brackets() {
    for (client, name, address, port) in [
        (
            "44.188.11.37.dynamic.example[37.11.188.44]",
            Some("44.188.11.37.dynamic.example"),
            "37.11.188.44",
            None,
        ),
        ("unknown[2001:DB8::1]:50123", None, "2001:db8::1", Some(50123)),
        ("a_b[::ffff:192.0.2.7]", Some("a_b"), "192.0.2.7", None),
        ("unknown[fe80::1%eth0]", None, "fe80::1", None),
    ] {
        let message = format!("warning: {client}: SASL PLAIN authentication failed: x");
        let a = failure(&message);
        assert_eq!((a.client, a.port), (name.map(str::as_bytes), port));
        assert_eq!(a.ip.unwrap().to_string(), address);
    }
}

#[test]
fn messages_that_only_contain_the_words_are_not_read() {
    for message in [
        "SASL authentication failed; server mail.example[192.0.2.1] said: 535 5.7.8 Error: authentication failed",
        "warning: SASL authentication failure: Password verification failed",
        "warning: non-SMTP command from unknown[192.0.2.1]: x[192.0.2.6]: SASL LOGIN authentication failed: x",
        "NOQUEUE: reject: RCPT from a[192.0.2.1]: 450 4.7.1 <x>: helo=<warning: x[192.0.2.6]: SASL X authentication failed: y>",
        "warning: x[192.0.2.300]: SASL LOGIN authentication failed: x",
        "warning: x[192.0.2.1]: SASL LOGIN authentication failedly",
        "warning: x[192.0.2.1]: SASL LOGIN authentication aborted by y",
        "5A226BA054: client=x[192.0.2.1]",
    ] {
        assert_eq!(pieces(message.as_bytes(), &POSTFIX), None, "{message}");
    }
}
