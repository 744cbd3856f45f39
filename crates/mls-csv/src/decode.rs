//! CSV back to events.

use mls_cli::blocks::{Block, Blocks};
use mls_cli::diag;
use mls_cli::ndjson::Writer;

use crate::row::Decoder;

/// Reads CSV, plain or framed, and writes an `auth` record for each row.
pub(crate) fn run(mut decoder: Decoder) -> anyhow::Result<()> {
    let (mut blocks, mut out) = (Blocks::stdin()?, Writer::stdout()?);
    blocks.watch(&out)?;
    while let Some(block) = blocks.next(|| out.flush())? {
        let (bytes, place) = match block {
            Block::Record(line) => {
                out.line(line)?;
                continue;
            }
            Block::Lines(bytes, place) => (bytes, place),
        };
        let mut offset = place.offset;
        for line in bytes.split_inclusive(|b| *b == b'\n') {
            match decoder.decode(line) {
                Ok(None) => {}
                Ok(Some(mut event)) => {
                    event.pos = place.segment.map(|segment| format!("{}:{offset}", segment.generation).into());
                    out.record(&event)?;
                }
                Err(why) => {
                    let source = place.segment.map_or("stdin", |segment| &segment.source);
                    diag::bad_record(format_args!("{source}, byte {offset}"), why);
                }
            }
            offset += line.len() as u64;
        }
    }
    out.flush()
}
