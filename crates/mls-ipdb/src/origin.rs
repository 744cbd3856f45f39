//! The origin of an installed database. With it, the next update asks the server only for a newer
//! file.
//!
//! The file `NAME.origin` beside the database contains the origin as one JSON object.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

use mls_diag::{Exit, OnFile, OrExit};
use mls_location::MAX_SIZE;
use mls_state::cursor_file::{sha256, sha256_of};
use mls_state::regular;
use serde::{Deserialize, Serialize};

/// The headers `ETag` and `Last-Modified` that the server sent, and a hash of the installed file.
/// If the file was changed later, its hash differs, and the origin is not used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DownloadOrigin {
    /// A hash, because everybody may read this file, and a URL may contain a secret key.
    url_sha256: String,
    pub(crate) etag: Option<String>,
    pub(crate) last_modified: Option<String>,
    sha256: String,
}

impl DownloadOrigin {
    pub(crate) fn new(
        url: &str,
        etag: Option<String>,
        last_modified: Option<String>,
        installed: &mut File,
    ) -> io::Result<Self> {
        installed.rewind()?;
        let sha256_of_file = sha256_of(installed)?;
        Ok(Self { url_sha256: sha256(url.as_bytes()), etag, last_modified, sha256: sha256_of_file })
    }

    /// Returns the origin of `database`. If the database came from another URL or was changed
    /// later, returns `None`, and the caller downloads the whole file.
    pub(crate) fn load(database: &Path, url: &str) -> Option<Self> {
        let text = regular::read(&beside(database)).ok()?;
        let origin: Self = serde_json::from_slice(&text).ok()?;
        let is_unchanged = || {
            let installed = sha256_of(regular::open(database)?.take(MAX_SIZE))?;
            io::Result::Ok(origin.sha256 == installed)
        };
        (origin.url_sha256 == sha256(url.as_bytes()) && is_unchanged().ok()?).then_some(origin)
    }

    pub(crate) fn store(&self, database: &Path) -> anyhow::Result<()> {
        let path = beside(database);
        let mut text = serde_json::to_vec(self)?;
        text.push(b'\n');
        mls_state::atomic::write(&path, &text, 0o644).on_file("writing", &path).or_exit(Exit::IoErr)
    }
}

fn beside(database: &Path) -> PathBuf {
    database.with_added_extension("origin")
}
