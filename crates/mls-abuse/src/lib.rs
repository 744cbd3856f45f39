//! `mls-abuse` writes a report about the failed logins from one address or network, for the abuse
//! contact of its owner.
//!
//! # Reads
//! mls-abuse reads the CSV of mls-csv, or the `auth` records of mls-parse and mls-enrich, from FILE or
//! standard input. Only failures count. With `--log`, it also reads a mail log.
//!
//! # Writes
//! mls-abuse writes a report to standard output: text for a mail, or JSON of X-ARF version 4
//! (`connection`, `login_attack`). The report has the addresses, the times (in UTC), the number of
//! attempts, the services and the client ports, as far as the input contains them. It shows the newest
//! 50 attempts. Owner and country of the network come from mls-enrich.
//!
//! # Guarantees
//! - mls-abuse sends nothing. `whois IP` shows the address of the abuse contact.
//! - The report contains no user names, except in lines of a log that `--log` adds.
//! - The same data gives the same report, with the same `report_id`.
//! - Memory is bounded: at most 1,000 different services, ports and addresses are counted.
//!
//! # Example
//! ```text
//! mls-tail mail.log | mls-parse | mls-enrich | mls-abuse 192.0.2.1 --reporter 'Example Ltd <abuse@example.org>'
//! ```

#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub mod fuzz;

mod args;
mod evidence;
mod reporter;
mod text;
mod xarf;

use std::io::Write;
use std::path::Path;

use mls_config::Config;
use mls_config::config::show_network;
use mls_diag::{Exit, OnFile, count, summary};
use mls_state::regular;
use mls_stream::ndjson::{Reader, Writer};

pub use args::Args;
use args::ReportFormat;
use evidence::Evidence;

/// Runs the tool.
///
/// # Errors
/// Exit 64 if there is no reporter, 78 if the configured reporter is wrong, 65 if the input has no
/// failed login from the network, 66 if FILE cannot be opened, 74 if reading or writing fails, 75 if
/// a framed stream is cut off.
pub fn run(args: Args, config: Config) -> anyhow::Result<()> {
    let reporter = match (args.reporter, config.report.sender_override) {
        (Some(reporter), _) => reporter,
        (None, Some(sender)) => sender.parse().map_err(|why| {
            Exit::Config.error(format!("[report] sender_override = {sender:?} is wrong; {why}"))
        })?,
        (None, None) => {
            let why = "the report needs a sender; give --reporter 'Example Ltd \
                       <abuse@example.org>', or set [report] sender_override in the file of \
                       --config";
            return Err(Exit::Usage.error(why));
        }
    };
    let file = args.file.or(config.paths.csv_filename);
    let reader = match file.as_deref().filter(|file| *file != Path::new("-")) {
        Some(path) => {
            let file = regular::open(path).on_file("opening", path)?;
            Reader::new(Box::new(file), path.display().to_string())
        }
        None => Reader::stdin()?,
    };
    let mut evidence = Evidence::read(reader, args.network, args.zone.timezone)?;
    if let Some(log) = &args.log {
        evidence.read_log(log, args.network)?;
    }
    let subject = show_network(args.network);
    let report = match args.format {
        ReportFormat::Text => {
            (evidence.attempts > 0).then(|| text::render(&evidence, &subject, &reporter))
        }
        ReportFormat::Xarf => {
            xarf::render(&evidence, &subject, &reporter).map(|report| format!("{report:#}\n"))
        }
    };
    let report = report.ok_or_else(|| {
        Exit::DataErr.error(format!(
            "the input has no failed login from {subject}; check the address, or give another FILE"
        ))
    })?;
    let mut out = Writer::stdout()?;
    out.write_all(report.as_bytes())?;
    out.flush()?;
    let failed = count(evidence.attempts, "failed login", "failed logins");
    summary(format_args!("wrote a report about {failed} from {subject}"));
    Ok(())
}
