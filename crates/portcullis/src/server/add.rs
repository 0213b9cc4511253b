//! `portcullis server add`: proposes a version, and says before what it will be.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use portcullis_hub::registry::{Document, Entry, Flaw, Inputs, Registry, launch};
use portcullis_model::ServerId;
use portcullis_oversight::visible_line;
use serde_json::{Value, json};

use super::args::Add;
use super::configure::{give, inputs, tell, walled_in};
use super::what::{Named, What, given, in_plain_text, reached_by, recognize, walls};
use super::{brief, by, now};
use crate::Usage;
use crate::approved::would_be_one;
use crate::oversight::change;
use crate::stdout::print;

/// For servers that nobody published.
const NAMESPACE: &str = "local";
const FIRST_VERSION: &str = "0.0.1";
/// What is said of a server of which nobody says what it is for. How it is reached is nobody's business.
const NO_DESCRIPTION: &str = "A server of this gateway.";

pub(super) fn run(add: &Add) -> anyhow::Result<ExitCode> {
    let entries = entries(add)?;
    for entry in &entries {
        preview(entry);
    }
    if !add.yes && !confirmed("Add it?")? {
        eprintln!("nothing was added");
        return Ok(ExitCode::FAILURE);
    }
    let added = change(&add.kept.config, async |records, settings| {
        let registry = Registry::new(records);
        for entry in &entries {
            if settings.servers.keys().any(|id| id.as_str() == entry.slug) {
                let slug = &entry.slug;
                return Err(
                    Usage(format!("the configuration has a server `{slug}`; give --name another")).into()
                );
            }
            let others = registry.all().await.context("`store`")?;
            if let Some(other) =
                others.iter().find(|it| it.entry.slug == entry.slug && it.entry.name() != entry.name())
            {
                let message = format!("`{}` is {} here; give --name another", entry.slug, other.entry.name());
                return Err(Usage(message).into());
            }
            if !registry.add(entry).await.context("`store`")? {
                let (name, version) = (entry.name(), entry.version());
                return Err(
                    Usage(format!("version {version} of {name} is there; a version never changes")).into()
                );
            }
        }
        Ok(entries)
    })?;
    if add.kept.json {
        print(format_args!("{:#}", json!(added.iter().map(|entry| brief(entry, None)).collect::<Vec<_>>())));
    } else {
        for entry in &added {
            let named = format!("{}@{}", entry.slug, entry.version());
            print(format_args!("added {named}; next: portcullis server scan {named}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// All that is added, checked as far as it can be without reaching it.
fn entries(add: &Add) -> anyhow::Result<Vec<Entry>> {
    let inputs = inputs(&add.way)?;
    let what = recognize(&add.what, add.way.base_url.as_deref())?;
    let has_own = matches!(what, What::Document(_));
    let mut entries = match what {
        What::Document(value) => vec![of_document(add, value, &inputs)?],
        What::Entries(named) if named.len() > 1 && (add.name.is_some() || add.registered_as.is_some()) => {
            return Err(Usage("there are several servers in it, which keep their names".to_owned()).into());
        }
        What::Entries(named) => named
            .into_iter()
            .map(|named| of_entry(add, named, &inputs))
            .collect::<anyhow::Result<Vec<_>>>()?,
    };
    for entry in &mut entries {
        tell(&add.way, &mut entry.launch, has_own)?;
        walled_in(&add.way, &mut entry.launch);
        would_be_one(&entry.slug, &entry.launch).map_err(|why| {
            let url = entry.launch.get("url").and_then(Value::as_str);
            let hint = if url.is_some_and(|url| url.contains("${")) {
                "; `${…}` is not filled in here: write the URL"
            } else {
                ""
            };
            Usage(format!("{why}{hint}"))
        })?;
        if !add.owners.is_empty() {
            entry.owners.clone_from(&add.owners);
        }
        entry.labels.clone_from(&add.labels);
        entry.data.clone_from(&add.data);
    }
    Ok(entries)
}

pub(super) fn flawed(flaws: &[Flaw]) -> anyhow::Error {
    let lines: Vec<_> = flaws.iter().map(|flaw| visible_line(&flaw.to_string())).collect();
    Usage(lines.join("\n")).into()
}

fn slug(name: &str) -> anyhow::Result<ServerId> {
    ServerId::parse(name).map_err(|error| Usage(format!("--name: {error}")).into())
}

/// As much of a name as a server can be called.
pub(super) fn slug_of(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
    let words = last.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let mut slug = String::new();
    for word in words {
        if !slug.is_empty() && slug.len() + 1 + word.len() > 20 {
            break;
        }
        if !slug.is_empty() {
            slug.push('-');
        }
        slug.extend(word.chars().take(20));
    }
    slug
}

fn of_document(add: &Add, value: Value, inputs: &Inputs) -> anyhow::Result<Entry> {
    let document = Document::new(value).map_err(|flaws| flawed(&flaws))?;
    let reached = launch(&document, inputs).map_err(|flaws| flawed(&flaws))?;
    let name = slug(add.name.as_deref().unwrap_or(&slug_of(document.name())))?;
    Ok(Entry::submitted(&document, &name, reached, &by(&add.decider.by), now()))
}

fn of_entry(add: &Add, named: Named, inputs: &Inputs) -> anyhow::Result<Entry> {
    let Named { name, mut launch, version, about } = named;
    for line in &about {
        eprintln!("{}", visible_line(line));
    }
    let name = add.name.clone().unwrap_or_else(|| slug_of(&name));
    let id = slug(&name)?;
    let registered = add.registered_as.clone().unwrap_or_else(|| format!("{NAMESPACE}/{id}"));
    let version = add.version.clone().or(version).unwrap_or_else(|| FIRST_VERSION.to_owned());
    let description = add.description.clone().or_else(|| {
        launch.get("description").and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
    });
    let description = description.unwrap_or_else(|| NO_DESCRIPTION.to_owned());
    let document =
        Document::made(&registered, None, &description, &version).map_err(|flaws| flawed(&flaws))?;
    give(&mut launch, inputs);
    Ok(Entry::submitted(&document, &id, launch, &by(&add.decider.by), now()))
}

pub(super) fn preview(entry: &Entry) {
    let (name, version) = (visible_line(entry.name()), visible_line(entry.version()));
    eprintln!("{name} {version}, called `{}` here", entry.slug);
    eprintln!("  reached by  {}", reached_by(&entry.launch));
    for line in walls(&entry.launch).into_iter().chain(given(entry)) {
        eprintln!("{line}");
    }
    for line in secrets_in_plain_text(entry) {
        eprintln!("{line}");
    }
    eprintln!("  it is not reached before it was scanned, reviewed and approved");
}

/// What is said of secrets that would be kept as they were given.
pub(super) fn secrets_in_plain_text(entry: &Entry) -> Vec<String> {
    let warning = |name: &str| {
        let name = visible_line(name);
        format!(
            "warning: {name} looks like a secret, and the registry keeps it in plain text; `--secret {name}=VARIABLE` in its \
             place has it read from the gateway's environment"
        )
    };
    in_plain_text(entry).into_iter().map(warning).collect()
}

pub(super) fn confirmed(question: &str) -> anyhow::Result<bool> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Usage("nobody is there to be asked; say --yes to do it".to_owned()).into());
    }
    eprint!("{question} [y/N] ");
    std::io::stderr().flush()?;
    let mut line = String::new();
    stdin.read_line(&mut line)?;
    Ok(matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::slug_of;

    #[test]
    fn a_name_becomes_what_a_server_can_be_called() {
        for (name, slug) in [
            ("io.github.example/weather", "weather"),
            ("com.example/GitHub_MCP.Server", "github-mcp-server"),
            ("a/a-name-that-is-much-too-long-for-a-slug", "a-name-that-is-much"),
        ] {
            assert_eq!(slug_of(name), slug);
        }
    }
}
