//! The report as one self-contained page, which is also the HTML part of the mail.
//!
//! No script and nothing from outside, which the page's own Content-Security-Policy enforces. Mail programs that take SVG
//! out leave every number: the bars are SVG, and all text is in the tables around them. Names that clients chose are escaped,
//! and isolated in `<bdi>`, so that they cannot turn the direction of the text around them.

use std::fmt::Display;

use askama::Template;

use crate::report::Report;
use crate::sections::{self, Cell, Column, Kind, Section, sections};
use crate::text::DOCUMENTATION;
use crate::words::{change, kibibytes, known, number};

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
    charts: Vec<Chart>,
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
    /// Whether it has the full width of the page.
    wide: bool,
    /// Whether there is room for a bar beside each count.
    bars: bool,
    heads: Vec<Head>,
    rows: Vec<Row>,
}

/// A column: its name, and the class of its cells.
struct Head {
    name: &'static str,
    class: &'static str,
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
    let (mut charts, mut tables) = (Vec::new(), Vec::new());
    for Section { title, note, body } in sections(report, top) {
        match body {
            sections::Body::Chart(chart) => charts.push(show_chart(title, &chart)),
            sections::Body::Table(table) | sections::Body::Errors { table, .. } => {
                tables.push(show_table(title, note, table));
            }
        }
    }
    let page = Page {
        report,
        attempts: number(report.attempts, "failed login", "failed logins"),
        address: known(report.server.address.as_ref(), "address unknown"),
        interval: report.extraction_interval.as_deref().unwrap_or("unknown"),
        figures: figures(report),
        charts,
        tables,
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

fn show_chart(caption: String, chart: &sections::Chart) -> Chart {
    let most = chart.bars.iter().map(|bar| bar.attempts).max().unwrap_or_default();
    let bars = chart.bars.iter().map(|bar| Bar {
        label: bar.label.clone(),
        short: if bar.attempts == 0 { String::new() } else { short(bar.attempts) },
        title: format!("{}: {} attempts", bar.name, bar.attempts),
        height: scaled(bar.attempts, most, HEIGHT),
        pale: !bar.is_inside,
    });
    Chart { caption, height: HEIGHT, bars: bars.collect() }
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

/// The number of attempts becomes the last column and the bar.
fn show_table(caption: String, remark: Option<String>, table: sections::Table) -> Table {
    let sections::Table { columns, rows, is_exact, is_wide } = table;
    let most = rows.iter().map(|row| row.attempts).max().unwrap_or_default();
    let rows = rows.iter().map(|row| {
        let cells =
            columns.iter().zip(&row.cells).map(|(column, cell)| match (cell, column.kind) {
                (Cell::Number(n), _) => n.to_string(),
                (Cell::Text(text), Kind::Name { unknown } | Kind::Code { unknown }) => {
                    known(text.as_ref(), unknown)
                }
                (Cell::Text(text), Kind::Number { .. }) => known(text.as_ref(), ""),
            });
        let cells = cells.chain([bound(row.attempts, is_exact)]).collect();
        Row { cells, percent: scaled(row.attempts, most, 100) }
    });
    let rows = rows.collect();
    let mut heads: Vec<_> = columns.iter().map(head).collect();
    heads.push(Head { name: "Attempts", class: "number" });
    Table { caption, remark, wide: is_wide, bars: heads.len() == 2, heads, rows }
}

fn head(column: &Column) -> Head {
    let class = match column.kind {
        Kind::Name { .. } => "name",
        Kind::Code { .. } => "whole",
        Kind::Number { .. } => "number",
    };
    Head { name: column.name, class }
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
