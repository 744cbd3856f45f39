//! `--migrate-data`: converts the CSV, the position of the SQL export, SQL files and the SQLite
//! table, as the user who owns them.
//!
//! Each file that changes stays as `NAME.original`. Every step starts from these, so a migration
//! that was interrupted is finished by the next one, and a finished one is left as it is.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::Context;
use mls_config::Config;
use mls_diag::{Exit, OrExit, count, thousands};
use mls_state::regular;

use super::{legacy_csv, sql_files};
use crate::installation::Installation;
use crate::terminal::say;

/// What the steps need to know.
pub(super) struct Site<'a> {
    pub(super) installation: &'a Installation,
    pub(super) configuration: &'a Path,
    pub(super) config: &'a Config,
    pub(super) state_dir: PathBuf,
}

/// Converts the data that a configuration names.
pub(crate) fn convert(configuration: &Path, installation: &Installation) -> anyhow::Result<()> {
    let configuration = &std::path::absolute(configuration)?;
    let config = &Config::load(configuration)?;
    let state_dir = config.paths.state_dir.clone().unwrap_or_default();
    let site = Site { installation, configuration, config, state_dir };
    site.csv()?;
    site.position()?;
    sql_files::convert(&site)?;
    site.table()
}

impl Site<'_> {
    /// Converts the CSV, and then the position up to which it was exported as SQL.
    fn csv(&self) -> anyhow::Result<()> {
        let csv = self.config.paths.csv_filename.clone().unwrap_or_default();
        let original = with_suffix(&csv, "original");
        let is_legacy = mls_rows::legacy::is_legacy(&csv)
            .with_context(|| format!("reading {}", csv.display()))?;
        if is_legacy && original.exists() {
            return Err(Exit::Config.error(format!(
                "{} is a CSV of the Python original, and so is {}: move one of them away",
                csv.display(),
                original.display()
            )));
        }
        let source = if is_legacy {
            &csv
        } else if original.exists() && !csv.exists() {
            &original
        } else {
            say(&format!("CSV: {} needs no conversion\n", csv.display()))?;
            return Ok(());
        };
        let exported = self.exported()?;
        let new = with_suffix(&csv, "migrating");
        remove(&new)?;
        let end = self.convert_rows(source, &new, exported)?;
        self.compare(source, &new)?;
        if exported.is_some() {
            self.write_exported(end)?;
        }
        if is_legacy {
            rename(&csv, &original)?;
        }
        rename(&new, &csv)?;
        remove(&with_suffix(&new, "lock"))
    }

    /// Converts the rows. Returns the length of the new file after those that were exported.
    fn convert_rows(
        &self,
        source: &Path,
        new: &Path,
        exported: Option<u64>,
    ) -> anyhow::Result<u64> {
        let context = || format!("reading {}", source.display());
        let mut file = regular::open(source).with_context(context)?;
        let size = file.metadata().with_context(context)?.len();
        let mut split = exported.unwrap_or(0);
        if split > size {
            log::warn!(
                "sql_state.offset names byte {split}, but {} has {size}: no row of it counts as exported",
                source.display()
            );
            split = 0;
        }
        split = end_of_line(&mut file, split).with_context(context)?;
        self.pipe(&mut (&file).take(split), new)?;
        let end = fs::metadata(new).with_context(|| format!("reading {}", new.display()))?.len();
        self.pipe(&mut &file, new)?;
        Ok(end)
    }

    /// Appends what `rows` holds to the new CSV.
    fn pipe(&self, rows: &mut dyn Read, new: &Path) -> anyhow::Result<()> {
        let mut decode = self.tool("mls-csv");
        decode.args(["--decode", "--legacy"]);
        let mut append = self.tool("mls-csv");
        append.arg("--append").arg(new);
        legacy_csv::pipeline(decode, append, |stdin| io::copy(rows, stdin).map(drop))
    }

    /// Says how many rows there are now, and whether each day has as many as before.
    fn compare(&self, source: &Path, new: &Path) -> anyhow::Result<()> {
        let before = legacy_csv::days(source, b';', |date| {
            let [day, month, year] = [date.get(..2)?, date.get(3..5)?, date.get(6..10)?];
            Some([year, b"-", month, b"-", day].concat())
        })?;
        let after = legacy_csv::days(new, b',', |date| Some(date.get(..10)?.to_vec()))?;
        let rows = |days: &BTreeMap<Vec<u8>, u64>| days.values().sum::<u64>();
        let differs = before.iter().filter(|(day, rows)| after.get(*day) != Some(rows));
        let differing: Vec<_> =
            differs.map(|(day, _)| String::from_utf8_lossy(day).into_owned()).collect();
        let same = if differing.is_empty() {
            "each day has as many rows as before".to_owned()
        } else {
            format!("these days have other counts than before: {}", differing.join(", "))
        };
        let csv = self.config.paths.csv_filename.clone().unwrap_or_default();
        say(&format!(
            "CSV: converted {} of {} on {}; {same}; the old file is {}.original\n",
            thousands(rows(&after)),
            count(rows(&before), "row", "rows"),
            count(after.len() as u64, "day", "days"),
            csv.display(),
        ))?;
        Ok(())
    }

    /// How many bytes of the original's CSV were exported; `None` if it exported nothing.
    fn exported(&self) -> anyhow::Result<Option<u64>> {
        let path = self.state_dir.join("sql_state.offset");
        let kept = with_suffix(&path, "original");
        let text = [&kept, &path].into_iter().find_map(|path| read_to_string(path).ok());
        let Some(offset) = text.and_then(|text| text.trim().parse::<u64>().ok()) else {
            return Ok(None);
        };
        if !kept.exists() {
            fs::copy(&path, &kept).with_context(|| format!("writing {}", kept.display()))?;
        }
        Ok(Some(offset))
    }

    /// Writes the same position for the new CSV.
    fn write_exported(&self, end: u64) -> anyhow::Result<()> {
        let path = self.state_dir.join("sql_state.offset");
        mls_state::atomic::write(&path, end.to_string().as_bytes(), 0o640)
            .with_context(|| format!("writing {}", path.display()))
            .or_exit(Exit::CantCreat)?;
        say("SQL export: rows that the original exported are not exported again\n")?;
        Ok(())
    }

    /// Says where the log is read on: mls-tail understands the position of the original.
    fn position(&self) -> anyhow::Result<()> {
        let path = self.state_dir.join("state.offset");
        let text = read_to_string(&path).unwrap_or_default();
        let log = self.config.paths.mail_log.clone().unwrap_or_default();
        if let Ok(offset) = text.trim().parse::<u64>() {
            say(&format!("position: reading of {} continues at byte {offset}\n", log.display()))?;
        }
        Ok(())
    }

    /// Converts the table in an SQLite database.
    fn table(&self) -> anyhow::Result<()> {
        let path = self.config.database.db_path.clone().unwrap_or_default();
        let is_sqlite = self.config.database.db_type == Some(mls_config::config::DbType::Sqlite);
        if !is_sqlite || !path.exists() {
            return Ok(());
        }
        let mut convert = self.tool("mls-sql");
        convert.arg("--config").arg(self.configuration).arg("convert");
        // It says what it did.
        convert.env("MLS_INFO", "1");
        let status = convert.status().context("starting mls-sql").or_exit(Exit::Unavailable)?;
        if !status.success() {
            return Err(Exit::Unavailable.error("the database was not converted"));
        }
        Ok(())
    }

    pub(super) fn tool(&self, name: &str) -> std::process::Command {
        std::process::Command::new(self.installation.program(name))
    }
}

fn read_to_string(path: &Path) -> io::Result<String> {
    io::read_to_string(regular::open(path)?)
}

/// The end of the line that `offset` is in; `offset` itself if a line ends there. The file is then
/// at its beginning.
fn end_of_line(file: &mut File, offset: u64) -> io::Result<u64> {
    let mut rest = Vec::new();
    if offset > 0 {
        file.seek(SeekFrom::Start(offset - 1))?;
        BufReader::new(&mut *file).read_until(b'\n', &mut rest)?;
    }
    file.rewind()?;
    Ok(offset + (rest.len() as u64).saturating_sub(1))
}

pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

pub(super) fn rename(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::rename(from, to)
        .with_context(|| format!("renaming {} to {}", from.display(), to.display()))
        .or_exit(Exit::CantCreat)
}

fn remove(path: &Path) -> anyhow::Result<()> {
    crate::file::remove_if_there(path).with_context(|| format!("removing {}", path.display()))
}
