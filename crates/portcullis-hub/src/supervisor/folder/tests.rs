//! Whose the folders are.

use std::{fs, io, os::unix::fs::PermissionsExt as _, path::Path};

use super::{Folders, Instance};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

#[tokio::test]
async fn others_go_through_to_what_is_theirs_and_no_further() {
    let folders = Folders::of(&Instance::unique());
    let (one, other) =
        (folders.make(0, None).await.expect("made"), folders.make(1, None).await.expect("made"));
    assert_eq!(mode(folders.path()), 0o711);
    assert_eq!((mode(one.path()), mode(other.path())), (0o700, 0o700));
    fs::write(one.path().join("file"), "left").expect("written");
    let path = one.path().to_owned();
    one.remove().await;
    assert!(!path.exists() && other.path().exists());
    drop(other);
    fs::remove_dir(folders.path()).expect("nothing is left in it");
}

#[tokio::test]
async fn a_folder_that_somebody_else_made_is_not_used() {
    let folders = Folders::of(&Instance::unique());
    fs::create_dir(folders.path()).expect("made");
    let refused = folders.make(0, None).await.expect_err("it is not ours");
    assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
    fs::remove_dir(folders.path()).expect("nothing was put there");
}
