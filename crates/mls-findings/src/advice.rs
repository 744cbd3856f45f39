//! What the administrator should do if somebody else may be using an account.

use std::fmt;
use std::net::IpAddr;

use mls_event::display_text;

/// One step that the administrator should take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What to do, as a sentence.
    pub what: &'static str,
    /// The shell command; `None` if the step needs no command or has no safe command.
    pub command: Option<String>,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.command {
            Some(command) => write!(f, "{} {command}", self.what),
            None if self.what.ends_with(':') => {
                write!(f, "{} (no command: this name is not safe in a doveadm command)", self.what)
            }
            None => f.write_str(self.what),
        }
    }
}

/// Returns the steps for the account of `user`, in order.
#[must_use]
pub fn steps(user: &str) -> Vec<Step> {
    let command = |command: &str| quoted(user).map(|user| format!("{command} {user}"));
    vec![
        Step { what: "Change the password.", command: None },
        Step { what: "Show the open sessions:", command: command("doveadm who") },
        Step { what: "End the sessions:", command: command("doveadm kick") },
        Step { what: "Look for spam in the queue:", command: Some("postqueue -p".to_owned()) },
    ]
}

/// Returns the name as one quoted word for the shell. Returns `None` if the name is empty or not
/// printable, or if doveadm would read the name as a mask, an IP address or an option.
fn quoted(user: &str) -> Option<String> {
    let is_mask = user.contains(['*', '?', '/']) || user.parse::<IpAddr>().is_ok();
    if user.is_empty() || user.starts_with('-') || is_mask || display_text(user) != user {
        return None;
    }
    Some(format!("'{}'", user.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_name_is_quoted_for_the_shell_or_there_is_no_command() {
        assert_eq!(quoted("anna@example.org").as_deref(), Some("'anna@example.org'"));
        assert_eq!(quoted("$(id)`id`;\"<b>").as_deref(), Some("'$(id)`id`;\"<b>'"));
        assert_eq!(quoted("a'b").as_deref(), Some(r"'a'\''b'"));
        for user in
            ["", "*", "a?", "-a", "192.0.2.1", "10.0.0.0/8", "a\nb", "\u{1b}[1m", "\u{202e}a"]
        {
            assert_eq!(quoted(user), None, "{user:?}");
        }
    }
}
