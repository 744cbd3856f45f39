//! The report as one self-contained page, which is also the HTML part of the mail.
//!
//! No script and nothing from outside, which the page's own Content-Security-Policy enforces. Mail programs that take SVG
//! out leave every number: the bars are SVG, and all text is in the tables around them. Names that clients chose are escaped,
//! and isolated in `<bdi>`, so that they cannot turn the direction of the text around them.

use std::fmt::Display;

use askama::Template;

use crate::report::{FEW, List, MANY, New, Report};
use crate::text::{DOCUMENTATION, change, kibibytes, known, meaning, number};

/// Height of the columns of a chart in pixels.
const HEIGHT: u64 = 90;

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    report: &'a Report,
    attempts: String,
    address: String,
    interval: &'a str,
    figures: [Figure; 4],
    charts: [Chart; 2],
    tables: Vec<Table>,
    foot: Vec<String>,
}

/// A number worth a large font.
struct Figure {
    name: &'static str,
    value: String,
    remark: String,
}

/// Columns side by side.
struct Chart {
    caption: String,
    height: u64,
    bars: Vec<Bar>,
}

struct Bar {
    label: String,
    /// The count in at most four characters.
    short: String,
    title: String,
    height: u64,
    /// Beside the point.
    pale: bool,
}

struct Table {
    caption: String,
    remark: Option<String>,
    /// As wide as the page, or half of it.
    wide: bool,
    /// Whether there is room for a bar beside each count.
    bars: bool,
    heads: Vec<Head>,
    rows: Vec<Row>,
}

/// A column.
struct Head {
    name: &'static str,
    kind: Kind,
}

/// What its cells are.
#[derive(Clone, Copy)]
enum Kind {
    /// Names, which may be long: they are broken anywhere.
    Name,
    /// Addresses and codes, which are not broken.
    Whole,
    Number,
}

impl Head {
    fn class(&self) -> &'static str {
        match self.kind {
            Kind::Name => "name",
            Kind::Whole => "whole",
            Kind::Number => "number",
        }
    }
}

struct Row {
    cells: Vec<String>,
    /// Of the greatest count in the table.
    percent: u64,
}

/// The page; `attachment` is the sentence about the attached file.
pub(crate) fn render(
    report: &Report,
    top: usize,
    attachment: Option<&str>,
) -> anyhow::Result<String> {
    let label = &report.period.label;
    let page = Page {
        report,
        attempts: number(report.attempts, "failed login", "failed logins"),
        address: known(report.server.address.as_ref(), "address unknown"),
        interval: report.extraction_interval.as_deref().unwrap_or("unknown"),
        figures: figures(report),
        charts: [
            chart(
                format!("Attempts by hour {label}"),
                (0..)
                    .zip(report.hours)
                    .map(|(hour, n)| (format!("{hour:02}:00"), format!("{hour:02}"), n, true)),
            ),
            chart(
                "Attempts by day, for 30 days".to_owned(),
                report.days.iter().map(|day| {
                    let of_month =
                        day.date.rsplit('-').next().unwrap_or_default().trim_start_matches('0');
                    (day.date.clone(), of_month.to_owned(), day.attempts, day.inside)
                }),
            ),
        ],
        tables: tables(report, top),
        foot: foot(report, attachment),
    };
    Ok(page.render()?)
}

fn figures(report: &Report) -> [Figure; 4] {
    let counted = |name, distinct: usize, exact: bool, new: Option<usize>| Figure {
        name,
        value: bound(distinct, exact),
        remark: new
            .map_or_else(String::new, |new| format!("{} never seen before", bound(new, exact))),
    };
    let new = report.new.as_ref();
    [
        Figure {
            name: "Attempts",
            value: report.attempts.to_string(),
            remark: change(report.attempts, report.previous_attempts),
        },
        counted(
            "Addresses",
            report.addresses.distinct,
            report.addresses.exact,
            new.map(|new| new.addresses.distinct),
        ),
        counted(
            "User names",
            report.users.distinct,
            report.users.exact,
            new.map(|new| new.users.distinct),
        ),
        counted(
            "Countries",
            report.countries.distinct,
            report.countries.exact,
            new.map(|new| new.countries.distinct),
        ),
    ]
}

/// `5`; `≥ 5` where it may be more.
fn bound(n: impl Display, exact: bool) -> String {
    format!("{}{n}", if exact { "" } else { "≥ " })
}

/// Columns of a name, a shorter one to stand below, a count, and whether they are the point.
fn chart(
    caption: String,
    counts: impl Iterator<Item = (String, String, u64, bool)> + Clone,
) -> Chart {
    let most = counts.clone().map(|(_, _, n, _)| n).max().unwrap_or_default();
    let bar = |(name, label, n, inside): (String, String, u64, bool)| Bar {
        title: format!("{name}: {n} attempts"),
        label,
        short: if n == 0 { String::new() } else { short(n) },
        height: scaled(n, most, HEIGHT),
        pale: !inside,
    };
    Chart { caption, height: HEIGHT, bars: counts.map(bar).collect() }
}

/// `n` of `most` as a part of `whole`; something for whatever is not nothing.
fn scaled(n: u64, most: u64, whole: u64) -> u64 {
    let part = (u128::from(n) * u128::from(whole)).div_ceil(u128::from(most.max(1)));
    u64::try_from(part).unwrap_or(whole)
}

/// `1.4k`
fn short(n: u64) -> String {
    let (unit, size) = [("G", 1_000_000_000), ("M", 1_000_000), ("k", 1000), ("", 1)]
        .into_iter()
        .find(|(_, size)| n >= *size)
        .unwrap_or(("", 1));
    let tenths = n / (size / 10).max(1) % 10;
    if size > 1 && n / size < 10 {
        format!("{}.{tenths}{unit}", n / size)
    } else {
        format!("{}{unit}", n / size)
    }
}

fn tables(report: &Report, top: usize) -> Vec<Table> {
    let name = |name| Head { name, kind: Kind::Name };
    let whole = |name| Head { name, kind: Kind::Whole };
    let number = |name| Head { name, kind: Kind::Number };
    let attempts = || number("Attempts");
    let failures = &report.reverse_dns_failures;
    let mut tables = vec![
        table(
            format!("Top {top} failed authentications"),
            vec![name("User"), whole("Address"), name("Host name"), whole("Country"), attempts()],
            &report.logins,
            |x| {
                let cells = vec![
                    known(x.user.as_ref(), "N/A"),
                    known(x.ip.as_ref(), "N/A"),
                    known(x.hostname.as_ref(), "null"),
                    known(x.country_code.as_ref(), "N/A"),
                ];
                (cells, x.attempts)
            },
        )
        .wide(),
        table(
            format!("Top {top} user names"),
            vec![name("User"), attempts()],
            &report.users,
            |x| (vec![known(x.user.as_ref(), "N/A")], x.attempts),
        ),
        table(
            format!("Top {top} countries"),
            vec![name("Country"), attempts()],
            &report.countries,
            |x| (vec![known(x.country_code.as_ref(), "N/A")], x.attempts),
        ),
        table(
            format!("Top {top} AS organisations"),
            vec![name("Organisation"), attempts()],
            &report.organisations,
            |x| (vec![known(x.aso.as_ref(), "N/A")], x.attempts),
        ),
        table(
            format!("Top {top} AS numbers"),
            vec![name("AS"), attempts()],
            &report.systems,
            |x| (vec![known(x.asn.as_ref(), "N/A")], x.attempts),
        ),
        table(
            format!("Top {top} networks"),
            vec![whole("Network"), number("Addresses"), attempts()],
            &report.networks,
            |x| (vec![x.network.to_string(), x.addresses.to_string()], x.attempts),
        ),
        table(
            "Failed reverse lookups".to_owned(),
            vec![name("Error"), attempts()],
            failures,
            |x| {
                let meaning =
                    meaning(&x.status).map_or_else(String::new, |meaning| format!(": {meaning}"));
                (vec![known(Some(&x.status), "") + &meaning], x.attempts)
            },
        )
        .remark(format!("{} in all", report.failed_reverse_lookups)),
        table(
            "Distributed attacks".to_owned(),
            vec![name("User"), number("Addresses"), attempts()],
            &report.distributed_attacks,
            |x| (vec![known(Some(&x.user), ""), x.addresses.to_string()], x.attempts),
        )
        .remark(format!("one user from {MANY} addresses or more")),
        table(
            "Slow attackers".to_owned(),
            vec![whole("Address"), number("Days"), attempts()],
            &report.slow_attackers,
            |x| (vec![known(Some(&x.ip), ""), x.days.to_string()], x.attempts.into()),
        )
        .remark(format!(
            "seen on {MANY} of 30 days or more, {FEW} tries a day or fewer on average"
        )),
    ];
    tables.extend(report.new.iter().flat_map(new_tables));
    tables
}

/// What was never seen before the period.
fn new_tables(new: &New) -> [Table; 3] {
    let name = |name| Head { name, kind: Kind::Name };
    let whole = |name| Head { name, kind: Kind::Whole };
    let attempts = || Head { name: "Attempts", kind: Kind::Number };
    let remark =
        |distinct, exact| format!("{} never seen in the data before", bound(distinct, exact));
    [
        table(
            "New addresses".to_owned(),
            vec![whole("Address"), attempts()],
            &new.addresses,
            |x| (vec![known(x.ip.as_ref(), "N/A")], x.attempts),
        )
        .remark(remark(new.addresses.distinct, new.addresses.exact)),
        table("New user names".to_owned(), vec![name("User"), attempts()], &new.users, |x| {
            (vec![known(x.user.as_ref(), "N/A")], x.attempts)
        })
        .remark(remark(new.users.distinct, new.users.exact)),
        table("New countries".to_owned(), vec![name("Country"), attempts()], &new.countries, |x| {
            (vec![known(x.country_code.as_ref(), "N/A")], x.attempts)
        })
        .remark(remark(new.countries.distinct, new.countries.exact)),
    ]
}

/// A table of a list's items; the count becomes the last column and the bar.
fn table<T>(
    caption: String,
    heads: Vec<Head>,
    list: &List<T>,
    cells: impl Fn(&T) -> (Vec<String>, u64),
) -> Table {
    let rows: Vec<_> = list.top.iter().map(cells).collect();
    let most = rows.iter().map(|(_, attempts)| *attempts).max().unwrap_or_default();
    let rows = rows
        .into_iter()
        .map(|(mut cells, attempts)| {
            cells.push(bound(attempts, list.exact));
            Row { cells, percent: scaled(attempts, most, 100) }
        })
        .collect();
    Table { caption, remark: None, wide: false, bars: heads.len() == 2, heads, rows }
}

impl Table {
    fn remark(self, remark: String) -> Self {
        Self { remark: Some(remark), ..self }
    }

    fn wide(self) -> Self {
        Self { wide: true, ..self }
    }
}

fn foot(report: &Report, attachment: Option<&str>) -> Vec<String> {
    let csv = report
        .csv
        .as_ref()
        .map(|csv| format!("CSV file: {}, {} rows", kibibytes(csv.bytes), csv.rows));
    let version = format!("MailLogSentinel v{}", env!("CARGO_PKG_VERSION"));
    let mut lines = report.notes.clone();
    lines.extend(csv);
    lines.extend(attachment.map(str::to_owned));
    lines.extend([DOCUMENTATION.to_owned(), version]);
    lines
}
