//! The report as one self-contained page, which is also the HTML part of the mail.
//!
//! No script and nothing from outside, which the page's own Content-Security-Policy enforces. Mail programs that take SVG
//! out leave every number: the bars are SVG, and all text is in the tables around them. Names that clients chose are escaped,
//! and isolated in `<bdi>`, so that they cannot turn the direction of the text around them.

use askama::Template;
use chrono::NaiveDate;

use crate::report::{FEW, List, MANY, Report};
use crate::text::{DOCUMENTATION, change, kibibytes, known, meaning};

/// Height of the columns of a chart in pixels.
const HEIGHT: u64 = 90;

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    report: &'a Report,
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
}

struct Table {
    caption: String,
    remark: Option<String>,
    heads: Vec<Head>,
    rows: Vec<Row>,
}

struct Head {
    name: &'static str,
    number: bool,
}

struct Row {
    cells: Vec<String>,
    /// Of the greatest count in the table.
    percent: u64,
}

/// The page; `attachment` is the sentence about the attached file.
pub(crate) fn render(report: &Report, top: usize, attachment: Option<&str>) -> anyhow::Result<String> {
    let label = &report.period.label;
    let page = Page {
        report,
        address: known(report.server.address.as_ref(), "address unknown"),
        interval: report.extraction_interval.as_deref().unwrap_or("unknown"),
        figures: figures(report),
        charts: [
            chart(
                format!("Attempts by hour {label}"),
                report.hours.iter().enumerate().map(|(hour, n)| (format!("{hour:02}"), format!("{hour:02}:00"), *n)),
            ),
            chart(
                "Attempts by day".to_owned(),
                report.days.iter().map(|day| {
                    let of_month = day
                        .date
                        .parse::<NaiveDate>()
                        .map_or_else(|_| String::new(), |date| date.format("%-d").to_string());
                    (of_month, day.date.clone(), day.attempts)
                }),
            ),
        ],
        tables: tables(report, top),
        foot: foot(report, attachment),
    };
    Ok(page.render()?)
}

fn figures(report: &Report) -> [Figure; 4] {
    let counted = |name, distinct: usize, undercount: u64, new: Option<usize>| Figure {
        name,
        value: format!("{}{distinct}", if undercount > 0 { "≥ " } else { "" }),
        remark: new.map_or_else(String::new, |new| format!("{new} never seen before")),
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
            report.addresses.undercount,
            new.map(|new| new.addresses.distinct),
        ),
        counted("User names", report.users.distinct, report.users.undercount, new.map(|new| new.users.distinct)),
        counted(
            "Countries",
            report.countries.distinct,
            report.countries.undercount,
            new.map(|new| new.countries.distinct),
        ),
    ]
}

/// Bars of a label, a longer name and a count each.
fn chart(caption: String, counts: impl Iterator<Item = (String, String, u64)> + Clone) -> Chart {
    let most = counts.clone().map(|(.., n)| n).max().unwrap_or_default();
    let bars = counts
        .map(|(label, name, n)| Bar {
            label,
            short: if n == 0 { String::new() } else { short(n) },
            title: format!("{name}: {n} attempts"),
            height: scaled(n, most, HEIGHT),
        })
        .collect();
    Chart { caption, height: HEIGHT, bars }
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
    if size > 1 && n / size < 10 { format!("{}.{tenths}{unit}", n / size) } else { format!("{}{unit}", n / size) }
}

fn tables(report: &Report, top: usize) -> Vec<Table> {
    let name = |name| Head { name, number: false };
    let number = |name| Head { name, number: true };
    let attempts = || number("Attempts");
    let unknown = "N/A";
    let mut tables = vec![
        table(
            format!("Top {top} failed authentications"),
            vec![name("User"), name("Address"), name("Host name"), name("Country"), attempts()],
            &report.logins,
            |x| {
                let cells = vec![
                    known(x.user.as_ref(), unknown),
                    known(x.ip.as_ref(), unknown),
                    known(x.hostname.as_ref(), "null"),
                    known(x.country_code.as_ref(), unknown),
                ];
                (cells, x.attempts)
            },
        ),
        table(format!("Top {top} user names"), vec![name("User"), attempts()], &report.users, |x| {
            (vec![known(x.user.as_ref(), unknown)], x.attempts)
        }),
        table(format!("Top {top} countries"), vec![name("Country"), attempts()], &report.countries, |x| {
            (vec![known(x.country_code.as_ref(), unknown)], x.attempts)
        }),
        table(
            format!("Top {top} AS organisations"),
            vec![name("Organisation"), attempts()],
            &report.organisations,
            |x| (vec![known(x.aso.as_ref(), unknown)], x.attempts),
        ),
        table(format!("Top {top} AS numbers"), vec![name("AS"), attempts()], &report.systems, |x| {
            (vec![known(x.asn.as_ref(), unknown)], x.attempts)
        }),
        table(
            format!("Top {top} networks"),
            vec![name("Network"), number("Addresses"), attempts()],
            &report.networks,
            |x| (vec![x.network.to_string(), x.addresses.to_string()], x.attempts),
        ),
        table(
            "Distributed attacks".to_owned(),
            vec![name("User"), number("Addresses"), attempts()],
            &report.distributed_attacks,
            |x| (vec![x.user.clone(), x.addresses.to_string()], x.attempts),
        )
        .remark(format!("one user from {MANY} addresses or more")),
        table(
            "Slow attackers".to_owned(),
            vec![name("Address"), number("Days"), attempts()],
            &report.slow_attackers,
            |x| (vec![x.ip.clone(), x.days.to_string()], x.attempts.into()),
        )
        .remark(format!("seen on {MANY} of 30 days or more, {FEW} tries a day or fewer")),
    ];
    if let Some(new) = &report.new {
        let remark = |distinct: usize| format!("{distinct} never seen in the data before");
        tables.extend([
            table("New addresses".to_owned(), vec![name("Address"), attempts()], &new.addresses, |x| {
                (vec![known(x.ip.as_ref(), unknown)], x.attempts)
            })
            .remark(remark(new.addresses.distinct)),
            table("New user names".to_owned(), vec![name("User"), attempts()], &new.users, |x| {
                (vec![known(x.user.as_ref(), unknown)], x.attempts)
            })
            .remark(remark(new.users.distinct)),
            table("New countries".to_owned(), vec![name("Country"), attempts()], &new.countries, |x| {
                (vec![known(x.country_code.as_ref(), unknown)], x.attempts)
            })
            .remark(remark(new.countries.distinct)),
        ]);
    }
    let failures = &report.reverse_dns_failures;
    tables.push(
        table(
            "Reverse DNS lookup failures".to_owned(),
            vec![name("Status"), name("Meaning"), attempts()],
            failures,
            |x| (vec![x.status.clone(), meaning(&x.status).unwrap_or_default().to_owned()], x.attempts),
        )
        .remark(format!("{} in all", report.failed_reverse_lookups)),
    );
    tables
}

/// A table of a list's items; the count becomes the last column and the bar.
fn table<T>(caption: String, heads: Vec<Head>, list: &List<T>, cells: impl Fn(&T) -> (Vec<String>, u64)) -> Table {
    let rows: Vec<_> = list.top.iter().map(cells).collect();
    let most = rows.iter().map(|(_, attempts)| *attempts).max().unwrap_or_default();
    let rows = rows
        .into_iter()
        .map(|(mut cells, attempts)| {
            cells.push(format!("{}{attempts}", if list.undercount > 0 { "≥ " } else { "" }));
            Row { cells, percent: scaled(attempts, most, 100) }
        })
        .collect();
    Table { caption, remark: None, heads, rows }
}

impl Table {
    fn remark(self, remark: String) -> Self {
        Self { remark: Some(remark), ..self }
    }
}

fn foot(report: &Report, attachment: Option<&str>) -> Vec<String> {
    let csv = report.csv.as_ref().map(|csv| format!("CSV file: {}, {} rows", kibibytes(csv.bytes), csv.rows));
    let version = format!("MailLogSentinel v{}", env!("CARGO_PKG_VERSION"));
    let mut lines = report.notes.clone();
    lines.extend(csv);
    lines.extend(attachment.map(str::to_owned));
    lines.extend([DOCUMENTATION.to_owned(), version]);
    lines
}
