//! Turns CSV into records.

use mls_rows::row::Decoder;
use mls_stream::blocks::{Batch, Block, BlockPosition, Blocks};
use mls_stream::ndjson::Writer;
use mls_stream::unreadable::{BadLineCounter, Expected};

/// Reads CSV, plain or framed, and writes an `auth` record for each row.
pub(crate) fn run(mut decoder: Decoder, expected: Expected) -> anyhow::Result<()> {
    let (mut blocks, mut out, mut batch) = (Blocks::stdin()?, Writer::stdout()?, Batch::default());
    blocks.watch_stdout()?;
    let mut unreadable = BadLineCounter::new(expected);
    while let Some(next) = blocks.next(batch, || out.flush())? {
        for block in next.blocks() {
            match block {
                Block::Record(line) => out.line(line)?,
                Block::Lines(lines, place) => {
                    rows(&mut decoder, lines, place, &mut out, &mut unreadable)?;
                }
            }
        }
        batch = next;
    }
    out.flush()?;
    unreadable.check("stdin")
}

fn rows(
    decoder: &mut Decoder,
    lines: &[u8],
    place: BlockPosition<'_>,
    out: &mut Writer,
    unreadable: &mut BadLineCounter,
) -> anyhow::Result<()> {
    let mut offset = place.offset;
    for line in lines.split_inclusive(|b| *b == b'\n') {
        // A framed stream may have only one new row. So one bad row does not prove that the input
        // is not a CSV.
        if place.segment.is_some() {
            unreadable.continues();
        }
        unreadable.line(line);
        match decoder.decode(line) {
            Ok(None) => {}
            Ok(Some(mut event)) => {
                event.pos =
                    place.segment.map(|segment| format!("{}:{offset}", segment.generation).into());
                out.record(&event)?;
            }
            Err(why) => {
                let source = place.segment.map_or("stdin", |segment| &segment.source);
                unreadable.bad(format_args!("{source}, byte {offset}"), why);
            }
        }
        offset += line.len() as u64;
    }
    Ok(())
}
