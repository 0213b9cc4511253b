//! The SQLite file.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use portcullis_model::{Expected, Records};
use portcullis_store::{Access, OpenError, Sqlite};

use crate::suite;

#[tokio::test(flavor = "multi_thread")]
async fn a_file_does_what_every_store_does_for_two_that_have_it_open() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Arc::new(Sqlite::open(&folder.path().join("store.db"), Access::Serve).unwrap());
    suite::run(open(), open()).await;
}

#[tokio::test]
async fn what_was_put_is_there_after_a_restart_and_for_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = Sqlite::open(&path, Access::Serve).unwrap();
    store.put("kind", "key", b"value".to_vec(), None, Expected::Any).await.unwrap();
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?} is {mode:o}", file.file_name());
    }
    drop(store);
    let store = Sqlite::open(&path, Access::Serve).unwrap();
    assert_eq!(store.get("kind", "key").await.unwrap().unwrap().value, b"value");
}

#[tokio::test]
async fn who_only_looks_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    assert!(matches!(Sqlite::open(&path, Access::Read), Err(OpenError::File { .. })));
    assert!(!path.exists());
    std::fs::write(&path, "").unwrap();
    assert!(matches!(Sqlite::open(&path, Access::Read), Err(OpenError::NotReady { found: 0, known: 1 })));
    assert_eq!(std::fs::read(&path).unwrap(), b"");
    let serving = Sqlite::open(&path, Access::Serve).unwrap();
    serving.put("kind", "key", b"value".to_vec(), None, Expected::Any).await.unwrap();
    let looking = Sqlite::open(&path, Access::Read).unwrap();
    assert_eq!(looking.get("kind", "key").await.unwrap().unwrap().value, b"value");
    assert!(looking.put("kind", "key", b"other".to_vec(), None, Expected::Any).await.is_err());
}

#[test]
fn what_a_newer_version_made_and_what_is_no_database_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    drop(Sqlite::open(&path, Access::Serve).unwrap());
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    assert!(matches!(Sqlite::open(&path, Access::Serve), Err(OpenError::Newer { found: 99, .. })));
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "not a database at all, whatever it is called".repeat(99)).unwrap();
    assert!(matches!(Sqlite::open(&text, Access::Serve), Err(OpenError::File { .. })));
    assert!(std::fs::read_to_string(&text).unwrap().starts_with("not a database"));
    assert!(matches!(Sqlite::open(folder.path(), Access::Serve), Err(OpenError::File { .. })));
}
