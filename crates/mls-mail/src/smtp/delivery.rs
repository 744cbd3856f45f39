//! Delivers a message to its recipients, with retries.
//!
//! One transaction serves all recipients, and each recipient has its own outcome: if the server
//! refuses one address, the other recipients get the mail. Only after a temporary failure, mls-mail
//! tries again, [`TRIES`] times in total.

use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder};
use lettre::Address;

use super::failure::Failure;
use super::session::{Extensions, Session};
use super::{DeliveryOutcome, MailObject, MailServer};
use crate::address::is_ascii;

const TRIES: usize = 3;

/// The time limit of all tries together.
const DEADLINE: Duration = Duration::from_mins(15);

impl MailServer {
    /// Delivers a message. Calls `settle` with the current outcome after each try.
    pub(crate) fn deliver(
        &self,
        mail: &MailObject<'_>,
        mut settle: impl FnMut(&DeliveryOutcome) -> anyhow::Result<()>,
    ) -> anyhow::Result<DeliveryOutcome> {
        let deadline = Instant::now() + DEADLINE;
        let mut outcome = DeliveryOutcome::default();
        let mut waiting = mail.recipients.to_vec();
        let mut pauses = ExponentialBuilder::new()
            .with_min_delay(self.timeout / 10)
            .with_factor(4.0)
            .without_max_delay()
            .with_max_times(TRIES - 1)
            .build();
        loop {
            let (session, is_unknown) = self.transaction(mail, deadline, waiting, &mut outcome);
            settle(&outcome)?;
            // End the session only after `settle`. If this process dies while it waits for the
            // server, the ledger already has the outcome, so nobody gets the message twice.
            if let Some(session) = session {
                session.quit();
            }
            let pause = pauses.next().filter(|pause| Instant::now() + *pause < deadline);
            let Some(pause) = pause.filter(|_| !outcome.deferred.is_empty() && !is_unknown) else {
                return Ok(outcome);
            };
            for (address, words) in &outcome.deferred {
                log::info!("{}: {address}: {words}; trying again in {pause:?}", self.name());
            }
            std::thread::sleep(pause);
            waiting = outcome.deferred.drain(..).map(|(address, _)| address).collect();
        }
    }

    /// Runs one transaction. Returns the session if it succeeded, and whether the whole message was
    /// sent but no answer came.
    fn transaction(
        &self,
        mail: &MailObject<'_>,
        deadline: Instant,
        waiting: Vec<Address>,
        outcome: &mut DeliveryOutcome,
    ) -> (Option<Session>, bool) {
        let mut accepted = Vec::new();
        match self.converse(mail, deadline, &waiting, &mut accepted, outcome) {
            Ok(session) => {
                outcome.delivered.extend(accepted);
                (Some(session), false)
            }
            Err(failure) => {
                let is_settled = |address: &Address, outcome: &DeliveryOutcome| {
                    let mut settled = outcome.refused.iter().chain(&outcome.deferred);
                    settled.any(|(settled, _)| settled == address)
                };
                for address in waiting {
                    if !is_settled(&address, outcome) {
                        outcome.fail(address, &failure);
                    }
                }
                (None, failure.is_unknown)
            }
        }
    }

    /// The commands of a transaction (RFC 5321, section 3.3).
    fn converse(
        &self,
        mail: &MailObject<'_>,
        deadline: Instant,
        waiting: &[Address],
        accepted: &mut Vec<Address>,
        outcome: &mut DeliveryOutcome,
    ) -> Result<Session, Failure> {
        let mut session = Session::open(self, deadline)?;
        outcome.has_answered = true;
        let Extensions { size, eight_bit_mime, .. } = session.extensions;
        let message = mail.message.for_server(size, eight_bit_mime).map_err(Failure::permanent)?;
        let needs_utf8 = |address: &Address| !is_ascii(address) && !session.extensions.smtputf8;
        if needs_utf8(mail.sender) {
            return Err(self.without_smtputf8(mail.sender));
        }
        let (refused, able): (Vec<_>, Vec<_>) = waiting.iter().cloned().partition(needs_utf8);
        for address in refused {
            let failure = self.without_smtputf8(&address);
            outcome.fail(address, &failure);
        }
        let is_international = able.iter().chain([mail.sender]).any(|it| !is_ascii(it));
        let size = size.map_or_else(String::new, |_| format!(" SIZE={}", message.len()));
        let body = if message.is_ascii() { "" } else { " BODY=8BITMIME" };
        let utf8 = if is_international { " SMTPUTF8" } else { "" };
        session.command(&format!("MAIL FROM:<{}>{size}{body}{utf8}", mail.sender))?;
        for address in able {
            match session.command(&format!("RCPT TO:<{address}>")) {
                Ok(_) => accepted.push(address),
                Err(refused) if refused.is_reply => outcome.fail(address, &refused),
                Err(lost) => return Err(lost),
            }
        }
        if !accepted.is_empty() {
            session.data(&message, self)?;
        }
        Ok(session)
    }

    fn without_smtputf8(&self, address: &Address) -> Failure {
        Failure::permanent(format!(
            "{} does not offer SMTPUTF8, which {address} needs: give an address in ASCII",
            self.name()
        ))
    }
}

impl DeliveryOutcome {
    fn fail(&mut self, address: Address, failure: &Failure) {
        let list = if failure.is_temporary { &mut self.deferred } else { &mut self.refused };
        list.push((address, failure.words.clone()));
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::sync::atomic::{AtomicBool, Ordering};

    use mls_config::config::SmtpTls;

    use super::*;
    use crate::message::Message;

    #[test]
    fn a_delivery_is_settled_before_the_server_says_goodbye() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = MailServer {
            host: "127.0.0.1".to_owned(),
            port: listener.local_addr().unwrap().port(),
            tls: SmtpTls::None,
            credentials: None,
            hello: "localhost".to_owned(),
            timeout: Duration::from_secs(20),
        };
        let is_settled = AtomicBool::new(false);
        let serve = || {
            let (mut client, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(client.try_clone().unwrap()).lines();
            client.write_all(b"220 hello\r\n").unwrap();
            while let Some(Ok(line)) = lines.next() {
                match &line[..] {
                    "QUIT" => return is_settled.load(Ordering::SeqCst),
                    "DATA" => {
                        client.write_all(b"354 go on\r\n").unwrap();
                        assert!(lines.any(|line| line.unwrap() == "."));
                    }
                    _ => {}
                }
                client.write_all(b"250 ok\r\n").unwrap();
            }
            false
        };
        let sender = "a@example.com".parse::<Address>().unwrap();
        let message = Message::parse(b"Subject: x\n\nhello\n").unwrap();
        let mail = MailObject {
            sender: &sender,
            recipients: std::slice::from_ref(&sender),
            message: &message,
        };
        std::thread::scope(|scope| {
            let was_settled = scope.spawn(serve);
            let settle = |outcome: &DeliveryOutcome| {
                assert_eq!(outcome.delivered, std::slice::from_ref(&sender));
                is_settled.store(true, Ordering::SeqCst);
                Ok(())
            };
            server.deliver(&mail, settle).unwrap();
            assert!(was_settled.join().unwrap());
        });
    }
}
