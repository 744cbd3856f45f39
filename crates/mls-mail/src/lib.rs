//! `mls-mail`: a message or alert records on standard input, sent by SMTP exactly once.
//!
//! ```sh
//! mls-report --config C --since-last --format mail | mls-mail --config C
//! mls-alert --config C --framed | mls-mail --config C
//! ```
//!
//! # Reads
//! A message (RFC 5322): header fields, a blank line, the body. Sender, recipients and mail server come from `[report]`; the fields
//! `From`, `To`, `Date` and `Message-ID` are added if they are missing. Or alert records (mls-event(5)), which become one message.
//! Empty input delivers only what waits.
//!
//! # Guarantees
//! - A message is accepted when it is in the ledger and its queue, `LEDGER.queue`. From then on this run or a later one
//!   delivers it. The ledger commits the period of a digest, or that an alert was raised, in the same step, so that no attempt
//!   is in two digests or in none. Alerts that come without `mls-alert --framed` are lost if mls-mail dies before it accepts
//!   them.
//! - Messages that wait are delivered first, oldest first, under the same Message-ID, and only to those who have not got them. They
//!   keep the next digest back for 20 hours, or as long as the server does not answer at all. A digest is given up, with a
//!   warning, if the server refuses it for good and has taken a later one, or if 30 later ones wait.
//! - Nobody gets a message twice, unless the server's answer to it was lost. Then nobody can know, and it has the same
//!   Message-ID.
//! - Alerts: the first one is mailed at once, and at most one mail in each `--alert-interval`. A mail about failures does not
//!   keep one about a suspicious login back. Suspicious logins come first in a mail, with their evidence and what to do.
//! - A message that is cut off (its last boundary is missing) is not sent.
//! - TLS is never given up silently. Bytes that arrive before the handshake are refused. The certificate must be of a known
//!   authority, for the name in `smtp_host`.
//! - A mail server cannot make it use more than 64 MiB or wait for more than 15 minutes in all.
//! - If the server announces a SIZE below that of the message, a line in the message takes the place of the attachment.

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
