//! Where a mechanism ends that the client has quoted, so that it has blanks in it.

use crate::grammar::USER;

/// What Postfix writes behind a mechanism that the server does not offer: its own words for Dovecot
/// (`src/xsasl/xsasl_dovecot_server.c`), and those of Cyrus SASL for `SASL_NOMECH` (`lib/common.c`).
const UNOFFERED: [&str; 2] = [
    " authentication failed: Invalid authentication mechanism",
    " authentication failed: no mechanism available",
];

/// So much of a mechanism is logged: `%.100s`.
const CUT: usize = 100;

/// Where a mechanism ends that may have quoted blanks in it.
///
/// No server offers one of such a name, so what follows is the server's [refusal](UNOFFERED), and maybe the user name of an
/// earlier attempt. The client may spell a refusal in either. The server's is where the token ends, or where Postfix has cut
/// it, as it does since it logs users; else it is the last one, for a quote that is never closed lets the token go on to the
/// end of the command.
pub(crate) fn end(text: &[u8]) -> Option<usize> {
    let refused = |end: usize| {
        let rest = text.get(end..)?;
        let rest = UNOFFERED.iter().find_map(|words| rest.strip_prefix(words.as_bytes()))?;
        (rest.is_empty() || rest.starts_with(USER.needle())).then_some(end)
    };
    let token = token_end(text);
    let cut =
        refused(CUT).filter(|_| !UNOFFERED.iter().any(|words| text.ends_with(words.as_bytes())));
    let last = || memchr::memrchr_iter(b' ', text).find_map(refused);
    token.filter(|end| *end <= CUT).and_then(refused).or(cut).or_else(last).or(token)
}

/// Where the first token of a command ends: at a blank, unless that stands between `"` and `"`, between `<` and `>`, or behind
/// a backslash (`smtp_next_token()` and `smtp_quoted()`, `src/smtpd/smtpd_token.c`). `None` where it is not closed.
fn token_end(text: &[u8]) -> Option<usize> {
    // What closes, the innermost last.
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
