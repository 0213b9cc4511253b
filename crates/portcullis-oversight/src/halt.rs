//! The kill switch: a tool, a server, a caller or everything is stopped until somebody lifts it.
//!
//! What is stopped in the configuration and what is stopped by command is one set. Halts by command are records, one for
//! each target, so every gateway that shares the store heeds them.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use portcullis_model::{Expected, Records, Unavailable, matches_pattern};
use serde::{Deserialize, Serialize};

/// The kind of the records.
pub const HALT: &str = "halt";
/// Who lifted it, for as long as whoever heeds it may want to know.
const LIFTED: &str = "halt-lifted";
const LIFTED_FOR: Duration = Duration::from_hours(1);
const PAGE: usize = 500;

/// What is stopped.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Target {
    /// Everything.
    All,
    /// A server, with all that it has.
    Server(String),
    /// Tools of a server: `*` in the name stands for any characters.
    Tool(String, String),
    /// A caller.
    Principal(String),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Server(server) => write!(f, "server:{server}"),
            Self::Tool(server, name) => write!(f, "tool:{server}/{name}"),
            Self::Principal(id) => write!(f, "principal:{id}"),
        }
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || {
            let meant = meant(text).map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
            format!(
                "`{text}` is nothing to halt: expected `all`, `server:NAME`, `tool:SERVER/NAME` or \
                 `principal:ID`{meant}"
            )
        };
        if text == "all" {
            return Ok(Self::All);
        }
        if text.len() > 400 || text.contains(char::is_control) {
            return Err(wrong());
        }
        match text.split_once(':').ok_or_else(wrong)? {
            ("server", name) if !name.is_empty() && !name.contains('/') => Ok(Self::Server(name.to_owned())),
            ("tool", tool) => match tool.split_once('/') {
                Some((server, name)) if !server.is_empty() && !name.is_empty() => {
                    Ok(Self::Tool(server.to_owned(), name.to_owned()))
                }
                _ => Err(wrong()),
            },
            ("principal", id) if !id.is_empty() => Ok(Self::Principal(id.to_owned())),
            _ => Err(wrong()),
        }
    }
}

/// What somebody means who leaves the kind out.
fn meant(text: &str) -> Option<String> {
    let name = |text: &str| {
        !text.is_empty()
            && text.len() <= 100
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.*".contains(&b))
    };
    if is_principal(text) {
        return Some(format!("principal:{text}"));
    }
    match text.split_once('/') {
        Some((server, tool)) if name(server) && name(tool) => Some(format!("tool:{text}")),
        None if name(text) => Some(format!("server:{text}")),
        _ => None,
    }
}

/// Whether an id has a form in which callers are named: `anonymous`, `user:…`, `key:…`, `cert:…` or `spiffe://…`.
pub fn is_principal(id: &str) -> bool {
    let of_kind = |kind: &str| id.strip_prefix(kind).is_some_and(|rest| !rest.is_empty());
    id == "anonymous" || ["user:", "key:", "cert:", "spiffe://"].into_iter().any(of_kind)
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}

impl TryFrom<String> for Target {
    type Error = String;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// Something is stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Halt {
    /// What.
    pub target: Target,
    /// Why, as whoever did it says.
    #[serde(default)]
    pub reason: Option<String>,
    /// Who did it.
    pub by: String,
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// Whether it is stopped to see whether that works.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub test: bool,
}

/// All that is stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Halts(pub Vec<Halt>);

impl Halts {
    /// Whether nothing is stopped.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first that stops a call; what is not known of the call stops nothing.
    pub fn stopping(&self, principal: &str, server: Option<&str>, name: Option<&str>) -> Option<&Halt> {
        self.0.iter().find(|halt| match &halt.target {
            Target::All => true,
            Target::Server(of) => server == Some(of),
            Target::Tool(of, pattern) => {
                server == Some(of) && name.is_some_and(|name| matches_pattern(pattern, name))
            }
            Target::Principal(id) => id == principal,
        })
    }

    /// Whether something of a server is stopped for everybody.
    pub fn hides(&self, server: &str, tool: Option<&str>) -> bool {
        self.0.iter().any(|halt| match &halt.target {
            Target::All => true,
            Target::Server(of) => server == of,
            Target::Tool(of, pattern) => {
                server == of && tool.is_some_and(|name| matches_pattern(pattern, name))
            }
            Target::Principal(_) => false,
        })
    }

    /// What is stopped by command.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn load(records: &dyn Records) -> Result<Self, Unavailable> {
        let (mut found, mut after) = (Vec::new(), String::new());
        loop {
            let page = records.list(HALT, "", &after, PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(Self(found)) };
            after.clone_from(last);
            // One that cannot be read stops what its key says.
            found.extend(page.iter().filter_map(|(key, record)| {
                let read = serde_json::from_slice(&record.value).ok();
                read.or_else(|| {
                    let target = key.parse().ok()?;
                    Some(Halt { target, reason: None, by: String::new(), at: 0, test: false })
                })
            }));
        }
    }
}

impl Halt {
    /// Stops it, until it is lifted.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn set(&self, records: &dyn Records) -> Result<(), Unavailable> {
        let value = serde_json::to_vec(self).expect("a halt prints");
        records.put(HALT, &self.target.to_string(), value, None, Expected::Any).await.map(drop)
    }

    /// Lets it go on; false when it was not stopped.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn lift(records: &dyn Records, target: &Target, by: &str) -> Result<bool, Unavailable> {
        let (key, ends) = (target.to_string(), SystemTime::now().checked_add(LIFTED_FOR));
        records.put(LIFTED, &key, by.as_bytes().to_vec(), ends, Expected::Any).await?;
        Ok(records.take(HALT, &key).await?.is_some())
    }

    /// Who lifted it last, if that was not long ago.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn lifted_by(records: &dyn Records, target: &Target) -> Result<Option<String>, Unavailable> {
        let record = records.get(LIFTED, &target.to_string()).await?;
        Ok(record.and_then(|record| String::from_utf8(record.value).ok()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn halts(targets: &[&str]) -> Halts {
        let one = |text: &&str| Halt {
            target: text.parse().unwrap(),
            reason: None,
            by: "ops".into(),
            at: 0,
            test: false,
        };
        Halts(targets.iter().map(one).collect())
    }

    #[test]
    fn a_halt_stops_what_it_names_and_nothing_else() {
        for (target, stopped) in [
            ("all", [true, true, true, true]),
            ("server:crm", [false, true, true, true]),
            ("tool:crm/delete_*", [false, false, false, true]),
            ("principal:key:ci", [false, false, true, false]),
        ] {
            let halts = halts(&[target]);
            let calls = [
                ("anonymous", Some("mail"), Some("delete_all")),
                ("anonymous", Some("crm"), None),
                ("key:ci", Some("crm"), Some("read")),
                ("anonymous", Some("crm"), Some("delete_all")),
            ];
            for ((principal, server, name), stopped) in calls.into_iter().zip(stopped) {
                let found = halts.stopping(principal, server, name).is_some();
                assert_eq!(found, stopped, "{target}: {principal} {server:?} {name:?}");
            }
        }
        assert!(halts(&[]).stopping("anonymous", None, None).is_none());
    }

    #[test]
    fn targets_are_read_as_they_are_written() {
        for text in ["all", "server:a", "tool:a/b/c", "principal:user:https://idp#x"] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
        for text in
            ["", "everything", "server:", "tool:a", "tool:/b", "principal:", "server:a/b", "tool:a/\n"]
        {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
        for (text, meant) in
            [("crm", "server:crm"), ("crm/send", "tool:crm/send"), ("key:ada", "principal:key:ada")]
        {
            let wrong = text.parse::<Target>().unwrap_err();
            assert!(wrong.ends_with(&format!("; did you mean `{meant}`?")), "{wrong}");
        }
        assert!(!"a b".parse::<Target>().unwrap_err().contains("did you mean"));
    }

    #[tokio::test]
    async fn halts_are_kept_until_they_are_lifted() {
        let records = portcullis_store::Memory::default();
        for halt in halts(&["all", "server:a"]).0 {
            halt.set(&records).await.unwrap();
        }
        assert_eq!(Halts::load(&records).await.unwrap(), halts(&["all", "server:a"]));
        assert_eq!(Halt::lifted_by(&records, &Target::All).await.unwrap(), None);
        assert!(Halt::lift(&records, &Target::All, "cli:ada").await.unwrap());
        assert!(!Halt::lift(&records, &Target::All, "cli:ada").await.unwrap());
        assert_eq!(Halt::lifted_by(&records, &Target::All).await.unwrap().as_deref(), Some("cli:ada"));
        assert_eq!(Halts::load(&records).await.unwrap(), halts(&["server:a"]));
        records.put(HALT, "server:b", b"?".to_vec(), None, Expected::Any).await.unwrap();
        let halts = Halts::load(&records).await.unwrap();
        assert!(
            halts.stopping("anonymous", Some("b"), None).is_some(),
            "what cannot be read stops all the same"
        );
    }
}
