//! The CSV that is attached to a mail.

use std::io::{self, Read, Write};
use std::path::Path;

use anyhow::Context;
use flate2::Compression;
use flate2::write::GzEncoder;
use mls_attempts::AttemptSource;

/// Files of more than this number of bytes are compressed.
const GZIP_ABOVE: u64 = 100 << 10;

/// Largest size of an attachment in bytes. In base64, it is a third larger. The whole mail is then
/// below 10,240,000 bytes, the default `message_size_limit` of Postfix.
const LIMIT: usize = 5 << 20;

/// The attached file, or the reason why there is none.
pub(crate) enum Attachment {
    None,
    File { name: String, content: Vec<u8>, content_type: &'static str },
    LeftOut { name: String, why: &'static str },
}

impl Attachment {
    /// Reads the newest file of the source. Standard input has no file.
    pub(crate) fn read(source: &AttemptSource, is_wanted: bool) -> anyhow::Result<Self> {
        let Some(name) = source.file_name() else { return Ok(Self::None) };
        if !is_wanted {
            return Ok(Self::LeftOut { name, why: "attach_csv = no" });
        }
        let context = || format!("attaching {name}");
        match source.stored().with_context(context)? {
            Some((file, size)) => Self::compress(file, size, &name).with_context(context),
            None => Ok(Self::None),
        }
    }

    fn compress(mut file: impl Read, size: u64, name: &str) -> anyhow::Result<Self> {
        let mut content = Limited(Vec::new());
        let is_gzip = Path::new(name).extension().is_some_and(|extension| extension == "gz");
        let is_packed = !is_gzip && size > GZIP_ABOVE;
        let copied = if is_packed {
            let mut encoder = GzEncoder::new(&mut content, Compression::default());
            io::copy(&mut file, &mut encoder).and_then(|_| encoder.finish()).map(drop)
        } else {
            io::copy(&mut file, &mut content).map(drop)
        };
        let name = name.to_owned();
        match copied {
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                return Ok(Self::LeftOut {
                    name,
                    why: "too large for a mail even when compressed",
                });
            }
            copied => copied?,
        }
        let (content, name) = (content.0, if is_packed { name + ".gz" } else { name });
        let is_csv = !is_gzip && !is_packed;
        let content_type = if is_csv { "text/csv; charset=utf-8" } else { "application/gzip" };
        Ok(Self::File { name, content, content_type })
    }

    /// Returns the line about the attachment in the report.
    pub(crate) fn sentence(&self) -> Option<String> {
        match self {
            Self::None => None,
            Self::File { name, .. } => Some(format!("Please see attached: {name}")),
            Self::LeftOut { name, why } => Some(format!("Not attached: {name} ({why})")),
        }
    }
}

/// A writer into memory that accepts at most [`LIMIT`] bytes.
struct Limited(Vec<u8>);

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > LIMIT {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attachment(content: &[u8], name: &str) -> Attachment {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        mls_state::atomic::write(&path, content, 0o600).unwrap();
        let length = Some(content.len() as u64);
        Attachment::read(&AttemptSource::File { path, length }, true).unwrap()
    }

    #[test]
    fn small_files_go_as_they_are_larger_ones_compressed_and_huge_ones_not_at_all() {
        let Attachment::File { name, content, .. } = attachment(b"a,b\n", "x.csv") else {
            panic!("left out")
        };
        assert_eq!((name.as_str(), content.as_slice()), ("x.csv", &b"a,b\n"[..]));

        let large = b"mail,2026-06-01 00:00\n".repeat(10_000);
        let Attachment::File { name, content, .. } = attachment(&large, "x.csv") else {
            panic!("left out")
        };
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(content.as_slice()).read_to_end(&mut plain).unwrap();
        assert!(name == "x.csv.gz" && plain == large);

        // Bytes that no compressor makes smaller.
        let mut random = 1_u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            random.to_be_bytes()[0]
        })
        .take(6 << 20)
        .collect();
        let sentence = attachment(&noise, "x.csv").sentence().unwrap();
        assert_eq!(sentence, "Not attached: x.csv (too large for a mail even when compressed)");
    }
}
