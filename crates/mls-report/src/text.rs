//! The report as plain text, in the layout that administrators know from the Python original.

use std::fmt::Write;

use mls_event::clean;
use unicode_width::UnicodeWidthStr;

use crate::columns::Align::{self, Left, Right, Whole};
use crate::columns::{WIDTH, ellipsis, line_up, wrap};
use crate::report::Report;
use crate::sections::{
    Cell, CellKind, Chart, Section, SectionBody, SectionColumn, SectionRow, SectionTable, sections,
};
use crate::summary;
use crate::verdict::Verdict;
use crate::words::{duration, kibibytes, number, safe, scaled, thousands, times};

/// Length of the longest bar of a chart, in characters.
const BAR: u64 = 40;

/// Shades of a heat map, from none to most.
const SHADES: [char; 10] = ['.', ':', '-', '=', '+', 'o', '*', 'x', '%', '#'];

/// The text for an unknown value in a row.
const UNKNOWN: &str = "-";

/// Returns the text. `top` is `--top`, `attachment` the sentence about the attached file.
pub(crate) fn render(report: &Report, top: usize, attachment: Option<&str>) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = if is_quiet(report) {
        write_quiet(&mut out, report)
    } else {
        write_all(&mut out, report, top, attachment)
    };
    out
}

/// Whether there is nothing to list.
fn is_quiet(report: &Report) -> bool {
    report.attempts == 0
        && report.verdict.accounts.is_empty()
        && report.silent_servers.top.is_empty()
}

/// Writes three lines: the verdict, the count, and the notes with what to do.
fn write_quiet(out: &mut String, report: &Report) -> std::fmt::Result {
    let address = report.address().map_or_else(String::new, |ip| format!(" ({ip})"));
    let name = clean(report.name().as_bytes());
    let at = report.generated.format("%Y-%m-%d %H:%M");
    let verdict = report.verdict.headline.as_deref().unwrap_or(NOT_RECORDED);
    writeln!(out, "{name}{address}, {at}: {verdict}.")?;
    write_total(out, report)?;
    writeln!(out, "{} {}", report.notes.join(" "), summary::what_to_do(report))
}

const NOT_RECORDED: &str = "successful logins were not read (see mls-report(1))";

/// The box of `#` at the top of the digest.
fn head(report: &Report) -> String {
    let server = match (&report.title, report.address()) {
        (Some(title), _) => title.clone(),
        (None, Some(ip)) => format!("Server: {ip}   ({})", report.server.name),
        (None, None) => format!("Server: ({})", report.server.name),
    };
    let interval = report.extraction_interval.as_ref();
    let lines = [
        Some(format!("MailLogSentinel v{}", env!("CARGO_PKG_VERSION"))),
        interval.map(|interval| format!("Extraction interval : {interval}")),
        Some(format!("Report at {}", report.generated.format("%Y-%m-%d %H:%M"))),
        Some(server),
    ];
    let lines: Vec<_> = (lines.into_iter().flatten())
        .map(|line| ellipsis(&clean(line.as_bytes()), WIDTH - 9))
        .collect();
    let width = lines.iter().map(|line| line.width()).max().unwrap_or_default();
    let border = "#".repeat(width + 9);
    let mut out = format!("{border}\n");
    for line in lines {
        out.extend(["### ", &line, &" ".repeat(width - line.width()), "  ###\n"]);
    }
    out + &border + "\n\n"
}

fn write_all(
    out: &mut String,
    report: &Report,
    top: usize,
    attachment: Option<&str>,
) -> std::fmt::Result {
    out.push_str(&head(report));
    for sentence in summary::sentences(report) {
        writeln!(out, "{}", wrap(&sentence, WIDTH, "  "))?;
    }
    writeln!(out)?;
    write_accounts(out, &report.verdict)?;
    write_total(out, report)?;
    writeln!(out)?;
    for section in sections(report, top) {
        write_section(out, &section, &report.period.label)?;
    }
    for note in &report.notes {
        writeln!(out, "{}\n", wrap(&format!("Note: {note}"), WIDTH, "  "))?;
    }
    if let Some(csv) = &report.csv {
        writeln!(out, "Total CSV file size: {}", kibibytes(csv.bytes))?;
        writeln!(out, "Total CSV lines:     {}\n", thousands(csv.rows))?;
    }
    if let Some(attachment) = attachment {
        writeln!(out, "{attachment}\n")?;
    }
    writeln!(out, "{DOCUMENTATION}")
}

fn write_total(out: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(out, "Total attempts {}: {}", report.period.label, thousands(report.attempts))
}

fn write_accounts(out: &mut String, verdict: &Verdict) -> std::fmt::Result {
    for account in &verdict.accounts {
        writeln!(out, "  {}", account.user)?;
        for evidence in &account.evidence {
            writeln!(out, "{}", wrap(&format!("    - {evidence}"), WIDTH, "      "))?;
        }
        for step in &account.steps {
            // A command stays on one line, so that it can be copied.
            writeln!(out, "    * {step}")?;
        }
        writeln!(out)?;
    }
    verdict.remarks.iter().try_for_each(|remark| writeln!(out, "{remark}\n"))
}

pub(crate) const DOCUMENTATION: &str = "For more details and documentation, see: man mls-report";

fn write_section(out: &mut String, section: &Section, label: &str) -> std::fmt::Result {
    let Section { title, note, body } = section;
    match body {
        SectionBody::Errors { total, table } => {
            let total = thousands(*total);
            writeln!(out, "--- {title} ---\nTotal failed reverse lookups {label}: {total}")?;
            write_errors(out, table)?;
        }
        SectionBody::Table(table) => {
            let note = note.as_ref().map_or_else(String::new, |note| format!(" ({note})"));
            writeln!(out, "{}", wrap(&format!("{title} {label}{note}:"), WIDTH, "  "))?;
            write_table(out, table)?;
        }
        SectionBody::Chart(chart) if chart.is_in_text => {
            writeln!(out, "{title} {label}:")?;
            write_chart(out, chart)?;
        }
        SectionBody::Chart(_) => return Ok(()),
        SectionBody::HeatMap(weekdays) => {
            writeln!(out, "{title} {label}:")?;
            write_heat_map(out, weekdays)?;
        }
    }
    writeln!(out)
}

fn write_errors(out: &mut String, table: &SectionTable) -> std::fmt::Result {
    writeln!(out, "Breakdown by error type:")?;
    let cell = |row: &SectionRow, i: usize| match row.cells.get(i)? {
        Cell::Text(text) => text.as_ref().map(safe),
        Cell::Number(_) | Cell::Minutes(_) => None,
    };
    let name = |row: &SectionRow| ellipsis(&cell(row, 0).unwrap_or_default(), WIDTH / 4);
    let width = table.rows.iter().map(|row| name(row).width()).max().unwrap_or_default();
    for row in &table.rows {
        let name = name(row);
        let meaning = cell(row, 1).map_or_else(String::new, |meaning| format!("  ({meaning})"));
        let blanks = " ".repeat(width - name.width());
        writeln!(out, "  {name}{blanks} : {}{meaning}", thousands(row.attempts))?;
    }
    Ok(())
}

/// Writes the rows with their ranks, in columns.
fn write_table(out: &mut String, table: &SectionTable) -> std::fmt::Result {
    let mut columns: Vec<_> = table.columns.iter().map(align).collect();
    columns.push(Right);
    let rows: Vec<Vec<_>> = (table.rows.iter())
        .map(|row| {
            let cells = table.columns.iter().zip(&row.cells);
            let cells = cells.map(|(column, cell)| show(cell, column));
            cells.chain([times(row.attempts)]).collect()
        })
        .collect();
    let digits = table.rows.len().to_string().len().max(2);
    for (rank, line) in (1..).zip(line_up(&columns, &rows, WIDTH - digits - 4)) {
        writeln!(out, "  {rank:>digits$}. {line}")?;
    }
    if table.unknown > 0 {
        let blanks = " ".repeat(digits);
        writeln!(out, "  {blanks}  (not known: {})", times(table.unknown))?;
    }
    Ok(())
}

fn align(column: &SectionColumn) -> Align {
    match column.kind {
        CellKind::Name | CellKind::Country => Left,
        CellKind::Code => Whole,
        CellKind::Number { .. } => Right,
    }
}

fn show(cell: &Cell, column: &SectionColumn) -> String {
    match (cell, column.kind) {
        (Cell::Text(text), _) => text.as_ref().map_or_else(|| UNKNOWN.to_owned(), safe),
        (Cell::Number(n), CellKind::Number { one, many }) => number(*n, one, many),
        (Cell::Number(n), _) => thousands(*n),
        (Cell::Minutes(minutes), _) => duration(*minutes),
    }
}

/// A line for each bar that is not empty.
fn write_chart(out: &mut String, chart: &Chart) -> std::fmt::Result {
    let most = chart.bars.iter().map(|bar| bar.attempts).max().unwrap_or_default();
    let rows: Vec<_> = (chart.bars.iter())
        .filter(|bar| bar.attempts > 0)
        .map(|bar| {
            let length = usize::try_from(scaled(bar.attempts, most, BAR)).unwrap_or_default();
            vec![format!("  {}", bar.label), thousands(bar.attempts), "#".repeat(length)]
        })
        .collect();
    line_up(&[Left, Right, Left], &rows, WIDTH).iter().try_for_each(|line| writeln!(out, "{line}"))
}

/// A line for each weekday, with two equal characters for each hour.
fn write_heat_map(out: &mut String, weekdays: &[[u64; 24]; 7]) -> std::fmt::Result {
    let most = weekdays.iter().flatten().copied().max().unwrap_or_default();
    writeln!(out, "       0     3     6     9     12    15    18    21")?;
    for (name, hours) in WEEKDAYS.iter().zip(weekdays) {
        let shades = hours.iter().flat_map(|n| std::iter::repeat_n(SHADES[shade(*n, most)], 2));
        let total = thousands(hours.iter().sum());
        writeln!(out, "  {name}  {}  {total}", shades.collect::<String>())?;
    }
    Ok(())
}

pub(crate) const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// The shade of a count, from 0 for none to 9 for the greatest.
pub(crate) fn shade(n: u64, most: u64) -> usize {
    usize::try_from(scaled(n, most, 9)).unwrap_or(9).min(9)
}
