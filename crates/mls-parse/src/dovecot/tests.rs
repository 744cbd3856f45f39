use super::*;

const FAILURE: Outcome = Outcome::Failure;
const ABORTED: Outcome = Outcome::Aborted;
const ERROR: Outcome = Outcome::Error;

/// Each kind of reason, with the outcome and the number of attempts to record.
const ENDINGS: &[(&str, Option<(Outcome, u32)>)] = &[
    ("Aborted login (auth failed, 1 attempts)", Some((FAILURE, 1))),
    ("Disconnected: Inactivity (auth failed, 3 attempts in 6 secs)", Some((FAILURE, 3))),
    (
        "Disconnected: Connection closed: read(size=1007) failed: Connection reset by peer (auth failed, 2 attempts in 3 secs)",
        Some((FAILURE, 2)),
    ),
    (
        "Login aborted: Connection closed (auth failed, 2 attempts in 3 secs) (auth_failed)",
        Some((FAILURE, 2)),
    ),
    (
        "Login aborted: Logged out (auth failed, 1 attempts in 3 secs, last failure: no (x): y) (auth_failed)",
        Some((FAILURE, 1)),
    ),
    (
        "Login aborted: x (authorization failed, 4 attempts in 3 secs) (authorization_failed)",
        Some((FAILURE, 4)),
    ),
    ("Disconnected: x (user disabled)", Some((FAILURE, 1))),
    ("Login aborted: x (user disabled, 2 attempts in 3 secs) (user_disabled)", Some((FAILURE, 2))),
    ("Disconnected: x (password expired)", Some((FAILURE, 1))),
    ("Disconnected: x (tried to use unsupported auth mechanism)", Some((FAILURE, 1))),
    ("Aborted login (tried to use disabled plaintext auth)", Some((FAILURE, 1))),
    ("Disconnected: x (login disabled)", Some((FAILURE, 1))),
    ("Disconnected: x (sent invalid base64 in response)", Some((FAILURE, 1))),
    (
        "Login aborted: x (anonymous logins disabled, 1 attempts in 1 secs) (anonymous_auth_disabled)",
        Some((FAILURE, 1)),
    ),
    (
        "Login aborted: x (credentials contain control characters, 1 attempts in 1 secs) (invalid_credentials)",
        Some((FAILURE, 1)),
    ),
    ("Disconnected: x (proxy dest auth failed)", Some((FAILURE, 1))),
    (
        "Login aborted: x (proxy dest authentication failure to 192.0.2.5:143, 2/2 successful auths in 3 secs, last failure: Authentication failed.) (proxy_dest_auth_failed)",
        Some((FAILURE, 2)),
    ),
    (
        "Login aborted: x (proxy dest connection failed to (unknown), 1/1 successful auths in 3 secs) (proxy_dest_connect_failed)",
        Some((ERROR, 1)),
    ),
    (
        "Login aborted: x (proxy dest temporary authentication failure to mx, 1/3 successful auths in 3 secs) (proxy_dest_auth_temp_failed)",
        Some((FAILURE, 2)),
    ),
    ("Disconnected: x (auth service reported temporary failure)", Some((ERROR, 1))),
    ("Disconnected: x (internal failure, 1 successful auths)", Some((ERROR, 1))),
    (
        "Login aborted: x (internal failure, 1/1 successful auths in 1 secs) (internal_failure)",
        Some((ERROR, 1)),
    ),
    (
        "Login aborted: x (auth process communication failure, 3 attempts in 1 secs) (auth_process_comm_fail)",
        Some((FAILURE, 2)),
    ),
    ("Disconnected: x (client didn't finish SASL auth, waited 9 secs)", Some((ABORTED, 1))),
    (
        "Login aborted: x (client didn't finish SASL auth, 3 attempts in 1 secs) (auth_waiting_client)",
        Some((FAILURE, 2)),
    ),
    (
        "Login aborted: x (auth aborted by client, 1 attempts in 1 secs) (auth_aborted_by_client)",
        Some((ABORTED, 1)),
    ),
    ("Disconnected: x (aborted authentication)", Some((ABORTED, 1))),
    ("Disconnected: x (disconnected while authenticating, waited 1 secs)", Some((ABORTED, 1))),
    ("Disconnected: x (disconnected while finishing login, waited 1 secs)", Some((ABORTED, 1))),
    (
        "Login aborted: x (connection limit reached, 1/1 successful auths in 1 secs) (connection_limit)",
        None,
    ),
    (
        "Login aborted: x (connection limit reached, 1/4 successful auths in 1 secs) (connection_limit)",
        Some((FAILURE, 3)),
    ),
    (
        "Login aborted: x (auth referral, 1/1 successful auths in 1 secs) (auth_nologin_referral)",
        None,
    ),
    ("Login aborted: x (no auth attempts in 5 secs) (no_auth_attempts)", None),
    ("Disconnected: x (disconnected before auth was ready, waited 0 secs)", None),
    ("Aborted login (auth failed, 0 attempts)", None),
    ("Aborted login (0 authentication attempts)", None),
    ("Aborted login (2 authentication attempts)", Some((FAILURE, 2))),
    ("Internal login failure (auth failed, 1 attempts)", Some((ERROR, 1))),
    ("Internal login failure (pid=7 id=2) (auth failed, 3 attempts)", Some((FAILURE, 2))),
    ("Internal login failure (pid=7 id=2) (internal failure, 1 succesful auths)", Some((ERROR, 1))),
    (
        "Login aborted: x (proxy dest redirected to mx, 1/1 successful auths in 1 secs) (proxy_dest_redirected)",
        None,
    ),
    ("Internal login failure", Some((ERROR, 1))),
];

/// Texts that do not say whether there was an attempt.
const UNSAID: [&str; 8] = [
    "Aborted login",
    "Disconnected",
    "Disconnected: Inactivity",
    "Disconnected: Too many invalid commands",
    "Disconnected: x (cert required, client didn't start TLS)",
    "Disconnected (client didn't send a cert)",
    "Disconnected (client sent an invalid cert)",
    "Login aborted: x (client sent an untrusted cert) (client_ssl_cert_untrusted)",
];

#[test]
fn every_reason_is_judged_by_its_last_attempt() {
    for (words, attempts) in ENDINGS {
        let text = format!("{words}: user=<a>, rip=192.0.2.1");
        let ending = Ending::read(text.as_bytes());
        let fields = &b"user=<a>, rip=192.0.2.1"[..];
        assert_eq!(ending, Some(Ending { attempts: *attempts, fields }), "{words}");
    }
}

#[test]
fn without_a_reason_the_fields_tell_whether_there_was_an_attempt() {
    for words in UNSAID {
        for (fields, attempts) in [
            ("user=<a>, method=PLAIN, rip=192.0.2.1", Some((FAILURE, 1))),
            ("user=<a>, rip=192.0.2.1", Some((FAILURE, 1))),
            ("user=<>, method=PLAIN, rip=192.0.2.1", Some((ABORTED, 1))),
            ("method=PLAIN, rip=192.0.2.1", Some((ABORTED, 1))),
            ("user=<>, rip=192.0.2.1", None),
            ("rip=192.0.2.1", None),
        ] {
            let text = format!("{words}: {fields}");
            let ending = Ending::read(text.as_bytes());
            let fields = fields.as_bytes();
            assert_eq!(ending, Some(Ending { attempts, fields }), "{text}");
            let line = format!("Jun  1 00:00:45 vm dovecot: imap-login: {text}");
            let is_found = names_an_attempt(line.as_bytes());
            assert!(is_found || attempts.is_none(), "{text}");
        }
    }
}

#[test]
fn a_session_that_the_server_ended_is_not_a_wrong_password() {
    for words in [
        "Disconnected (client_limit and process_limit was hit)",
        "Login aborted: x (The process is shutting down so the login is aborted.) (shutting_down)",
    ] {
        for (fields, attempts) in [
            ("user=<a>, method=PLAIN, rip=192.0.2.1", Some((ERROR, 1))),
            ("method=PLAIN, rip=192.0.2.1", Some((ERROR, 1))),
            ("user=<>, rip=192.0.2.1", None),
        ] {
            let text = format!("{words}: {fields}");
            let fields = fields.as_bytes();
            assert_eq!(Ending::read(text.as_bytes()), Some(Ending { attempts, fields }));
        }
    }
}

#[test]
fn a_user_name_is_not_read_as_a_reason() {
    let name = "(auth failed, 4000000000 attempts): user=<bob>, method=PLAIN, rip=192.0.2.66";
    let fields = format!("user=<{name}>, method=PLAIN, rip=192.0.2.1");
    let text = format!("Aborted login: {fields}");
    let (attempts, fields) = (Some((FAILURE, 1)), fields.as_bytes());
    assert_eq!(Ending::read(text.as_bytes()), Some(Ending { attempts, fields }));
    let message = format!(
        "imap-login: proxy({name}): Login failed to mx:143: no: user=<{name}>, rip=192.0.2.1"
    );
    let pieces = crate::grammar::pieces(message.as_bytes(), &crate::grammar::DOVECOT);
    assert!(pieces.is_none(), "{message}");
}

#[test]
fn a_login_through_a_proxy_names_the_same_user_twice() {
    let fields = "user=<a@b>, method=PLAIN, rip=192.0.2.1";
    for words in [
        "proxy(a@b): started proxying to mx:143",
        "proxy(a@b): started proxying to mx:143/c (master m)",
        "proxy(a@b,192.0.2.5:143): Started proxying to <192.0.2.5> (<mx>) (0.005 secs)",
        "proxy(a@b,[2001:db8::1]:143): Started proxying to remote host (0.005 secs)",
        "proxy(a@b,mx.example.com:143): Started proxying to remote host (0.005 secs)",
    ] {
        let text = format!("{words}: {fields}");
        let expected = Some((&b"a@b"[..], fields.as_bytes()));
        assert_eq!(proxied(text.as_bytes()), expected, "{text}");
    }
    let failed = |user: &str| {
        format!(
            "proxy({user}): Login failed to mx:143: no: user=<{user}>, method=PLAIN, rip=192.0.2.1"
        )
    };
    for text in [
        format!("proxy(a): started proxying to mx:143: {fields}"),
        failed("a@b"),
        failed(&format!("a@b): started proxying to mx:143: {fields}")),
        failed("a@b): started proxying to mx:143: user=<a@b"),
        failed("a@b): started proxying to mx:143: user=<a@b>, method=PLAIN, rip=192.0.2.9"),
    ] {
        assert_eq!(proxied(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn a_proxied_login_of_a_long_name_is_read() {
    // Dovecot cuts the name only in `user=<…>`, before a character that does not fit.
    for (name, field) in [
        ("x".repeat(80), "x".repeat(80)),
        ("x".repeat(81), "x".repeat(77) + "..."),
        ("x".repeat(300) + ",y)", "x".repeat(77) + "..."),
        ("x".to_owned() + &"ü".repeat(60), "x".to_owned() + &"ü".repeat(38) + "..."),
    ] {
        let fields = format!("user=<{field}>, method=PLAIN, rip=192.0.2.1, lip=192.0.2.2");
        for words in [": started proxying to mx:143", ": Started proxying to <::1> (0.1 secs)"] {
            for host in ["", ",192.0.2.5:143"] {
                let text = format!("proxy({name}{host}){words}: {fields}");
                let expected = Some((name.as_bytes(), fields.as_bytes()));
                assert_eq!(proxied(text.as_bytes()), expected, "{text}");
                let other = text.replace("proxy(", "proxy(y");
                assert_eq!(proxied(other.as_bytes()), None, "{other}");
            }
        }
        // A refused login, with and without a mechanism. The user name contains the words of a
        // login.
        let inside = format!("{name}): started proxying to mx:143: {fields}");
        let cut: String = inside.chars().take(38).collect();
        for field in [field, cut + "..."] {
            for mechanism in ["", ", method=PLAIN"] {
                let text = format!(
                    "proxy({inside}): Login failed to mx:143: no: user=<{field}>{mechanism}, rip=::1"
                );
                assert_eq!(proxied(text.as_bytes()), None, "{text}");
            }
        }
    }
    // The name of a refused user, or the answer of the backend, contains the words of a login.
    let begin = "x".repeat(77);
    let proxied_to = "): started proxying to mx:143";
    for front in [
        format!(
            "{begin}x): started proxying to mx,192.0.2.5:143): Login failed to 192.0.2.5:143: no"
        ),
        format!("{begin}...): started proxying to mx,192.0.2.5:143): Login failed to mx:143: no"),
        format!("{begin}x): Login failed to mx:143: no {begin}x{proxied_to}"),
        format!("{begin}...): Login failed to mx:143: no {begin}...{proxied_to}"),
    ] {
        let text = format!("proxy({front}: user=<{begin}...>, method=PLAIN, rip=::1, lip=::1");
        assert_eq!(proxied(text.as_bytes()), None, "{text}");
        assert!(is_attempt(text.as_bytes()), "{text}");
    }
    // 2.2 writes no fields after the words about a refused login.
    let inside = "a): started proxying to mx:143: user=<a>, method=PLAIN, rip=192.0.2.9";
    for end in ["", ", lip=192.0.2.2, session=<x>", ", method=x, rip=::1"] {
        let text = format!("proxy({inside}{end}): Login failed to mx:143: no");
        for text in [text.clone(), text + ", rip=192.0.2.8"] {
            assert_eq!(proxied(text.as_bytes()), None, "{text}");
        }
    }
    let short = "proxy(abcdef): started proxying to mx:143: user=<abc...>, rip=192.0.2.1";
    assert_eq!(proxied(short.as_bytes()), None);
}

#[test]
fn a_line_that_a_relay_cuts_is_not_a_login_through_a_proxy() {
    // The text after `proxy(` is a user name. It fills the line up to the byte where the relay cuts
    // the line.
    for length in [1024, 2048, 8192] {
        let front = "<22>Jun  1 00:00:45 mx.example.com dovecot: imap-login: ";
        let fields = "user=<a>, method=PLAIN, rip=192.0.2.1, lip=192.0.2.2, session=<";
        let text = format!("proxy(a): started proxying to mx:143: {fields}");
        let text = text.clone() + &"x".repeat(length - front.len() - text.len() - 1) + ">";
        assert_eq!(proxied(text.as_bytes()), None, "{text}");
        assert!(!has_no_attempt(text.as_bytes()));
    }
}

#[test]
fn an_unknown_reason_is_not_read() {
    for text in [
        "",
        "Disconnected for a new reason: user=<a>, rip=192.0.2.1",
        "Disconnected (new words): user=<a>, rip=192.0.2.1",
        "Disconnected (new words, 1 attempts in 2 secs): user=<(auth failed, 7 attempts)>, rip=192.0.2.1",
        "Disconnected (auth failed, 99999999999 attempts in 2 secs): rip=192.0.2.1",
    ] {
        assert_eq!(Ending::read(text.as_bytes()), None, "{text}");
    }
}
