//! Where rows come from: a file or standard input, CSV or NDJSON, plain or gzip.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use anyhow::Context;
use flate2::bufread::MultiGzDecoder;
use mls_cli::ndjson::Reader;
use mls_cli::zone::Zone;
use mls_cli::{Exit, OrExit};
use mls_event::{Auth, Body};

use crate::rows::Row;

/// One read of the input.
const BUFFER: usize = 256 * 1024;

/// What was read beside the rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Rows, without header lines.
    pub(crate) rows: u64,
    /// Bytes, decompressed.
    pub(crate) bytes: u64,
    /// Whether it was CSV.
    pub(crate) csv: bool,
}

/// Gives every failed attempt of the input to `each`. Bad rows are reported and skipped.
pub(crate) fn read(file: Option<&Path>, zone: Zone, mut each: impl FnMut(&Row<'_>)) -> anyhow::Result<Extent> {
    let mut reader = open(file)?;
    let mut extent = Extent::default();
    let mut first = true;
    while let Some(line) = reader.next(|| Ok(()))? {
        if first {
            // What the input is, is decided once: a server's name does not begin with a brace.
            extent.csv = !line.starts_with(b"{");
            first = false;
        }
        extent.bytes += line.len() as u64 + 1;
        let bad: Option<String> = if extent.csv {
            match Row::from_csv(line) {
                Ok(Some(row)) => {
                    extent.rows += 1;
                    each(&row);
                    None
                }
                Ok(None) => None,
                Err(why) => Some(why.to_string()),
            }
        } else {
            match auth(line) {
                Ok(auth) => {
                    if let Some(row) = auth.and_then(|auth| Row::from_auth(auth, zone)) {
                        extent.rows += 1;
                        each(&row);
                    }
                    None
                }
                Err(why) => Some(why.to_string()),
            }
        };
        if let Some(why) = bad {
            reader.bad(why);
        }
    }
    Ok(extent)
}

/// The line's `auth` record; none where it is a record of another type.
fn auth(line: &[u8]) -> Result<Option<Auth<'_>>, mls_event::BadRecord> {
    if mls_event::kind(line)? != Auth::KIND {
        return Ok(None);
    }
    match mls_event::Record::parse(line)? {
        mls_event::Record::Auth(auth) => Ok(Some(auth)),
        _ => Ok(None),
    }
}

/// Opens the input and takes gzip off it, which its first two bytes tell (RFC 1952).
fn open(file: Option<&Path>) -> anyhow::Result<Reader> {
    let (input, name): (Box<dyn Read>, String) = match file {
        Some(path) => {
            let name = path.display().to_string();
            let file = File::open(path).with_context(|| format!("opening {name}"))?;
            (Box::new(file), name)
        }
        None => (Box::new(std::io::stdin().lock()), "stdin".to_owned()),
    };
    let mut input = BufReader::with_capacity(BUFFER, input);
    let head = input.fill_buf().with_context(|| format!("reading {name}")).or_exit(Exit::IoErr)?;
    let input: Box<dyn Read> =
        if head.starts_with(&[0x1f, 0x8b]) { Box::new(MultiGzDecoder::new(input)) } else { Box::new(input) };
    Ok(Reader::new(input, name))
}
