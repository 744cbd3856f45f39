//! Compressed files: gzip, xz, bzip2 and zstd.

use std::error::Error;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bzip2::bufread::MultiBzDecoder;
use bzip2::read::BzEncoder;
use flate2::bufread::MultiGzDecoder;
use flate2::read::GzEncoder;
use lzma_rust2::{XzOptions, XzReader, XzWriter};
use mls_stream::content::compression_of;
use ruzstd::decoding::FrameDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::encoding::CompressionLevel;

/// A method of compression that this crate reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Compression {
    /// RFC 1952.
    Gzip,
    /// The .xz file format.
    Xz,
    /// bzip2(1).
    Bzip2,
    /// RFC 8878.
    Zstd,
}

/// Largest memory of a decoder in bytes. `xz -9` needs 65 MiB.
const MAX_MEMORY: u32 = 96 << 20;

/// How many compressed bytes are read at once.
const PACKED: usize = 128 * 1024;

impl Compression {
    pub(crate) const ALL: [Self; 4] = [Self::Gzip, Self::Xz, Self::Bzip2, Self::Zstd];

    pub(crate) fn ending(self) -> &'static str {
        match self {
            Self::Gzip => ".gz",
            Self::Xz => ".xz",
            Self::Bzip2 => ".bz2",
            Self::Zstd => ".zst",
        }
    }

    /// Returns the name for messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Bzip2 => "bzip2",
            Self::Zstd => "zstd",
        }
    }

    /// Returns the compression of a file that begins with `first`.
    #[must_use]
    pub fn of_content(first: &[u8]) -> Option<Self> {
        let name = compression_of(first)?;
        Self::ALL.into_iter().find(|method| method.name() == name)
    }

    /// Decompresses `packed`, which may consist of several members, streams or frames.
    pub fn decoder(self, packed: impl Read + Send + 'static) -> Box<dyn Read + Send> {
        let packed = BufReader::with_capacity(PACKED, packed);
        match self {
            Self::Gzip => Box::new(MultiGzDecoder::new(packed)),
            Self::Xz => Box::new(XzReader::new_mem_limit(packed, true, MAX_MEMORY / 1024)),
            Self::Bzip2 => Box::new(MultiBzDecoder::new(packed)),
            Self::Zstd => Box::new(ZstdReader::new(packed)),
        }
    }

    pub(crate) fn compress(
        self,
        content: &mut impl Read,
        packed: &mut impl Write,
    ) -> io::Result<()> {
        match self {
            Self::Gzip => {
                io::copy(&mut GzEncoder::new(content, flate2::Compression::default()), packed)?;
            }
            Self::Xz => {
                let mut encoder = XzWriter::new(packed, XzOptions::with_preset(6))?;
                io::copy(content, &mut encoder)?;
                encoder.finish()?;
            }
            Self::Bzip2 => {
                io::copy(&mut BzEncoder::new(content, bzip2::Compression::default()), packed)?;
            }
            Self::Zstd => {
                // This encoder panics if reading or writing fails, so hide the errors from it.
                let (mut from, mut to) = (Careful::new(content), Careful::new(packed));
                ruzstd::encoding::compress(&mut from, &mut to, CompressionLevel::Fastest);
                from.result?;
                to.result?;
            }
        }
        Ok(())
    }
}

/// The newest MTIME (RFC 1952, section 2.3.1) of the gzip members that were read. In MTIME, gzip(1)
/// stores the time of the last change of the log.
#[derive(Clone, Debug, Default)]
pub struct CompressedAt(Arc<AtomicU32>);

impl CompressedAt {
    /// The value for a member that has no time in its header.
    const UNKNOWN: u32 = u32::MAX;

    /// 1992, the year of gzip. Some programs write a small number for "no time", so ignore earlier
    /// times.
    const FIRST: u32 = 694_224_000;

    pub(crate) fn gzip_reader<R: Read + Send>(&self, packed: R) -> impl Read + Send + use<R> {
        let packed = BufReader::with_capacity(PACKED, packed);
        DatedGzip { content: MultiGzDecoder::new(packed), newest: self.clone() }
    }

    /// Nanoseconds since 1970; `None` if the lines are not compressed by gzip, or if a header has
    /// no time.
    #[must_use]
    pub fn nanoseconds(&self) -> Option<i64> {
        let seconds = self.0.load(Ordering::Relaxed);
        (seconds != 0 && seconds != Self::UNKNOWN).then(|| i64::from(seconds) * 1_000_000_000)
    }

    fn see(&self, mtime: u32) {
        let mtime = if mtime < Self::FIRST { Self::UNKNOWN } else { mtime };
        self.0.fetch_max(mtime, Ordering::Relaxed);
    }
}

struct DatedGzip<R> {
    content: MultiGzDecoder<R>,
    newest: CompressedAt,
}

impl<R: BufRead> Read for DatedGzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.content.read(buffer)?;
        if let Some(header) = self.content.header() {
            self.newest.see(header.mtime());
        }
        Ok(n)
    }
}

/// Returns whether a decoder failed because the bytes are damaged. If the file could not be read, a
/// cause of the error has an error number of the system.
pub(crate) fn is_damage(error: &io::Error) -> bool {
    let causes = std::iter::successors(error.get_ref().map(|cause| cause as &dyn Error), |cause| {
        (*cause).source()
    });
    let mut numbers = causes.map(|cause| cause.downcast_ref().and_then(io::Error::raw_os_error));
    error.raw_os_error().is_none() && numbers.all(|number| number.is_none())
}

/// A reader or writer that hides its errors. After the first error, a reader returns no more bytes,
/// and a writer discards all bytes.
struct Careful<T> {
    inner: T,
    result: io::Result<()>,
}

impl<T> Careful<T> {
    fn new(inner: T) -> Self {
        Self { inner, result: Ok(()) }
    }

    fn guard<R>(&mut self, otherwise: R, action: impl FnOnce(&mut T) -> io::Result<R>) -> R {
        if self.result.is_err() {
            return otherwise;
        }
        action(&mut self.inner).unwrap_or_else(|error| {
            self.result = Err(error);
            otherwise
        })
    }
}

impl<T: Read> Read for Careful<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(self.guard(0, |inner| {
            loop {
                match inner.read(buffer) {
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    read => return read,
                }
            }
        }))
    }
}

impl<T: Write> Write for Careful<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(self.guard(bytes.len(), |inner| inner.write_all(bytes).map(|()| bytes.len())))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.guard((), Write::flush);
        Ok(())
    }
}

/// The frames of a zstd file, one after the other.
struct ZstdReader<R> {
    packed: R,
    decoder: FrameDecoder,
    in_frame: bool,
}

impl<R: BufRead> ZstdReader<R> {
    fn new(packed: R) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(MAX_MEMORY.into());
        Self { packed, decoder, in_frame: false }
    }

    /// Begins the next frame. Returns false at the end of the file.
    fn begin(&mut self) -> io::Result<bool> {
        while !self.packed.fill_buf()?.is_empty() {
            match self.decoder.init(&mut self.packed) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    io::copy(&mut (&mut self.packed).take(length.into()), &mut io::sink())?;
                }
                Err(error) => return Err(damaged(error)),
            }
        }
        Ok(false)
    }
}

impl<R: BufRead> Read for ZstdReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        use ruzstd::decoding::BlockDecodingStrategy::UptoBlocks;
        loop {
            if !self.in_frame && !self.begin()? {
                return Ok(0);
            }
            self.in_frame = true;
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                self.decoder.decode_blocks(&mut self.packed, UptoBlocks(1)).map_err(damaged)?;
            }
            let n = self.decoder.read(buffer)?;
            if n > 0 {
                return Ok(n);
            }
            self.in_frame = false;
            let stated = self.decoder.get_checksum_from_data();
            if stated.is_some() && stated != self.decoder.get_calculated_checksum() {
                return Err(damaged("wrong checksum"));
            }
        }
    }
}

fn damaged(why: impl Into<Box<dyn Error + Send + Sync>>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why)
}
