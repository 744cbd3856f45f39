//! Classes of database errors, and their exit codes.
//!
//! Sources: PostgreSQL manual appendix A; MySQL "Server Error Message Reference"; SQLite "Result
//! and Error Codes".

use mls_diag::Exit;
use sqlx::Error;
use sqlx::error::DatabaseError;
use sqlx::mysql::MySqlDatabaseError;
use sqlx::postgres::PgDatabaseError;
use sqlx::sqlite::SqliteError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorClass {
    /// A value does not fit its column, makes the statement too long, or violates a constraint. A
    /// retry does not help.
    Data,
    /// The server is down, restarting or overloaded, or a lock is held. A retry may succeed.
    Temporary,
    /// Authentication failed.
    Permission,
    /// The user lacks a privilege.
    Privilege,
    /// A database, table or partition does not exist, or the database file is damaged.
    Setup,
    /// The disk is full, or the server cannot read or write.
    Storage,
    /// Any other error.
    Other,
}

impl ErrorClass {
    pub(crate) fn of(error: &Error) -> Self {
        match error {
            Error::Database(error) => of_database(error.as_ref()),
            // rustls reports an untrusted certificate as `InvalidData`, the relay a violation.
            Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => Self::Other,
            Error::Io(_) | Error::Protocol(_) | Error::WorkerCrashed => Self::Temporary,
            Error::Configuration(_) => Self::Setup,
            Error::InvalidArgument(_) => Self::Data,
            _ => Self::Other,
        }
    }

    pub(crate) fn exit(self) -> Exit {
        match self {
            Self::Data => Exit::DataErr,
            Self::Temporary => Exit::TempFail,
            Self::Permission => Exit::NoPerm,
            Self::Privilege | Self::Setup => Exit::Config,
            Self::Storage => Exit::IoErr,
            Self::Other => Exit::Unavailable,
        }
    }
}

impl ErrorClass {
    /// The exit code if a statement of an SQL file fails. If the statement names a table or column
    /// that does not exist, the exit code is 65, because the file is wrong.
    pub(crate) fn exit_of_file(self) -> Exit {
        match self {
            Self::Other | Self::Setup => Exit::DataErr,
            failure => failure.exit(),
        }
    }
}

fn of_database(error: &dyn DatabaseError) -> ErrorClass {
    if let Some(error) = error.try_downcast_ref::<PgDatabaseError>() {
        // The error for a missing partition has the SQLSTATE of a CHECK constraint, but names a
        // table and no constraint. An error that a trigger raises names no table.
        let unplaced =
            error.code() == "23514" && error.table().is_some() && error.constraint().is_none();
        // The server has no free transaction ID until VACUUM has finished, so a retry may succeed.
        // The SQLSTATE has class 54, like the error for a value that is too long for an index.
        let exhausted = error.routine() == Some("GetNewTransactionId");
        match error.code() {
            _ if unplaced => ErrorClass::Setup,
            _ if exhausted => ErrorClass::Temporary,
            code => of_postgresql(code),
        }
    } else if let Some(error) = error.try_downcast_ref::<MySqlDatabaseError>() {
        of_mysql(error.number(), error.code().unwrap_or_default())
    } else if error.try_downcast_ref::<SqliteError>().is_some() {
        of_sqlite(error.code().and_then(|code| code.parse().ok()).unwrap_or_default())
    } else {
        ErrorClass::Other
    }
}

fn of_postgresql(state: &str) -> ErrorClass {
    match state {
        // A schema, database, table or column does not exist.
        "3F000" | "3D000" | "42P01" | "42703" => ErrorClass::Setup,
        "42501" => ErrorClass::Privilege,
        _ => match state.get(..2).unwrap_or_default() {
            // Class 54: a value is too long for an index. Class P0: a trigger refuses the row.
            "22" | "23" | "54" | "P0" => ErrorClass::Data,
            "08" | "40" | "53" | "55" | "57" => ErrorClass::Temporary,
            "28" => ErrorClass::Permission,
            "58" => ErrorClass::Storage,
            _ => ErrorClass::Other,
        },
    }
}

fn of_mysql(number: u16, state: &str) -> ErrorClass {
    match number {
        // Too many connections, shutdown, lost connection, lock wait timeout, deadlock, interrupted
        // or killed statement.
        1040
        | 1053
        | 1077
        | 1079
        | 1152
        | 1158..=1161
        | 1203
        | 1205
        | 1213
        | 1317
        | 1927
        | 2006
        | 2013 => ErrorClass::Temporary,
        1045 | 1698 => ErrorClass::Permission,
        1044 | 1142 | 1143 | 1227 => ErrorClass::Privilege,
        1046 | 1049 | 1054 | 1146 | 1364 | 1526 => ErrorClass::Setup,
        // Disk full, write error, table full.
        1021 | 1026 | 1114 => ErrorClass::Storage,
        // NULL in a NOT NULL column, wrong value, out of range, truncated, CHECK (MySQL and
        // MariaDB), and a statement longer than `max_allowed_packet`.
        1048 | 1153 | 1366 | 1292 | 1264 | 1265 | 1406 | 3819 | 4025 => ErrorClass::Data,
        _ => match state.get(..2).unwrap_or_default() {
            // Class 45: a trigger refuses the row.
            "22" | "23" | "45" => ErrorClass::Data,
            "08" => ErrorClass::Temporary,
            "28" => ErrorClass::Permission,
            _ => ErrorClass::Other,
        },
    }
}

/// Returns the class of an SQLite result code. The low byte of an extended result code is the
/// primary result code.
fn of_sqlite(code: i32) -> ErrorClass {
    match code & 0xff {
        5 | 6 => ErrorClass::Temporary,
        18..=20 => ErrorClass::Data,
        3 | 8 | 23 => ErrorClass::Permission,
        10 | 13 => ErrorClass::Storage,
        11 | 14 | 26 => ErrorClass::Setup,
        _ => ErrorClass::Other,
    }
}
