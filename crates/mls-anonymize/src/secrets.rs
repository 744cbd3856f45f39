//! Finds passwords, their hashes and SASL responses in log messages.
//!
//! | program | what it logs | when | source |
//! |---|---|---|---|
//! | Dovecot | `(given password: …)`, `(SHA1 of given password: …)`, both also shortened | `auth_verbose_passwords`, PAM | auth-request.c, passdb-pam.c |
//! | Dovecot | `SCHEME(password) != 'hash'`, `Invalid password '…'`, `password '…'`, `Credentials: …`, `(input: …)`, `cache hit: …` | `auth_debug_passwords` | auth-request.c, passdb.c, passdb-cache.c |
//! | Dovecot | `client in: CONT…`, `resp=…`, `pass=…`, LDAP's `userPassword=…` | `auth_debug_passwords` | auth-client-connection.c, db-ldap.c |
//! | Dovecot | SQL queries with `password = '…'` | `auth_debug` | passdb-sql.c |
//! | Dovecot | `access_token=…` in the URL of a request, `Authorization: Bearer …` | `auth_debug` | oauth2-request.c |
//! | Postfix | `AUTH PLAIN …`, and the answer of a client on a line of its own | `smtpd -v`, pipelining | smtpd_chat.c |
//! | Postfix | `init_response …`, `decoded … response …`, `uncoded … response …`, ``pass `…'`` | `-v` | xsasl_cyrus_server.c, xsasl_cyrus_client.c, smtp_sasl_glue.c |
//! | saslauthd | `auth_httpform: sending …`, `auth_rimap: unexpected response to auth request: …` | debug | auth_httpform.c, auth_rimap.c |
//! | any | `{SSHA}…`, `$6$…` and other schemes of hashes | | Dovecot's password-scheme.c, crypt(5) |

use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use bstr::ByteSlice;
use data_encoding::BASE64;

use SecretExtent::{
    Comparison, Continuation, Field, Hexadecimal, LastParenthesis, LastQuote, Mark, NextQuote,
    Response, Rest,
};

/// Where a secret is. Its mark is a text of [`MARKS`], before the secret or at its beginning.
#[derive(Clone, Copy)]
enum SecretExtent {
    /// Up to the last `)` of the text, because the secret may contain a `)`.
    LastParenthesis,
    /// Up to the last `'` of the text.
    LastQuote,
    /// Up to the next quote like the one at the end of the mark.
    NextQuote,
    /// Up to the end of the text.
    Rest,
    /// The word in `CONT<tab>NUMBER<tab>WORD`.
    Continuation,
    /// Up to the next tab.
    Field,
    /// A word of hexadecimal digits.
    Hexadecimal,
    /// A word that begins with the mark.
    Mark,
    /// The password, then the hash, in `SCHEME(PASSWORD) != 'HASH'`.
    Comparison,
    /// The word after the mechanism in `AUTH PLAIN WORD`. In `250-AUTH PLAIN LOGIN`, a server lists
    /// its mechanisms, which are no secret.
    Response,
}

/// The marks of secrets, in lower case, for each extent.
const MARKS: &[(SecretExtent, &[&str])] = &[
    (LastParenthesis, &["given password: ", " (input: "]),
    (Comparison, &[") != '"]),
    (LastQuote, &["invalid password '", "invalid password field '", ", password '", "pass `"]),
    (NextQuote, &["password = '", "password='", "password = \"", "password=\""]),
    (Hexadecimal, &["credentials: "]),
    (Field, &["cache hit: "]),
    (Continuation, &["client in: cont"]),
    (Rest, &[", init_response ", "decoded initial response ", "decoded response: "]),
    (Rest, &["uncoded initial reply: ", "uncoded client response ", "auth_httpform: sending "]),
    (Rest, &["unexpected response to auth request: ", "authorization: "]),
    (Response, &["auth plain ", "auth login ", "auth cram-md5 ", "auth ntlm ", "auth external "]),
    (Response, &["auth xoauth2 ", "auth oauthbearer ", "auth scram-sha-1 ", "auth scram-sha-256 "]),
    // Schemes of Dovecot.
    (Mark, &["{plain", "{clear", "{crypt", "{md5", "{sha", "{smd5", "{ssha", "{blf-crypt"]),
    (Mark, &["{argon2", "{pbkdf2", "{scram", "{cram-md5", "{digest-md5", "{hmac-md5"]),
    (Mark, &["{ntlm", "{lanman"]),
    // Hashes of crypt(5).
    (Mark, &["$1$", "$2a$", "$2b$", "$2y$", "$5$", "$6$", "$7$", "$y$", "$apr1$", "$argon2"]),
    (Mark, &["$pbkdf2"]),
];

/// The search for all marks, and the extent of the secret for each mark. `None` if the search could not
/// be built. Tests would fail in this case.
static SEARCH: LazyLock<Option<(AhoCorasick, Vec<SecretExtent>)>> = LazyLock::new(|| {
    let marks = MARKS.iter().flat_map(|(extent, marks)| marks.iter().map(|mark| (*mark, *extent)));
    let (marks, extents): (Vec<&str>, Vec<_>) = marks.unzip();
    Some((AhoCorasick::builder().ascii_case_insensitive(true).build(marks).ok()?, extents))
});

/// Returns the first secret in `text` that begins at `at` or later.
pub(crate) fn find(text: &[u8], at: usize) -> Option<Range<usize>> {
    if at == 0
        && let Some(answer) = answer_of_client(text)
    {
        return Some(answer);
    }
    let (search, extents) = SEARCH.as_ref()?;
    let mut from = at;
    while let Some(mark) = search.find(text.get(from..)?) {
        let extent = extents[mark.pattern()];
        let mark = from + mark.start()..from + mark.end();
        let secret = locate(text, mark.clone(), extent, at).filter(|secret| {
            let value = &text[secret.clone()];
            secret.start >= at && !value.is_empty() && value != b"<hidden>" && value != b"***"
        });
        if secret.is_some() {
            return secret;
        }
        from = mark.end;
    }
    None
}

fn locate(
    text: &[u8],
    mark: Range<usize>,
    extent: SecretExtent,
    at: usize,
) -> Option<Range<usize>> {
    let (start, rest) = (mark.end, &text[mark.end..]);
    let length = match extent {
        LastParenthesis => rest.rfind_byte(b')').unwrap_or(rest.len()),
        LastQuote => rest.rfind_byte(b'\'').unwrap_or(rest.len()),
        NextQuote => rest.find_byte(text[start - 1]).unwrap_or(rest.len()),
        Rest => rest.len(),
        Continuation => {
            let number = tab_length(rest)?;
            let digits = rest[number..].iter().take_while(|b| b.is_ascii_digit()).count();
            let answer = number + digits + tab_length(&rest[number + digits..])?;
            let start = start + answer;
            return Some(start..start + word_length(&rest[answer..]));
        }
        Field => (0..rest.len()).find(|n| tab_length(&rest[*n..]).is_some()).unwrap_or(rest.len()),
        Hexadecimal => {
            let length = word_length(rest);
            if !rest[..length].iter().all(u8::is_ascii_hexdigit) {
                return None;
            }
            length
        }
        Mark => {
            let in_word =
                mark.start.checked_sub(1).is_some_and(|n| text[n].is_ascii_alphanumeric());
            let end = start + word_length(rest);
            return (!in_word).then_some(mark.start..end);
        }
        Comparison => {
            let opened = password_before(text, mark.start).filter(|opened| *opened >= at);
            if let Some(opened) = opened {
                return Some(opened..mark.start);
            }
            rest.rfind_byte(b'\'').unwrap_or(rest.len())
        }
        Response => {
            let before = &text[..mark.start];
            if before.ends_with(b"250-") || before.ends_with(b"250 ") {
                return None;
            }
            rest.find_byteset(b" \\").unwrap_or(rest.len())
        }
    };
    Some(start..start + length)
}

/// Returns where the password begins in `SCHEME(password`. `end` is the end of the password.
fn password_before(text: &[u8], end: usize) -> Option<usize> {
    let is_scheme = |b: &u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b"-._".contains(b);
    memchr::memchr_iter(b'(', &text[..end]).find_map(|open| {
        let length = text[..open].iter().rev().take_while(|b| is_scheme(b)).count();
        (length >= 2).then_some(open + 1)
    })
}

/// Returns the base64 answer of a client as `smtpd -v` logs it: `< NAME[ADDRESS]: BASE64`.
fn answer_of_client(text: &[u8]) -> Option<Range<usize>> {
    const COMMANDS: [&[u8]; 6] = [b"QUIT", b"DATA", b"RSET", b"NOOP", b"STARTTLS", b"HELP"];
    let start = text.starts_with(b"< ").then(|| text.find(": "))?? + 2;
    let answer = text[start..].trim_ascii_end();
    let is_command = COMMANDS.iter().any(|command| command.eq_ignore_ascii_case(answer));
    let is_answer = answer.len() >= 4 && !is_command && BASE64.decode(answer).is_ok();
    is_answer.then_some(start..start + answer.len())
}

fn word_length(text: &[u8]) -> usize {
    let ends = |n: &usize| b" '\",;)>".contains(&text[*n]) || tab_length(&text[*n..]).is_some();
    (0..text.len()).find(ends).unwrap_or(text.len())
}

/// If `text` begins with a tab, returns its length. Dovecot writes a tab as `\t`, a syslog daemon
/// as `#011`.
fn tab_length(text: &[u8]) -> Option<usize> {
    let tabs = [&b"\t"[..], b"\\t", b"#011"];
    tabs.iter().find(|tab| text.starts_with(tab)).map(|tab| tab.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(text: &str) -> Vec<&str> {
        let (mut found, mut at) = (Vec::new(), 0);
        while let Some(secret) = find(text.as_bytes(), at) {
            at = secret.end;
            found.push(&text[secret]);
        }
        found
    }

    #[test]
    fn every_place_where_a_server_logs_a_secret_is_found() {
        for (text, expected) in [
            ("sql(a,192.0.2.1): Password mismatch (given password: a)b (c)", &["a)b (c"][..]),
            ("sql(a): unknown user (SHA1 of given password: f3bbbd)", &["f3bbbd"]),
            ("pam(a): pam_authenticate() failed: x (given password: hunter2)", &["hunter2"]),
            (
                "sql(a): CRYPT(p) (w) != '$6$ab$cd', try PLAIN scheme instead",
                &["p) (w", "$6$ab$cd"],
            ),
            ("sql(a): Invalid password '{X}it's' in passdb: x", &["{X}it's"]),
            ("sql(a): Generating NTLM from user 'a', password 'hunter2'", &["hunter2"]),
            ("sql(a): Credentials: 68756e74657232", &["68756e74657232"]),
            ("sql(a): Requested NTLM scheme, but we have only X (input: {X}y)", &["{X}y"]),
            ("sql(a): cache hit: {PLAIN}hunter2\tuid=5", &["{PLAIN}hunter2"]),
            ("sql(a): query: SELECT 1 WHERE u='a' AND password = 'hunter2'", &["hunter2"]),
            ("ldap(a): result: userPassword={SSHA}abc= uid=a", &["{SSHA}abc="]),
            (
                "auth reply client in: CONT#0111#011AGEAaHVudGVyMg== (previous base64 data)",
                &["AGEAaHVudGVyMg=="],
            ),
            ("< x[192.0.2.1]: AUTH PLAIN AGEAaHVudGVyMg==", &["AGEAaHVudGVyMg=="]),
            ("improper command pipelining after AUTH from x: auth login YQ==\\r\\n", &["YQ=="]),
            ("< x[192.0.2.1]: aHVudGVyMg==", &["aHVudGVyMg=="]),
            ("xsasl_cyrus_server_first: sasl_method PLAIN, init_response AGE=", &["AGE="]),
            ("xsasl_cyrus_server_next: decoded response: hunter 2", &["hunter 2"]),
            ("smtp_sasl_passwd_lookup: host `x' user `a' pass `hunter2'", &["hunter2"]),
        ] {
            assert_eq!(secrets(text), expected, "{text}");
        }
    }

    #[test]
    fn words_that_only_look_like_secrets_stay() {
        for text in [
            "< x[192.0.2.1]: QUIT",
            "> x[192.0.2.1]: 250-AUTH PLAIN LOGIN",
            "lost connection after AUTH from x[192.0.2.1]",
            "auth: Debug: client in: AUTH#0111#011PLAIN#011resp=<hidden>",
            "Password mismatch",
            "host said: try {\"a\":1} or $1 or x$1$y",
        ] {
            assert_eq!(secrets(text), [""; 0], "{text}");
        }
    }
}
