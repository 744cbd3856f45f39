//! The sections of a digest, described once as data. [`text`](crate::text) and
//! [`html`](crate::html) render them.

use crate::report::{FEW, List, MANY, New, Report};
use crate::words::meaning;

/// A section: what it shows, and the data.
pub(crate) struct Section {
    pub(crate) title: String,
    /// A condition or a total, in words.
    pub(crate) note: Option<String>,
    pub(crate) body: Body,
}

/// What a section holds.
pub(crate) enum Body {
    /// Ranked rows.
    Table(Table),
    /// Failed reverse lookups: how many attempts had which error.
    Errors { total: u64, table: Table },
    /// Counts by hour or by day.
    Chart(Chart),
}

/// Rows, each with the number of its attempts.
pub(crate) struct Table {
    /// The columns before the number of attempts.
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Row>,
    /// Whether the counts are exact. If not, they are lower bounds.
    pub(crate) is_exact: bool,
    /// Whether the page gives it the full width.
    pub(crate) is_wide: bool,
}

pub(crate) struct Row {
    /// As many as there are columns.
    pub(crate) cells: Vec<Cell>,
    pub(crate) attempts: u64,
}

pub(crate) enum Cell {
    /// `None` is unknown.
    Text(Option<String>),
    Number(u64),
}

pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
}

/// What the cells of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A name, which may be long.
    Name { unknown: &'static str },
    /// An address or a code, which must not be broken.
    Code { unknown: &'static str },
    /// A number of things, which the text digest names: one of them, many of them.
    Number { one: &'static str, many: &'static str },
}

/// Counts side by side.
pub(crate) struct Chart {
    pub(crate) bars: Vec<Bar>,
    /// Whether the text digest shows it too.
    pub(crate) is_in_text: bool,
}

pub(crate) struct Bar {
    /// What it counts, in full: `09:00`, `2026-06-01`.
    pub(crate) name: String,
    /// The same on the axis: `09`, `1`.
    pub(crate) label: String,
    pub(crate) attempts: u64,
    /// Whether the period has a part of it.
    pub(crate) is_inside: bool,
}

/// All sections, in their order; lists have at most `top` rows.
pub(crate) fn sections(report: &Report, top: usize) -> Vec<Section> {
    let mut sections = vec![
        logins(report, top),
        users(report, top),
        countries(report, top),
        organisations(report, top),
        systems(report, top),
        reverse_lookups(report),
        hours(report),
        days(report),
        networks(report, top),
        slow_attackers(report),
        distributed_attacks(report),
    ];
    sections.extend(report.new.iter().flat_map(new));
    sections
}

fn logins(report: &Report, top: usize) -> Section {
    let columns = vec![name("User"), code("Address"), host("Host name"), code("Country")];
    let table = table(columns, &report.logins, |x| {
        let cells = [&x.user, &x.ip, &x.hostname, &x.country_code].map(text);
        (cells.into(), x.attempts)
    });
    section(format!("Top {top} failed authentications"), Table { is_wide: true, ..table })
}

fn users(report: &Report, top: usize) -> Section {
    let table = table(vec![name("User")], &report.users, |x| (vec![text(&x.user)], x.attempts));
    section(format!("Top {top} Usernames"), table)
}

fn countries(report: &Report, top: usize) -> Section {
    let table = table(vec![name("Country")], &report.countries, |x| {
        (vec![text(&x.country_code)], x.attempts)
    });
    section(format!("Top {top} countries"), table)
}

fn organisations(report: &Report, top: usize) -> Section {
    let table = table(vec![name("Organisation")], &report.organisations, |x| {
        (vec![text(&x.aso)], x.attempts)
    });
    section(format!("Top {top} ASO"), table)
}

fn systems(report: &Report, top: usize) -> Section {
    let table = table(vec![name("AS")], &report.systems, |x| {
        (vec![text(&x.asn.map(|asn| asn.to_string()))], x.attempts)
    });
    section(format!("Top {top} ASN"), table)
}

fn reverse_lookups(report: &Report) -> Section {
    let table = table(
        vec![code("Error"), Column { name: "Meaning", kind: Kind::Name { unknown: "" } }],
        &report.reverse_dns_failures,
        |x| {
            let meaning = meaning(&x.status).map(str::to_owned);
            (vec![Cell::Text(Some(x.status.clone())), Cell::Text(meaning)], x.attempts)
        },
    );
    Section {
        title: "Reverse DNS Lookup Failure Summary".to_owned(),
        note: Some(format!("{} in all", report.failed_reverse_lookups)),
        body: Body::Errors { total: report.failed_reverse_lookups, table },
    }
}

fn hours(report: &Report) -> Section {
    let bars = (0..).zip(report.hours).map(|(hour, attempts)| Bar {
        name: format!("{hour:02}:00"),
        label: format!("{hour:02}"),
        attempts,
        is_inside: true,
    });
    let chart = Chart { bars: bars.collect(), is_in_text: true };
    Section { title: "Attempts by hour".to_owned(), note: None, body: Body::Chart(chart) }
}

fn days(report: &Report) -> Section {
    let bars = report.days.iter().map(|day| {
        let of_month = day.date.rsplit('-').next().unwrap_or_default();
        Bar {
            name: day.date.clone(),
            label: of_month.trim_start_matches('0').to_owned(),
            attempts: day.attempts,
            is_inside: day.inside,
        }
    });
    let chart = Chart { bars: bars.collect(), is_in_text: false };
    Section {
        title: "Attempts by day, for 30 days".to_owned(),
        note: None,
        body: Body::Chart(chart),
    }
}

fn networks(report: &Report, top: usize) -> Section {
    let columns = vec![code("Network"), number("Addresses", "address", "addresses")];
    let table = table(columns, &report.networks, |x| {
        let network = Cell::Text(Some(x.network.to_string()));
        (vec![network, Cell::Number(x.addresses)], x.attempts)
    });
    section(format!("Top {top} networks"), table)
}

fn slow_attackers(report: &Report) -> Section {
    let columns = vec![code("Address"), number("Days", "day", "days")];
    let table = table(columns, &report.slow_attackers, |x| {
        let days = Cell::Number(x.days.into());
        (vec![Cell::Text(Some(x.ip.clone())), days], x.attempts.into())
    });
    section("Slow attackers".to_owned(), table)
        .note(format!("seen on {MANY} of 30 days or more, {FEW} tries a day or fewer on average"))
}

fn distributed_attacks(report: &Report) -> Section {
    let columns = vec![name("User"), number("Addresses", "address", "addresses")];
    let table = table(columns, &report.distributed_attacks, |x| {
        (vec![Cell::Text(Some(x.user.clone())), Cell::Number(x.addresses)], x.attempts)
    });
    section("Distributed attacks".to_owned(), table)
        .note(format!("one user from {MANY} addresses or more"))
}

/// What was never seen before the period.
fn new(new: &New) -> [Section; 3] {
    let addresses =
        table(vec![code("Address")], &new.addresses, |x| (vec![text(&x.ip)], x.attempts));
    let users = table(vec![name("User")], &new.users, |x| (vec![text(&x.user)], x.attempts));
    let countries =
        table(vec![name("Country")], &new.countries, |x| (vec![text(&x.country_code)], x.attempts));
    let section = |title: &str, distinct: usize, table: Table| {
        let bound = if table.is_exact { "" } else { "at least " };
        section(title.to_owned(), table)
            .note(format!("{bound}{distinct} never seen in the data before"))
    };
    [
        section("New addresses", new.addresses.distinct, addresses),
        section("New user names", new.users.distinct, users),
        section("New countries", new.countries.distinct, countries),
    ]
}

fn section(title: String, table: Table) -> Section {
    Section { title, note: None, body: Body::Table(table) }
}

impl Section {
    fn note(self, note: String) -> Self {
        Self { note: Some(note), ..self }
    }
}

fn table<T>(columns: Vec<Column>, list: &List<T>, row: impl Fn(&T) -> (Vec<Cell>, u64)) -> Table {
    let rows = list.top.iter().map(row).map(|(cells, attempts)| Row { cells, attempts });
    Table { columns, rows: rows.collect(), is_exact: list.exact, is_wide: false }
}

fn text(value: &Option<String>) -> Cell {
    Cell::Text(value.clone())
}

fn name(name: &'static str) -> Column {
    Column { name, kind: Kind::Name { unknown: "N/A" } }
}

fn host(name: &'static str) -> Column {
    Column { name, kind: Kind::Name { unknown: "null" } }
}

fn code(name: &'static str) -> Column {
    Column { name, kind: Kind::Code { unknown: "N/A" } }
}

fn number(name: &'static str, one: &'static str, many: &'static str) -> Column {
    Column { name, kind: Kind::Number { one, many } }
}
