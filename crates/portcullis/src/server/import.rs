//! `portcullis server import`: proposes what a file or another registry has, as far as `registry.import` lets it in.
//!
//! Everything arrives as `submitted`, under its publisher's name and word for word; what is known already stays as it is. What
//! takes inputs that nobody has given yet comes in without a way to reach it, and `portcullis server configure` gives it one.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::Read as _;
use std::process::ExitCode;

use anyhow::Context as _;
use portcullis_config::Settings;
use portcullis_gateway::Question;
use portcullis_hub::registry::{Admission, Document, Entry, Inputs, Registry, Stage, launch};
use portcullis_model::ServerId;
use serde_json::{Value, json};

use super::add::{confirmed, slug_of};
use super::args::{Import, Way};
use super::configure::walled_in;
use super::{by, now};
use crate::Usage;
use crate::approved::{HUB, would_be_one};
use crate::connect::token;
use crate::oversight::{ask, change};
use crate::stdout::{line, print};

/// How a page of another registry is asked for, and how many at the most: one that never ends is none.
const SERVERS: &str = "/v0.1/servers";
const PAGE: usize = 30;
const MOST_PAGES: usize = 10_000;
/// The largest file, in bytes.
const LARGEST: u64 = 256 << 20;
/// Where registries say what has become of a version.
const OFFICIAL: &str = "io.modelcontextprotocol.registry/official";
/// Of the reasons why something stays out, so many are shown.
const SHOWN: usize = 20;

const NOTHING: &str = "nothing may come in: `registry.import` of the configuration says whose servers may";

/// A version as its source has it.
struct Offered {
    document: Value,
    /// It is there no more.
    deleted: bool,
}

/// What becomes of all of them.
#[derive(Default)]
struct Sorted {
    new: Vec<Entry>,
    /// That are here already.
    known: usize,
    /// In use here, and taken away there.
    gone: Vec<String>,
    /// By name and version, why they stay out.
    left_out: Vec<(String, String)>,
}

pub(super) fn run(import: &Import) -> anyhow::Result<ExitCode> {
    let (admission, here) = ask(&import.kept.config, async |records, settings| {
        let admission = admission(settings).ok_or_else(|| Usage(NOTHING.to_owned()))?;
        let all = Registry::new(records).all().await.context("`store`")?;
        let taken: Vec<_> = settings.servers.keys().map(ToString::to_string).collect();
        Ok((admission, (all.into_iter().map(|it| it.entry).collect::<Vec<_>>(), taken)))
    })?;
    let offered = if import.source.starts_with("http://") || import.source.starts_with("https://") {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(fetch(import))?
    } else {
        if import.updated_since.is_some() {
            return Err(
                Usage("--updated-since is asked of a registry; a file has what it has".to_owned()).into()
            );
        }
        let offered = read(&text(&import.source)?);
        if offered.is_empty() {
            let message = format!("{} is no dump of a registry and no server.json", import.source);
            return Err(Usage(message).into());
        }
        offered
    };
    if offered.len() > import.most {
        return Err(Usage(format!("it has more than {} versions; see --most", import.most)).into());
    }
    let sorted = sort(offered, &admission, &here, &by(&import.decider.by));
    let added = if sorted.new.is_empty() {
        0
    } else {
        eprintln!("{}", summary(&sorted));
        if !import.yes && !confirmed("Add them?")? {
            eprintln!("nothing was added");
            return Ok(ExitCode::FAILURE);
        }
        change(&import.kept.config, async |records, _| {
            Registry::new(records).add_all(&sorted.new).await.context("`store`")
        })?
    };
    tell(import, &sorted, added);
    Ok(ExitCode::SUCCESS)
}

/// What the configuration lets in.
pub(super) fn admission(settings: &Settings) -> Option<Admission> {
    let import = settings.registry.import.clone()?;
    Some(Admission { namespaces: import.namespaces, packages: import.packages, remotes: import.remotes })
}

/// The document of a version with what it may be reached by: for one that came in, what the configuration lets in now.
pub(super) fn admitted(entry: &Entry, settings: &Settings) -> anyhow::Result<Document> {
    let document = entry.document().context("what is kept of it is no server.json any more")?;
    if !entry.imported {
        return Ok(document);
    }
    let admission = admission(settings).ok_or_else(|| NOTHING.to_owned());
    admission.and_then(|admission| admission.admit(&document)).map_err(|why| kept_out(entry, &why))
}

/// Refuses a version that came in and is reached by what the configuration does not let in now.
pub(super) fn hold(entry: &Entry, settings: &Settings) -> anyhow::Result<()> {
    if !entry.imported || entry.launch.is_null() {
        return Ok(());
    }
    let admission = admission(settings).ok_or_else(|| NOTHING.to_owned());
    admission.and_then(|admission| admission.holds(entry)).map_err(|why| kept_out(entry, &why))
}

fn kept_out(entry: &Entry, why: &str) -> anyhow::Error {
    let (name, version) = (entry.name(), entry.version());
    Usage(format!("version {version} of {name} came from elsewhere and may not come in now: {why}")).into()
}

fn text(source: &str) -> anyhow::Result<Vec<u8>> {
    let mut text = Vec::new();
    let cannot = |error: std::io::Error| Usage(format!("cannot read {source}: {error}"));
    if source == "-" {
        std::io::stdin().take(LARGEST + 1).read_to_end(&mut text).map_err(cannot)?;
    } else {
        let file = std::fs::File::open(source).map_err(cannot)?;
        file.take(LARGEST + 1).read_to_end(&mut text).map_err(cannot)?;
    }
    if text.len() as u64 > LARGEST {
        return Err(Usage(format!("{source} has more than {} MiB", LARGEST >> 20)).into());
    }
    Ok(text)
}

/// What a text has: a document, an answer of a registry's API with one or many, an array of any of these, or one to a line.
fn read(text: &[u8]) -> Vec<Offered> {
    if let Ok(value) = serde_json::from_slice(text) {
        return offered(value);
    }
    let lines = text.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
    lines.flat_map(offered).collect()
}

fn offered(value: Value) -> Vec<Offered> {
    let mut members = match value {
        Value::Array(items) => return items.into_iter().flat_map(offered).collect(),
        Value::Object(members) => members,
        _ => return Vec::new(),
    };
    if let Some(servers) = members.get_mut("servers").map(Value::take) {
        return offered(servers);
    }
    let status = members.get("_meta").and_then(|meta| meta.get(OFFICIAL)?.get("status")?.as_str());
    let deleted = status == Some("deleted");
    match members.get_mut("server").map(Value::take) {
        Some(document) => vec![Offered { document, deleted }],
        None if members.contains_key("name") => vec![Offered { document: Value::Object(members), deleted }],
        None => Vec::new(),
    }
}

/// All that a registry has, page by page.
async fn fetch(import: &Import) -> anyhow::Result<Vec<Offered>> {
    let probe = portcullis_gateway::probe(import.ca.as_deref()).map_err(|error| Usage(error.to_string()))?;
    let authorization =
        import.token_env.as_deref().map(token).transpose()?.map(|token| format!("Bearer {token}"));
    let base = import.source.trim_end_matches('/');
    let base = base.strip_suffix(SERVERS).unwrap_or(base);
    let (mut all, mut cursor, mut seen) = (Vec::new(), None::<String>, HashSet::new());
    for _ in 0..MOST_PAGES {
        let mut query = form_urlencoded::Serializer::new(format!("limit={PAGE}"));
        if let Some(since) = &import.updated_since {
            query.append_pair("updated_since", since);
        }
        if let Some(cursor) = &cursor {
            query.append_pair("cursor", cursor);
        }
        let url = format!("{base}{SERVERS}?{}", query.finish());
        let question =
            Question { url: url.clone(), authorization: authorization.clone(), ..Question::default() };
        let told = probe.send(question).await.map_err(|error| anyhow::anyhow!("{url}: {error}"))?;
        anyhow::ensure!(told.status == 200, "{url} is answered with status {}", told.status);
        let page: Value = serde_json::from_slice(&told.body)
            .map_err(|_| anyhow::anyhow!("{url} is answered with no JSON, or with too much of it"))?;
        anyhow::ensure!(page["servers"].is_array(), "{url} is answered, but not as a registry does");
        let next = page["metadata"]["nextCursor"].as_str().filter(|next| !next.is_empty()).map(str::to_owned);
        all.extend(offered(page));
        let Some(next) = next.filter(|_| all.len() <= import.most) else { return Ok(all) };
        anyhow::ensure!(seen.insert(next.clone()), "{url}: the registry goes round in circles");
        cursor = Some(next);
    }
    anyhow::bail!("{base} has more than {MOST_PAGES} pages")
}

/// What comes in, and why what does not stays out. `here` is what the registry has, and the names that the configuration has
/// taken.
fn sort(offered: Vec<Offered>, admission: &Admission, here: &(Vec<Entry>, Vec<String>), by: &str) -> Sorted {
    let (entries, configured) = here;
    let stages: BTreeMap<_, _> =
        entries.iter().map(|it| ((it.name().to_owned(), it.version().to_owned()), it.stage())).collect();
    let mut slugs: BTreeMap<String, String> =
        entries.iter().map(|it| (it.name().to_owned(), it.slug.clone())).collect();
    let mut taken: BTreeSet<String> = slugs.values().chain(configured).cloned().collect();
    let (mut sorted, mut met) = (Sorted::default(), HashSet::new());
    for Offered { document, deleted } in offered {
        let text = |key: &str| document.get(key).and_then(Value::as_str).unwrap_or("?").to_owned();
        let (name, version) = (text("name"), text("version"));
        let named = format!("{name} {version}");
        match stages.get(&(name.clone(), version.clone())) {
            Some(stage) if deleted && *stage != Stage::Retired => sorted.gone.push(named),
            Some(_) => sorted.known += 1,
            // It was there, and is no more.
            None if deleted => {}
            None if !met.insert(named.clone()) => {}
            None => {
                let slug = slugs.get(&name).cloned().or_else(|| free_slug(&name, &taken));
                match entry(document, admission, slug.as_deref(), by) {
                    Ok(entry) => {
                        taken.insert(entry.slug.clone());
                        slugs.insert(name, entry.slug.clone());
                        sorted.new.push(entry);
                    }
                    Err(why) => sorted.left_out.push((named, why)),
                }
            }
        }
    }
    sorted
}

fn entry(document: Value, admission: &Admission, slug: Option<&str>, by: &str) -> Result<Entry, String> {
    let document = Document::new(document)
        .map_err(|flaws| flaws.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
    let admitted = admission.admit(&document)?;
    let slug = slug.and_then(|slug| ServerId::parse(slug).ok());
    let slug = slug.ok_or_else(|| "no short name can be made of its name".to_owned())?;
    let mut reached = launch(&admitted, &Inputs::new()).unwrap_or(Value::Null);
    walled_in(&Way::default(), &mut reached);
    if would_be_one(slug.as_str(), &reached).is_err() {
        reached = Value::Null;
    }
    let mut entry = Entry::submitted(&document, &slug, reached, by, now());
    entry.imported = true;
    Ok(entry)
}

/// What it can be called here: the last part of its name, with a number where another server is called so.
fn free_slug(name: &str, taken: &BTreeSet<String>) -> Option<String> {
    let short = slug_of(name);
    if short.is_empty() {
        return None;
    }
    let numbered = (2..1000).map(|number| {
        let number = number.to_string();
        let most = short.len().min(19 - number.len());
        format!("{}-{number}", short[..most].trim_end_matches('-'))
    });
    std::iter::once(short.clone()).chain(numbered).find(|slug| slug != HUB && !taken.contains(slug))
}

fn summary(sorted: &Sorted) -> String {
    let text =
        format!("{} new, {} known, {} left out", sorted.new.len(), sorted.known, sorted.left_out.len());
    match sorted.new.iter().filter(|entry| entry.launch.is_null()).count() {
        0 => text,
        unready => format!(
            "{text}; {unready} of the new take what is to be given with `portcullis server configure`"
        ),
    }
}

fn tell(import: &Import, sorted: &Sorted, added: usize) {
    if import.kept.json {
        let left_out: Vec<_> =
            sorted.left_out.iter().map(|(named, why)| json!({ "version": named, "why": why })).collect();
        let told =
            json!({ "added": added, "known": sorted.known, "gone": sorted.gone, "left_out": left_out });
        print(format_args!("{told:#}"));
        return;
    }
    for (named, why) in sorted.left_out.iter().take(SHOWN) {
        line(format_args!("left out {named}: {why}"));
    }
    if let more @ 1.. = sorted.left_out.len().saturating_sub(SHOWN) {
        line(format_args!("left out {more} more; --json has them all"));
    }
    for named in &sorted.gone {
        line(format_args!(
            "LOOK AT {named}: it was taken away where it comes from; it stays here until it is retired"
        ));
    }
    line(format_args!("added {added}; {}", summary(sorted)));
}

#[cfg(test)]
mod tests;
