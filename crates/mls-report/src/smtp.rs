//! Delivery by SMTP (RFC 5321).
//!
//! One transaction serves all recipients, and each of them has its own fate: the refusal of one address keeps the mail from
//! nobody else. What fails for now is tried again, [`TRIES`] times in all; what the server refuses for good is not.

use std::io;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use lettre::Address;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{SmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Quit, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailParameter};
use mls_config::config::SmtpTls;
use mls_diag::Exit;

const TRIES: u32 = 3;

/// All tries together, however slowly the server speaks.
const DEADLINE: Duration = Duration::from_mins(15);

/// A mail server and how to speak to it.
#[derive(Clone)]
pub(crate) struct MailServer {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: SmtpTls,
    pub(crate) credentials: Option<Credentials>,
    /// Of the machine that speaks.
    pub(crate) hello: String,
    /// For each answer.
    pub(crate) timeout: Duration,
}

/// What became of a message.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fate {
    /// Whether the server has said something of any recipient.
    pub(crate) asked: bool,
    pub(crate) delivered: Vec<Address>,
    /// Refused for good, with the server's words.
    pub(crate) refused: Vec<(Address, String)>,
    /// Not delivered so far, with the reason.
    pub(crate) deferred: Vec<(Address, String)>,
}

/// Why something did not work, and whether it may work later.
struct Failure {
    words: String,
    temporary: bool,
    /// The message was handed over whole and the answer did not come: it may have been delivered.
    unknown: bool,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let permanent = error.is_permanent() || error.is_client() || error.is_tls();
        let words = error.to_string().replace('\n', " ");
        // A certificate that does not do comes as what rustls makes of it: an I/O error of invalid data.
        let invalid = anyhow::Error::from(error).chain().any(|cause| {
            cause
                .downcast_ref::<io::Error>()
                .is_some_and(|error| error.kind() == io::ErrorKind::InvalidData)
        });
        Self { words, temporary: !permanent && !invalid, unknown: false }
    }
}

impl MailServer {
    /// Delivers `message` to each of `recipients`; what became of it so far is told to `settle` after each try.
    pub(crate) fn deliver(
        &self,
        sender: &Address,
        recipients: Vec<Address>,
        message: Vec<u8>,
        mut settle: impl FnMut(&Fate) -> anyhow::Result<()>,
    ) -> anyhow::Result<Fate> {
        let (send, receive) = mpsc::channel();
        let (server, sender) = (self.clone(), sender.clone());
        let begun = Instant::now();
        // A thread, because time limits on each read do not limit how long they take together.
        thread::spawn(move || server.try_to_deliver(&sender, recipients, &message, &send));
        let mut last = None;
        loop {
            match receive.recv_timeout(DEADLINE.saturating_sub(begun.elapsed())) {
                Ok(fate) => {
                    settle(&fate)?;
                    last = Some(fate);
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return last.ok_or_else(|| Exit::Software.error("a bug: a thread has ended"));
                }
                Err(RecvTimeoutError::Timeout) => {
                    let (name, seconds) = (self.name(), DEADLINE.as_secs());
                    return Err(
                        Exit::TempFail.error(format!("{name} took longer than {seconds} s in all"))
                    );
                }
            }
        }
    }

    /// What messages call it.
    fn name(&self) -> String {
        format!("mail server {}:{}", self.host, self.port)
    }

    fn try_to_deliver(
        &self,
        sender: &Address,
        recipients: Vec<Address>,
        message: &[u8],
        told: &Sender<Fate>,
    ) {
        let mut fate = Fate::default();
        let mut waiting = recipients;
        // Before the second try; each further one waits four times as long.
        let mut pause = self.timeout / 10;
        for left in (0..TRIES).rev() {
            let unknown = self.transaction(sender, waiting, message, &mut fate);
            // Nobody listens after the deadline.
            let _ = told.send(fate.clone());
            if fate.deferred.is_empty() || left == 0 || unknown {
                break;
            }
            for (address, words) in &fate.deferred {
                log::info!("{}: {address}: {words}; trying again in {pause:?}", self.name());
            }
            thread::sleep(pause);
            pause *= 4;
            waiting = fate.deferred.drain(..).map(|(address, _)| address).collect();
        }
    }

    /// One transaction. True where it ended without an answer to the whole message.
    fn transaction(
        &self,
        sender: &Address,
        waiting: Vec<Address>,
        message: &[u8],
        fate: &mut Fate,
    ) -> bool {
        let mut accepted = Vec::new();
        let result = self.connect(sender, &waiting).and_then(|mut connection| {
            for address in waiting.iter().cloned() {
                let answer = connection.command(Rcpt::new(address.clone(), vec![]));
                fate.asked |= !matches!(&answer, Err(error) if error.status().is_none());
                match answer {
                    Ok(_) => accepted.push(address),
                    Err(error) if error.status().is_some() => fate.fail(address, &error.into()),
                    // No answer: the connection is gone.
                    Err(error) => return Err(error.into()),
                }
            }
            if accepted.is_empty() {
                let _ = connection.command(Quit);
                return Ok(());
            }
            connection.command(Data)?;
            // A server that filters before it answers takes its time: RFC 5321, section 4.5.3.2.6, grants ten minutes.
            connection
                .set_timeout(Some(self.timeout * 6))
                .map_err(|error| Failure::local(&error))?;
            connection.message(message).map_err(|error| {
                let unknown = error.status().is_none();
                Failure { unknown, ..error.into() }
            })?;
            let _ = connection.command(Quit);
            Ok(())
        });
        match result {
            Ok(()) => {
                fate.delivered.extend(accepted);
                false
            }
            Err(failure) => {
                let settled = |address: &Address| {
                    fate.refused.iter().chain(&fate.deferred).any(|(settled, _)| settled == address)
                };
                let rest: Vec<_> =
                    waiting.into_iter().filter(|address| !settled(address)).collect();
                for address in rest {
                    fate.fail(address, &failure);
                }
                failure.unknown
            }
        }
    }

    /// Connects, secures the connection, logs in, and names the sender.
    fn connect(&self, sender: &Address, recipients: &[Address]) -> Result<SmtpConnection, Failure> {
        let hello = ClientId::Domain(self.hello.clone());
        let tls = match self.tls {
            SmtpTls::None => None,
            SmtpTls::StartTls | SmtpTls::Tls => Some(TlsParameters::new(self.host.clone())?),
        };
        let wrapper = tls.as_ref().filter(|_| self.tls == SmtpTls::Tls);
        let mut connection = SmtpConnection::connect(
            (&self.host[..], self.port),
            Some(self.timeout),
            &hello,
            wrapper,
            None,
        )?;
        if let (SmtpTls::StartTls, Some(tls)) = (self.tls, &tls) {
            connection.starttls(tls, &hello)?;
        }
        if let Some(credentials) = &self.credentials {
            connection.auth(&[Mechanism::Plain, Mechanism::Login], credentials)?;
        }
        // The message itself is ASCII; an address may not be, and a server that cannot take it says so at RCPT.
        let international =
            recipients.iter().chain([sender]).any(|address| !address.to_string().is_ascii());
        let utf8 =
            international && connection.server_info().supports_feature(Extension::SmtpUtfEight);
        let parameters = if utf8 { vec![MailParameter::SmtpUtfEight] } else { vec![] };
        connection.command(Mail::new(Some(sender.clone()), parameters))?;
        Ok(connection)
    }
}

impl Failure {
    fn local(error: &io::Error) -> Self {
        Self { words: error.to_string(), temporary: true, unknown: false }
    }
}

impl Fate {
    fn fail(&mut self, address: Address, failure: &Failure) {
        let list = if failure.temporary { &mut self.deferred } else { &mut self.refused };
        list.push((address, failure.words.clone()));
    }

    /// An error that says what was not delivered and why: 75 where a later run may deliver it, else 69.
    pub(crate) fn into_result(self, server: &MailServer) -> anyhow::Result<()> {
        let exit = if self.deferred.is_empty() { Exit::Unavailable } else { Exit::TempFail };
        let mut all: Vec<(Vec<String>, String)> = Vec::new();
        for (address, words) in self.deferred.into_iter().chain(self.refused) {
            match all.iter_mut().find(|(_, w)| *w == words) {
                Some((addresses, _)) => addresses.push(address.to_string()),
                None => all.push((vec![address.to_string()], words)),
            }
        }
        if all.is_empty() {
            return Ok(());
        }
        let all: Vec<_> = all
            .iter()
            .map(|(addresses, words)| format!("{}: {words}", addresses.join(", ")))
            .collect();
        Err(exit.error(format!(
            "{} did not take the mail for {}",
            server.name(),
            all.join("; for ")
        )))
    }
}
