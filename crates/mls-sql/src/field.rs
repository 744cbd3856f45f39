//! The values that a column of the table can contain.

use mls_event::Column;

/// A value of a row: a column of the CSV, another member of the record, or the source of the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    Csv(Column),
    /// The name of the source that was loaded (`--source`).
    Source,
    /// The identity of the log line: the same line has the same `pos` in every copy of the log.
    Pos,
    /// `failure`, `success`, `aborted` or `error`.
    Outcome,
    /// The service that the client spoke to, such as `postfix/submission/smtpd`.
    Service,
    /// The process ID of the service.
    Pid,
    /// The SASL mechanism.
    Mechanism,
    /// Why the login failed, in the words of the server.
    Reason,
    /// The host name of the client in the log.
    Client,
    /// The port of the client.
    Port,
    /// Postfix's queue ID of the message that the client sent after the login.
    QueueId,
}

/// The fields that are not columns of the CSV.
const OTHERS: [(Field, &str); 10] = [
    (Field::Source, "source"),
    (Field::Pos, "pos"),
    (Field::Outcome, "outcome"),
    (Field::Service, "service"),
    (Field::Pid, "pid"),
    (Field::Mechanism, "mechanism"),
    (Field::Reason, "reason"),
    (Field::Client, "client"),
    (Field::Port, "port"),
    (Field::QueueId, "queue_id"),
];

impl Field {
    /// Returns every field. The columns of the CSV come first.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        Column::ALL.into_iter().map(Self::Csv).chain(OTHERS.map(|(field, _)| field))
    }

    /// Returns the name that a mapping file uses: the name of the CSV column or of the record's
    /// member.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Csv(column) => column.name(),
            other => OTHERS.iter().find(|(field, _)| *field == other).map_or("", |(_, name)| name),
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::all().find(|field| field.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use mls_event::{Auth, Enrichment};

    use super::*;

    #[test]
    fn every_member_of_a_record_can_be_stored() {
        for member in Auth::MEMBERS.iter().chain(Enrichment::MEMBERS) {
            // `attempts` needs no column, because a row is one attempt.
            if *member != "attempts" {
                assert!(Field::from_name(member).is_some(), "{member}");
            }
        }
    }

    #[test]
    fn every_field_has_one_name() {
        let mut names: Vec<_> = Field::all().map(Field::name).collect();
        assert!(Field::all().all(|field| Field::from_name(field.name()) == Some(field)));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Field::all().count());
    }
}
