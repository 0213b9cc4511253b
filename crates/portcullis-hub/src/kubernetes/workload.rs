//! A server as it is run in a cluster: its image and what is said of it, and the name that follows from that.

use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};
use portcullis_model::ServerId;

use crate::Network;
use crate::hex::hex;

/// A server that a cluster is to run.
#[derive(Clone, PartialEq, Eq)]
pub struct Workload {
    /// Which server.
    pub server: ServerId,
    /// Which version of it, where there are several.
    pub version: Option<String>,
    /// Its image, by digest.
    pub image: String,
    /// In place of the entry point of that.
    pub command: Vec<String>,
    /// Arguments.
    pub args: Vec<String>,
    /// Variables, which are kept in a Secret.
    pub env: BTreeMap<String, String>,
    /// What its pods are not to say in their logs.
    pub secrets: Vec<String>,
    /// On which it serves.
    pub port: u16,
    /// Most processor time, as Kubernetes writes it: `1`, `500m`.
    pub cpu: String,
    /// Most memory, in bytes.
    pub memory: u64,
    /// Room in `/tmp`, in bytes.
    pub tmp: u64,
    /// The user that it runs as.
    pub user: Option<u32>,
    /// Where it may connect to.
    pub network: Network,
    /// Where the ports of that may be; at public addresses when it is empty.
    pub cidrs: Vec<String>,
}

/// From where workloads may be reached. Either labels or addresses are there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ingress {
    /// Labels of pods.
    pub labels: BTreeMap<String, String>,
    /// Their namespace, where it is another.
    pub namespace: Option<String>,
    /// Addresses.
    pub cidrs: Vec<String>,
}

impl fmt::Debug for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workload")
            .field("server", &self.server)
            .field("version", &self.version)
            .field("image", &self.image)
            .finish_non_exhaustive()
    }
}

impl Workload {
    /// What its objects are called for an instance of the gateway: the same for the same description, whoever writes it, and
    /// another for another. Values of variables are left out, since a name is public; when one changes, the objects stay and the
    /// pod is replaced.
    pub fn name(&self, instance: &str) -> String {
        let mut sum = Context::new(&SHA256);
        // Each part with its length, so that no two descriptions are one text.
        let mut add = |text: &str| {
            sum.update(&text.len().to_le_bytes());
            sum.update(text.as_bytes());
        };
        add(instance);
        add(self.version.as_deref().unwrap_or("\u{0}"));
        add(&self.image);
        let lists = [&self.command, &self.args, &self.cidrs];
        for list in lists {
            add(&list.len().to_string());
            for text in list {
                add(text);
            }
        }
        add(&self.env.len().to_string());
        for name in self.env.keys() {
            add(name);
        }
        let (network, limits) = (&self.network, (&self.cpu, self.memory, self.tmp));
        add(&format!("{} {limits:?} {:?} {network:?}", self.port, self.user));
        let digest = sum.finish();
        // So much that nobody finds two descriptions with one name.
        format!("mcp-{}-{}", self.server, hex(&digest.as_ref()[..16]))
    }
}

#[cfg(test)]
mod tests {
    use portcullis_model::ServerId;

    use super::super::objects::tests::workload;

    #[test]
    fn a_name_is_of_one_description() {
        let one = workload();
        let name = one.name("a");
        assert_eq!(name.strip_prefix("mcp-x-").map(str::len), Some(32), "{name}");
        let long =
            super::Workload { server: ServerId::parse(&"a".repeat(20)).expect("an id"), ..one.clone() };
        assert!(long.name("a").len() <= 63, "a label holds no more");
        assert_eq!(one.clone().name("a"), name);
        let mut others = vec![one.name("b")];
        let mut with = |change: fn(&mut super::Workload)| {
            let mut other = one.clone();
            change(&mut other);
            others.push(other.name("a"));
        };
        with(|it| it.version = Some("2".to_owned()));
        with(|it| it.image.push('0'));
        with(|it| it.args = vec!["ab".to_owned()]);
        with(|it| it.args = vec!["a".to_owned(), "b".to_owned()]);
        with(|it| it.command = vec!["a".to_owned(), "b".to_owned()]);
        with(|it| it.port = 1);
        with(|it| it.memory += 1);
        with(|it| it.network = crate::Network::Any);
        with(|it| drop(it.env.insert("MORE".to_owned(), String::new())));
        others.push(name);
        let count = others.len();
        others.sort_unstable();
        others.dedup();
        assert_eq!(others.len(), count, "{others:?}");
    }

    #[test]
    fn a_secret_is_in_no_name_and_in_nothing_that_is_shown() {
        let one = workload();
        let mut other = one.clone();
        other.env.values_mut().for_each(|value| *value = "another".to_owned());
        assert_eq!(one.name("a"), other.name("a"));
        assert!(!format!("{other:?}").contains("another"));
    }
}
