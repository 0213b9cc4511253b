//! The files that a configuration was read from, and whether they have changed since.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What tells one state of a file from the next; `None` while it cannot be read.
type Look = Option<(SystemTime, u64)>;

/// Files, each as it looked the last time.
#[derive(PartialEq, Eq)]
pub(crate) struct Files(BTreeMap<PathBuf, Look>);

impl Files {
    /// As they look now. Look before you read: what changes in between has then changed.
    pub(crate) fn look_at(files: impl IntoIterator<Item = PathBuf>) -> Self {
        Self(files.into_iter().map(|file| (file.clone(), look(&file))).collect())
    }

    /// Looks again, and says whether anything has changed.
    pub(crate) fn have_changed(&mut self) -> bool {
        let now = Self::look_at(self.0.keys().cloned());
        std::mem::replace(self, now) != *self
    }

    /// Other files from now on. Those that were looked at before they were read keep that look.
    pub(crate) fn become_these(&mut self, files: impl IntoIterator<Item = PathBuf>) {
        let mut old = std::mem::take(&mut self.0);
        let keep = |file: PathBuf| {
            let look = old.remove(&file).unwrap_or_else(|| look(&file));
            (file, look)
        };
        self.0 = files.into_iter().map(keep).collect();
    }
}

fn look(file: &Path) -> Look {
    let metadata = std::fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}
