//! Gives a source another name: `mls-sql rename-source OLD NEW`.

use mls_diag::{Exit, count, summary};

use crate::database::Database;
use crate::field::Field;
use crate::fleet;
use crate::mapping::{LOADED_BY, Mapping};

pub(crate) struct Rename {
    pub(crate) old: String,
    pub(crate) new: String,
    /// The user who loads the source. Needed only for the table of a fleet, because several users
    /// of a fleet can each load a source with the name `old`.
    pub(crate) loaded_by: Option<String>,
}

impl Rename {
    /// Renames a source in the cursor table and in the table of events, in one transaction. Exit 65
    /// if `old` does not exist, if several users have a source `old`, or if `new` exists.
    pub(crate) fn run(&self, database: &mut Database, mapping: &Mapping) -> anyhow::Result<()> {
        database.prepare(mapping)?;
        let Self { old, new, .. } = self;
        let dialect = database.dialect;
        let (old_text, new_text) = (dialect.text(old), dialect.text(new));
        let cursor = database.cursors();
        database.begin()?;
        let owned = self.owner(database)?;
        let taken = format!("SELECT source FROM {cursor} WHERE source = {new_text}{owned}");
        if !database.texts(&taken, "reading the sources in")?.is_empty() {
            return Err(Exit::DataErr.error(format!(
                "{}: source {new} exists already; choose a name that no other source has",
                database.shown
            )));
        }
        let rename =
            format!("UPDATE {cursor} SET source = {new_text} WHERE source = {old_text}{owned}");
        if database.must(&rename, "renaming a source in")? == 0 {
            // Another run has renamed the source in the meantime.
            return Err(self.absent(database));
        }
        let mut rows = 0;
        if let Some(column) = mapping.column(Field::Source) {
            let (events, column) = (database.events(), dialect.name(column));
            let rename = format!(
                "UPDATE {events} SET {column} = {new_text} WHERE {column} = {old_text}{owned}"
            );
            rows = database.must(&rename, "renaming a source in")?;
        }
        database.must("COMMIT", "committing to")?;
        let rows = count(rows, "row", "rows");
        summary(format_args!("renamed source {old} to {new} in {rows} of {}", database.shown));
        Ok(())
    }

    fn absent(&self, database: &Database) -> anyhow::Error {
        let by = self.loaded_by.iter().map(|user| format!(" loaded by {user}"));
        let by: String = by.collect();
        Exit::DataErr.error(format!(
            "{}: there is no source {}{by}; check the name",
            database.shown, self.old
        ))
    }

    /// Returns the SQL condition that selects only the rows of the source's user. If the table is
    /// not the table of a fleet, the condition is empty, and all rows of the source are renamed.
    /// Several users can have loaded these rows.
    fn owner(&self, database: &mut Database) -> anyhow::Result<String> {
        let dialect = database.dialect;
        let sql = format!(
            "SELECT {LOADED_BY} FROM {} WHERE source = {} ORDER BY {LOADED_BY}",
            database.cursors(),
            dialect.text(&self.old)
        );
        let found = database.rows(&sql, "reading the sources in")?;
        let mut users: Vec<_> =
            found.into_iter().flatten().map(Option::unwrap_or_default).collect();
        if let Some(wanted) = &self.loaded_by {
            users.retain(|user| user == wanted);
        }
        let is_fleet = fleet::is_table(database)?;
        let (shown, old) = (&database.shown, &self.old);
        match users.as_slice() {
            [] => Err(self.absent(database)),
            [user] if is_fleet => Ok(format!(" AND {LOADED_BY} = {}", dialect.text(user))),
            [_] => Ok(String::new()),
            _ => Err(Exit::DataErr.error(format!(
                "{shown}: several users have a source {old}: {}; name one user with --loaded-by",
                users.join(", ")
            ))),
        }
    }
}
