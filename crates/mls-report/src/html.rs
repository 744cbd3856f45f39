//! The report as one self-contained page, and as the HTML part of a mail.
//!
//! The page has no script and loads nothing: its Content-Security-Policy forbids both. Layout,
//! charts and bars are tables with background colours, because Gmail, Outlook and Thunderbird
//! remove or ignore SVG, grids and scripts. Names that clients chose are escaped. Each name is in a
//! `<bdi>` element, so that it cannot change the direction of the text around the name.

use std::net::IpAddr;

use askama::Template;
use mls_event::country_name;

use crate::report::Report;
use crate::sections::{
    self, Cell, CellKind, Section, SectionBody, SectionColumn, SectionRow, sections,
};
use crate::summary;
use crate::text::{DOCUMENTATION, WEEKDAYS, shade};
use crate::words::{duration, kibibytes, number, safe, scaled, short, thousands};

/// Height of the highest column of a chart in pixels.
const HEIGHT: u64 = 90;

/// Largest width of a column of a chart, in percent of the width of the page.
const WIDEST: usize = 8;

/// Commands and settings in sentences. The page shows them as code.
const CODE: [&str; 5] = [
    "maillogsentinel --setup --interactive",
    "maillogsentinel --status",
    "mls-ipdb update",
    "mls-parse --outcome failure,success",
    "record = yes",
];

/// A table with fewer rows gets only one view, not sorted views.
const MIN_SORTED: usize = 4;

/// Where the HTML is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Medium {
    /// A browser. Readers can open views of a table in other orders.
    Page,
    /// A mail program. It may show all views at once, so a table has only one view and no commands.
    Mail,
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    report: &'a Report,
    headline: String,
    /// The headline as HTML.
    title: String,
    address: String,
    /// The period as HTML.
    period: String,
    /// The sentences after the headline, as HTML.
    sentences: Vec<String>,
    figures: Vec<Figure>,
    /// Each line has one card, or two cards side by side.
    lines: Vec<Vec<Card>>,
    /// The lines at the end of the page, as HTML.
    foot: Vec<String>,
}

/// A number in a large font.
struct Figure {
    name: &'static str,
    value: String,
    remark: String,
}

struct Card {
    caption: String,
    remark: Option<String>,
    is_wide: bool,
    content: CardContent,
}

enum CardContent {
    /// `width` is in percent of the page.
    Columns {
        width: usize,
        groups: Vec<Group>,
        bars: Vec<HtmlBar>,
    },
    Heat {
        hours: Vec<String>,
        weekdays: Vec<Weekday>,
    },
    Table(HtmlTable),
}

/// Adjacent bars under one name, for example the days of a month.
struct Group {
    name: String,
    width: usize,
}

struct HtmlBar {
    label: String,
    short: String,
    title: String,
    height: u64,
    is_pale: bool,
}

struct Weekday {
    name: &'static str,
    hours: Vec<HeatCell>,
}

struct HeatCell {
    shade: usize,
    short: String,
    title: String,
}

struct HtmlTable {
    heads: Vec<HtmlColumn>,
    has_bars: bool,
    is_wide: bool,
    /// The first view is sorted by attempts. Each further view is sorted by one of the columns.
    views: Vec<View>,
    unknown: Option<String>,
    commands: Vec<String>,
}

/// A column: its name, and the CSS class of its cells.
struct HtmlColumn {
    name: &'static str,
    class: &'static str,
}

/// The rows of a table in one order.
struct View {
    /// The column by which the rows are sorted. `None` means by attempts.
    sorted_by: Option<&'static str>,
    rows: Vec<HtmlRow>,
}

#[derive(Clone)]
struct HtmlRow {
    cells: Vec<String>,
    /// The attempts, in percent of the largest number of attempts in the table.
    percent: u64,
}

/// Returns the HTML. `top` is `--top`, `attachment` the sentence about the attached file.
pub(crate) fn render(
    report: &Report,
    top: usize,
    attachment: Option<&str>,
    medium: Medium,
) -> anyhow::Result<String> {
    let cards = sections(report, top).into_iter().map(|section| card(section, medium));
    let (charts, tables): (Vec<_>, Vec<_>) =
        cards.partition(|card| !matches!(card.content, CardContent::Table(_)));
    let mut sentences = summary::sentences(report);
    let headline = sentences.remove(0);
    let headline = headline.trim_end_matches('.');
    let page = Page {
        report,
        headline: headline.to_owned(),
        title: marked_up(headline),
        period: marked_up(&report.period.label),
        address: report.address().map_or_else(String::new, |ip| format!(" ({ip})")),
        sentences: sentences.iter().map(|sentence| marked_up(sentence)).collect(),
        figures: if report.attempts == 0 { Vec::new() } else { figures(report) },
        lines: in_lines(charts.into_iter().chain(tables)),
        foot: foot(report, attachment).iter().map(|line| marked_up(line)).collect(),
    };
    Ok(page.render()?)
}

/// Returns a sentence as HTML. Its commands become `<code>`, and a line never breaks within a date.
fn marked_up(sentence: &str) -> String {
    let Ok(escaped) = askama::filters::escape(sentence, askama::filters::Html);
    let html = CODE.iter().fold(escaped.to_string(), |html, code| {
        html.replace(code, &format!("<code>{code}</code>"))
    });
    let words = html.split(' ').map(|word| match word.split_at_checked(DATE.len()) {
        Some((date, rest)) if is_date(date) => format!("<span class=\"date\">{date}</span>{rest}"),
        _ => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// The form of a date: `0` is any digit.
const DATE: &str = "0000-00-00";

fn is_date(text: &str) -> bool {
    text.bytes().map(|byte| if byte.is_ascii_digit() { b'0' } else { byte }).eq(DATE.bytes())
}

/// Two consecutive narrow cards share a line. A narrow card alone in a line gets the whole width.
fn in_lines(cards: impl Iterator<Item = Card>) -> Vec<Vec<Card>> {
    let mut lines: Vec<Vec<Card>> = Vec::new();
    for card in cards {
        match lines.last_mut() {
            Some(line) if !card.is_wide && line.len() == 1 && !line[0].is_wide => line.push(card),
            _ => lines.push(vec![card]),
        }
    }
    lines
}

fn figures(report: &Report) -> Vec<Figure> {
    let counted = |name, distinct: usize, new: Option<usize>| Figure {
        name,
        value: thousands(distinct as u64),
        remark: new
            .map_or_else(String::new, |new| format!("{} never seen before", thousands(new as u64))),
    };
    let new = report.new.as_ref();
    let remark = match (report.usual_attempts, report.previous_attempts) {
        (Some(usual), _) => format!("{} on a usual day", thousands(usual)),
        (None, Some(before)) => format!("{} in the period before", thousands(before)),
        (None, None) => String::new(),
    };
    let (addresses, users, countries) = (&report.addresses, &report.users, &report.countries);
    let mut figures = vec![
        Figure { name: "Attempts", value: thousands(report.attempts), remark },
        counted("Addresses", addresses.distinct, new.map(|new| new.addresses.distinct)),
        counted("User names", users.distinct, new.map(|new| new.users.distinct)),
    ];
    if countries.distinct > 0 {
        let new = new.map(|new| new.countries.distinct);
        figures.push(counted("Countries", countries.distinct, new));
    }
    figures
}

fn card(section: Section, medium: Medium) -> Card {
    let Section { title: caption, note: remark, body } = section;
    let content = match body {
        SectionBody::Chart(chart) => columns(&chart),
        SectionBody::HeatMap(weekdays) => heat(&weekdays),
        SectionBody::Table(table) | SectionBody::Errors { table, .. } => {
            CardContent::Table(show_table(table, medium))
        }
    };
    let is_wide = match &content {
        CardContent::Table(table) => table.is_wide,
        _ => true,
    };
    Card { caption, remark, is_wide, content }
}

fn columns(chart: &sections::Chart) -> CardContent {
    let most = chart.bars.iter().map(|bar| bar.attempts).max().unwrap_or_default();
    let groups = chart.bars.chunk_by(|a, b| a.group == b.group).filter_map(|bars| {
        let name = bars.first().map(|bar| bar.group.clone()).filter(|name| !name.is_empty());
        // A group of fewer than four bars has no room for a name. In a range of days, only the
        // first and the last month can be so short.
        Some(Group { name: if bars.len() < 4 { String::new() } else { name? }, width: bars.len() })
    });
    let bars = chart.bars.iter().map(|bar| HtmlBar {
        label: bar.label.clone(),
        short: if bar.attempts == 0 { String::new() } else { short(bar.attempts) },
        title: format!("{}: {}", bar.name, number(bar.attempts, "attempt", "attempts")),
        height: scaled(bar.attempts, most, HEIGHT),
        is_pale: !bar.is_inside,
    });
    let width = (chart.bars.len() * WIDEST).min(100);
    CardContent::Columns { width, groups: groups.collect(), bars: bars.collect() }
}

fn heat(weekdays: &[[u64; 24]; 7]) -> CardContent {
    let most = weekdays.iter().flatten().copied().max().unwrap_or_default();
    let cell = |name: &str, hour: usize, n: u64| HeatCell {
        shade: shade(n, most),
        short: if n == 0 { String::new() } else { short(n) },
        title: format!("{name} {hour:02}:00: {}", number(n, "attempt", "attempts")),
    };
    let weekdays = WEEKDAYS.iter().zip(weekdays).map(|(name, hours)| Weekday {
        name,
        hours: hours.iter().enumerate().map(|(hour, n)| cell(name, hour, *n)).collect(),
    });
    let hours = (0..24).map(|hour| format!("{hour:02}")).collect();
    CardContent::Heat { hours, weekdays: weekdays.collect() }
}

/// Appends the number of attempts to each row. This number also decides the length of the bar.
fn show_table(table: sections::SectionTable, medium: Medium) -> HtmlTable {
    let sections::SectionTable { columns, rows, unknown, is_wide, has_bars, commands } = table;
    let most = rows.iter().map(|row| row.attempts).max().unwrap_or_default();
    let shown: Vec<_> = (rows.iter())
        .map(|row| {
            let cells = columns.iter().zip(&row.cells).map(|(column, cell)| show(cell, column));
            let cells = cells.chain([thousands(row.attempts)]).collect();
            HtmlRow { cells, percent: scaled(row.attempts, most, 100) }
        })
        .collect();
    let mut heads: Vec<_> = columns.iter().map(head).collect();
    heads.push(HtmlColumn { name: "Attempts", class: "number" });
    let has_views = medium == Medium::Page && is_wide && rows.len() >= MIN_SORTED;
    let by_columns = if has_views { sorted(&columns, &rows, &shown) } else { Vec::new() };
    let by_attempts = View { sorted_by: None, rows: shown };
    HtmlTable {
        heads,
        has_bars,
        is_wide,
        views: [by_attempts].into_iter().chain(by_columns).collect(),
        unknown: (unknown > 0).then(|| thousands(unknown)),
        commands: if medium == Medium::Page { commands } else { Vec::new() },
    }
}

/// Returns a sorted view for each column in which cells differ. Numbers, durations and addresses
/// are sorted by their value, other cells by their text.
fn sorted(columns: &[SectionColumn], rows: &[SectionRow], shown: &[HtmlRow]) -> Vec<View> {
    let view = |(i, column): (usize, &SectionColumn)| {
        let key = |n: &usize| {
            let text = &shown[*n].cells[i];
            let number = match rows[*n].cells[i] {
                Cell::Number(number) => Some(number.into()),
                Cell::Minutes(minutes) => Some(minutes.into()),
                Cell::Text(_) => None::<i128>,
            };
            (number, text.parse::<IpAddr>().ok(), text.as_str())
        };
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by(|a, b| key(a).cmp(&key(b)));
        let differs = shown[*order.first()?].cells[i] != shown[*order.last()?].cells[i];
        let rows = order.iter().map(|n| shown[*n].clone()).collect();
        differs.then_some(View { sorted_by: Some(column.name), rows })
    };
    columns.iter().enumerate().filter_map(view).collect()
}

fn show(cell: &Cell, column: &SectionColumn) -> String {
    match (cell, column.kind) {
        (Cell::Number(n), _) => thousands(*n),
        (Cell::Minutes(minutes), _) => duration(*minutes),
        (Cell::Text(Some(code)), CellKind::Country) => match country_name(code) {
            Some(name) => format!("{name} ({code})"),
            None => safe(code),
        },
        (Cell::Text(text), _) => text.as_ref().map_or_else(String::new, safe),
    }
}

fn head(column: &SectionColumn) -> HtmlColumn {
    let class = match column.kind {
        CellKind::Name => "name",
        CellKind::Country => "words",
        CellKind::Code => "whole",
        CellKind::Number { .. } => "number",
    };
    HtmlColumn { name: column.name, class }
}

fn foot(report: &Report, attachment: Option<&str>) -> Vec<String> {
    let csv = report.csv.as_ref().map(|csv| {
        format!("CSV file: {}, {}", kibibytes(csv.bytes), number(csv.rows, "row", "rows"))
    });
    let interval = report.extraction_interval.as_ref();
    let mut lines = report.notes.clone();
    lines.extend(csv);
    lines.extend(attachment.map(str::to_owned));
    lines.extend(interval.map(|interval| format!("Extraction interval: {interval}")));
    lines.extend([DOCUMENTATION.to_owned()]);
    lines.push(format!("MailLogSentinel v{}", env!("CARGO_PKG_VERSION")));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_is_sorted_by_the_value_of_its_column() {
        let texts = |texts: [&str; 3]| texts.map(|text| Cell::Text(Some(text.to_owned())));
        for (cells, expected) in [
            ([2880, 600, 7200].map(Cell::Minutes), ["10 h", "2 days", "5 days"]),
            ([1000, 7, 30].map(Cell::Number), ["7", "30", "1,000"]),
            (texts(["10.0.0.2", "9.0.0.1", "2001::1"]), ["9.0.0.1", "10.0.0.2", "2001::1"]),
            (texts(["b", "", "a"]), ["", "a", "b"]),
        ] {
            let columns = [SectionColumn { name: "Column", kind: CellKind::Code }];
            let rows = cells.map(|cell| SectionRow { cells: vec![cell], attempts: 1 });
            let shown = rows
                .iter()
                .map(|row| HtmlRow { cells: vec![show(&row.cells[0], &columns[0])], percent: 0 });
            let views = sorted(&columns, &rows, &shown.collect::<Vec<_>>());
            let order: Vec<_> = views[0].rows.iter().map(|row| row.cells[0].as_str()).collect();
            assert_eq!(order, expected);
        }
    }
}
