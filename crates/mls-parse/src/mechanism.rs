//! Finds the end of a mechanism that contains blanks because the client has quoted it.
//!
//! # Limits
//! Postfix logs the second token of the AUTH command, cut to 100 bytes, and then words of the
//! server. At the end of the line, it may log the user name of an earlier attempt in the session.
//! The client chooses the token and the user name, and both may contain the words of the server.
//! Postfix ends a token by its [rules of quoting](token_end). So mls-parse knows the end of
//! * a token whose quotes are closed, and a token that was cut;
//! * every token from Postfix 3.10 on, because the reason in the line quotes the token.
//!
//! Up to 3.9, the end is unknown in one case: a quote in the token is never closed, so the token
//! extends to the end of the command, and the user name contains the words of a refusal. In this
//! case, mls-parse ends the token at the last refusal. This can move text between mechanism, reason
//! and user. The client's address and the number of attempts are still correct.

use bstr::ByteSlice;

use crate::grammar::USER;

/// The text of Postfix after a mechanism that the server does not offer. With Dovecot, these are
/// words of Postfix (`src/xsasl/xsasl_dovecot_server.c`). With Cyrus SASL, these are its words for
/// `SASL_NOMECH` (`lib/common.c`).
const NOT_OFFERED: [&str; 2] = [
    " authentication failed: Invalid authentication mechanism",
    " authentication failed: no mechanism available",
];

/// The text before the mechanism that Postfix quotes in the reason, from 3.10 on.
const QUOTATION: &str = ": Invalid authentication mechanism: '";

/// The number of bytes of a mechanism that Postfix logs: `%.100s`.
const CUT: usize = 100;

/// The end of a mechanism that may contain quoted blanks.
pub(crate) fn end(text: &[u8]) -> Option<usize> {
    let refused = |end: usize| is_refused(text, end).then_some(end);
    let token = token_end(text);
    let cut =
        refused(CUT).filter(|_| !NOT_OFFERED.iter().any(|words| text.ends_with(words.as_bytes())));
    let last = || memchr::memrchr_iter(b' ', text).find_map(refused);
    token.filter(|end| *end <= CUT).and_then(refused).or(cut).or_else(last).or(token)
}

/// Whether the words of a refusal follow the mechanism that ends at `end`. The server refuses every
/// mechanism with blanks, so these words must follow.
fn is_refused(text: &[u8], end: usize) -> bool {
    let ends = |rest: &[u8]| rest.is_empty() || rest.starts_with(USER.needle());
    let Some((token, rest)) = text.split_at_checked(end) else { return false };
    let follows = NOT_OFFERED.iter().find_map(|words| rest.strip_prefix(words.as_bytes()));
    follows.is_some_and(|rest| {
        ends(rest)
            || rest
                .strip_prefix(b": '")
                .and_then(|quoted| quoted.strip_prefix(token))
                .is_some_and(|rest| end_of_quoted(rest, end).is_some_and(|end| ends(&rest[end..])))
    })
}

/// The offset in `rest` after the `'` that closes a quoted token. `length` is the number of bytes
/// of the token that Postfix logged as the mechanism.
fn end_of_quoted(rest: &[u8], length: usize) -> Option<usize> {
    if length < CUT {
        return rest.starts_with(b"'").then_some(1);
    }
    // The logged token was cut, but its quotation in the reason was not.
    let user = [b"'", USER.needle()].concat();
    rest.rfind(&user)
        .or_else(|| rest.len().checked_sub(1).filter(|_| rest.ends_with(b"'")))
        .map(|at| at + 1)
}

/// The end of the quotation of `mechanism` in the text after ` authentication failed`; 0 if the
/// text does not quote the mechanism.
pub(crate) fn end_of_quotation(text: &[u8], mechanism: &[u8]) -> usize {
    let rest = text.strip_prefix(QUOTATION.as_bytes());
    let rest = rest.and_then(|rest| rest.strip_prefix(mechanism));
    let end = rest.and_then(|rest| Some((rest, end_of_quoted(rest, mechanism.len())?)));
    end.map_or(0, |(rest, end)| text.len() - rest.len() + end)
}

/// The end of the first token of a command: the first blank that is outside `"…"` and `<…>` and not
/// after a backslash (`smtp_next_token()` and `smtp_quoted()`, `src/smtpd/smtpd_token.c`). `None`
/// if there is no such blank.
fn token_end(text: &[u8]) -> Option<usize> {
    // The bytes that close the open quotes and brackets, the innermost last.
    let mut open = Vec::new();
    let mut bytes = text.iter().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b' ' if open.is_empty() => return Some(at),
            b'\\' => drop(bytes.next()),
            _ if open.last() == Some(byte) => drop(open.pop()),
            b'"' => open.push(b'"'),
            b'<' if open.last() != Some(&b'"') => open.push(b'>'),
            _ => {}
        }
    }
    None
}
