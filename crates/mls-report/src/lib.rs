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
mod digest;
mod input;
mod period;
mod rows;
mod server;
mod text;

use std::path::Path;

use mls_cli::ndjson::Writer;
use mls_cli::{Config, Exit};

pub use args::Args;
pub use period::Day;

use digest::Digest;
use period::Period;
use server::Server;

/// Runs the tool.
///
/// # Errors
/// Exit 64 for a day that no report can be about, 66 or 77 where FILE cannot be opened, 74 where reading or writing fails.
#[expect(clippy::needless_pass_by_value, reason = "the shape of every tool's run")]
pub fn run(args: Args, config: Config) -> anyhow::Result<()> {
    let now = args.timezone.now().naive_local();
    let period = Period::day(args.date, now)
        .ok_or_else(|| Exit::Usage.error("--date names a day that dates of four-digit years cannot enclose"))?;
    let file = args.file.as_deref().filter(|file| *file != Path::new("-"));
    let mut digest = Digest::default();
    let extent = input::read(file, args.timezone, |row| digest.add(row, &period))?;
    let csv_name = file.filter(|_| extent.csv).and_then(Path::file_name).map(|name| name.to_string_lossy());
    let text = text::render(
        &digest,
        &text::Frame {
            label: &period.label,
            now,
            server: &Server::this(),
            interval: &config.systemd.extraction_schedule,
            extent: &extent,
            csv_name: csv_name.as_deref(),
            top: args.top.into(),
        },
    );
    let mut out = Writer::stdout()?;
    out.with(|buffer| buffer.extend_from_slice(text.as_bytes()))?;
    out.flush()
}
