//! The verdict about logins: whether an attacker logged in, and what to do.

use mls_event::{Finding, display_text};
use mls_findings::{Step, steps};

use crate::suspicion::PeriodLogins;
use crate::words::number;

/// Largest number of accounts in text and page. JSON has all accounts.
const MAX_ACCOUNTS: usize = 50;

#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict {
    /// The first line; `None` if no input can contain successful logins.
    pub(crate) headline: Option<String>,
    /// How to get a verdict, if logins were not read.
    pub(crate) hint: Option<&'static str>,
    /// Words for the subject of a mail, such as `2 accounts to check`; `None` for no account.
    pub(crate) subject: Option<String>,
    /// The accounts to check, in the order of their first findings.
    pub(crate) accounts: Vec<AccountToCheck>,
    /// Sentences that follow the accounts.
    pub(crate) remarks: Vec<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct AccountToCheck {
    pub(crate) user: String,
    pub(crate) evidence: Vec<String>,
    pub(crate) steps: Vec<Step>,
}

impl Verdict {
    pub(crate) fn new(logins: &PeriodLogins) -> Self {
        let Some((count, users)) = logins.counts else {
            return if logins.could_be_read {
                let headline = Some(NO_LOGIN.to_owned());
                Self { headline, hint: Some(HOW_TO_PARSE), ..Self::default() }
            } else {
                Self { hint: Some(HOW_TO_RECORD), ..Self::default() }
            };
        };
        let mut names: Vec<&str> = Vec::new();
        for finding in &logins.findings {
            if !names.contains(&&*finding.user) {
                names.push(&finding.user);
            }
        }
        let among =
            format!("{} of {}", number(count, "login", "logins"), number(users, "user", "users"));
        if names.is_empty() {
            let headline = match count {
                0 => "Nobody logged in".to_owned(),
                _ => format!("No suspicious login among {among}"),
            };
            return Self { headline: Some(headline), ..Self::default() };
        }
        let to_check = number(names.len() as u64, "account to check", "accounts to check");
        let mut remarks = Vec::new();
        if names.len() > MAX_ACCOUNTS {
            let more = (names.len() - MAX_ACCOUNTS) as u64;
            let more = number(more, "more account is", "more accounts are");
            remarks.push(format!(
                "{more} not shown here: mls-report --format json lists all accounts."
            ));
        }
        if logins.is_full {
            let full = "There are more suspicious logins than a report can hold: give a shorter \
                period with --since and --until.";
            remarks.push(full.to_owned());
        }
        let accounts = names.iter().take(MAX_ACCOUNTS);
        Self {
            headline: Some(match count {
                // Nobody logged in during the period. The suspicious logins are older, and no
                // earlier digest has reported them.
                0 => format!("{to_check} now"),
                _ => format!("{to_check} now, among {among}"),
            }),
            hint: None,
            subject: Some(to_check),
            accounts: accounts.map(|user| AccountToCheck::new(user, &logins.findings)).collect(),
            remarks,
        }
    }
}

/// The headline if the input could contain logins, but contains no login.
const NO_LOGIN: &str = "The records contain no successful login";

const HOW_TO_PARSE: &str = "To see whether an attacker logged in, use mls-parse \
    --outcome failure,success: it also writes successful logins.";

const HOW_TO_RECORD: &str = "To see whether an attacker logged in, set record = yes in [logins] of \
    the configuration and run maillogsentinel --setup --interactive. If successful logins are \
    recorded already, give their file with --logins.";

impl AccountToCheck {
    fn new(user: &str, findings: &[Finding<'_>]) -> Self {
        let of_user = findings.iter().filter(|finding| finding.user == user);
        Self {
            user: display_text(user).into_owned(),
            evidence: of_user.map(|finding| display_text(&finding.evidence).into_owned()).collect(),
            steps: steps(user),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use mls_event::Rule;

    use super::*;

    #[test]
    fn the_headline_counts_logins_and_users() {
        let logins = PeriodLogins { counts: Some((1_204, 87)), ..PeriodLogins::default() };
        let verdict = Verdict::new(&logins);
        let headline = "No suspicious login among 1,204 logins of 87 users";
        assert_eq!(verdict.headline.as_deref(), Some(headline));
        assert_eq!(verdict.subject, None);
        let logins = PeriodLogins { counts: Some((0, 0)), ..PeriodLogins::default() };
        assert_eq!(Verdict::new(&logins).headline.as_deref(), Some("Nobody logged in"));
        assert_eq!(Verdict::new(&PeriodLogins::default()).headline, None);
    }

    #[test]
    fn the_headline_names_an_account_whose_login_an_earlier_digest_has_counted() {
        let finding = Finding {
            rule: Rule::Guessed,
            user: "anna".into(),
            ip: "192.0.2.1".parse().unwrap(),
            date: DateTime::parse_from_rfc3339("2026-06-01T10:00:00Z").unwrap().into(),
            country_code: None,
            asn: None,
            aso: None,
            evidence: "".into(),
        };
        for (counts, headline) in [
            ((0, 0), "1 account to check now"),
            ((1, 1), "1 account to check now, among 1 login of 1 user"),
        ] {
            let findings = vec![finding.clone()];
            let logins = PeriodLogins { counts: Some(counts), findings, ..PeriodLogins::default() };
            assert_eq!(Verdict::new(&logins).headline.as_deref(), Some(headline));
        }
    }
}
