//! The key of the pseudonyms.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::Context;
use data_encoding::HEXLOWER_PERMISSIVE;
use hkdf::Hkdf;
use mls_diag::Exit;
use sha2::Sha256;

/// A key of 256 bits. For each purpose, another key is derived from this key.
pub struct PseudonymKey([u8; 32]);

impl PseudonymKey {
    /// Makes a random key for this run.
    ///
    /// # Errors
    /// Exit 69 if the system has no random numbers.
    pub fn random() -> anyhow::Result<Self> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)
            .map_err(|error| Exit::Unavailable.error(format!("getting random numbers: {error}")))?;
        Ok(Self(key))
    }

    /// Reads 64 hexadecimal digits, as `openssl rand -hex 32` writes them.
    ///
    /// # Errors
    /// Exit 66 if the file does not exist, 77 if users outside its group may use it, 78 if its
    /// content is not 64 digits.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let name = path.display();
        let file = File::open(path).with_context(|| format!("opening the key file {name}"))?;
        let metadata = file.metadata().with_context(|| format!("checking the key file {name}"))?;
        if metadata.mode() & 0o007 != 0 {
            let mode = metadata.mode() & 0o777;
            return Err(Exit::NoPerm.error(format!(
                "key file {name}: everybody may use it (mode {mode:04o}); run: chmod 600 {name}"
            )));
        }
        let mut text = Vec::new();
        // Read a little more than needed, to notice a file that is too long.
        file.take(100)
            .read_to_end(&mut text)
            .with_context(|| format!("reading the key file {name}"))?;
        let digits = text.trim_ascii();
        let key = HEXLOWER_PERMISSIVE.decode(digits).ok().and_then(|key| key.try_into().ok());
        key.map(Self).ok_or_else(|| {
            Exit::Config.error(format!(
                "key file {name}: not 64 hexadecimal digits; make a key with: openssl rand -hex 32"
            ))
        })
    }

    /// Derives the key for `purpose` by HKDF-Expand with SHA-256 (RFC 5869). `self` is the
    /// pseudo-random key (PRK).
    #[must_use]
    pub fn for_purpose(&self, purpose: &str) -> [u8; 32] {
        let mut key = [0; 32];
        let hkdf = Hkdf::<Sha256>::from_prk(&self.0);
        let expanded = hkdf.map(|hkdf| hkdf.expand(purpose.as_bytes(), &mut key));
        if !matches!(expanded, Ok(Ok(()))) {
            unreachable!("HKDF-Expand gives 32 bytes for a key of 32 bytes");
        }
        key
    }
}
