//! The host, level, program and process before a message.

use bstr::ByteSlice;

pub(super) struct Header<'a> {
    pub(super) host: Option<&'a [u8]>,
    pub(super) program: &'a [u8],
    pub(super) pid: Option<u32>,
    pub(super) message: &'a [u8],
}

/// Whether `program` is a mail server. A message of a mail server is never read as a log line,
/// because clients choose parts of the message. `postfix-mailcow` is not a mail server but the name
/// of a container, whose messages are log lines.
pub(super) fn is_mail_server(program: &[u8]) -> bool {
    /// The daemons of Postfix whose messages quote clients, without `syslog_name/`.
    const DAEMONS: [&[u8]; 17] = [
        b"smtpd",
        b"smtp",
        b"lmtp",
        b"cleanup",
        b"qmgr",
        b"local",
        b"virtual",
        b"pipe",
        b"bounce",
        b"error",
        b"discard",
        b"postscreen",
        b"tlsproxy",
        b"verify",
        b"pickup",
        b"trivial-rewrite",
        b"anvil",
    ];
    let name = memchr::memrchr(b'/', program).map(|slash| &program[slash + 1..]);
    program == b"dovecot"
        || program.ends_with(b"-login")
        || DAEMONS.contains(&name.unwrap_or(program))
}

/// Reads `[PROGRAM] MESSAGE` of metalog, which writes no host and no process ID.
pub(super) fn metalog(rest: &[u8]) -> Option<Header<'_>> {
    let (program, message) = rest.strip_prefix(b"[")?.split_once_str("] ")?;
    let header = Header { host: None, program, pid: None, message };
    is_mail_server(program).then_some(header)
}

/// Whether a word is a facility and a level of syslog, such as `mail.warn`.
#[must_use]
pub fn is_facility_and_level(word: &[u8]) -> bool {
    const FACILITIES: [&[u8]; 11] = [
        b"kern",
        b"user",
        b"mail",
        b"daemon",
        b"auth",
        b"security",
        b"authpriv",
        b"syslog",
        b"news",
        b"cron",
        b"ftp",
    ];
    const LEVELS: [&[u8]; 11] = [
        b"emerg", b"panic", b"alert", b"crit", b"err", b"error", b"warning", b"warn", b"notice",
        b"info", b"debug",
    ];
    // AIX writes `mail:warn|warning`.
    let aix = || {
        let (facility, levels) = split_byte(word, b':')?;
        Some((facility, split_byte(levels, b'|')?.0))
    };
    let Some((facility, level)) = split_byte(word, b'.').or_else(aix) else { return false };
    let is_local = matches!(facility, [b'l', b'o', b'c', b'a', b'l', b'0'..=b'7']);
    (is_local || FACILITIES.contains(&facility)) && LEVELS.contains(&level)
}

/// Whether a word between stamp and program is a level, not the host. `is_alone` means that no
/// other word is between stamp and program.
pub(super) fn is_level(word: &[u8], is_alone: bool) -> bool {
    const LEVELS: [&[u8]; 8] =
        [b"DEBUG", b"INFO", b"NOTICE", b"WARN", b"WARNING", b"ERROR", b"ERR", b"CRIT"];
    matches!(word, [b'<', .., b'>'])
        || LEVELS.contains(&word)
        // Without another word, `mail.info` may be a host, because `.info` is a top-level domain.
        || (is_facility_and_level(word) && !(is_alone && word.ends_with(b".info")))
}

/// Reads `[HOST] [LEVEL] PROGRAM[PID]: MESSAGE`. Host and level may be missing or in the other
/// order.
pub(super) fn header(text: &[u8]) -> Option<Header<'_>> {
    let (first, rest) = next_word(text)?;
    // Dovecot before version 2 wrote such lines into its own log files: `Info: imap-login: …`.
    if has_dovecot_level(text) {
        return tagged(None, rest);
    }
    if names_a_program(first, rest) {
        return tagged(None, text);
    }
    let (second, _) = next_word(rest)?;
    if second.ends_with(b":") {
        let host = (!is_level(first, true)).then_some(first);
        return tagged(host, rest);
    }
    // One of the two words must be a level, and the other word is the host. If both words are
    // levels, the line has no host.
    let (host, rest) = if is_level(first, false) {
        (Some(second), next_word(rest)?.1)
    } else if is_level(second, false) {
        (Some(first), next_word(rest)?.1)
    } else {
        return None;
    };
    tagged(host.filter(|host| !is_level(host, false)), rest)
}

/// Whether `word` is a program. If it is, the line has no host. A colon after the word is not
/// enough, because a host can also have a colon.
fn names_a_program(word: &[u8], rest: &[u8]) -> bool {
    let Some(name) = word.strip_suffix(b":") else { return false };
    name.ends_with(b"]")
        || name.starts_with(b"dovecot")
        || name.ends_with(b"-login")
        || name.contains(&b'/')
        || has_dovecot_level(rest)
}

/// Whether `text` begins with a level such as `Info: `. In log files that Dovecot writes itself,
/// the level comes after the process; before version 2, it comes before the process
/// (`failure_log_type_prefixes`, `src/lib/failures.c`).
pub(crate) fn has_dovecot_level(text: &[u8]) -> bool {
    let text = trim_spaces(text);
    ["Debug: ", "Info: ", "Warning: ", "Error: ", "Fatal: ", "Panic: "]
        .iter()
        .any(|level| text.starts_with(level.as_bytes()))
}

/// Reads `PROGRAM[PID]: MESSAGE`.
pub(super) fn tagged<'a>(host: Option<&'a [u8]>, text: &'a [u8]) -> Option<Header<'a>> {
    let text = trim_blanks(text);
    let (tag, message) = split_blank(text).unwrap_or((text, b""));
    let tag = tag.strip_suffix(b":")?;
    let (program, pid) = match tag.strip_suffix(b"]").and_then(|tag| split_byte(tag, b'[')) {
        Some((program, pid)) => (program, Some(number(pid)?)),
        None => (tag, None),
    };
    let (program, session) = program.split_at(length_without_session(program));
    let is_dovecots_own = program.iter().all(|byte| is_in_process_name(*byte))
        && (program.ends_with(b"-login")
            || (has_dovecot_level(message) && !program.starts_with(b"dovecot")));
    // A login process writes its process ID in parentheses. Other processes write a user name in
    // parentheses, which can be a number.
    let pid = pid.or_else(|| {
        let id = session.strip_prefix(b"(")?.strip_suffix(b")")?;
        number(id).filter(|_| program.ends_with(b"-login"))
    });
    // Before version 2, Dovecot wrote its name twice: `dovecot: dovecot: …`.
    let message = match message.strip_prefix(b"dovecot: ") {
        Some(message) if program == b"dovecot" => message,
        _ => message,
    };
    let message = if is_dovecots_own { text } else { message };
    Some(Header { host, program, pid, message })
}

pub(crate) fn is_in_process_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// The length of the program's name in `imap(USER)<812><SESSION>`: Dovecot writes the user and the
/// session after the name.
fn length_without_session(program: &[u8]) -> usize {
    let start = memchr::memchr2(b'(', b'<', program);
    start
        .filter(|at| *at > 0 && matches!(program.last(), Some(b')' | b'>')))
        .unwrap_or(program.len())
}

pub(super) fn next_word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = trim_blanks(text);
    let (word, rest) = split_blank(text).unwrap_or((text, b""));
    (!word.is_empty()).then(|| (word, trim_blanks(rest)))
}

fn trim_blanks(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    text
}

/// `text` without the spaces at its beginning. (The function of bstr is slower.)
pub(super) fn trim_spaces(mut text: &[u8]) -> &[u8] {
    while let [b' ', rest @ ..] = text {
        text = rest;
    }
    text
}

pub(super) fn split_blank(text: &[u8]) -> Option<(&[u8], &[u8])> {
    memchr::memchr2(b' ', b'\t', text).map(|at| (&text[..at], &text[at + 1..]))
}

/// Returns the text before and after the first `byte`. (For one byte, bstr would build a searcher.
/// This takes longer than the search.)
pub(super) fn split_byte(text: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    memchr::memchr(byte, text).map(|at| (&text[..at], &text[at + 1..]))
}

pub(crate) fn number(digits: &[u8]) -> Option<u32> {
    digits.first()?;
    digits.iter().try_fold(0_u32, |number, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        number.checked_mul(10)?.checked_add(digit.into())
    })
}
