//! Says what to do if rustls refuses the certificate of a server.

/// Texts of rustls errors, and what to do.
const CURES: [(&str, &str); 5] = [
    (
        "certificate expired",
        "renew the certificate of the server, or correct the clock of this machine",
    ),
    ("certificate not valid yet", "correct the clock of this machine or of the server"),
    (
        "certificate not valid for name",
        "use a host name that is in the certificate of the server, or give the server another \
         certificate",
    ),
    (
        "CaUsedAsEndEntity",
        "the server shows the certificate of a CA: give the server a certificate with \
         basicConstraints = CA:FALSE",
    ),
    (
        "UnknownIssuer",
        "this machine does not trust the CA that signed the certificate: install the CA \
         certificate (update-ca-certificates), or set the environment variable SSL_CERT_FILE to \
         its file",
    ),
];

/// If `text` is a message about a certificate, adds what to do. Otherwise returns `text` unchanged.
#[must_use]
pub fn explained(text: &str) -> String {
    // Omit the two times that rustls adds, in seconds since 1970.
    let short = text.split(": verification time").next().unwrap_or(text);
    match CURES.iter().find(|(words, _)| text.contains(words)) {
        Some((_, cure)) => format!("{short}; {cure}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_about_a_certificate_says_what_to_do_and_any_other_stays() {
        assert_eq!(
            explained(
                "invalid peer certificate: certificate expired: verification time 1795967739 \
                 (UNIX), but certificate is not valid after 1609459200 (186508539 seconds ago)"
            ),
            "invalid peer certificate: certificate expired; renew the certificate of the server, \
             or correct the clock of this machine"
        );
        assert_eq!(explained("550 no: verification time"), "550 no: verification time");
    }
}
