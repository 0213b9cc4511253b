//! Whose a definition is: a server's, or one version's of a server of which there are several.
//!
//! Versions of one server are asked at the same time while one is rolled out, and one is gone back to. What each says of its
//! tools is held against what that version said, so neither makes the other's tools look as if they had changed. A version was
//! started and read before anybody approved it: what it offered then is what was approved, and any other word is another's.
//! Toward other servers' names, all versions are one server.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};

use crate::definition::{DefinitionKind, Pin};
use crate::hex::hex;

/// What definitions of a version of a server are kept under; of a server without one, its name.
pub fn scope(server: &str, version: Option<&str>) -> String {
    version.map_or_else(|| server.to_owned(), |version| format!("{server}@{version}"))
}

/// The server whose a scope is.
pub fn server_of(scope: &str) -> &str {
    scope.split_once('@').map_or(scope, |(server, _)| server)
}

/// The version whose a scope is.
pub fn version_of(scope: &str) -> Option<&str> {
    scope.split_once('@').map(|(_, version)| version)
}

/// A scope as it stands in a key, in which a slash ends it.
pub(crate) fn in_key(scope: &str) -> String {
    const LONGEST: usize = 80;
    if scope.len() <= LONGEST && !scope.contains(['/', '#']) && !scope.contains(char::is_control) {
        return scope.to_owned();
    }
    format!("{}@#{}", server_of(scope), hex(digest(&SHA256, scope.as_bytes()).as_ref()))
}

/// What a version was seen to offer.
pub type Offered = HashMap<(DefinitionKind, String), Pin>;

/// What versions were seen to offer before they were approved.
#[derive(Default)]
pub(crate) struct Expectations(Mutex<HashMap<String, Arc<Offered>>>);

impl Expectations {
    pub(crate) fn of(&self, scope: &str) -> Option<Arc<Offered>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(scope).cloned()
    }

    /// Of these, too. What is known of others stays: a version that leaves is still asked by those who have it.
    pub(crate) fn add(&self, all: HashMap<String, Arc<Offered>>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_read_as_it_was_written_and_keys_are_kept_apart() {
        assert_eq!(scope("files", None), "files");
        let two = scope("files", Some("2.0.0@x"));
        assert_eq!((server_of(&two), version_of(&two)), ("files", Some("2.0.0@x")));
        assert_eq!(version_of("files"), None);
        assert_eq!(in_key("files@2.0.0"), "files@2.0.0");
        let odd = ["files@1/tool", "files@1/tool/x", "files@#", &format!("files@{}", "9".repeat(200))];
        let keys: std::collections::BTreeSet<_> = odd.iter().map(|scope| in_key(scope)).collect();
        assert!(keys.len() == odd.len() && keys.iter().all(|key| key.starts_with("files@#")), "{keys:?}");
        assert!(keys.iter().all(|key| !key.contains('/') && key.len() <= 80));
    }
}
