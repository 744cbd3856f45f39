//! Creates the tables in a database, and checks that existing tables can be used.

use mls_diag::Exit;

use crate::database::Database;
use crate::dialect::Dialect;
use crate::mapping::Mapping;
use crate::original;
use crate::schema::cursor_additions;

/// Whether a table has the column. Letter case does not matter.
pub(crate) fn has(columns: &[String], name: &str) -> bool {
    columns.iter().any(|column| column.eq_ignore_ascii_case(name))
}

impl Database {
    /// Creates the missing tables. Returns whether the table of events is new. Exit 78 if an
    /// existing table cannot be used: the Python original or an older version created the table, a
    /// column is missing, or the engine has no transactions. Exit 78 also if PostgreSQL does not
    /// use UTF-8.
    pub(crate) fn prepare(&mut self, mapping: &Mapping) -> anyhow::Result<bool> {
        if self.dialect == Dialect::Postgresql {
            self.check_encoding()?;
        }
        let table = self.table.clone();
        let mut missing = false;
        for name in [table.name(), &table.cursor(), &table.imports()] {
            missing |= self.columns(name)?.is_empty();
        }
        let is_new = missing && self.create(mapping)?;
        let columns = self.columns(table.name())?;
        self.check_columns(mapping, &columns)?;
        let columns = self.columns(&table.cursor())?;
        self.check_cursor_columns(&columns)?;
        if self.dialect == Dialect::Mysql {
            self.check_engines()?;
        }
        Ok(is_new)
    }

    /// Creates the missing tables. Returns whether the table of events was missing. In SQLite and
    /// PostgreSQL, one transaction creates all tables, and a lock makes other runs wait.
    fn create(&mut self, mapping: &Mapping) -> anyhow::Result<bool> {
        let (dialect, table) = (self.dialect, self.table.clone());
        self.begin()?;
        if dialect == Dialect::Postgresql {
            let name = dialect.text(table.name());
            let lock = format!("SELECT pg_advisory_xact_lock(hashtext({name}))::text");
            self.texts(&lock, "locking")?;
        }
        let is_new = self.columns(table.name())?.is_empty();
        if is_new {
            for statement in table.events_ddl(dialect, mapping) {
                self.must(&statement, &format!("creating table {} in", table.name()))?;
            }
        }
        for statement in table.state_ddl(dialect) {
            self.must(&statement, "creating the tables of cursors and imports in")?;
        }
        self.must("COMMIT", "creating tables in")?;
        Ok(is_new)
    }

    /// Refuses a PostgreSQL database that does not use UTF-8, because only UTF-8 can store every
    /// name that an attacker may choose.
    fn check_encoding(&mut self) -> anyhow::Result<()> {
        let encoding = self.texts("SHOW server_encoding", "checking the encoding of")?;
        match encoding.first().map(String::as_str) {
            Some("UTF8") => Ok(()),
            other => Err(Exit::Config.error(format!(
                "{} has encoding {}, which cannot store every user name; create a database \
                 with ENCODING 'UTF8' TEMPLATE template0",
                self.shown,
                other.unwrap_or("unknown")
            ))),
        }
    }

    /// Returns the names of a table's columns. If the table does not exist, the list is empty.
    pub(crate) fn columns(&mut self, table: &str) -> anyhow::Result<Vec<String>> {
        let (name, quoted) =
            (self.dialect.text(table), self.dialect.text(&self.dialect.name(table)));
        let sql = match self.dialect {
            Dialect::Sqlite => format!("SELECT name FROM pragma_table_info({name})"),
            Dialect::Postgresql => format!(
                "SELECT attname::text FROM pg_attribute WHERE attrelid = to_regclass({quoted}) AND attnum > 0 AND NOT attisdropped"
            ),
            Dialect::Mysql => format!(
                "SELECT CAST(column_name AS CHAR) FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = {name}"
            ),
        };
        self.texts(&sql, &format!("reading the columns of table {table} in"))
    }

    pub(crate) fn check_columns(
        &mut self,
        mapping: &Mapping,
        columns: &[String],
    ) -> anyhow::Result<()> {
        let is_of_original = original::made(self, mapping)?;
        let (name, shown) = (self.table.name(), &self.shown);
        if is_of_original {
            let cure = if self.dialect == Dialect::Sqlite {
                "run maillogsentinel --setup --migrate, convert only this table with mls-sql \
                 convert"
            } else {
                "set column_mapping_file in [database] to the mapping file of the Python original"
            };
            return Err(Exit::Config.error(format!(
                "the Python original created table {name} in {shown}; {cure}, or choose another \
                 table with --table"
            )));
        }
        let missing = mapping.filled().map(|(name, _)| name).filter(|name| !has(columns, name));
        let missing: Vec<_> = missing.collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(Exit::Config.error(format!(
            "table {name} in {shown} does not have every column of the mapping (missing: {}); run \
             mls-sql migrate, use a --mapping that fits the table, or use another --table",
            missing.join(", ")
        )))
    }

    /// Fails with exit 78 if an older version has created the table of cursors.
    pub(crate) fn check_cursor_columns(&self, columns: &[String]) -> anyhow::Result<()> {
        if cursor_additions(self.dialect).iter().all(|(name, _)| has(columns, name)) {
            return Ok(());
        }
        let (name, shown) = (self.table.cursor(), &self.shown);
        Err(Exit::Config.error(format!(
            "an older version has created table {name} in {shown}; run mls-sql migrate. For a \
             fleet of mail servers, run the statements of mls-sql schema --fleet"
        )))
    }

    /// Refuses engines without transactions. For example, if a transaction fails, `MyISAM` does not
    /// undo its first changes.
    fn check_engines(&mut self) -> anyhow::Result<()> {
        let table = &self.table;
        let names = [table.name(), &table.cursor(), &table.imports()]
            .map(|name| self.dialect.text(name))
            .join(", ");
        let sql = format!(
            "SELECT CONCAT(t.table_name, ' (', t.engine, ')') FROM information_schema.tables t LEFT JOIN information_schema.engines e \
             ON e.engine = t.engine WHERE t.table_schema = DATABASE() AND t.table_name IN ({names}) AND COALESCE(e.transactions, 'NO') <> 'YES'"
        );
        let tables = self.texts(&sql, "checking the engines of the tables in")?;
        if tables.is_empty() {
            return Ok(());
        }
        Err(Exit::Config.error(format!(
            "{} in {}: this engine has no transactions, so rows could be stored twice; run ALTER \
             TABLE … ENGINE=InnoDB",
            tables.join(", "),
            self.shown
        )))
    }
}
