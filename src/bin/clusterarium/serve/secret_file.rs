//! Files that only their owner may read.
//!
//! Picture to hold in mind: a letter in an envelope, sealed before anything is written on it.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

/// Writes `text` to `path`, readable to its owner alone where there are such rights.
///
/// # Errors
/// In words, when it cannot be written.
pub fn write(path: &Path, text: &str) -> Result<(), String> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| format!("{}: {error}", path.display()))
}
