//! The numbers of a report. `--format json` writes them as one line.
//!
//! The line is a JSON object. Its first two members are `"v":1,"type":"report"`. A later release may
//! add members to version 1, but it does not change the meaning of a member. An unknown value is
//! null. Times are in the format of RFC 3339.
//!
//! | member | meaning |
//! |---|---|
//! | `program` | name and version of the tool |
//! | `generated` | when the report was made |
//! | `server` | `name` and `address` of this machine |
//! | `title` | `--title`, or null |
//! | `extraction_interval` | `[systemd] extraction_schedule` |
//! | `period` | `label`; `from`, the first minute, and `to`, the minute after the last one; null if there is no such limit |
//! | `attempts` | failed logins in the period |
//! | `previous_attempts` | failed logins in the time of the same length directly before the period; null if the data begins later |
//! | `usual_attempts` | median of the attempts per day, over the last 28 (or fewer) of the `days` before the period; null if the data covers fewer than 7 of these days |
//! | `total_attempts` | failed logins in all data that was read |
//! | `servers` | attempts by `server`; `addresses`: number of addresses that tried the server in the period; `last_attempt`: time of the last attempt of any outcome, up to the end of the period |
//! | `silent_servers` | servers that are silent at the end of the period: `server`, `last_attempt`, `pause_minutes`, `usual_pause_minutes`, `attempts`; the longest pause first; empty if the data has only one server |
//! | `widespread_attackers` | addresses that tried at least 5 servers (if there are 2 to 4 servers: all servers): `ip`, `servers`, `attempts`; the most servers first |
//! | `logins` | attempts by `user`, `ip`, `hostname` and `country_code` together |
//! | `users` | attempts by `user` |
//! | `countries` | attempts by `country_code` |
//! | `organisations` | attempts by `aso` |
//! | `addresses` | attempts by `ip`, with `country_code`, `asn` and `aso` |
//! | `systems` | attempts by `asn`, with the most frequent `aso`; by `aso` if the number is unknown |
//! | `networks` | attempts by `network` (/24 or /64); `addresses`: number of addresses of the network that tried |
//! | `failed_reverse_lookups` | attempts whose reverse lookup failed |
//! | `reverse_dns_failures` | attempts by `status` of the failed lookup |
//! | `hours` | 24 numbers: attempts by hour of the day |
//! | `weekday_hours` | 7 lists of 24 numbers: attempts by weekday, Monday first, and hour |
//! | `days` | the 30 days up to the last day of the period: `date`, `attempts` |
//! | `slow_attackers` | addresses that tried in the period and on at least 5 of the 30 days, on average at most 10 times on a day with attempts: `ip`, `days` (number of days with attempts), `attempts` (in the 30 days) |
//! | `distributed_attacks` | users that were tried from at least 5 addresses: `user`, `addresses`, `attempts` |
//! | `new` | `addresses`, `users` and `countries` that are not in the data before the period; null if there is no data before the period |
//! | `csv` | `name`, `bytes` (decompressed), `rows` of the input; null if the input is not CSV |
//! | `suspicious_logins` | ordered by `date`, one for each rule, user and day: `rule`, `user`, `ip`, `date`, `country_code`, `asn`, `aso`, `evidence` (mls-findings) |
//! | `suspicious_logins_complete` | false if there are more than 10,000 suspicious logins; only 10,000 are listed |
//! | `successful_logins` | `logins` and `users` in the period; null if no logins were read |
//! | `notes` | sentences for people: why there is no attempt, or which part is not complete |
//!
//! The members `servers` to `networks`, `reverse_dns_failures`, `slow_attackers`,
//! `distributed_attacks` and the members of `new` are lists. A list is an object:
//!
//! | member | meaning |
//! |---|---|
//! | `distinct` | number of different names |
//! | `exact` | always true: the numbers are exact; in earlier versions they could be lower bounds |
//! | `unknown` | attempts without a known name |
//! | `top` | the most frequent names with their `attempts` |
//!
//! In `logins`, attempts without a user count as `unknown`. If no attempt of the period has a user,
//! `logins` lists the attempts by address.

use std::io;
use std::net::IpAddr;

use chrono::{DateTime, FixedOffset, NaiveDateTime, SecondsFormat, TimeDelta};
use ipnet::IpNet;
use mls_config::zone::Zone;
use mls_event::Finding;
use serde::{Serialize, Serializer};

use crate::login_counter::LoginCounts;
use crate::notes::{notes, unknown_origin};
use crate::period::Period;
use crate::ranking::Ranking;
use crate::rankings::{self, AddressLists, LoginLists, shown};
use crate::suspicion::PeriodLogins;
use crate::tally::Tally;
use crate::verdict::Verdict;
use mls_attempts::ReadSummary;
use mls_machine::Machine;

/// Smallest number of addresses of a distributed attack on a user, of days of a slow attacker, and
/// of servers of a widespread attacker.
pub(crate) const MANY: u32 = 5;

/// A slow attacker makes at most this number of attempts on average, on the days with attempts.
pub(crate) const FEW: u32 = 10;

/// Smallest and largest number of days that `usual_attempts` is computed from.
const USUAL_DAYS: std::ops::RangeInclusive<usize> = 7..=28;

/// A whole report. The module documents the members.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    v: u64,
    r#type: &'static str,
    program: &'static str,
    #[serde(serialize_with = "rfc3339")]
    pub(crate) generated: DateTime<FixedOffset>,
    pub(crate) server: Machine,
    pub(crate) title: Option<String>,
    pub(crate) extraction_interval: Option<String>,
    pub(crate) period: ReportPeriod,
    pub(crate) attempts: u64,
    pub(crate) previous_attempts: Option<u64>,
    pub(crate) usual_attempts: Option<u64>,
    pub(crate) total_attempts: u64,
    pub(crate) servers: List<ServerCount>,
    pub(crate) silent_servers: List<SilentServer>,
    pub(crate) widespread_attackers: List<WidespreadAttacker>,
    pub(crate) logins: List<LoginTotal>,
    pub(crate) users: List<User>,
    pub(crate) addresses: List<Address>,
    pub(crate) countries: List<Country>,
    pub(crate) organisations: List<Organisation>,
    pub(crate) systems: List<System>,
    pub(crate) networks: List<NetworkTotal>,
    pub(crate) failed_reverse_lookups: u64,
    pub(crate) reverse_dns_failures: List<Status>,
    pub(crate) hours: [u64; 24],
    pub(crate) weekday_hours: [[u64; 24]; 7],
    pub(crate) days: Vec<DayCount>,
    pub(crate) slow_attackers: List<SlowAttacker>,
    pub(crate) distributed_attacks: List<DistributedAttack>,
    pub(crate) new: Option<New>,
    pub(crate) csv: Option<Csv>,
    pub(crate) suspicious_logins: Vec<Finding<'static>>,
    pub(crate) suspicious_logins_complete: bool,
    pub(crate) successful_logins: Option<SuccessfulLogins>,
    pub(crate) notes: Vec<String>,
    /// Logins that the server could not check. A note gives their number.
    #[serde(skip)]
    pub(crate) unchecked: u64,
    /// The suspicious logins in words.
    #[serde(skip)]
    pub(crate) verdict: Verdict,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct SuccessfulLogins {
    pub(crate) logins: u64,
    pub(crate) users: u64,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct ReportPeriod {
    pub(crate) label: String,
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
    /// The length of the period, without the part in the future. `None` if the period has no
    /// beginning or no end.
    #[serde(skip)]
    pub(crate) length: Option<TimeDelta>,
    #[serde(skip)]
    pub(crate) is_day: bool,
}

/// The first items of a ranking, and totals of all its items.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct List<T> {
    pub(crate) distinct: usize,
    pub(crate) exact: bool,
    pub(crate) unknown: u64,
    pub(crate) top: Vec<T>,
}

/// Declares structs that derive `Serialize`, with `pub(crate)` members.
macro_rules! members {
    ($($name:ident { $($(#[$meta:meta])* $member:ident: $type:ty),+ $(,)? })+) => {
        $(#[derive(Clone, Debug, Serialize)]
        pub(crate) struct $name {
            $($(#[$meta])* pub(crate) $member: $type,)+
        })+
    };
}

members! {
    ServerCount { server: String, addresses: u64, last_attempt: Option<String>, attempts: u64 }
    SilentServer {
        server: String,
        #[serde(skip)]
        last: NaiveDateTime,
        last_attempt: String,
        pause_minutes: i64,
        usual_pause_minutes: i64,
        attempts: u64,
    }
    WidespreadAttacker { ip: String, servers: u64, attempts: u64 }
    LoginTotal {
        user: Option<String>, ip: Option<String>, hostname: Option<String>,
        country_code: Option<String>, attempts: u64,
    }
    User { user: String, attempts: u64 }
    Address {
        ip: String, country_code: Option<String>, asn: Option<u32>, aso: Option<String>,
        attempts: u64,
    }
    Country { country_code: String, attempts: u64 }
    Organisation { aso: String, attempts: u64 }
    System { asn: Option<u32>, aso: Option<String>, attempts: u64 }
    NetworkTotal { network: IpNet, addresses: u64, attempts: u64 }
    Status { status: String, attempts: u64 }
    DayCount {
        date: String,
        attempts: u64,
        /// Whether the period overlaps this day.
        #[serde(skip)]
        inside: bool,
        /// Whether the data begins on this day or earlier.
        #[serde(skip)]
        has_data: bool,
    }
    SlowAttacker { ip: String, days: u32, attempts: u32 }
    DistributedAttack { user: String, addresses: u64, attempts: u64 }
    New { addresses: List<Address>, users: List<User>, countries: List<Country> }
    Csv { name: Option<String>, bytes: u64, rows: u64 }
}

/// The data of a report, except the counts.
pub(crate) struct About<'a> {
    pub(crate) period: &'a Period,
    pub(crate) extent: &'a ReadSummary,
    /// Name of the input file without its directory.
    pub(crate) file_name: Option<String>,
    pub(crate) logins: PeriodLogins,
    pub(crate) server: Machine,
    pub(crate) title: Option<String>,
    pub(crate) interval: Option<String>,
    pub(crate) generated: DateTime<FixedOffset>,
    pub(crate) zone: Zone,
    pub(crate) top: usize,
}

impl Report {
    /// Makes the report from the counts. Fails if temporary files cannot be written or read.
    pub(crate) fn new(mut tally: Tally, logins: LoginCounts, about: About<'_>) -> io::Result<Self> {
        let About { period, extent, top: n, zone, .. } = about;
        let mut notes = notes(&tally);
        let text = |at: NaiveDateTime| at.format("%Y-%m-%d %H:%M").to_string();
        let previous = period.from.zip(period.to).map(|(from, to)| text(from - (to - from)));
        let has_previous = tally.previous > 0 || tally.reaches_back(previous.as_deref());
        let first = tally.extent.as_ref().map_or("", |(first, _)| &first[..10]);
        let days: Vec<_> = (tally.history.by_day())
            .map(|(date, attempts)| DayCount {
                date: date.to_owned(),
                attempts,
                inside: period.touches(date),
                has_data: first <= date,
            })
            .collect();
        let reaches_back = tally.reaches_back(period.from.map(text).as_deref());
        let usual_attempts = usual(&days, period, &tally);
        let logins = LoginLists::new(logins, &tally.users_before, n)?;
        let addresses = AddressLists::new(&mut tally, n)?;
        let before = &tally.countries_before;
        let [countries, new_countries] = rankings::countries(tally.countries, before, n)?;
        let (systems, organisations) = rankings::systems(tally.systems, n)?;
        notes.extend(unknown_origin(!extent.csv, &addresses.addresses, &countries, &systems));
        let mut statuses = Ranking::new(n);
        tally.reverse_dns_failures.for_each(|status, attempts| {
            statuses.add(*attempts, || shown(status));
        })?;
        let now = about.generated.naive_local();
        let end = period.to.map_or(now, |to| to.min(now));
        let (servers, silent_servers) = rankings::servers(&tally.servers, end, zone, n);
        Ok(Self {
            v: mls_event::VERSION,
            r#type: "report",
            program: concat!("mls-report ", env!("CARGO_PKG_VERSION")),
            generated: about.generated,
            server: about.server,
            title: about.title,
            extraction_interval: about.interval,
            period: ReportPeriod::new(period, zone, about.generated),
            attempts: tally.attempts,
            previous_attempts: has_previous.then_some(tally.previous),
            usual_attempts,
            total_attempts: tally.total,
            servers,
            silent_servers,
            widespread_attackers: addresses.widespread_attackers,
            logins: logins.logins,
            users: logins.users,
            addresses: addresses.addresses,
            countries,
            organisations,
            systems,
            networks: addresses.networks,
            failed_reverse_lookups: tally.failed_reverse_lookups,
            reverse_dns_failures: statuses.list(|status, attempts| Status { status, attempts }),
            hours: tally.hours,
            weekday_hours: tally.weekday_hours,
            days,
            slow_attackers: addresses.slow_attackers,
            distributed_attacks: logins.distributed_attacks,
            new: reaches_back.then_some(New {
                addresses: addresses.new,
                users: logins.new_users,
                countries: new_countries,
            }),
            csv: extent.csv.then_some(Csv {
                name: about.file_name,
                bytes: extent.bytes,
                rows: extent.rows,
            }),
            verdict: Verdict::new(&about.logins),
            successful_logins: about
                .logins
                .counts
                .map(|(logins, users)| SuccessfulLogins { logins, users }),
            suspicious_logins_complete: !about.logins.is_full,
            suspicious_logins: about.logins.findings,
            notes,
            unchecked: tally.errors,
        })
    }

    /// Returns the title of the report, or the name of this machine.
    pub(crate) fn name(&self) -> &str {
        self.title.as_deref().unwrap_or(&self.server.name)
    }

    /// Returns the address of this machine, if the report has no title.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.server.address.filter(|_| self.title.is_none())
    }
}

impl ReportPeriod {
    fn new(period: &Period, zone: Zone, now: DateTime<FixedOffset>) -> Self {
        let rfc3339 = |naive| zone.read(naive).to_rfc3339_opts(SecondsFormat::Secs, false);
        let end = period.to.map(|to| to.min(now.naive_local()));
        Self {
            label: period.label.clone(),
            from: period.from.map(rfc3339),
            to: period.to.map(rfc3339),
            length: period.from.zip(end).map(|(from, end)| end - from),
            is_day: period.is_day(),
        }
    }
}

/// Returns the median of the attempts per day before the period; `None` for too few days. Only days
/// that the data covers from midnight to midnight count.
fn usual(days: &[DayCount], period: &Period, tally: &Tally) -> Option<u64> {
    let first = &tally.extent.as_ref()?.0[..10];
    let from = period.from?.date().to_string();
    let before = days.iter().filter(|day| day.date.as_str() > first && day.date < from);
    let mut counts: Vec<_> = before.rev().take(*USUAL_DAYS.end()).map(|day| day.attempts).collect();
    counts.sort_unstable();
    (counts.len() >= *USUAL_DAYS.start()).then(|| counts[counts.len() / 2])
}

fn rfc3339<S: Serializer>(at: &DateTime<FixedOffset>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&at.to_rfc3339_opts(SecondsFormat::Secs, false))
}
