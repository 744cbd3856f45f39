//! A reply of a mail server (RFC 5321, section 4.2).

use std::fmt;

use super::failure::Failure;

/// Code and text of a reply, line by line.
#[derive(Debug, Default)]
pub(super) struct Reply {
    pub(super) code: u16,
    pub(super) lines: Vec<String>,
}

impl Reply {
    /// Adds a line. Returns whether it is the last line of the reply.
    pub(super) fn add(&mut self, line: &[u8]) -> Result<bool, Failure> {
        let code = line.get(..3).filter(|code| code.iter().all(u8::is_ascii_digit));
        let code = code.and_then(|code| str::from_utf8(code).ok()?.parse().ok());
        let separator = line.get(3).copied().unwrap_or(b' ');
        let is_first = self.lines.is_empty();
        match code {
            Some(code @ 200..600)
                if matches!(separator, b' ' | b'-') && (is_first || code == self.code) =>
            {
                self.code = code;
                let text = String::from_utf8_lossy(line.get(4..).unwrap_or_default());
                self.lines.push(mls_event::display_text(&text).into_owned());
                Ok(separator == b' ')
            }
            _ => {
                let start: String = String::from_utf8_lossy(line).chars().take(80).collect();
                Err(Failure::temporary(format!("{start:?} is not a reply of a mail server")))
            }
        }
    }

    /// Fails if the code of the reply is not 2xx.
    pub(super) fn positive(self) -> Result<Self, Failure> {
        if (200..300).contains(&self.code) { Ok(self) } else { Err(Failure::refused(&self)) }
    }

    pub(super) fn expect(self, code: u16) -> Result<Self, Failure> {
        if self.code == code { Ok(self) } else { Err(Failure::refused(&self)) }
    }
}

impl fmt::Display for Reply {
    /// The reply in error messages: code and text in one line of limited length.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: String = self.lines.join(" ").chars().take(500).collect();
        write!(f, "{} {text}", self.code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_ends_with_the_line_that_has_no_hyphen() {
        let mut reply = Reply::default();
        assert!(!reply.add(b"250-mail.example.com").unwrap());
        assert!(reply.add(b"250 SIZE 1000").unwrap());
        assert_eq!(
            (reply.code, reply.to_string().as_str()),
            (250, "250 mail.example.com SIZE 1000")
        );
        assert!(Reply::default().add(b"220").unwrap());
    }

    #[test]
    fn a_line_that_is_not_part_of_a_reply_is_refused() {
        for line in [&b""[..], b"hello", b"25", b"2500 x", b"650 x", b"HTTP/1.1 400 Bad Request"] {
            assert!(Reply::default().add(line).is_err(), "{line:?}");
        }
        let mut reply = Reply::default();
        reply.add(b"250-a").unwrap();
        assert!(reply.add(b"550 b").is_err(), "the codes of one reply differ");
    }
}
