//! The sections of a digest, described once as data. [`text`](crate::text) and
//! [`html`](crate::html) render them.
//!
//! Titles of sections of the Python original are unchanged.

use std::net::IpAddr;

use chrono::{Datelike, NaiveDate, TimeDelta};
use mls_event::display_system;

use crate::report::{Address, FEW, List, MANY, New, Report};
use crate::servers::SILENT_TIMES;
use crate::words::{country, meaning, percent, thousands};

/// If a period is longer than `LONG` and its data covers more than `LONG_DAYS` days, the digest
/// shows hours by weekday.
const LONG: TimeDelta = TimeDelta::days(2);
const LONG_DAYS: usize = 2;

pub(crate) struct Section {
    pub(crate) title: String,
    /// A condition or a total, in words.
    pub(crate) note: Option<String>,
    pub(crate) body: SectionBody,
}

pub(crate) enum SectionBody {
    Table(SectionTable),
    /// Failed reverse lookups: the number of attempts by error.
    Errors {
        total: u64,
        table: SectionTable,
    },
    /// Attempts by hour or by day.
    Chart(Chart),
    /// Attempts by weekday, Monday first, and hour.
    HeatMap(Box<[[u64; 24]; 7]>),
}

pub(crate) struct SectionTable {
    /// The columns before the number of attempts.
    pub(crate) columns: Vec<SectionColumn>,
    pub(crate) rows: Vec<SectionRow>,
    /// Attempts without a name. No row shows these attempts.
    pub(crate) unknown: u64,
    /// Whether the table gets the full width of the page.
    pub(crate) is_wide: bool,
    /// Whether the page draws a bar for each row.
    pub(crate) has_bars: bool,
    /// Commands about the rows, such as `whois 192.0.2.1`.
    pub(crate) commands: Vec<String>,
}

pub(crate) struct SectionRow {
    /// One cell for each column.
    pub(crate) cells: Vec<Cell>,
    pub(crate) attempts: u64,
}

pub(crate) enum Cell {
    /// `None` is unknown.
    Text(Option<String>),
    Number(u64),
    Minutes(i64),
}

pub(crate) struct SectionColumn {
    pub(crate) name: &'static str,
    pub(crate) kind: CellKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CellKind {
    /// A name, which may be long.
    Name,
    /// An address or a code. The page does not break it into two lines.
    Code,
    /// The code of a country. For `BR`, the page shows `Brazil (BR)`.
    Country,
    /// A number. In the text digest, a word follows: `one` for 1 (`1 address`), `many` for other
    /// numbers (`5 addresses`).
    Number { one: &'static str, many: &'static str },
}

pub(crate) struct Chart {
    pub(crate) bars: Vec<Bar>,
    /// Whether the text digest shows the chart too.
    pub(crate) is_in_text: bool,
}

pub(crate) struct Bar {
    /// The full name: `09:00`, `2026-06-01`.
    pub(crate) name: String,
    /// The short name on the axis: `09`, `1`.
    pub(crate) label: String,
    /// A name that several bars have in common: `June 2026`. Empty for hours.
    pub(crate) group: String,
    pub(crate) attempts: u64,
    /// Whether this hour or day belongs to the period.
    pub(crate) is_inside: bool,
}

/// Returns the sections that are not empty. `top` is `--top`; titles name it: `Top 10 servers`.
pub(crate) fn sections(report: &Report, top: usize) -> Vec<Section> {
    let mut sections = vec![
        silent_servers(report),
        servers(report, top),
        widespread_attackers(report),
        logins(report, top),
        addresses(report, top),
        users(report, top),
        countries(report, top),
        systems(report, top),
        networks(report, top),
        distributed_attacks(report),
        slow_attackers(report),
    ];
    sections.extend(report.new.iter().flat_map(new));
    sections.extend([hours(report), days(report), reverse_lookups(report)]);
    sections.retain(|section| !section.is_empty());
    for section in &mut sections {
        if let SectionBody::Table(table) | SectionBody::Errors { table, .. } = &mut section.body {
            table.leave_out_unknown_columns();
        }
    }
    sections
}

impl SectionTable {
    /// Removes the columns in which nothing is known, such as host names without reverse DNS.
    fn leave_out_unknown_columns(&mut self) {
        for i in (1..self.columns.len()).rev() {
            if self.rows.iter().all(|row| matches!(row.cells[i], Cell::Text(None))) {
                self.columns.remove(i);
                for row in &mut self.rows {
                    row.cells.remove(i);
                }
            }
        }
    }
}

impl Section {
    fn is_empty(&self) -> bool {
        match &self.body {
            SectionBody::Table(table) | SectionBody::Errors { table, .. } => table.rows.is_empty(),
            // With a single bar, there is nothing to compare.
            SectionBody::Chart(chart) => {
                chart.bars.len() < 2 || chart.bars.iter().all(|bar| bar.attempts == 0)
            }
            SectionBody::HeatMap(weekdays) => weekdays.iter().flatten().all(|n| *n == 0),
        }
    }

    fn note(self, note: String) -> Self {
        Self { note: Some(note), ..self }
    }
}

fn silent_servers(report: &Report) -> Section {
    let columns =
        vec![name("Server"), code("Last attempt"), code("Silent for"), code("Usual pause")];
    let table = table(columns, &report.silent_servers, |x| {
        let cells = vec![
            Cell::Text(Some(x.server.clone())),
            Cell::Text(Some(x.last.format("%Y-%m-%d %H:%M").to_string())),
            Cell::Minutes(x.pause_minutes),
            Cell::Minutes(x.usual_pause_minutes),
        ];
        (cells, x.attempts)
    });
    section("Silent servers".to_owned(), SectionTable { is_wide: true, ..table })
        .note(format!("no attempt for more than {SILENT_TIMES} times their usual pause"))
}

fn servers(report: &Report, top: usize) -> Section {
    let columns = vec![name("Server"), number("Addresses", "address", "addresses")];
    let mut table = table(columns, &report.servers, |x| {
        (vec![Cell::Text(Some(x.server.clone())), Cell::Number(x.addresses)], x.attempts)
    });
    // A list of one server is not needed: the whole report is about this server.
    if report.servers.distinct < 2 {
        table.rows = Vec::new();
    }
    section(format!("Top {top} servers"), SectionTable { has_bars: true, ..table })
}

fn widespread_attackers(report: &Report) -> Section {
    let columns = vec![code("Address"), number("Servers", "server", "servers")];
    let table = table(columns, &report.widespread_attackers, |x| {
        (vec![Cell::Text(Some(x.ip.clone())), Cell::Number(x.servers)], x.attempts)
    });
    section("Attackers on several servers".to_owned(), table)
}

fn logins(report: &Report, top: usize) -> Section {
    let columns = vec![name("User"), code("Address"), name("Host name"), of_country("Country")];
    let table = table(columns, &report.logins, |x| {
        let cells =
            [&x.user, &x.ip, &x.hostname, &x.country_code].map(|cell| Cell::Text(cell.clone()));
        (cells.into(), x.attempts)
    });
    section(format!("Top {top} failed authentications"), SectionTable { is_wide: true, ..table })
}

fn addresses(report: &Report, top: usize) -> Section {
    section(format!("Top {top} addresses"), address_table(&report.addresses))
}

fn address_table(list: &List<Address>) -> SectionTable {
    let columns = vec![code("Address"), of_country("Country"), name("AS")];
    let whois = |x: &Address| Some(format!("whois {}", x.ip.parse::<IpAddr>().ok()?));
    let commands = list.top.iter().filter_map(whois).collect();
    let table = table(columns, list, |x| {
        let system = display_system(x.asn, x.aso.as_deref());
        let cells = [Some(x.ip.clone()), x.country_code.clone(), system].map(Cell::Text);
        (cells.into(), x.attempts)
    });
    SectionTable { is_wide: true, commands, ..table }
}

fn users(report: &Report, top: usize) -> Section {
    let table = table(vec![name("User")], &report.users, |x| {
        (vec![Cell::Text(Some(x.user.clone()))], x.attempts)
    });
    section(format!("Top {top} Usernames"), SectionTable { has_bars: true, ..table })
}

fn countries(report: &Report, top: usize) -> Section {
    let columns = vec![code("Code"), name("Country"), number("%", "%", "%")];
    let table = table(columns, &report.countries, |x| {
        let code = &x.country_code;
        let share = Cell::Number(percent(x.attempts, report.attempts));
        (vec![Cell::Text(Some(code.clone())), Cell::Text(Some(country(code))), share], x.attempts)
    });
    section(format!("Top {top} countries"), SectionTable { has_bars: true, ..table })
}

fn systems(report: &Report, top: usize) -> Section {
    let table = table(vec![code("ASN"), name("ASO")], &report.systems, |x| {
        let number = display_system(x.asn, None);
        (vec![Cell::Text(number), Cell::Text(x.aso.clone())], x.attempts)
    });
    section(format!("Top {top} ASN and ASO"), table)
}

fn networks(report: &Report, top: usize) -> Section {
    let columns = vec![code("Network"), number("Addresses", "address", "addresses")];
    let table = table(columns, &report.networks, |x| {
        (vec![Cell::Text(Some(x.network.to_string())), Cell::Number(x.addresses)], x.attempts)
    });
    section(format!("Top {top} networks"), table)
}

fn distributed_attacks(report: &Report) -> Section {
    let columns = vec![name("User"), number("Addresses", "address", "addresses")];
    let table = table(columns, &report.distributed_attacks, |x| {
        (vec![Cell::Text(Some(x.user.clone())), Cell::Number(x.addresses)], x.attempts)
    });
    section("Distributed attacks".to_owned(), table)
        .note(format!("users tried from {MANY} addresses or more"))
}

fn slow_attackers(report: &Report) -> Section {
    let columns = vec![code("Address"), number("Days", "day", "days")];
    let table = table(columns, &report.slow_attackers, |x| {
        (vec![Cell::Text(Some(x.ip.clone())), Cell::Number(x.days.into())], x.attempts.into())
    });
    section("Slow attackers".to_owned(), table).note(format!(
        "seen on at least {MANY} of 30 days, with at most {FEW} attempts a day on average"
    ))
}

/// The names that were never seen before the period.
fn new(new: &New) -> [Section; 3] {
    let users = table(vec![name("User")], &new.users, |x| {
        (vec![Cell::Text(Some(x.user.clone()))], x.attempts)
    });
    let countries = table(vec![code("Code"), name("Country")], &new.countries, |x| {
        let code = &x.country_code;
        (vec![Cell::Text(Some(code.clone())), Cell::Text(Some(country(code)))], x.attempts)
    });
    let section = |title: &str, distinct: usize, table: SectionTable| {
        let count = thousands(distinct as u64);
        section(title.to_owned(), table).note(format!("{count} never seen in the data before"))
    };
    [
        section("New addresses", new.addresses.distinct, address_table(&new.addresses)),
        section("New user names", new.users.distinct, users),
        section("New countries", new.countries.distinct, countries),
    ]
}

fn hours(report: &Report) -> Section {
    let covered = report.days.iter().filter(|day| day.inside && day.has_data).count();
    let is_long = report.period.length.is_none_or(|length| length > LONG);
    if is_long && covered > LONG_DAYS {
        return Section {
            title: "Attempts by weekday and hour".to_owned(),
            note: None,
            body: SectionBody::HeatMap(Box::new(report.weekday_hours)),
        };
    }
    let bars = (0..).zip(report.hours).map(|(hour, attempts)| Bar {
        name: format!("{hour:02}:00"),
        label: format!("{hour:02}"),
        group: String::new(),
        attempts,
        is_inside: true,
    });
    let chart = Chart { bars: bars.collect(), is_in_text: true };
    Section { title: "Attempts by hour".to_owned(), note: None, body: SectionBody::Chart(chart) }
}

fn days(report: &Report) -> Section {
    let days: Vec<_> = report.days.iter().filter(|day| day.has_data).collect();
    let title = match days.first() {
        Some(first) if days.len() < report.days.len() => {
            format!("Attempts by day, since {}", first.date)
        }
        _ => format!("Attempts by day, for {} days", report.days.len()),
    };
    let bars = days.into_iter().map(|day| {
        let date: Option<NaiveDate> = day.date.parse().ok();
        Bar {
            name: day.date.clone(),
            label: date.map_or_else(String::new, |date| date.day().to_string()),
            group: date.map_or_else(String::new, |date| date.format("%B %Y").to_string()),
            attempts: day.attempts,
            is_inside: day.inside,
        }
    });
    let chart = Chart { bars: bars.collect(), is_in_text: false };
    Section { title, note: None, body: SectionBody::Chart(chart) }
}

fn reverse_lookups(report: &Report) -> Section {
    let columns = vec![code("Error"), name("Meaning")];
    let table = table(columns, &report.reverse_dns_failures, |x| {
        let meaning = meaning(&x.status).map(str::to_owned);
        (vec![Cell::Text(Some(x.status.clone())), Cell::Text(meaning)], x.attempts)
    });
    let total = report.failed_reverse_lookups;
    Section {
        title: "Reverse DNS Lookup Failure Summary".to_owned(),
        note: Some(format!("{} in total", thousands(total))),
        body: SectionBody::Errors { total, table },
    }
}

fn section(title: String, table: SectionTable) -> Section {
    Section { title, note: None, body: SectionBody::Table(table) }
}

fn table<T>(
    columns: Vec<SectionColumn>,
    list: &List<T>,
    row: impl Fn(&T) -> (Vec<Cell>, u64),
) -> SectionTable {
    let rows = list.top.iter().map(row).map(|(cells, attempts)| SectionRow { cells, attempts });
    SectionTable {
        columns,
        rows: rows.collect(),
        unknown: list.unknown,
        is_wide: false,
        has_bars: false,
        commands: Vec::new(),
    }
}

fn name(name: &'static str) -> SectionColumn {
    SectionColumn { name, kind: CellKind::Name }
}

fn code(name: &'static str) -> SectionColumn {
    SectionColumn { name, kind: CellKind::Code }
}

fn of_country(name: &'static str) -> SectionColumn {
    SectionColumn { name, kind: CellKind::Country }
}

fn number(name: &'static str, one: &'static str, many: &'static str) -> SectionColumn {
    SectionColumn { name, kind: CellKind::Number { one, many } }
}
