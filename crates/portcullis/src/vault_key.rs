//! The key that seals connected accounts, made beside a store that is a file, so that accounts outlive a restart where nobody
//! configures anything.
//!
//! It keeps out whoever gets hold of the store alone, as by a backup of that one file; whoever can read the folder has both.
//! Replicas have nothing in common but their database, and a key beside it would be there for all who can read it: for them
//! the operator configures `vault.key`, and nothing is made here. An existing file is never changed.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use portcullis_config::{Settings, Store, vault_key};

use crate::Usage;
use crate::hex::hex;

/// Largest file that is read as a key.
const LARGEST: u64 = 1024;

/// The configured key, else that of the file beside the store, made if it is missing; `None` where nothing that is sealed is
/// to outlive the process, or the operator has to say.
pub(crate) fn find(settings: &Settings) -> anyhow::Result<Option<[u8; 32]>> {
    match &settings.store {
        Store::Sqlite { path } if settings.vault_key.is_none() => {
            let file = beside(path);
            let key = if file.exists() { read(&file) } else { make(&file) };
            key.with_context(|| format!("the vault's key {}", file.display())).map(Some)
        }
        _ => Ok(settings.vault_key),
    }
}

fn beside(store: &Path) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push(".key");
    PathBuf::from(name)
}

/// Written whole under another name first: nobody ever reads a part of it, and of two that make one, both use the first.
fn make(file: &Path) -> anyhow::Result<[u8; 32]> {
    let mut key = [0; 32];
    aws_lc_rs::rand::fill(&mut key).expect("the operating system has randomness");
    let mut text = hex(&key);
    text.push('\n');
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    let draft = PathBuf::from(name);
    let mut options = std::fs::OpenOptions::new();
    let mut open = options.write(true).create_new(true).mode(0o600).open(&draft)?;
    let written = open.write_all(text.as_bytes()).and_then(|()| open.sync_all());
    let linked = written.and_then(|()| std::fs::hard_link(&draft, file));
    let _ = std::fs::remove_file(&draft);
    match linked {
        Ok(()) => {
            tracing::info!(file = %file.display(), "made a key that seals the accounts that users connect; keep it with the store: without it they have to connect them anew");
            Ok(key)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => read(file),
        Err(error) => Err(error.into()),
    }
}

fn read(file: &Path) -> anyhow::Result<[u8; 32]> {
    let open = std::fs::File::open(file)?;
    if open.metadata()?.permissions().mode() & 0o077 != 0 {
        let message = format!("others than its owner may read {0}; `chmod 600 {0}`", file.display());
        return Err(Usage(message).into());
    }
    let mut text = String::new();
    open.take(LARGEST).read_to_string(&mut text)?;
    let none = || Usage("holds no 32 bytes in hex or base64; restore it, or remove it to begin anew".into());
    Ok(vault_key(text.trim()).ok_or_else(none)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_for_its_owner_alone_and_read_ever_after() {
        let folder = tempfile::tempdir().unwrap();
        let file = beside(&folder.path().join("portcullis.db"));
        assert!(file.ends_with("portcullis.db.key"));
        let made = make(&file).unwrap();
        assert_ne!(made, [0; 32]);
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read(&file).unwrap(), made);
        // Whoever comes second uses the first one's.
        assert_eq!(make(&file).unwrap(), made);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "and leaves nothing behind");
    }

    #[test]
    fn a_key_that_others_may_read_or_that_is_damaged_is_not_used_and_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        make(&file).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(read(&file).unwrap_err().to_string().contains("chmod 600"));
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&file, "half a key").unwrap();
        assert!(read(&file).is_err());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "half a key");
    }
}
