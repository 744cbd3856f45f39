//! What a report says first: whether anybody got in, and what to do about it.

use mls_event::{Finding, display_text};
use mls_findings::{Step, steps};

use crate::suspicion::Logins;
use crate::words::number;

/// Number of accounts that text and page name; JSON has all of them.
const MAX_ACCOUNTS: usize = 50;

/// The verdict, in words.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict {
    /// One line.
    pub(crate) headline: String,
    /// The same for a subject, if there is anything to check.
    pub(crate) subject: Option<String>,
    /// Accounts to check, those with the earliest finding first.
    pub(crate) accounts: Vec<Account>,
    /// Sentences after the accounts.
    pub(crate) remarks: Vec<String>,
}

/// An account to check.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) user: String,
    pub(crate) evidence: Vec<String>,
    pub(crate) steps: Vec<Step>,
}

impl Verdict {
    pub(crate) fn new(logins: &Logins) -> Self {
        let Some((count, users)) = logins.counts else {
            return Self {
                headline: "Nobody looked for suspicious logins".to_owned(),
                remarks: vec![HOW_TO_RECORD.to_owned()],
                ..Self::default()
            };
        };
        let mut names: Vec<&str> = Vec::new();
        for finding in &logins.findings {
            if !names.contains(&&*finding.user) {
                names.push(&finding.user);
            }
        }
        let among = format!(
            "{} of {}",
            number_of(count, "login", "logins"),
            number_of(users, "user", "users")
        );
        if names.is_empty() {
            let headline = format!("No suspicious login among {among}");
            return Self { headline, ..Self::default() };
        }
        let to_check = number(names.len() as u64, "account to check", "accounts to check");
        let mut remarks = vec![format!("There were {among}.")];
        if names.len() > MAX_ACCOUNTS {
            let more = names.len() - MAX_ACCOUNTS;
            remarks.push(format!("{more} more accounts are in the report of --format json."));
        }
        if logins.is_full {
            remarks.push("There are more suspicious logins than a report holds.".to_owned());
        }
        let accounts = names.iter().take(MAX_ACCOUNTS);
        Self {
            headline: format!("{to_check} now"),
            subject: Some(to_check),
            accounts: accounts.map(|user| Account::new(user, &logins.findings)).collect(),
            remarks,
        }
    }
}

const HOW_TO_RECORD: &str = "Successful logins are not recorded. To record them, set `record = yes` in the section [logins] of the configuration and run mls-setup.";

impl Account {
    fn new(user: &str, findings: &[Finding<'_>]) -> Self {
        let of_user = findings.iter().filter(|finding| finding.user == user);
        Self {
            user: display_text(user).into_owned(),
            evidence: of_user.map(|finding| display_text(&finding.evidence).into_owned()).collect(),
            steps: steps(user),
        }
    }
}

/// `1,204 logins`
fn number_of(n: u64, one: &str, many: &str) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    format!("{text} {}", if n == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_headline_counts_logins_and_users() {
        let logins = Logins { counts: Some((1_204, 87)), ..Logins::default() };
        let verdict = Verdict::new(&logins);
        assert_eq!(verdict.headline, "No suspicious login among 1,204 logins of 87 users");
        assert_eq!(verdict.subject, None);
        assert!(Verdict::new(&Logins::default()).remarks[0].contains("record = yes"));
    }
}
