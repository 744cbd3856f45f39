//! Common words of logs. They are not replaced, even if one of them is the name of a user.

/// Words that Postfix, Dovecot and syslog write in lines that people share.
const KEPT: &str = "\
    accepted access active address after already anonymous anvil attempt attempts auth authentication bounce bounced cache cannot cert \
    challenge check cipher cleanup client closed command commands config configuration connect connected connection connections \
    control cram create cyrus daemon data database default deferred delay delays delivered delivery denied directory digest discard disconnect \
    disconnected domain dovecot ehlo empty error exceeded expired failed failure fatal field file filter flush found from full greylisted gssapi \
    handshake header helo high http https host hostname imap imaps inactivity info initial input internal invalid kill known lib library limit lmtp \
    local localdomain localhost login logged lookup loop lost mail mailer mailbox maildrop main manager maps master maximum mechanism message method milter \
    missing mode mysql name network nobody none notification ntlm number oauthbearer okay opened option other panic parameter password peer \
    pending permission pickup pipe plain policy pop3 pop3s port postdrop postfix postmap postqueue postscreen process program proto \
    protocol proxy qmgr query queue queued quit quota rate rcpt read reason receive recipient refused reject rejected relay reload \
    remote removed request requests resolve response restriction root rset sasl script sender sending sent server service session \
    shutdown signal size smtp smtpd smtps socket starting starttls status stopped submission success support system table temporary test text time \
    timeout tlsmgr tlsv1 tlsproxy transport trivial trusted unavailable undeliverable unknown unsupported untrusted usable user username \
    users using vacation value verify version virtual warning with write xoauth2";

/// Whether `text` consists only of words in [`KEPT`], numbers and separators.
pub(crate) fn are_kept(text: &[u8]) -> bool {
    let mut words =
        text.split(|b| !b.is_ascii_alphanumeric() && *b < 0x80).filter(|word| !word.is_empty());
    words.all(|word| {
        word.iter().all(u8::is_ascii_digit)
            || KEPT.split_ascii_whitespace().any(|kept| kept.as_bytes().eq_ignore_ascii_case(word))
    })
}
