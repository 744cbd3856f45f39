//! The report as plain text, in the layout that administrators know from the Python original.

use std::fmt::Write;

use mls_event::clean;
use unicode_width::UnicodeWidthStr;

use crate::columns::Align::{self, Left, Right};
use crate::columns::line_up;
use crate::report::Report;
use crate::sections::{Body, Cell, Chart, Column, Kind, Row, Section, Table, sections};
use crate::verdict::Verdict;
use crate::words::{change, kibibytes, known, number, times};

/// Longest bar of a chart.
const BAR: u64 = 40;

/// The whole report; `top` is how long a list may be, `attachment` the sentence about the attached file.
pub(crate) fn render(report: &Report, top: usize, attachment: Option<&str>) -> String {
    let mut out = head(report);
    // Writing to a String cannot fail.
    let _ = write_body(&mut out, report, top, attachment);
    out
}

/// The box of number signs.
fn head(report: &Report) -> String {
    let address = report.server.address.map_or_else(|| "unknown".to_owned(), |ip| ip.to_string());
    let lines = [
        format!("MailLogSentinel v{}", env!("CARGO_PKG_VERSION")),
        format!(
            "Extraction interval : {}",
            report.extraction_interval.as_deref().unwrap_or("unknown")
        ),
        format!("Report at {}", report.generated.format("%Y-%m-%d %H:%M")),
        format!("Server: {address}   ({})", report.server.name),
    ]
    .map(|line| clean(line.as_bytes()).into_owned());
    let width = lines.iter().map(|line| line.width()).max().unwrap_or_default();
    let border = "#".repeat(width + 9);
    let mut out = format!("{border}\n");
    for line in lines {
        out.extend(["### ", &line, &" ".repeat(width - line.width()), "  ###\n"]);
    }
    out + &border + "\n\n"
}

fn write_body(
    out: &mut String,
    report: &Report,
    top: usize,
    attachment: Option<&str>,
) -> std::fmt::Result {
    write_verdict(out, &report.verdict)?;
    let label = &report.period.label;
    writeln!(out, "Total attempts {label}: {}\n", report.attempts)?;
    for section in sections(report, top) {
        write_section(out, &section, label)?;
    }
    writeln!(
        out,
        "Change against the {} before:",
        if report.period.is_day { "day" } else { "period" }
    )?;
    writeln!(out, "  {}\n", change(report.attempts, report.previous_attempts))?;

    for note in &report.notes {
        writeln!(out, "Note: {note}\n")?;
    }
    if let Some(csv) = &report.csv {
        writeln!(out, "Total CSV file size: {}", kibibytes(csv.bytes))?;
        writeln!(out, "Total CSV lines:     {}\n", csv.rows)?;
    }
    if let Some(attachment) = attachment {
        writeln!(out, "{attachment}\n")?;
    }
    writeln!(out, "{DOCUMENTATION}")
}

fn write_verdict(out: &mut String, verdict: &Verdict) -> std::fmt::Result {
    writeln!(out, "{}\n", verdict.headline)?;
    for account in &verdict.accounts {
        writeln!(out, "  {}", account.user)?;
        for evidence in &account.evidence {
            writeln!(out, "    - {evidence}")?;
        }
        for step in &account.steps {
            writeln!(out, "    * {step}")?;
        }
        writeln!(out)?;
    }
    verdict.remarks.iter().try_for_each(|remark| writeln!(out, "{remark}\n"))
}

/// Where to read on.
pub(crate) const DOCUMENTATION: &str = "For more details and documentation, see: man mls-report";

fn write_section(out: &mut String, section: &Section, label: &str) -> std::fmt::Result {
    let Section { title, note, body } = section;
    match body {
        Body::Errors { total, table } => {
            writeln!(out, "--- {title} ---\nTotal failed reverse lookups {label}: {total}")?;
            write_errors(out, table)
        }
        Body::Table(table) => {
            let note = note.as_ref().map_or_else(String::new, |note| format!(" ({note})"));
            writeln!(out, "{title} {label}{note}:")?;
            write_table(out, table)
        }
        Body::Chart(chart) if chart.is_in_text => {
            writeln!(out, "{title} {label}:")?;
            write_chart(out, chart)
        }
        Body::Chart(_) => Ok(()),
    }
}

fn write_errors(out: &mut String, table: &Table) -> std::fmt::Result {
    if !table.rows.is_empty() {
        writeln!(out, "Breakdown by error type:")?;
    }
    let cell = |row: &Row, i: usize| show(&row.cells[i], &table.columns[i]);
    let width = table.rows.iter().map(|row| cell(row, 0).width()).max().unwrap_or_default();
    for row in &table.rows {
        let (name, meaning) = (cell(row, 0), cell(row, 1));
        let meaning = if meaning.is_empty() { meaning } else { format!("  ({meaning})") };
        let blanks = " ".repeat(width - name.width());
        writeln!(out, "  {name}{blanks} : {}{meaning}", row.attempts)?;
    }
    writeln!(out)
}

/// Ranks and lines up the rows.
fn write_table(out: &mut String, table: &Table) -> std::fmt::Result {
    if table.rows.is_empty() {
        writeln!(out, "  (none)")?;
    }
    let mut columns: Vec<_> = table.columns.iter().map(align).collect();
    columns.push(Right);
    let rows: Vec<Vec<_>> = (table.rows.iter())
        .map(|row| {
            let cells = table.columns.iter().zip(&row.cells);
            let mut cells: Vec<_> = cells.map(|(column, cell)| show(cell, column)).collect();
            cells.push(times(row.attempts, table.is_exact));
            cells
        })
        .collect();
    for (rank, line) in (1..).zip(line_up(&columns, &rows)) {
        writeln!(out, "  {rank:>2}. {line}")?;
    }
    writeln!(out)
}

fn align(column: &Column) -> Align {
    if matches!(column.kind, Kind::Number { .. }) { Right } else { Left }
}

fn show(cell: &Cell, column: &Column) -> String {
    match (cell, column.kind) {
        (Cell::Text(text), Kind::Name { unknown } | Kind::Code { unknown }) => {
            known(text.as_ref(), unknown)
        }
        (Cell::Text(text), Kind::Number { .. }) => known(text.as_ref(), ""),
        (Cell::Number(n), Kind::Number { one, many }) => number(*n, one, many),
        (Cell::Number(n), _) => n.to_string(),
    }
}

fn write_chart(out: &mut String, chart: &Chart) -> std::fmt::Result {
    let most = chart.bars.iter().map(|bar| bar.attempts).max().unwrap_or_default().max(1);
    let rows: Vec<_> = (chart.bars.iter())
        .map(|bar| {
            // The product of a count and a bar's length may not fit 64 bits.
            let length = (u128::from(bar.attempts) * u128::from(BAR)).div_ceil(u128::from(most));
            vec![
                format!("  {}", bar.label),
                bar.attempts.to_string(),
                "#".repeat(usize::try_from(length).unwrap_or_default()),
            ]
        })
        .collect();
    for line in line_up(&[Left, Right, Left], &rows) {
        writeln!(out, "{line}")?;
    }
    writeln!(out)
}
