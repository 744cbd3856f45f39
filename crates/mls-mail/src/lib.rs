//! `mls-mail` reads a message or alert records from standard input and sends them by SMTP.
//!
//! ```sh
//! mls-report --config C --since-last --format mail | mls-mail --config C
//! mls-alert --config C --framed | mls-mail --config C
//! ```
//!
//! # Reads
//! mls-mail reads a message (RFC 5322): header fields, a blank line, the body. Sender, recipients
//! and mail server come from `[report]`. mls-mail adds the fields `From`, `To`, `Date` and
//! `Message-ID` if they are missing. It can also read alert records (mls-event(5)), and makes
//! messages from them. If the input is empty, mls-mail only delivers the messages that wait.
//!
//! # Guarantees
//! - mls-mail accepts a message by writing it to the queue, `LEDGER.queue`, and then to the ledger.
//!   After that, this run or a later run delivers the message. In the same step, the ledger commits
//!   the period of a digest, or the alerts of a mail. So every attempt is in exactly one digest.
//!   Without `mls-alert --framed`, alerts are lost if mls-mail dies before it accepts them.
//! - Messages that wait are delivered first, the oldest first, with the same Message-ID, and only
//!   to recipients who have not received them. If a message still waits, mls-mail accepts a new
//!   digest only if the server answers, and if the last digest was accepted at least 20 hours ago.
//!   mls-mail gives up a digest, with a warning, if the server permanently refuses it but accepted
//!   a later message, or if 30 later messages wait.
//! - A recipient gets a message twice only if the server's answer was lost. Both copies then have
//!   the same Message-ID.
//! - The first alert is mailed at once. Later, there is at most one mail about failures and one
//!   mail about suspicious logins in each `--alert-interval`. Suspicious logins come first in a
//!   mail, with the evidence and what to do.
//! - A message that is cut off (its last boundary is missing) is not sent.
//! - mls-mail never sends without TLS if `smtp_tls` asks for TLS. It refuses bytes that arrive
//!   before the handshake. The certificate must come from a known authority and name `smtp_host`.
//! - A mail server cannot make mls-mail use more than 64 MiB, or wait for more than 15 minutes for
//!   one message.
//! - If the message is larger than the SIZE that the server announces, a line in the message
//!   replaces the attachment.

#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub mod fuzz;

mod address;
mod alerts;
mod args;
mod backlog;
mod ledger;
mod mailer;
mod message;
mod run;
mod smtp;

pub use args::Args;
pub use run::run;
