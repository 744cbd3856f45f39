//! `mls-ipdb update`: downloads databases, or reads local files, and installs the valid databases.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use anyhow::Context;
use mls_config::Config;
use mls_diag::{Exit, OrExit, certificate, count};
use mls_location::{DatabaseKind, FileFormat, IpDatabaseFlags, Unusable, ipv6_sibling, open};
use mls_stream::ndjson::Writer;
use reqwest::Url;

use crate::fetch::{self, Fetched};
use crate::install::{Candidate, is_cut_off, scratch, survey, unpack};
use crate::origin::DownloadOrigin;
use crate::verify;

#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct UpdateFlags {
    /// URL of the country database; it may end in .gz. Repeat the option for more files
    #[arg(long, value_name = "URL", value_parser = fetch::parse)]
    country_db_url: Vec<Url>,
    /// URL of the AS database; it may end in .gz. Repeat the option for more files
    #[arg(long, value_name = "URL", value_parser = fetch::parse)]
    asn_db_url: Vec<Url>,
    /// Install this local file instead; its name may end in .gz. mls-ipdb recognizes the kind
    /// (country or AS) and the address family from its content
    #[arg(long, value_name = "FILE")]
    from: Vec<PathBuf>,
    /// Give up if no data arrives for this number of seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = mls_cli::number(1..=3600_u64))]
    timeout: u64,
}

struct Download {
    kind: DatabaseKind,
    url: Url,
    target: PathBuf,
}

/// Updates each database separately. If an update fails, the old file of this database stays, and
/// all other databases are updated. The exit code is the code of the first failure.
pub(crate) fn update(
    flags: &IpDatabaseFlags,
    sources: &UpdateFlags,
    config: &Config,
) -> anyhow::Result<()> {
    let mut writer = Writer::stdout()?;
    let (mut all, mut failed, mut first, mut cure) = (0_u64, 0, None, "");
    let mut done = |installed: anyhow::Result<(DatabaseKind, PathBuf)>| -> anyhow::Result<()> {
        all += 1;
        let updated = installed.and_then(|(kind, target)| Ok((survey(&target)?, kind, target)));
        match updated {
            Ok((survey, kind, target)) => {
                return verify::report(&mut writer, &target, kind, &survey);
            }
            Err(error) => {
                let text = format!("{error:#}");
                log::error!("{}", certificate::explained(&text));
                if text.contains("tcp connect error") || text.contains("dns error") {
                    cure = "; check that this machine reaches the Internet (if it needs a proxy, \
                            set the environment variable https_proxy)";
                }
                failed += 1;
                first = first.or(Some(Exit::of(&error)));
            }
        }
        Ok(())
    };
    if sources.from.is_empty() {
        let jobs = jobs(flags, sources, config)?;
        for job in jobs {
            done(run(job, Duration::from_secs(sources.timeout)))?;
        }
    }
    for file in &sources.from {
        done(take(file, flags, config))?;
    }
    writer.flush()?;
    let of_all = format!("of {}", count(all, "database", "databases"));
    mls_diag::summary(format_args!("up to date: {} {of_all}", all - failed));
    first.map_or(Ok(()), |exit| {
        Err(exit.error(format!("not updated: {failed} {of_all}; the old files stay in use{cure}")))
    })
}

/// Pairs URLs and files of each kind: the first URL with the first file, and so on.
fn jobs(
    flags: &IpDatabaseFlags,
    sources: &UpdateFlags,
    config: &Config,
) -> anyhow::Result<Vec<Download>> {
    let mut jobs = Vec::new();
    for kind in DatabaseKind::ALL {
        let given = match kind {
            DatabaseKind::Country => &sources.country_db_url,
            DatabaseKind::System => &sources.asn_db_url,
        };
        let urls = if given.is_empty() { configured_urls(kind, config)? } else { given.clone() };
        let targets = targets(flags, kind, config);
        if urls.len() > targets.len() {
            return Err(Exit::Config.error(format!(
                "{} to fetch, but only {} for them; name each file with {}",
                count(
                    urls.len() as u64,
                    &format!("{} database", kind.name()),
                    &format!("{} databases", kind.name())
                ),
                count(targets.len() as u64, "file", "files"),
                kind.flag()
            )));
        }
        for (url, target) in urls.into_iter().zip(targets) {
            if FileFormat::of(Path::new(url.path())).mmdb != FileFormat::of(&target).mmdb {
                return Err(Exit::Config.error(format!(
                    "{} cannot become {}: only one of the names ends in .mmdb; give another URL, \
                     or name another file with {} FILE",
                    fetch::shown(&url),
                    target.display(),
                    kind.flag()
                )));
            }
            jobs.push(Download { kind, url, target });
        }
    }
    Ok(jobs)
}

/// Returns at least two files of a kind. If only `asn.csv` is named, adds `asn-ipv6.csv`.
fn targets(flags: &IpDatabaseFlags, kind: DatabaseKind, config: &Config) -> Vec<PathBuf> {
    let mut paths = flags.paths(kind, config);
    if let [only] = &paths[..] {
        paths.push(ipv6_sibling(only));
    }
    paths
}

fn configured_urls(kind: DatabaseKind, config: &Config) -> anyhow::Result<Vec<Url>> {
    let (key, configured) = match kind {
        DatabaseKind::Country => {
            ("[geolocation] country_db_url", &config.geolocation.country_db_url)
        }
        DatabaseKind::System => ("[ASN_ASO] asn_db_url", &config.asn_aso.asn_db_url),
    };
    if configured.is_empty() {
        return kind.urls().iter().map(|text| Ok(Url::parse(text)?)).collect();
    }
    let parse = |text: &String| {
        // The query may contain a key, and the part before the host may contain a password.
        let shown =
            text.split('?').next().and_then(|text| text.rsplit('@').next()).unwrap_or_default();
        let failed = |why| format!("{key}: {shown:?} is not a URL: {why}");
        fetch::parse(text).map_err(|why| Exit::Config.error(failed(why)))
    };
    configured.iter().map(parse).collect()
}

/// Downloads and installs one database. Only the download has a time limit.
fn run(job: Download, timeout: Duration) -> anyhow::Result<(DatabaseKind, PathBuf)> {
    let Download { kind, url, target } = job;
    let (origin, body) = (DownloadOrigin::load(&target, url.as_str()), scratch(&target)?);
    let fetched = within(timeout * fetch::WHOLE, &fetch::shown(&url), {
        let url = url.clone();
        move || {
            let client = fetch::client(timeout)?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let fetched = fetch::fetch(&client, &url, origin.as_ref(), &body);
            Ok((runtime.block_on(fetched)?, body))
        }
    });
    let (fetched, body) = fetched?;
    install(fetched, body, kind, &url, &target)?;
    Ok((kind, target))
}

/// Calls `fetch` in a new thread. If a server sends without a pause, the new thread does not check
/// the time limit. So the calling thread checks it.
///
/// After the limit, the new thread may go on, so `fetch` must not change an installed file. Exit 75
/// if `fetch` takes too long, 70 if `fetch` panics.
fn within<T: Send + 'static>(
    limit: Duration,
    shown: &str,
    fetch: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    let (sender, result) = mpsc::channel();
    std::thread::Builder::new().name("download".into()).spawn(move || {
        // After the time limit, there is no receiver, so sending fails.
        let _ = sender.send(fetch());
    })?;
    result.recv_timeout(limit).unwrap_or_else(|error| {
        let (exit, why) = match error {
            RecvTimeoutError::Timeout => {
                let limit = limit.as_secs();
                (Exit::TempFail, format!("not finished after {limit} s; give a longer --timeout"))
            }
            RecvTimeoutError::Disconnected => {
                (Exit::Software, "a bug stopped the download; please report this bug".into())
            }
        };
        Err(exit.error(format!("downloading {shown}: {why}")))
    })
}

fn install(
    fetched: Fetched,
    body: File,
    kind: DatabaseKind,
    url: &Url,
    target: &Path,
) -> anyhow::Result<()> {
    let Fetched::New { etag, last_modified } = fetched else {
        log::info!("{} is up to date", target.display());
        return Ok(());
    };
    let failed = || format!("{} is not updated: {}", target.display(), fetch::shown(url));
    let form = FileFormat::of(Path::new(url.path()));
    let content = if form.gzip {
        let unpacked = unpack(&body, form, scratch(target)?).with_context(failed)?;
        unpacked.or_else(|error| {
            // Incomplete gzip data, or a wrong checksum, means damage during the transfer.
            let is_too_large = error.kind() == ErrorKind::FileTooLarge;
            let exit = if is_too_large { Exit::DataErr } else { Exit::TempFail };
            Err(error).or_exit(exit).with_context(failed)
        })?
    } else {
        body
    };
    // If a response has no length, a closed connection can mean the end of the text or an
    // interruption. A complete text ends with a newline.
    if !form.mmdb && is_cut_off(&content).with_context(failed)? {
        return Err(Exit::TempFail.error("the last line has no newline: the download was cut off"))
            .with_context(failed);
    }
    let mut candidate = Candidate::new(content, form, || scratch(target)).with_context(failed)?;
    candidate.install(kind, target).with_context(failed)?;
    log::info!(
        "{} has {} from {}",
        target.display(),
        count(candidate.survey.rows, "row", "rows"),
        fetch::shown(url)
    );
    DownloadOrigin::new(url.as_str(), etag, last_modified, &mut candidate.file)
        .with_context(failed)
        .or_exit(Exit::IoErr)?
        .store(target)
}

/// Installs a local file.
fn take(
    file: &Path,
    flags: &IpDatabaseFlags,
    config: &Config,
) -> anyhow::Result<(DatabaseKind, PathBuf)> {
    let content = open(file).map_err(Unusable::fatal)?;
    let failed = || format!("{} is not installed", file.display());
    let form = FileFormat::of(file);
    // The directory of the database is known only after the content was read. So use the temporary
    // directory of the system.
    let scratch =
        || tempfile::tempfile().context("making a temporary file").or_exit(Exit::CantCreat);
    let content = unpack(&content, form, scratch()?).with_context(failed)?;
    let content = content.or_exit(Exit::DataErr).with_context(failed)?;
    let mut candidate = Candidate::new(content, form, scratch).with_context(failed)?;
    let none =
        || Exit::DataErr.error("most of its rows have no country, and most have no AS number");
    let kind = candidate.kind().ok_or_else(none).with_context(failed)?;
    let [ipv4, ipv6, ..] = &targets(flags, kind, config)[..] else { return Err(none()) };
    let target = if candidate.survey.ipv4 > 0 { ipv4 } else { ipv6 };
    if form.mmdb != FileFormat::of(target).mmdb {
        let why = format!(
            "it cannot become {}: only one of the names ends in .mmdb; name another file with \
             {} FILE",
            target.display(),
            kind.flag()
        );
        return Err(Exit::Config.error(why)).with_context(failed);
    }
    candidate.install(kind, target).with_context(failed)?;
    Ok((kind, target.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn download_that_panics_is_a_bug_and_not_a_slow_server() {
        let error = within(Duration::MAX, "URL", || -> anyhow::Result<()> { panic!("a bug") });
        let error = error.unwrap_err();
        assert_eq!(Exit::of(&error), Exit::Software);
        assert!(error.to_string().contains("downloading URL: a bug stopped"), "{error}");
    }

    #[test]
    fn download_that_does_not_end_is_a_temporary_failure() {
        let (_never, end) = mpsc::channel::<()>();
        let error = within(Duration::ZERO, "URL", move || Ok(end.recv()?)).unwrap_err();
        assert_eq!(Exit::of(&error), Exit::TempFail);
        let why = "downloading URL: not finished after 0 s; give a longer --timeout";
        assert_eq!(error.to_string(), why);
    }
}
