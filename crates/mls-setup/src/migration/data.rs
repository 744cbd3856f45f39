//! `--migrate-data`: converts the CSV, the position of the SQL export, SQL files and the SQLite
//! table, as the user who owns them.
//!
//! A file that changes is kept as `NAME.original`; an SQL file is moved to the directory
//! `original`. Every step starts from the kept files. So the next migration finishes an interrupted
//! migration. After a complete migration, the next one changes nothing.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use chrono::NaiveTime;
use mls_config::Config;
use mls_config::zone::Zone;
use mls_diag::{Exit, OnFile, OrExit, count, thousands};
use mls_state::cursor_file::CursorFile;
use mls_state::{mail_cursor, regular};

use super::{legacy_csv, sql_files};
use crate::installation::Installation;
use crate::terminal::say;

pub(super) struct DataMigration<'a> {
    pub(super) installation: &'a Installation,
    pub(super) configuration: &'a Path,
    pub(super) config: &'a Config,
    pub(super) state_dir: PathBuf,
}

pub(crate) fn convert(configuration: &Path, installation: &Installation) -> anyhow::Result<()> {
    let configuration = &std::path::absolute(configuration)?;
    let config = &Config::load(configuration)?;
    let state_dir = config.paths.state_dir.clone().unwrap_or_default();
    let site = DataMigration { installation, configuration, config, state_dir };
    site.csv()?;
    site.position()?;
    sql_files::convert(&site)?;
    site.table()
}

impl DataMigration<'_> {
    /// Converts the CSV, and then the position up to which it was exported as SQL.
    fn csv(&self) -> anyhow::Result<()> {
        let csv = self.config.paths.csv_filename.clone().unwrap_or_default();
        let original = csv.with_added_extension("original");
        let is_legacy = mls_rows::legacy::is_legacy(&csv).on_file("reading", &csv)?;
        if !is_legacy {
            return say(&format!("CSV: {} needs no conversion\n", csv.display()));
        }
        // After an interrupted migration, `original` can be a second name (hard link) of the CSV.
        let is_second_name = |meta: &fs::Metadata| {
            fs::metadata(&csv).is_ok_and(|it| (it.dev(), it.ino()) == (meta.dev(), meta.ino()))
        };
        let is_named = match fs::symlink_metadata(&original) {
            Ok(meta) if is_second_name(&meta) => true,
            Ok(_) => {
                return Err(Exit::Config.error(format!(
                    "{0} is a CSV of the Python original, but {1} exists: move {1} to another \
                     directory, then run maillogsentinel --setup --migrate again",
                    csv.display(),
                    original.display()
                )));
            }
            Err(_) => false,
        };
        let exported = self.exported()?;
        let new = csv.with_added_extension("migrating");
        remove(&new)?;
        let end = self.convert_rows(&csv, &new, exported)?;
        self.compare(&csv, &new)?;
        if exported.is_some() {
            self.write_exported(end)?;
        }
        self.begin_digests()?;
        // The CSV must have its name at every moment. Without a CSV, a run between these steps
        // would begin a new one.
        if !is_named {
            fs::hard_link(&csv, &original)
                .with_context(|| format!("linking {} to {}", csv.display(), original.display()))
                .or_exit(Exit::CantCreat)?;
        }
        rename(&new, &csv)?;
        remove(&new.with_added_extension("lock"))
    }

    /// Lets the first digest begin today, because the digests of the original were about whole
    /// days.
    fn begin_digests(&self) -> anyhow::Result<()> {
        let ledger = self.state_dir.join("mail.ledger");
        if ledger.exists() {
            return Ok(());
        }
        let today = Zone::Local.now().date_naive();
        let until = Zone::Local.read(today.and_time(NaiveTime::MIN));
        CursorFile::next(0, mail_cursor::ended_at(until), None).store(&ledger)?;
        say("digest: the first digest has the attempts from today on\n")
    }

    /// Converts the rows. Returns the offset in the new file after the last row that was exported.
    fn convert_rows(
        &self,
        source: &Path,
        new: &Path,
        exported: Option<u64>,
    ) -> anyhow::Result<u64> {
        let mut file = regular::open(source).on_file("reading", source)?;
        let size = file.metadata().on_file("reading", source)?.len();
        let mut split = exported.unwrap_or(0);
        if split > size {
            log::warn!(
                "sql_state.offset is {split}, but {} has only {size} bytes: all its rows will be \
                 exported again",
                source.display()
            );
            split = 0;
        }
        split = end_of_line(&mut file, split).on_file("reading", source)?;
        self.pipe(&mut (&file).take(split), new)?;
        let end = fs::metadata(new).on_file("reading", new)?.len();
        self.pipe(&mut &file, new)?;
        Ok(end)
    }

    /// Appends the rows that `rows` reads to the new CSV.
    fn pipe(&self, rows: &mut dyn Read, new: &Path) -> anyhow::Result<()> {
        let mut decode = self.tool("mls-csv");
        decode.args(["--decode", "--legacy"]);
        let mut append = self.tool("mls-csv");
        append.arg("--append").arg(new);
        legacy_csv::pipeline(decode, append, |stdin| io::copy(rows, stdin).map(drop))
    }

    /// Compares the number of rows of each day, and prints the total. If a day has another number
    /// of rows than before, exit 65.
    fn compare(&self, source: &Path, new: &Path) -> anyhow::Result<()> {
        let before = legacy_csv::days(source, b';', |date| {
            let [day, month, year] = [date.get(..2)?, date.get(3..5)?, date.get(6..10)?];
            Some([year, b"-", month, b"-", day].concat())
        })?;
        let after = legacy_csv::days(new, b',', |date| Some(date.get(..10)?.to_vec()))?;
        let rows = |days: &BTreeMap<Vec<u8>, u64>| days.values().sum::<u64>();
        let mut days: Vec<_> = before.keys().chain(after.keys()).collect();
        days.sort_unstable();
        days.dedup();
        let differing: Vec<_> = days
            .into_iter()
            .map(|day| (day, count_of(&before, day), count_of(&after, day)))
            .filter(|(_, before, after)| before != after)
            .map(|(day, before, after)| {
                format!("{} ({before} before, {after} after)", String::from_utf8_lossy(day))
            })
            .collect();
        if !differing.is_empty() {
            return Err(Exit::DataErr.error(format!(
                "these days do not have as many rows after the conversion as before: {}. Nothing \
                 was replaced. Correct or remove the rows of {} that the warnings above name. \
                 Then run maillogsentinel --setup --migrate again",
                differing.join(", "),
                source.display()
            )));
        }
        let csv = self.config.paths.csv_filename.clone().unwrap_or_default();
        say(&format!(
            "CSV: converted {} of {} from {}; each day has as many rows as before; the old file is {}.original\n",
            thousands(rows(&after)),
            count(rows(&before), "row", "rows"),
            count(after.len() as u64, "day", "days"),
            csv.display(),
        ))
    }

    /// The number of bytes of the original's CSV that were exported; `None` if nothing was
    /// exported.
    fn exported(&self) -> anyhow::Result<Option<u64>> {
        let path = self.state_dir.join("sql_state.offset");
        let kept = path.with_added_extension("original");
        let text = [&kept, &path].into_iter().find_map(|path| read_to_string(path).ok());
        let Some(offset) = text.and_then(|text| text.trim().parse::<u64>().ok()) else {
            return Ok(None);
        };
        if !kept.exists() {
            fs::copy(&path, &kept).on_file("writing", &kept)?;
        }
        Ok(Some(offset))
    }

    /// Writes the position in the new CSV up to which rows were exported.
    fn write_exported(&self, end: u64) -> anyhow::Result<()> {
        let path = self.state_dir.join("sql_state.offset");
        mls_state::atomic::write(&path, end.to_string().as_bytes(), 0o640)
            .on_file("writing", &path)
            .or_exit(Exit::CantCreat)?;
        say("SQL export: rows that the Python original exported are not exported again\n")
    }

    /// Prints the position in the log. mls-tail understands the position file of the original.
    fn position(&self) -> anyhow::Result<()> {
        let path = self.state_dir.join("state.offset");
        let text = read_to_string(&path).unwrap_or_default();
        let log = self.config.paths.mail_log.clone().unwrap_or_default();
        let Ok(offset) = text.trim().parse::<u64>() else { return Ok(()) };
        say(&format!(
            "position: reading of {} continues where the Python original stopped ({offset})\n",
            log.display()
        ))
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
        // The informational messages of mls-sql say what it did.
        convert.env("MLS_INFO", "1");
        let status = convert.status().context("starting mls-sql").or_exit(Exit::Unavailable)?;
        if !status.success() {
            return Err(Exit::Unavailable
                .error("the database was not converted: see the message of mls-sql above"));
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

fn count_of(days: &BTreeMap<Vec<u8>, u64>, day: &[u8]) -> u64 {
    days.get(day).copied().unwrap_or_default()
}

/// Returns the offset of the end of the line that contains `offset`. If a line ends just before
/// `offset`, returns `offset`. Rewinds the file.
fn end_of_line(file: &mut File, offset: u64) -> io::Result<u64> {
    let mut rest = Vec::new();
    if offset > 0 {
        file.seek(SeekFrom::Start(offset - 1))?;
        BufReader::new(&mut *file).read_until(b'\n', &mut rest)?;
    }
    file.rewind()?;
    Ok(offset + (rest.len() as u64).saturating_sub(1))
}

pub(super) fn rename(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::rename(from, to)
        .with_context(|| format!("renaming {} to {}", from.display(), to.display()))
        .or_exit(Exit::CantCreat)
}

fn remove(path: &Path) -> anyhow::Result<()> {
    crate::file::remove_if_there(path).on_file("removing", path)
}
