//! A folder for each sandboxed child that is its own: its home, and where its temporary files go.
//!
//! All of one gateway's are in one folder beside other temporary files, which is removed when the gateway ends, by the keeper
//! if need be. A child's is removed when nothing is left of the child.

use std::{
    env, fs, io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, lchown},
    path::{Path, PathBuf},
};

use nix::unistd::User;
use tokio::{sync::OnceCell, task};
use tracing::warn;

use super::marker::Instance;

/// Where all of them are.
#[derive(Debug)]
pub(super) struct Folders {
    path: PathBuf,
    /// Ours, and there.
    made: OnceCell<()>,
}

impl Folders {
    pub(super) fn of(instance: &Instance) -> Self {
        Self { path: env::temp_dir().join(name(instance)), made: OnceCell::new() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes one for the `number`-th child, which runs as `user` (its id and its group's) where it is not ours.
    ///
    /// # Errors
    /// What the system says; also when there is a folder of this name already, for whoever made it could change what is in it.
    pub(super) async fn make(&self, number: u64, user: Option<(u32, u32)>) -> io::Result<Folder> {
        self.made.get_or_try_init(async || self.make_all()).await?;
        let path = self.path.join(number.to_string());
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        let folder = Folder(path);
        if let Some((user, group)) = user {
            lchown(&folder.0, Some(user), Some(group))?;
        }
        Ok(folder)
    }

    fn make_all(&self) -> io::Result<()> {
        fs::DirBuilder::new().mode(0o700).create(&self.path)?;
        // Others may go through it to what is theirs, and see nothing; whatever the mask for new files is.
        fs::set_permissions(&self.path, fs::Permissions::from_mode(0o711))
    }
}

/// One child's.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Removes it, where that may take its time: a child can have left any number of files.
    pub(super) async fn remove(self) {
        // An error means that the runtime is being shut down; the keeper removes them all.
        let _ = task::spawn_blocking(move || drop(self)).await;
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            warn!(%error, folder = %self.0.display(), "a server's own folder is left");
        }
    }
}

/// Removes the folder of `instance`, and nothing that has another name.
pub(super) fn remove(folders: &Path, instance: &Instance) {
    if folders.file_name().is_some_and(|found| found == name(instance).as_str()) {
        // There is nobody to tell.
        let _ = fs::remove_dir_all(folders);
    }
}

fn name(instance: &Instance) -> String {
    format!("portcullis-{instance}")
}

/// The ids of a user and its group, by its name or number.
pub(super) fn user(name: &str) -> Result<(u32, u32), String> {
    let found = match name.parse() {
        Ok(number) => User::from_uid(nix::unistd::Uid::from_raw(number)),
        Err(_) => User::from_name(name),
    };
    match found {
        Ok(Some(user)) if user.uid.is_root() => {
            Err(format!("`user` is {name}, who may do everything; name another"))
        }
        Ok(Some(user)) => Ok((user.uid.as_raw(), user.gid.as_raw())),
        Ok(None) => Err(format!("there is no user `{name}` on this machine; create it or correct `user`")),
        Err(error) => Err(format!("cannot look up the user `{name}`: {error}")),
    }
}

#[cfg(test)]
mod tests;
