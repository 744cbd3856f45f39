//! Puts a database in its place, if it makes sense there.

use std::fs;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use anyhow::Context;
use flate2::read::MultiGzDecoder;
use mls_diag::{Exit, OrExit};

use crate::database::Form;
use crate::kind::Kind;
use crate::look::{MAX_SIZE, Unusable, read};
use crate::survey::{Flaw, Survey, sort};

/// A database that makes sense in itself.
pub(crate) struct Candidate {
    pub(crate) bytes: Vec<u8>,
    pub(crate) survey: Survey,
}

/// Takes gzip off, without letting a bomb off.
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

    /// The kind that it is.
    pub(crate) fn kind(&self) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| self.survey.is(*kind))
    }

    /// Takes the place of `target`, all at once. What is there stays unless this is of the same kind and families and has
    /// at least half as many rows.
    ///
    /// Exit 65 where it is not, 73 or 77 where it cannot be written.
    pub(crate) fn install(&self, kind: Kind, target: &Path) -> anyhow::Result<()> {
        let shown = target.display();
        if !self.survey.is(kind) {
            return Err(Exit::DataErr
                .error(format!("it tells no {}: not a database for {shown}", kind.name())));
        }
        if let Ok(old) = survey(target) {
            if !old.same_families(&self.survey) {
                return Err(Exit::DataErr.error(format!(
                    "{shown} is for another address family; remove it first if you mean it"
                )));
            }
            if self.survey.rows < old.rows.div_ceil(2) {
                let (new, old) = (self.survey.rows, old.rows);
                return Err(Exit::DataErr.error(format!(
                    "it has {new} rows, and {shown} has {old}: less than half; remove it first if you mean it"
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

/// What an installed database holds.
pub(crate) fn survey(path: &Path) -> anyhow::Result<Survey> {
    let survey = Survey::of(&read(path).map_err(Unusable::fatal)?, Form::of(path));
    let survey = survey
        .and_then(|survey| if survey.sorted { Ok(survey) } else { Err("it is not sorted".into()) });
    survey.map_err(|flaw| Unusable::Bad { path: path.to_owned(), what: flaw }.fatal())
}
