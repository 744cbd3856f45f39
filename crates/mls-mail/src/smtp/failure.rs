//! Why a command, a recipient or a message failed, and whether a later try may succeed.

use std::io;

use mls_diag::certificate;

use super::reply::Reply;

#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) words: String,
    pub(super) is_temporary: bool,
    /// Whether the failure is a reply of the server, so that the connection is still usable.
    pub(super) is_reply: bool,
    /// Whether the whole message was sent, but no reply came. The message may have been delivered.
    pub(super) is_unknown: bool,
}

impl Failure {
    pub(super) fn temporary(words: String) -> Self {
        Self { words, is_temporary: true, is_reply: false, is_unknown: false }
    }

    pub(super) fn permanent(words: String) -> Self {
        Self { is_temporary: false, ..Self::temporary(words) }
    }

    /// The connection failed.
    pub(super) fn lost(error: &io::Error) -> Self {
        Self::temporary(match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                "the server did not answer in time".into()
            }
            _ => error.to_string(),
        })
    }

    /// The TLS handshake failed. This is permanent only if the certificate is not trusted.
    pub(super) fn tls(error: &io::Error) -> Self {
        let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
        match cause {
            Some(cause @ rustls::Error::InvalidCertificate(_)) => {
                Self::permanent(certificate::explained(&cause.to_string()))
            }
            Some(rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType)) => {
                Self::temporary(
                    "the server does not use TLS from the start on this port: set [report] \
                     smtp_tls = starttls, or smtp_port = 465"
                        .to_owned(),
                )
            }
            Some(cause) => Self::temporary(format!("TLS: {cause}")),
            None => Self::lost(error),
        }
    }

    pub(super) fn refused(reply: &Reply) -> Self {
        let is_temporary = !(500..600).contains(&reply.code);
        Self { is_temporary, is_reply: true, ..Self::temporary(reply.to_string()) }
    }
}
