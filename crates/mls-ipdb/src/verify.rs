//! `mls-ipdb verify`: what is installed, a line of JSON for each database.

use std::path::Path;
use std::time::SystemTime;

use chrono::{DateTime, Local, SecondsFormat};
use mls_config::Config;
use mls_diag::Exit;
use mls_stream::ndjson::Writer;
use serde::Serialize;

use crate::database::Form;
use crate::install::survey;
use crate::installed::{Flags, fellow};
use crate::kind::Kind;
use crate::mmdb::Mmdb;
use crate::survey::Survey;

/// So many IPv6 addresses are for the Internet: `2000::/3`, of which IANA gives them out.
const IPV6_UNICAST: u128 = 1 << 125;

#[derive(Serialize)]
struct Report<'a> {
    path: &'a Path,
    kind: Kind,
    rows: u64,
    /// The part of all addresses that rows cover; null where there is none of the family.
    ipv4: Option<f64>,
    ipv6: Option<f64>,
    date: String,
}

/// Checks every database that is installed.
///
/// Exit 65 where one is bad, 66 where a kind has none; after all were looked at.
pub(crate) fn verify(flags: &Flags, config: &Config) -> anyhow::Result<()> {
    let mut writer = Writer::stdout()?;
    let mut worst = None;
    for kind in Kind::ALL {
        let paths = flags.paths(kind, config);
        let there: Vec<_> = paths
            .iter()
            .flat_map(|path| [path.clone(), fellow(path)])
            .filter(|path| path.exists())
            .collect();
        if there.is_empty() {
            log::error!("no {} database ({})", kind.name(), paths[0].display());
            worst = worst.or(Some(Exit::NoInput));
        }
        for path in there {
            match survey(&path) {
                Ok(survey) if survey.is(kind) => report(&mut writer, &path, kind, &survey)?,
                Ok(_) => {
                    log::error!("IP database {}: it tells no {}", path.display(), kind.name());
                    worst = Some(Exit::DataErr);
                }
                Err(error) => {
                    log::error!("{error:#}");
                    worst = Some(Exit::of(&error));
                }
            }
        }
    }
    writer.flush()?;
    worst.map_or(Ok(()), |exit| Err(exit.error("not all databases are as they should be")))
}

/// Writes the line for a database.
pub(crate) fn report(
    writer: &mut Writer,
    path: &Path,
    kind: Kind,
    survey: &Survey,
) -> anyhow::Result<()> {
    let built = Form::of(path).mmdb.then(|| Mmdb::open(path).ok()?.built()).flatten();
    let date = built
        .map_or_else(|| std::fs::metadata(path)?.modified(), Ok::<SystemTime, std::io::Error>)?;
    let report = Report {
        path,
        kind,
        rows: survey.rows,
        ipv4: part(survey.ipv4, 1 << 32),
        ipv6: part(survey.ipv6, IPV6_UNICAST),
        date: DateTime::<Local>::from(date).to_rfc3339_opts(SecondsFormat::Secs, false),
    };
    writer.line(&serde_json::to_vec(&report)?)
}

/// A part of a whole to four places; none of nothing.
fn part(covered: u128, whole: u128) -> Option<f64> {
    let parts = u32::try_from(covered / (whole / 10_000)).unwrap_or(u32::MAX);
    (covered > 0).then(|| f64::from(parts) / 10_000.0)
}
