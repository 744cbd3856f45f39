//! `mls-report`: the digest of a day's failed logins.
//!
//! Reads, in one pass, the CSV of mls-csv or the `auth` records of mls-parse and mls-enrich; from FILE or standard input,
//! plain or gzip. Only failures count. Writes the digest on standard output.
//!
//! ```sh
//! mls-report --date yesterday /var/log/maillogsentinel/maillogsentinel.csv
//! zcat mail.log.2.gz | mls-parse | mls-enrich | mls-report --date 2026-06-01
//! ```
//!
//! Memory is bounded: each list counts up to 100,000 distinct keys exactly. Where the data has more, counts are lower
//! bounds and say `at least`. Ties are broken by name, so the same data always gives the same report.

mod args;
mod columns;
mod counter;
mod history;
mod input;
mod period;
mod report;
mod rows;
mod seen;
mod server;
mod table;
mod tally;
mod text;

use std::path::Path;

use mls_cli::Config;
use mls_cli::ndjson::Writer;

pub use args::Args;
pub use period::{Day, Moment};

use input::Source;
use period::Period;
use report::{About, Report};
use server::Server;
use tally::Tally;

/// Runs the tool.
///
/// # Errors
/// Exit 64 for a day that no report can be about, 66 or 77 where FILE cannot be opened, 74 where reading or writing fails.
#[expect(clippy::needless_pass_by_value, reason = "the shape of every tool's run")]
pub fn run(args: Args, config: Config) -> anyhow::Result<()> {
    let zone = args.timezone;
    let generated = zone.now();
    let now = generated.naive_local();
    let period = Period::day(args.date, now);
    let source = match args.file {
        Some(file) if file != Path::new("-") => Source::File(file, None),
        _ => Source::Stdin,
    };
    let mut tally = Tally::new(&period);
    let extent = source.read(zone, |row, offset| tally.add(row, period.place(row.date, offset)))?;
    let about = About {
        period: &period,
        extent: &extent,
        file_name: source.file_name(),
        server: Server::this(),
        interval: Some(config.systemd.extraction_schedule).filter(|interval| !interval.is_empty()),
        generated,
        zone,
        top: args.top.into(),
    };
    let report = Report::new(&tally, about);
    let attachment =
        report.csv.as_ref().and_then(|csv| csv.name.as_ref()).map(|name| format!("Please see attached: {name}"));
    let text = text::render(&report, args.top.into(), attachment.as_deref());
    let mut out = Writer::stdout()?;
    out.with(|buffer| buffer.extend_from_slice(text.as_bytes()))?;
    out.flush()
}
