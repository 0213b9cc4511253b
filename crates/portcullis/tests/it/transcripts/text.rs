//! The text of a transcript: what a row of the table says, read from its file.
//!
//! At the left margin stand words about the row, and the heads of scripts; what is indented is a script. One script may
//! serve many clients or servers, the one that says most about an end is its own:
//!
//! ```text
//! client modern before sse        a script: what such a client says and hears before such a server
//!   > tools/call {"name": "a"}    it says a request; its id and metadata are the player's matter
//!     | mcp-name: b               with this header instead of the right one, or with this `id`
//!   await asked                   it waits until the other side has said `signal asked`
//!   < 400 error {"code": -1, ...} it hears the answer, whatever else the error has
//! ```
//!
//! `other` is a second client of the same kind, of another user; `tokens 15` gives the users tokens that last so many seconds,
//! and `hides t7` has policies that hide a tool.
//!
//! `cannot` says between whom something is lost, and why; what happens instead is in scripts for these.
//!
//! In JSON `...` matches anything, or further members; `$name` is what stood there first; `absent` is no such member.
//! What is not written is not allowed, but for `_meta`.

use serde_json::Value;

use super::ends::End;
use super::lines::{Step, json, steps};

/// A row of the table.
#[derive(Debug)]
pub(super) struct Transcript {
    /// What it shows: the first paragraph.
    pub(super) about: String,
    /// The item of the minimum matrix.
    pub(super) item: String,
    /// What both ends must be, so that the row means anything between them.
    pub(super) needs: Vec<Need>,
    /// Between whom it cannot be carried.
    pub(super) losses: Vec<Loss>,
    /// What a client declares that it can be asked.
    pub(super) declares: Value,
    /// Capabilities of the servers that some words are said of.
    offers: Vec<(Vec<String>, Value)>,
    /// Their lists, by member.
    lists: Vec<(Vec<String>, Value)>,
    /// The configuration of the gateway, but for its servers.
    pub(super) config: Value,
    /// What the entries of the servers that some words are said of say besides how they are reached.
    entries: Vec<(Vec<String>, Value)>,
    /// Clients show a token that lasts for so many seconds.
    pub(super) tokens: Option<u64>,
    /// A tool that the policies hide at first.
    pub(super) hidden: Option<String>,
    scripts: Vec<Script>,
}

/// `needs client http`, `needs server >= 2025-06-18`.
#[derive(Debug)]
pub(super) struct Need {
    pub(super) side: Side,
    pub(super) from: Option<String>,
    pub(super) words: Vec<String>,
}

/// `cannot client A server B: 4.6.3 because`.
#[derive(Debug)]
pub(super) struct Loss {
    pub(super) client: Vec<String>,
    pub(super) server: Vec<String>,
    pub(super) number: usize,
    pub(super) why: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    /// Another client of the same kind, of another user.
    Other,
    Server,
}

#[derive(Debug)]
struct Script {
    side: Side,
    own: Vec<String>,
    other: Vec<String>,
    steps: Vec<Step>,
}

impl Transcript {
    /// Reads a row; its own mistakes are panics with the line.
    pub(super) fn read(text: &str) -> Self {
        let mut row = Self {
            about: String::new(),
            item: String::new(),
            needs: Vec::new(),
            losses: Vec::new(),
            declares: serde_json::json!({}),
            offers: vec![(Vec::new(), serde_json::json!({"tools": {}}))],
            lists: vec![(
                Vec::new(),
                serde_json::json!({"tools": [{"name": "echo", "inputSchema": {"type": "object"}}]}),
            )],
            config: serde_json::json!({}),
            entries: Vec::new(),
            tokens: None,
            hidden: None,
            scripts: Vec::new(),
        };
        let (about, rest) = text.split_once("\n\n").expect("a first paragraph");
        row.about = about.split_whitespace().collect::<Vec<_>>().join(" ");
        for block in blocks(rest) {
            row.take(&block);
        }
        assert!(!row.item.is_empty(), "no `item` in {}", row.about);
        row
    }

    fn take(&mut self, block: &[String]) {
        let (word, rest) = block[0].split_once(' ').unwrap_or((&block[0], ""));
        let all = || [&[rest.to_owned()][..], &block[1..]].concat().join(" ");
        match word {
            "item" => rest.trim().clone_into(&mut self.item),
            "needs" => self.needs.push(need(rest)),
            "cannot" => self.losses.push(loss(&all())),
            "declares" => self.declares = json(&all()),
            "offers" => self.offers.push(of_servers(&all())),
            "lists" => self.lists.push(of_servers(&all())),
            "config" => self.config = json(&all()),
            "entry" => self.entries.push(of_servers(&all())),
            "tokens" => self.tokens = Some(rest.trim().parse().expect("seconds")),
            "tools" => self.lists.push((Vec::new(), numbered(rest.trim().parse().expect("a number")))),
            "hides" => self.hidden = Some(rest.trim().to_owned()),
            "client" | "other" | "server" => self.scripts.push(script(word, rest, &block[1..])),
            _ => panic!("what is `{}`?", block[0]),
        }
    }

    /// The capabilities and the lists of a server.
    pub(super) fn serves(&self, server: End) -> (Value, Value) {
        let of = |all: &[(Vec<String>, Value)]| {
            let mut fits = all.iter().rev().filter(|(words, _)| words.iter().all(|word| server.is(word)));
            fits.next().expect("the first is everybody's").1.clone()
        };
        (of(&self.offers), of(&self.lists))
    }

    /// What the entry of a server says besides how it is reached.
    pub(super) fn entry(&self, server: End) -> Value {
        let fitting = self.entries.iter().filter(|(words, _)| words.iter().all(|word| server.is(word)));
        let members = fitting.flat_map(|(_, entry)| entry.as_object().expect("an object").clone());
        Value::Object(members.collect())
    }

    /// Whether another user takes part.
    pub(super) fn has_other(&self) -> bool {
        self.scripts.iter().any(|script| script.side == Side::Other)
    }

    /// What one end says and hears before the other: the script that says most about the two.
    pub(super) fn script(&self, side: Side, end: End, other: End) -> Vec<Step> {
        let fits = |script: &&Script| {
            script.side == side
                && script.own.iter().all(|word| end.is(word))
                && script.other.iter().all(|word| other.is(word))
        };
        let best =
            self.scripts.iter().filter(fits).max_by_key(|script| script.own.len() + script.other.len());
        best.map(|script| script.steps.clone()).unwrap_or_default()
    }

    /// Whether the row means anything between these two.
    pub(super) fn concerns(&self, client: End, server: End) -> bool {
        self.needs.iter().all(|need| {
            let end = if need.side == Side::Client { client } else { server };
            need.from.as_ref().is_none_or(|from| end.revision >= from.as_str())
                && need.words.iter().all(|word| match word.strip_prefix('!') {
                    Some(word) => !end.is(word),
                    None => end.is(word),
                })
        })
    }

    /// Why it cannot be carried between these two.
    pub(super) fn loss(&self, client: End, server: End) -> Option<&Loss> {
        self.losses.iter().find(|loss| {
            loss.client.iter().all(|word| client.is(word)) && loss.server.iter().all(|word| server.is(word))
        })
    }
}

/// Lines at the margin with those that are indented below them.
fn blocks(text: &str) -> Vec<Vec<String>> {
    let mut blocks: Vec<Vec<String>> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        match blocks.last_mut() {
            Some(block) if line.starts_with(' ') => block.push(line.to_owned()),
            _ => blocks.push(vec![line.trim_end().to_owned()]),
        }
    }
    blocks
}

fn words(text: &str) -> Vec<String> {
    let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    for word in &words {
        assert!(End::knows(word.trim_start_matches('!')), "`{word}` is said of no client or server");
    }
    words
}

/// So many tools, `t0` first.
fn numbered(count: usize) -> Value {
    let tool = |number| serde_json::json!({"name": format!("t{number}"), "inputSchema": {"type": "object"}});
    serde_json::json!({"tools": (0..count).map(tool).collect::<Vec<_>>()})
}

/// `modern {…}`, or without a word.
fn of_servers(text: &str) -> (Vec<String>, Value) {
    let (head, body) = text.split_at(text.find('{').expect("an object"));
    (words(head), json(body))
}

fn side(word: &str) -> Side {
    match word {
        "client" => Side::Client,
        "other" => Side::Other,
        "server" => Side::Server,
        _ => panic!("`{word}` is no side"),
    }
}

fn need(text: &str) -> Need {
    let (word, rest) = text.trim().split_once(' ').expect("a side and what it must be");
    match rest.trim().strip_prefix(">=") {
        Some(from) => Need { side: side(word), from: Some(from.trim().to_owned()), words: Vec::new() },
        None => Need { side: side(word), from: None, words: words(rest) },
    }
}

fn loss(text: &str) -> Loss {
    let (ends, reason) = text.split_once(": ").expect("`: ` and a reason");
    let (client, server) = ends.split_once(" server").expect("a client and a server");
    let (number, why) = reason.trim().split_once(' ').expect("a number and why");
    Loss {
        client: words(client.trim().trim_start_matches("client")),
        server: words(server),
        number: number.strip_prefix("4.6.").and_then(|number| number.parse().ok()).expect("4.6.N"),
        why: why.split_whitespace().collect::<Vec<_>>().join(" "),
    }
}

fn script(word: &str, head: &str, lines: &[String]) -> Script {
    let (own, other) = head.split_once("before").unwrap_or((head, ""));
    Script { side: side(word), own: words(own), other: words(other), steps: steps(lines) }
}
