//! One conversation with a mail server: greeting, TLS, login, and the message.

use std::sync::Once;
use std::time::Instant;

use data_encoding::BASE64;
use mls_config::config::SmtpTls;

use super::MailServer;
use super::connection::Connection;
use super::failure::Failure;
use super::reply::Reply;

/// Logs the warning about a silent server only once in a run.
static SILENCE: Once = Once::new();

/// The extensions that the server offers after EHLO.
#[derive(Debug, Default)]
pub(super) struct Extensions {
    pub(super) starttls: bool,
    pub(super) smtputf8: bool,
    pub(super) eight_bit_mime: bool,
    /// Largest message in bytes (RFC 1870).
    pub(super) size: Option<u64>,
    auth: Vec<String>,
}

impl Extensions {
    pub(super) fn read(reply: &Reply) -> Self {
        let mut extensions = Self::default();
        for line in reply.lines.iter().skip(1) {
            // Old servers write AUTH=LOGIN.
            let line = line.to_ascii_uppercase().replacen("AUTH=", "AUTH ", 1);
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("STARTTLS") => extensions.starttls = true,
                Some("SMTPUTF8") => extensions.smtputf8 = true,
                Some("8BITMIME") => extensions.eight_bit_mime = true,
                // SIZE 0 means no limit.
                Some("SIZE") => {
                    let size = words.next().and_then(|size| size.parse().ok());
                    extensions.size = size.filter(|size| *size > 0);
                }
                Some("AUTH") => extensions.auth.extend(words.map(str::to_owned)),
                _ => {}
            }
        }
        extensions
    }
}

pub(super) struct Session {
    connection: Connection,
    pub(super) extensions: Extensions,
}

impl Session {
    /// Connects, starts TLS and logs in, with the settings of `server`.
    pub(super) fn open(server: &MailServer, deadline: Instant) -> Result<Self, Failure> {
        let mut connection = Connection::open(server, deadline)?;
        let mut timeout = server.timeout;
        if server.tls == SmtpTls::Tls {
            connection = connection.start_tls(&server.host)?;
        } else if connection.is_silent(timeout / 2) {
            timeout /= 2;
            SILENCE.call_once(|| {
                log::warn!(
                    "{} has not sent a greeting yet; if the server expects TLS on this port \
                     (as on port 465), set [report] smtp_tls = tls",
                    server.name()
                );
            });
        }
        connection.reply_within(timeout)?.positive()?;
        let mut session = Self { connection, extensions: Extensions::default() };
        session.hello(&server.hello)?;
        if server.tls == SmtpTls::StartTls {
            if !session.extensions.starttls {
                return Err(Failure::permanent(
                    "the server does not offer STARTTLS on this port: set [report] smtp_port to a \
                     port with STARTTLS (587), or, if the network to the server is secure, set \
                     smtp_tls = none"
                        .to_owned(),
                ));
            }
            session.connection.command("STARTTLS")?.expect(220)?;
            // Send EHLO again: before TLS, anybody on the network may have changed the answer.
            let connection = session.connection.start_tls(&server.host)?;
            session = Self { connection, extensions: Extensions::default() };
            session.hello(&server.hello)?;
        }
        if let Some((user, password)) = &server.credentials {
            session.log_in(user, password)?;
        }
        Ok(session)
    }

    /// Sends EHLO. If the server does not know EHLO, sends HELO (RFC 5321, section 3.2).
    fn hello(&mut self, name: &str) -> Result<(), Failure> {
        match self.command(&format!("EHLO {name}")) {
            Ok(reply) => self.extensions = Extensions::read(&reply),
            Err(refused) if refused.is_reply && !refused.is_temporary => {
                self.command(&format!("HELO {name}"))?;
                self.extensions = Extensions::default();
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Logs in with PLAIN (RFC 4616). If the server does not offer PLAIN, uses LOGIN.
    fn log_in(&mut self, user: &str, password: &str) -> Result<(), Failure> {
        let has = |mechanism: &str| self.extensions.auth.iter().any(|offered| offered == mechanism);
        if has("PLAIN") {
            let text = BASE64.encode(format!("\0{user}\0{password}").as_bytes());
            let reply = self.connection.command(&format!("AUTH PLAIN {text}"))?;
            // The command already contains the name and the password, but some servers ask for
            // them.
            let reply = if reply.code == 334 { self.connection.command(&text)? } else { reply };
            reply.positive()?;
        } else if has("LOGIN") {
            self.connection.command("AUTH LOGIN")?.expect(334)?;
            self.connection.command(&BASE64.encode(user.as_bytes()))?.expect(334)?;
            self.command(&BASE64.encode(password.as_bytes()))?;
        } else {
            let offered = match self.extensions.auth.join(", ") {
                none if none.is_empty() => "no login".to_owned(),
                offered => offered,
            };
            return Err(Failure::permanent(format!(
                "the server offers {offered}, but smtp_user needs PLAIN or LOGIN"
            )));
        }
        Ok(())
    }

    pub(super) fn command(&mut self, line: &str) -> Result<Reply, Failure> {
        self.connection.command(line)?.positive()
    }

    /// Sends DATA and then the message. Fails if the server does not accept the message.
    pub(super) fn data(&mut self, message: &[u8], server: &MailServer) -> Result<(), Failure> {
        self.connection.command("DATA")?.expect(354)?;
        self.connection.send(&dot_stuffed(message))?;
        // From here on, the message may be delivered. A server may filter before it answers: RFC
        // 5321, section 4.5.3.2.6, allows ten minutes.
        let reply = self.connection.reply_within(server.timeout * 6);
        let unknown = |lost: Failure| {
            let words = format!(
                "{} after the whole message was sent, so the message may have been delivered; if \
                 the server is slow, give a longer --smtp-timeout",
                lost.words
            );
            Failure { words, is_unknown: true, ..lost }
        };
        reply.map_err(unknown)?.positive()?;
        Ok(())
    }

    /// Sends QUIT. The server has already answered for the message, so a failure does not matter.
    pub(super) fn quit(mut self) {
        let _ = self.connection.command("QUIT");
    }
}

/// The message for DATA: a line that begins with a dot gets one more dot, and the last line is a
/// single dot (RFC 5321, section 4.5.2).
pub(super) fn dot_stuffed(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 64);
    for line in message.split_inclusive(|b| *b == b'\n') {
        if line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    if !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_at_the_beginning_of_lines_are_doubled() {
        assert_eq!(dot_stuffed(b".a\r\nb.\r\n..\r\n"), b"..a\r\nb.\r\n...\r\n.\r\n");
        assert_eq!(dot_stuffed(b"a"), b"a\r\n.\r\n");
    }

    #[test]
    fn extensions_are_read_in_upper_and_lower_case() {
        let mut reply = Reply::default();
        for line in
            ["250-mail", "250-Size 1000", "250-smtputf8", "250-AUTH=LOGIN", "250 AUTH PLAIN"]
        {
            reply.add(line.as_bytes()).unwrap();
        }
        let extensions = Extensions::read(&reply);
        assert_eq!(extensions.size, Some(1000));
        assert!(extensions.smtputf8 && !extensions.starttls);
        assert_eq!(extensions.auth, ["LOGIN", "PLAIN"]);
    }
}
