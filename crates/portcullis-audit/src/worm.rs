//! Checkpoints in a folder that is written once: a mount with a lock on its objects, another machine, a disk that is taken out.
//!
//! Each is a file of its own that is made and never opened for writing again. A checkpoint whose name is taken by another
//! one is two histories of one log, and is told of at once. Whether the folder really cannot be changed is up to whoever mounts it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::checkpoint::Checkpoint;
use crate::note::InvalidNote;

/// A checkpoint that was not kept.
#[derive(Debug, thiserror::Error)]
pub enum NotKept {
    /// It is none.
    #[error("not kept: {0}")]
    Invalid(#[from] InvalidNote),
    /// There is another one over as many events.
    #[error("{0} holds another checkpoint over as many events: the log was forked")]
    Forked(PathBuf),
    /// The folder cannot be used.
    #[error("{path}: {error}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Keeps a checkpoint.
///
/// # Errors
/// It is not kept.
pub fn keep(folder: &Path, note: &str) -> Result<PathBuf, NotKept> {
    let checkpoint = Checkpoint::parse_unverified(note)?;
    let origin: String = checkpoint
        .origin
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') { c } else { '_' })
        .collect();
    let path = folder.join(format!("{origin}-{:020}.checkpoint", checkpoint.size));
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o444).open(&path)?;
        file.write_all(note.as_bytes())?;
        file.sync_all()
    };
    match write() {
        Ok(()) => Ok(path),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let there =
                fs::read_to_string(&path).map_err(|error| NotKept::Io { path: path.clone(), error })?;
            match Checkpoint::parse_unverified(&there) {
                Ok(there) if there == checkpoint => Ok(path),
                _ => Err(NotKept::Forked(path)),
            }
        }
        Err(error) => Err(NotKept::Io { path, error }),
    }
}

/// Whether a folder keeps what was written: a file is put there, and tried to be written anew and to be removed. On one that
/// keeps it, it stays.
///
/// # Errors
/// Nothing can be put there.
pub fn is_written_once(folder: &Path) -> io::Result<bool> {
    let path = folder.join("written-once");
    if !path.exists() {
        fs::write(
            &path,
            "Whether this file can be written anew or removed says what checkpoints beside it are worth.\n",
        )?;
    }
    let anew = OpenOptions::new().write(true).open(&path).is_ok();
    let removed = fs::remove_file(&path).is_ok();
    Ok(!anew && !removed)
}

/// The checkpoints of a folder, or of a file.
///
/// # Errors
/// It cannot be read.
pub fn read(path: &Path) -> io::Result<Vec<String>> {
    if path.is_file() {
        return Ok(vec![fs::read_to_string(path)?]);
    }
    let mut files = fs::read_dir(path)?.map(|file| Ok(file?.path())).collect::<io::Result<Vec<_>>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "checkpoint"));
    files.sort();
    files.iter().map(fs::read_to_string).collect()
}
