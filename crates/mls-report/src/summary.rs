//! The first sentences of a digest: whether an attacker logged in, how many logins failed, what is
//! new, what stands out, and what to do. The first sentence is the headline of the page. If it is
//! unknown whether an attacker logged in, one or two more sentences say how to find out.

use chrono::TimeDelta;
use mls_event::display_system;

use crate::columns::ellipsis;
use crate::report::{MANY, New, Report};
use crate::words::{country, duration, enumerate, number, percent, safe, thousands};

/// An address or network stands out with at least this percentage and this number of attempts.
const MIN_SHARE: u64 = 10;
const MIN_ATTEMPTS: u64 = 10;

/// A smaller change in percent is reported as `about as many as`, without a number.
const MIN_CHANGE: u64 = 10;

/// Shorter periods are not compared with a usual day: nights differ from days.
const MIN_LENGTH: TimeDelta = TimeDelta::hours(12);

/// The largest width of a name in a sentence.
const MAX_NAME: usize = 40;

/// The largest number of new countries to name.
const MAX_COUNTRIES: usize = 5;

/// Returns the sentences. If an input can contain logins, the first sentence is the verdict.
pub(crate) fn sentences(report: &Report) -> Vec<String> {
    let verdict = &report.verdict;
    let mut sentences = Vec::new();
    sentences.extend(verdict.headline.as_ref().map(|headline| format!("{headline}.")));
    sentences.push(how_many(report));
    if report.attempts > 0 {
        sentences.extend(report.new.as_ref().map(what_is_new));
        sentences.push(what_stands_out(report));
    } else if let Some(silence) = silence(report) {
        sentences.push(format!("What stands out: {silence}."));
    }
    sentences.push(what_to_do(report));
    sentences.extend(verdict.hint.map(str::to_owned));
    sentences
}

/// An address, or a network, that makes a large part of the attempts.
struct TopSource {
    source: String,
    description: String,
    share: u64,
}

fn attack(report: &Report) -> Option<TopSource> {
    let all = report.attempts;
    let address = report.addresses.top.first().map(|x| {
        let place = x.country_code.as_deref().map(country);
        let system = display_system(x.asn, x.aso.as_deref());
        let known: Vec<_> = place.into_iter().chain(system).collect();
        (safe(&x.ip), ellipsis(&known.join(", "), MAX_NAME), x.attempts)
    });
    let network =
        report.networks.top.first().filter(|network| network.addresses > 1).map(|x| {
            (x.network.to_string(), number(x.addresses, "address", "addresses"), x.attempts)
        });
    let network = network.filter(|(_, _, attempts)| {
        address.as_ref().is_none_or(|(_, _, of_address)| *attempts >= of_address.saturating_mul(2))
    });
    let (source, description, attempts) = network.or(address)?;
    let share = percent(attempts, all);
    (share >= MIN_SHARE && attempts >= MIN_ATTEMPTS).then_some(TopSource {
        source,
        description,
        share,
    })
}

fn how_many(report: &Report) -> String {
    let count = match report.attempts {
        0 => "No failed login".to_owned(),
        n => number(n, "failed login", "failed logins"),
    };
    format!("{count} {}{}.", in_period(report), compared(report))
}

fn in_period(report: &Report) -> String {
    let label = &report.period.label;
    match &report.period {
        period if period.is_day && label == "today" => "so far today".to_owned(),
        period if period.is_day => format!("on {label}"),
        _ if label.starts_with(|c: char| c.is_ascii_digit()) => format!("from {label}"),
        _ => label.clone(),
    }
}

/// Returns the comparison with another time, such as `, 12 % more than usual (4,190)`.
fn compared(report: &Report) -> String {
    let now = report.attempts;
    let period = &report.period;
    if let (true, Some(usual)) = (period.label == "today", report.usual_attempts) {
        return format!("; a usual day has {}", thousands(usual));
    }
    if let Some(usual) = usual_in_period(report).filter(|_| period.length >= Some(MIN_LENGTH)) {
        return difference(now, usual, "usual");
    }
    let before = if period.is_day { "on the day before" } else { "in the period before" };
    report.previous_attempts.map_or_else(String::new, |previous| difference(now, previous, before))
}

/// Returns the usual number of failed logins in a time as long as the period; `None` if this number
/// or the length of the period is unknown.
fn usual_in_period(report: &Report) -> Option<u64> {
    let minutes = u128::try_from(report.period.length?.num_minutes()).unwrap_or_default();
    let usual = (u128::from(report.usual_attempts?) * minutes + 720) / 1440;
    Some(u64::try_from(usual).unwrap_or(u64::MAX))
}

/// Returns a part of a sentence, such as `, 12 % more than usual (4,190)`. Here, `before` is 4,190,
/// and `then` is `usual`.
fn difference(now: u64, before: u64, then: &str) -> String {
    let change = percent(now.abs_diff(before), before);
    let ratio = now / before.max(1);
    let how = match before {
        _ if now == 0 || before == 0 => return format!("; {then}: {}", thousands(before)),
        _ if change < MIN_CHANGE => "about as many as".to_owned(),
        _ if ratio >= 2 => format!("{} times as many as", thousands(ratio)),
        _ if now < before => format!("{change} % fewer than"),
        _ => format!("{change} % more than"),
    };
    format!(", {how} {then} ({})", thousands(before))
}

fn what_is_new(new: &New) -> String {
    let count =
        |distinct: usize, one, many| (distinct > 0).then(|| number(distinct as u64, one, many));
    let countries = &new.countries;
    let names = countries.top.iter().take(MAX_COUNTRIES).map(|x| country(&x.country_code));
    let mut names: Vec<_> = names.collect();
    if countries.distinct > names.len() {
        names.push("more".to_owned());
    }
    let counts: Vec<_> = [
        count(new.addresses.distinct, "address", "addresses"),
        count(new.users.distinct, "user name", "user names"),
        count(countries.distinct, "country", "countries")
            .map(|count| format!("{count} ({})", enumerate(&names))),
    ]
    .into_iter()
    .flatten()
    .collect();
    if counts.is_empty() {
        return "No address, user name or country is new.".to_owned();
    }
    format!("Never seen before: {}.", enumerate(&counts))
}

fn what_stands_out(report: &Report) -> String {
    let attack = attack(report).map(|TopSource { source, description, share }| {
        let description =
            if description.is_empty() { String::new() } else { format!(" ({description})") };
        format!("{source}{description} made {share} % of the attempts")
    });
    let targets = &report.distributed_attacks;
    let target = targets.top.first().map(|x| {
        let others = match targets.distinct - 1 {
            0 => String::new(),
            n => format!(
                "; {} tried from {MANY} addresses or more",
                number(n as u64, "other user was", "other users were")
            ),
        };
        let addresses = number(x.addresses, "address", "addresses");
        format!("{} was tried from {addresses}{others}", ellipsis(&safe(&x.user), MAX_NAME))
    });
    let slow = match report.slow_attackers.distinct {
        0 => None,
        n => Some(format!(
            "{} on many days",
            number(n as u64, "address makes a few attempts", "addresses make a few attempts")
        )),
    };
    let widespread = match report.widespread_attackers.distinct {
        0 => None,
        n => Some(format!(
            "{} several servers",
            number(n as u64, "address tried", "addresses tried")
        )),
    };
    let found = [silence(report), attack, target, widespread, slow];
    let found: Vec<_> = found.into_iter().flatten().collect();
    if found.is_empty() {
        let other = if report.suspicious_logins.is_empty() { "" } else { "other " };
        return format!("No {other}address and no {other}user stands out.");
    }
    format!("What stands out: {}.", found.join("; "))
}

/// Returns a part of a sentence, such as `mx07 has been silent for 5 h`.
fn silence(report: &Report) -> Option<String> {
    let silent = &report.silent_servers;
    let first = silent.top.first()?;
    let others = match silent.distinct - 1 {
        0 => String::new(),
        n => format!(
            ", and {}",
            number(n as u64, "other server is silent too", "other servers are silent too")
        ),
    };
    let name = ellipsis(&safe(&first.server), MAX_NAME);
    Some(format!("{name} has been silent for {}{others}", duration(first.pause_minutes)))
}

pub(crate) fn what_to_do(report: &Report) -> String {
    let is_long = report.period.length.is_none_or(|length| length >= MIN_LENGTH);
    let is_empty = report.csv.as_ref().is_some_and(|csv| csv.rows == 0)
        && report.unchecked == 0
        && report.successful_logins.as_ref().is_none_or(|logins| logins.logins == 0);
    // If the period has no end, as with --since, use the usual number of failed logins of one day.
    let usual = usual_in_period(report).or(report.usual_attempts).unwrap_or_default();
    let steps = [
        (!report.verdict.accounts.is_empty())
            .then_some("Check each account below now, with the commands that are listed for it."),
        (report.attempts == 0 && (is_long && is_empty || usual >= MIN_ATTEMPTS)).then_some(
            "It is unusual that no login failed: run maillogsentinel --status to see whether \
             the log is read.",
        ),
    ];
    if steps.iter().any(Option::is_some) {
        return steps.into_iter().flatten().collect::<Vec<_>>().join(" ");
    }
    if let Some(silent) = report.silent_servers.top.first() {
        let name = ellipsis(&safe(&silent.server), MAX_NAME);
        return format!("Check that {name} runs, and that its log is still read.");
    }
    match attack(report) {
        Some(TopSource { source, .. }) => format!(
            "To block {source}, see mls-block(1); to report it to its network, see mls-abuse(1)."
        ),
        None if report.unchecked > 0 => "See the log of the authentication service.".to_owned(),
        None => "There is nothing to do.".to_owned(),
    }
}
