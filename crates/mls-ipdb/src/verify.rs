//! `mls-ipdb verify`: a line of JSON for each installed database.

use std::path::Path;
use std::time::SystemTime;

use chrono::{DateTime, Local, SecondsFormat};
use mls_config::Config;
use mls_diag::Exit;
use mls_location::{DatabaseKind, FileFormat, IpDatabaseFlags, Mmdb, Survey, ipv6_sibling};
use mls_stream::ndjson::Writer;
use serde::Serialize;

use crate::install::survey;

/// The number of IPv6 addresses in `2000::/3`, from which IANA allocates all public addresses.
const IPV6_UNICAST: u128 = 1 << 125;

#[derive(Serialize)]
struct DatabaseReport<'a> {
    path: &'a Path,
    kind: &'static str,
    rows: u64,
    /// The share of all IPv4 addresses that the rows cover (0 to 1); null if there is no IPv4 row.
    ipv4: Option<f64>,
    ipv6: Option<f64>,
    date: String,
}

/// Checks every installed database, even if an earlier database is wrong. The exit code is that of
/// the first wrong database. If none is wrong and a kind has no database, it is 66.
pub(crate) fn verify(flags: &IpDatabaseFlags, config: &Config) -> anyhow::Result<()> {
    let mut writer = Writer::stdout()?;
    let (mut wrong, mut missing, mut verified) = (None, None, 0);
    for kind in DatabaseKind::ALL {
        let paths = flags.paths(kind, config);
        let existing: Vec<_> = paths
            .iter()
            .flat_map(|path| [path.clone(), ipv6_sibling(path)])
            .filter(|path| path.exists())
            .collect();
        if existing.is_empty() {
            log::error!("{} does not exist: no {} database", paths[0].display(), kind.name());
            missing = Some(Exit::NoInput);
        }
        for path in existing {
            verified += 1;
            match survey(&path) {
                Ok(survey) if survey.is(kind) => report(&mut writer, &path, kind, &survey)?,
                Ok(_) => {
                    log::error!("IP database {}: {}", path.display(), kind.wrong());
                    wrong.get_or_insert(Exit::DataErr);
                }
                Err(error) => {
                    log::error!("{error:#}");
                    wrong.get_or_insert(Exit::of(&error));
                }
            }
        }
    }
    writer.flush()?;
    mls_diag::summary(format_args!(
        "verified {}",
        mls_diag::count(verified, "database", "databases")
    ));
    wrong.or(missing).map_or(Ok(()), |exit| {
        Err(exit.error("some databases are missing or wrong; run mls-ipdb update"))
    })
}

/// Writes the line for a database.
pub(crate) fn report(
    writer: &mut Writer,
    path: &Path,
    kind: DatabaseKind,
    survey: &Survey,
) -> anyhow::Result<()> {
    let built = FileFormat::of(path).mmdb.then(|| Mmdb::open(path).ok()?.built()).flatten();
    let date = built
        .map_or_else(|| std::fs::metadata(path)?.modified(), Ok::<SystemTime, std::io::Error>)?;
    let report = DatabaseReport {
        path,
        kind: kind.name(),
        rows: survey.rows,
        ipv4: part(survey.ipv4, 1 << 32),
        ipv6: part(survey.ipv6, IPV6_UNICAST),
        date: DateTime::<Local>::from(date).to_rfc3339_opts(SecondsFormat::Secs, false),
    };
    writer.line(&serde_json::to_vec(&report)?)
}

/// Returns `covered / whole`, rounded down to four decimal places; `None` if `covered` is 0.
fn part(covered: u128, whole: u128) -> Option<f64> {
    let parts = u32::try_from(covered / (whole / 10_000)).unwrap_or(u32::MAX);
    (covered > 0).then(|| f64::from(parts) / 10_000.0)
}
