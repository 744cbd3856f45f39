//! Compares findings with the truth about a server.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::AddAssign;

use mls_event::Finding;

use super::{Compromise, Server};

/// How many accounts the findings name, correctly or by error.
#[derive(Clone, Debug, Default)]
pub struct Score {
    /// Number of users times number of days.
    pub user_days: u64,
    /// Number of compromised accounts.
    pub compromised: usize,
    /// Number of compromised accounts that the right rule found.
    pub found: usize,
    /// Number of found accounts whose first finding is the attacker's first login.
    pub first_login_named: usize,
    /// Number of honest users with a finding.
    pub honest: usize,
    /// A line for each compromised account that was missed, for each found account whose first
    /// finding is not the attacker's first login, and for each honest user with a finding.
    pub remarks: Vec<String>,
}

impl Score {
    /// Compares findings, in order of time, with the truth about `server`.
    #[must_use]
    pub fn new(server: &Server, findings: &[Finding<'_>]) -> Self {
        let mut score = Self {
            user_days: server.options.users * server.options.days,
            compromised: server.compromised.len(),
            ..Self::default()
        };
        for compromise in &server.compromised {
            score.add_compromised(server, compromise, findings);
        }
        let is_compromised =
            |user: &str| server.compromised.iter().any(|compromise| *compromise.user == *user);
        let mut honest = BTreeMap::new();
        for finding in findings.iter().filter(|finding| !is_compromised(&finding.user)) {
            honest.entry(&*finding.user).or_insert(finding);
        }
        score.honest = honest.len();
        for (user, finding) in honest {
            let (rule, evidence) = (finding.rule.name(), &finding.evidence);
            let about = about(server, user);
            score.remarks.push(format!("honest{about}, but {rule}: {evidence}"));
        }
        score
    }

    fn add_compromised(
        &mut self,
        server: &Server,
        compromise: &Compromise,
        findings: &[Finding<'_>],
    ) {
        let user = &*compromise.user;
        let of_user: Vec<_> = findings.iter().filter(|finding| finding.user == *user).collect();
        let about = about(server, user);
        if !of_user.iter().any(|finding| finding.rule == compromise.rule) {
            let rules: Vec<_> = of_user.iter().map(|finding| finding.rule.name()).collect();
            self.remarks.push(format!("missed{about}: {compromise:?}, found by {rules:?}"));
            return;
        }
        self.found += 1;
        let is_first_login = |finding: &Finding<'_>| {
            finding.ip == compromise.ip && finding.date.at().timestamp() == compromise.at
        };
        let first = of_user.first().copied();
        if first.is_some_and(is_first_login) {
            self.first_login_named += 1;
        } else if let Some(first) = first {
            let evidence = &first.evidence;
            self.remarks.push(format!("other login{about}: {compromise:?}, but: {evidence}"));
        }
    }

    /// Checks the limits that MailLogSentinel promises.
    ///
    /// # Panics
    /// If the right rule found fewer than 95 % of the compromised accounts, if fewer than 95 % of the
    /// first findings name the attacker's first login, or if more than two honest users in 15,000
    /// user-days have a finding.
    pub fn assert_within_limits(&self) {
        assert!(self.compromised > 0, "nobody was compromised");
        assert!(self.found * 100 >= self.compromised * 95, "accounts were missed: {self}");
        assert!(self.first_login_named * 100 >= self.found * 95, "first logins: {self}");
        assert!(self.honest as u64 * 15_000 <= 2 * self.user_days, "honest users: {self}");
    }
}

/// Returns the oddity of a user in parentheses, or nothing if no user has this name.
fn about(server: &Server, user: &str) -> String {
    let person = server.people.iter().find(|person| *person.name == *user);
    person.map_or_else(String::new, |person| format!(" ({:?})", person.oddity))
}

impl AddAssign for Score {
    fn add_assign(&mut self, other: Self) {
        self.user_days += other.user_days;
        self.compromised += other.compromised;
        self.found += other.found;
        self.first_login_named += other.first_login_named;
        self.honest += other.honest;
        self.remarks.extend(other.remarks);
    }
}

/// One line with the numbers, and one line for each remark.
impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user_days, compromised, found, first_login_named, honest, remarks } = self;
        write!(f, "{found} of {compromised} found, first login named for {first_login_named}, ")?;
        write!(f, "honest users named: {honest} in {user_days} user-days")?;
        remarks.iter().try_for_each(|remark| write!(f, "\n    {remark}"))
    }
}
