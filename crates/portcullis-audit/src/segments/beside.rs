//! What lies beside the entries: a folder for each kind, a file for each thing, each written whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use portcullis_model::Unavailable;

use super::failed;

/// Names that are no names of files are none of ours.
fn path(folder: &Path, kind: &str, name: &str) -> Result<PathBuf, Unavailable> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.starts_with('.') || name.len() > 200 || !name.chars().all(good) {
        return Err(Unavailable(format!("{name:?} cannot be the name of a {kind}")));
    }
    Ok(folder.join(kind).join(name))
}

pub(super) fn put(folder: &Path, kind: &str, name: &str, value: &[u8]) -> Result<(), Unavailable> {
    let path = path(folder, kind, name)?;
    let place = folder.join(kind);
    if !place.is_dir() {
        fs::DirBuilder::new().mode(0o700).recursive(true).create(&place).map_err(failed(&place))?;
        sync_folder(folder)?;
    }
    write_atomically(&place, &path, value)
}

/// Writes another file, and gives it the name.
pub(super) fn write_atomically(folder: &Path, path: &Path, value: &[u8]) -> Result<(), Unavailable> {
    let new = folder.join(".new");
    let write = || {
        let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(value)?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    write().map_err(failed(path))?;
    sync_folder(folder)
}

pub(super) fn sync_folder(folder: &Path) -> Result<(), Unavailable> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed(folder))
}

pub(super) fn get(folder: &Path, kind: &str, name: &str) -> Result<Option<Vec<u8>>, Unavailable> {
    let path = path(folder, kind, name)?;
    match fs::read(&path) {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(&path)(error)),
    }
}

pub(super) fn list(folder: &Path, kind: &str, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, Unavailable> {
    let place = folder.join(kind);
    let found = match fs::read_dir(&place) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(&place)(error)),
    };
    let mut names = Vec::new();
    for file in found {
        let name = file.map_err(failed(&place))?.file_name().to_string_lossy().into_owned();
        if name.starts_with(prefix) && !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort();
    let read = |name: String| Ok(get(folder, kind, &name)?.map(|value| (name, value)));
    names.into_iter().filter_map(|name| read(name).transpose()).collect()
}

/// Overwrites, and removes. On a disk that writes elsewhere what is written again, the old may be found for a while.
pub(super) fn remove(folder: &Path, kind: &str, name: &str) -> Result<(), Unavailable> {
    let path = path(folder, kind, name)?;
    let overwrite = || {
        let mut file = OpenOptions::new().write(true).open(&path)?;
        let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        file.write_all(&vec![0; length])?;
        file.sync_all()?;
        fs::remove_file(&path)
    };
    match overwrite() {
        Ok(()) => sync_folder(&folder.join(kind)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(&path)(error)),
    }
}
