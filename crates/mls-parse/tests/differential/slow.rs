//! A second reader of log lines, slow and simple. It was written from the sources of Postfix
//! (`src/smtpd/smtpd_sasl_glue.c`, `smtpd.c`, `smtpd_token.c`), Dovecot
//! (`src/login-common/client-common.c` of 2.3 and 2.4) and rsyslog, and shares no code with
//! mls-parse. It splits text from left to right, character by character.

use serde_json::{Map, Value, json};

/// The record of a line, without the members `v` and `type`; `None` if the line is not an attempt.
pub(crate) fn read(line: &str) -> Option<Value> {
    let (date, server, program, pid, message) = envelope(line)?;
    let (times, message) = repeated(message);
    let mut record = Map::new();
    record.insert("date".into(), json!(date));
    record.insert("server".into(), server.map_or(Value::Null, |name| json!(clean(name))));
    record.insert("service".into(), json!(program));
    record.insert("pid".into(), json!(pid));
    for member in ["mechanism", "ip", "client", "user", "reason"] {
        record.insert(member.into(), Value::Null);
    }
    let attempts = if program.ends_with("smtpd") {
        postfix(message, &mut record)?
    } else if program == "dovecot" {
        dovecot(message, &mut record)?
    } else {
        return None;
    };
    record.insert("attempts".into(), json!(attempts * times));
    Some(Value::Object(record))
}

type Envelope<'a> = (String, Option<&'a str>, &'a str, Option<u32>, &'a str);

/// Stamp, host, program, process ID and message. Stamps in BSD form get the year 2026.
fn envelope(line: &str) -> Option<Envelope<'_>> {
    let line = match line.strip_prefix('<') {
        Some(rest) => rest.split_once('>')?.1,
        None => line,
    };
    if let Some(rest) = line.strip_prefix("1 ") {
        let words: Vec<&str> = rest.splitn(7, ' ').collect();
        let [stamp, host, program, pid, _id, "-", message] = words[..] else { return None };
        let host = if host == "-" { None } else { Some(host) };
        return Some((
            iso(stamp),
            host,
            program,
            pid.parse().ok(),
            message.trim_start_matches(' '),
        ));
    }
    let (date, rest) = if line.starts_with("20") {
        let (stamp, rest) = line.split_once(' ')?;
        (iso(stamp), rest)
    } else {
        (bsd(line.get(..15)?)?, line.get(16..)?)
    };
    let (first, after) = rest.split_once(' ')?;
    let (host, tag, message) = if first.ends_with(':') {
        (None, first, after)
    } else {
        let (tag, message) = after.split_once(' ')?;
        (Some(first), tag, message)
    };
    let tag = tag.strip_suffix(':')?;
    let (program, pid) = match tag.split_once('[') {
        Some((program, pid)) => (program, pid.strip_suffix(']')?.parse().ok()),
        None => (tag, None),
    };
    Some((date, host, program, pid, message))
}

fn iso(stamp: &str) -> String {
    stamp.strip_suffix('Z').map_or(stamp.to_owned(), |stamp| format!("{stamp}+00:00"))
}

fn bsd(stamp: &str) -> Option<String> {
    let months = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let month = months.find(&stamp[..3])? / 3 + 1;
    let day: u32 = stamp[4..6].trim().parse().ok()?;
    Some(format!("2026-{month:02}-{day:02}T{}+00:00", &stamp[7..]))
}

/// `message repeated 3 times: [ … ]`
fn repeated(message: &str) -> (u64, &str) {
    let read = || {
        let rest = message.strip_prefix("message repeated ")?;
        let (count, rest) = rest.split_once(" times: [ ")?;
        Some((count.parse().ok()?, rest.strip_suffix(']')?))
    };
    read().unwrap_or((1, message))
}

/// Replaces control characters by `?`, as Postfix's `printable()` does.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn put(record: &mut Map<String, Value>, member: &str, text: &str) {
    if !text.is_empty() {
        record.insert(member.into(), json!(clean(text)));
    }
}

fn postfix(message: &str, record: &mut Map<String, Value>) -> Option<u64> {
    if let Some(rest) = message.strip_prefix("warning: ") {
        let rest = client(rest, record)?.strip_prefix(": SASL ")?;
        let end = token_end(rest);
        let (mechanism, rest) = rest.split_at(end);
        put(record, "mechanism", &mechanism.to_ascii_uppercase());
        if rest == " authentication aborted" {
            record.insert("outcome".into(), json!("aborted"));
            return Some(1);
        }
        let rest = rest.strip_prefix(" authentication failed")?;
        let (reason, user) = match rest.find(", sasl_username=") {
            Some(at) => (&rest[..at], Some(&rest[at + ", sasl_username=".len()..])),
            None => (rest, None),
        };
        // A client can send an empty name.
        if let Some(user) = user.filter(|user| *user != "(unavailable)") {
            record.insert("user".into(), json!(clean(user)));
        }
        let reason = reason.strip_prefix(':').or(reason.is_empty().then_some(""))?.trim();
        put(record, "reason", reason);
        let outcome = if is_temporary(reason) { "error" } else { "failure" };
        record.insert("outcome".into(), json!(outcome));
        return Some(1);
    }
    let (id, rest) = message.split_once(": client=")?;
    if id.is_empty() || !id.chars().all(|c| c.is_ascii_alphanumeric()) {
        return None;
    }
    let rest = client(rest, record)?.strip_prefix(", sasl_method=")?;
    let (mechanism, rest) = rest.split_once(", sasl_username=")?;
    let mut user = rest;
    for next in [", sasl_sender=", ", orig_queue_id=", ", orig_client="] {
        user = user.split(next).next()?;
    }
    put(record, "mechanism", &mechanism.to_ascii_uppercase());
    put(record, "user", user);
    if id != "NOQUEUE" {
        put(record, "queue_id", id);
    }
    record.insert("outcome".into(), json!("success"));
    Some(1)
}

/// The reasons after which Postfix answers 454 (`xsasl_dovecot_server.c`; Cyrus SASL's `common.c`).
fn is_temporary(reason: &str) -> bool {
    let reason = format!("{reason} ");
    reason.starts_with("Connection lost to authentication server ")
        || reason.starts_with("Can't connect to authentication server ")
        || reason.starts_with("generic failure ")
        || reason.starts_with("no memory available ")
        || reason.starts_with("transient failure (e.g., weak key) ")
        || reason.starts_with("remote authentication server unavailable ")
}

/// Reads `NAME[ADDRESS]` or `NAME[ADDRESS]:PORT` (`state->namaddr`). Returns the text after it.
fn client<'a>(text: &'a str, record: &mut Map<String, Value>) -> Option<&'a str> {
    let (name, rest) = text.split_once('[')?;
    if name.contains([' ', ']']) {
        return None;
    }
    let (address, mut rest) = rest.split_once(']')?;
    if name != "unknown" {
        put(record, "client", name);
    }
    if address != "unknown" {
        record.insert("ip".into(), json!(ip(address)?));
    }
    if let Some(after) = rest.strip_prefix(':') {
        let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
        if !digits.is_empty() {
            record.insert("port".into(), json!(digits.parse::<u16>().ok()?));
            rest = &after[digits.len()..];
        }
    }
    Some(rest)
}

fn ip(text: &str) -> Option<String> {
    let text = text.split('%').next()?;
    let ip: std::net::IpAddr = text.strip_prefix("IPv6:").unwrap_or(text).parse().ok()?;
    Some(ip.to_canonical().to_string())
}

/// Where `smtpd_token()` ends the second token of AUTH: at a blank that is not inside `"…"` or
/// `<…>`, and not after a backslash. In `<…>`, a quotation `"…"` must end before the `>` counts.
fn token_end(text: &str) -> usize {
    let mut wanted = Vec::new();
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match (c, wanted.last().copied()) {
            _ if escaped => escaped = false,
            ('\\', _) => escaped = true,
            (c, Some(end)) if c == end => drop(wanted.pop()),
            ('"', _) => wanted.push('"'),
            ('<', end) if end != Some('"') => wanted.push('>'),
            (' ', None) => return at,
            _ => {}
        }
    }
    text.find(' ').unwrap_or(text.len())
}

fn dovecot(message: &str, record: &mut Map<String, Value>) -> Option<u64> {
    let (process, rest) = message.split_once(": ")?;
    if process.contains(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_') {
        return None;
    }
    // A login service can have any name. Without `-login`, only the words identify a message.
    let is_session = rest.starts_with("Login: user=<") || rest.starts_with("Logged in: user=<");
    let is_end =
        ["Login aborted", "Aborted login", "Disconnected", "Remote closed", "Client has quit"]
            .iter()
            .any(|words| rest.starts_with(words));
    if !process.ends_with("-login") && !is_session && !is_end {
        return None;
    }
    record.insert("service".into(), json!(format!("dovecot/{process}")));
    let login = rest.strip_prefix("Login: ").or_else(|| rest.strip_prefix("Logged in: "));
    let (outcome, attempts, fields) = if let Some(fields) = login {
        ("success", 1, fields)
    } else {
        let starts = ["): user=<", "): method=", "): rip="];
        let end = starts.iter().filter_map(|words| rest.find(words)).min()?;
        let (outcome, attempts) = ending(&rest[..=end])?;
        (outcome, attempts, &rest[end + "): ".len()..])
    };
    record.insert("outcome".into(), json!(outcome));
    // The server writes the address after the user name, which the client chose.
    let at = match fields.rfind(" rip=") {
        Some(blank) => blank + 1,
        None => fields.find("rip=").filter(|at| *at == 0)?,
    };
    let (chosen, address) = fields.split_at(at);
    let address = address["rip=".len()..].split(',').next()?;
    record.insert("ip".into(), json!(ip(address)?));
    let mut chosen = chosen.strip_suffix(", ").unwrap_or(chosen);
    // If there is no mechanism, the user name is the last field, and ends in `>`.
    if let Some(at) = chosen.rfind("method=").filter(|_| !chosen.ends_with('>'))
        && (at == 0 || chosen[..at].ends_with(">, "))
    {
        put(record, "mechanism", &chosen[at + "method=".len()..].to_ascii_uppercase());
        chosen = chosen[..at].strip_suffix(", ").unwrap_or(&chosen[..at]);
    }
    if !chosen.is_empty() {
        put(record, "user", chosen.strip_prefix("user=<")?.strip_suffix('>')?);
    }
    Some(attempts)
}

/// Outcome and number of attempts to record (`client_get_extra_disconnect_reason()`).
fn ending(text: &str) -> Option<(&'static str, u64)> {
    let number = |before: &str, after: &str| -> Option<u64> {
        let end = text.find(after)?;
        let start = text[..end].rfind(before)? + before.len();
        text[start..end].parse().ok()
    };
    let total = number(", ", " attempts").or_else(|| number("/", " successful auths"));
    let good = number(", ", " successful auths").or_else(|| {
        let end = text.find(" successful auths")?;
        let slash = text[..end].rfind('/')?;
        text[text[..slash].rfind(", ")? + 2..slash].parse().ok()
    });
    let total = total.unwrap_or(good.unwrap_or(1).max(1));
    let has = |words: &[&str]| words.iter().any(|words| text.contains(words));
    if has(&["(auth failed", "(authorization failed", "(user disabled", "(password expired"])
        || has(&[
            "(tried to use ",
            "(login disabled",
            "(sent invalid base64",
            "(proxy dest auth failed",
        ])
        || has(&[
            "(anonymous logins disabled",
            "(credentials contain",
            "(proxy dest authentication failure",
        ])
    {
        return Some(("failure", total));
    }
    let known = has(&["(client didn't finish SASL auth", "(aborted authentication"])
        || has(&["(auth aborted by client", "(disconnected while "]);
    let error = has(&["(internal failure", "(auth process communication failure"])
        || has(&["(auth service reported temporary failure", "(proxy dest connection failed"]);
    let earlier = total - good.unwrap_or(0).max(1).min(total);
    match (known, error) {
        (false, false) => None,
        _ if earlier > 0 => Some(("failure", earlier)),
        (true, _) => Some(("aborted", 1)),
        (_, true) => Some(("error", 1)),
    }
}
