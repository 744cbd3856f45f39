//! Compressed logs: gzip, xz, bzip2 and zstd.

use std::io::{Cursor, Read};

use mls_rotation::Compression;

/// The largest number of bytes to read, because a few bytes can expand to any number.
const MAX_OUTPUT: u64 = 64 << 10;

/// One large read and many small reads must give the same bytes, or both must fail.
pub(crate) fn decode(bytes: &[u8]) {
    let Some(method) = Compression::of_content(bytes) else { return };
    let mut all = Vec::new();
    let end = method.decoder(Cursor::new(bytes.to_vec())).take(MAX_OUTPUT).read_to_end(&mut all);
    let mut pieces = Vec::new();
    let mut decoder = method.decoder(Cursor::new(bytes.to_vec())).take(MAX_OUTPUT);
    let mut buffer = [0; 777];
    let end_of_pieces = loop {
        match decoder.read(&mut buffer) {
            Ok(0) => break true,
            Ok(n) => pieces.extend_from_slice(&buffer[..n]),
            Err(_) => break false,
        }
    };
    assert_eq!(end.is_ok(), end_of_pieces);
    if end_of_pieces {
        assert!(pieces == all, "{method:?}: other bytes in pieces");
    }
}
