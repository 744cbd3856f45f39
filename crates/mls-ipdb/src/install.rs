//! Replaces an installed database by a valid one.

use std::fs;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use anyhow::Context;
use flate2::read::MultiGzDecoder;
use mls_diag::{Exit, OrExit};
use mls_location::{Flaw, Form, Kind, MAX_SIZE, Survey, Unusable, read, sort};

/// A database that was read to its end and is valid.
pub(crate) struct Candidate {
    pub(crate) bytes: Vec<u8>,
    pub(crate) survey: Survey,
}

/// Decompresses gzip, up to the largest size of a database.
pub(crate) fn unpack(bytes: Vec<u8>, form: Form) -> io::Result<Vec<u8>> {
    if !form.gzip {
        return Ok(bytes);
    }
    let mut out = Vec::new();
    MultiGzDecoder::new(&bytes[..]).take(MAX_SIZE + 1).read_to_end(&mut out)?;
    if out.len() as u64 > MAX_SIZE {
        return Err(io::Error::new(
            ErrorKind::FileTooLarge,
            format!("it unpacks to more than {MAX_SIZE} bytes"),
        ));
    }
    Ok(out)
}

impl Candidate {
    /// Reads the whole database. A CSV that is not sorted is sorted.
    pub(crate) fn new(bytes: Vec<u8>, form: Form) -> Result<Self, Flaw> {
        let survey = Survey::of(&bytes, form)?;
        if survey.sorted {
            return Ok(Self { bytes, survey });
        }
        let bytes = sort(&bytes);
        let survey = Survey::of_csv(&bytes)?;
        Ok(Self { bytes, survey })
    }

    /// Its kind.
    pub(crate) fn kind(&self) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| self.survey.is(*kind))
    }

    /// Replaces `target` as a whole. An old database stays unless the candidate is of the same kind
    /// and families and has at least half as many rows.
    ///
    /// Exit 65 if it is not, 73 or 77 if it cannot be written.
    pub(crate) fn install(&self, kind: Kind, target: &Path) -> anyhow::Result<()> {
        let shown = target.display();
        if !self.survey.is(kind) {
            return Err(Exit::DataErr.error(format!("{}, so it cannot be {shown}", kind.wrong())));
        }
        if let Ok(old) = survey(target) {
            if !old.same_families(&self.survey) {
                return Err(Exit::DataErr.error(format!(
                    "{shown} is for another address family; to replace it, remove it first"
                )));
            }
            if self.survey.rows < old.rows.div_ceil(2) {
                let (new, old) = (self.survey.rows, old.rows);
                return Err(Exit::DataErr.error(format!(
                    "it has {new} rows, less than half of the {old} rows of {shown}; to replace that file, remove it first"
                )));
            }
        }
        let directory = mls_state::atomic::directory_of(target);
        let written = fs::create_dir_all(&directory)
            .and_then(|()| mls_state::atomic::write(target, &self.bytes, 0o644));
        written.or_else(|error| {
            let exit = if error.kind() == ErrorKind::PermissionDenied {
                Exit::NoPerm
            } else {
                Exit::CantCreat
            };
            Err(error)
                .with_context(|| format!("writing {shown} (--data-dir puts it elsewhere)"))
                .or_exit(exit)
        })
    }
}

/// Surveys an installed database.
pub(crate) fn survey(path: &Path) -> anyhow::Result<Survey> {
    let survey = Survey::of(&read(path).map_err(Unusable::fatal)?, Form::of(path));
    let survey = survey
        .and_then(|survey| if survey.sorted { Ok(survey) } else { Err("it is not sorted".into()) });
    survey.map_err(|flaw| Unusable::Bad { path: path.to_owned(), what: flaw }.fatal())
}
