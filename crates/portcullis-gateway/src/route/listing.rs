//! One list of one server, complete, as the server wrote it.

use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, HashSet};
use std::hash::{Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use portcullis_hub::search::Part;
use portcullis_mcp::apps;
use portcullis_mcp::json::{Change, Raw};
use portcullis_mcp::method::Method;
use portcullis_mcp::mirror::{Mirror, strip_annotations};
use portcullis_mcp::names;
use portcullis_mcp::subscription::Lists;
use portcullis_mcp::translate::task::TaskSupport;
use portcullis_mcp::uris::{self, template};
use portcullis_model::ServerId;
use portcullis_oversight::Pin;
use portcullis_policy::{Action, Annotations, Thing, ThingKind};
use portcullis_telemetry::{CallSeries, Metrics};

use super::select::{self, Fixed};
use super::toolset::Toolset;
use crate::admit::Pass;
use crate::call::Caller;
use crate::discovery;
use crate::oversight::{Oversight, Pins};
use crate::record::hex;
use crate::upstream::Server;

/// Which list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the four lists of the protocol")]
pub(crate) enum ListKind {
    Tools,
    Resources,
    Templates,
    Prompts,
}

impl ListKind {
    pub(crate) const ALL: [Self; 4] = [Self::Tools, Self::Resources, Self::Templates, Self::Prompts];

    /// The list that a method asks for.
    pub(crate) fn of(method: &Method) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.method() == *method)
    }

    pub(crate) fn method(self) -> Method {
        match self {
            Self::Tools => Method::ToolsList,
            Self::Resources => Method::ResourcesList,
            Self::Templates => Method::ResourcesTemplatesList,
            Self::Prompts => Method::PromptsList,
        }
    }

    /// The member of the result that holds the items.
    pub(crate) fn member(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Resources => "resources",
            Self::Templates => "resourceTemplates",
            Self::Prompts => "prompts",
        }
    }

    /// The member of an item that identifies it.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Tools | Self::Prompts => "name",
            Self::Resources => "uri",
            Self::Templates => "uriTemplate",
        }
    }

    /// The capability that a server declares when it has the list.
    pub(crate) fn capability(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Resources | Self::Templates => "resources",
            Self::Prompts => "prompts",
        }
    }

    /// What its changes are told as.
    pub(crate) fn lists(self) -> Lists {
        match self {
            Self::Tools => Lists::TOOLS,
            Self::Resources | Self::Templates => Lists::RESOURCES,
            Self::Prompts => Lists::PROMPTS,
        }
    }

    /// The call that its items are for; labels their metrics.
    fn call(self) -> Method {
        match self {
            Self::Tools => Method::ToolsCall,
            Self::Resources | Self::Templates => Method::ResourcesRead,
            Self::Prompts => Method::PromptsGet,
        }
    }

    /// Its method, for policies.
    pub(crate) fn action(self) -> Action {
        match self {
            Self::Tools => Action::ToolsList,
            Self::Resources => Action::ResourcesList,
            Self::Templates => Action::TemplatesList,
            Self::Prompts => Action::PromptsList,
        }
    }

    /// What policies know of one of its items.
    fn thing(self, raw: &Raw) -> ThingKind {
        match self {
            Self::Tools => ThingKind::Tool(hints(raw)),
            Self::Resources => ThingKind::Resource,
            Self::Templates => ThingKind::Template,
            Self::Prompts => ThingKind::Prompt,
        }
    }

    /// Whether a list-changed notification is about this list.
    pub(crate) fn is_changed_by(self, method: &Method) -> bool {
        Lists::of(method) == Some(self.lists())
    }
}

/// One item.
pub(crate) struct Item {
    /// As the server wrote it.
    pub(crate) raw: Raw,
    /// The server's name or URI for it.
    pub(crate) key: String,
    /// The name or URI on the aggregate.
    pub(crate) exposed: String,
    /// The arguments that 2026-07-28 HTTP clients mirror into headers; tools only.
    pub(crate) mirror: Option<Mirror>,
    /// What it says that its structured results look like; tools only.
    pub(crate) output_schema: Option<Raw>,
    /// Whether it can or must be called as a task; tools of 2025-11-25 only.
    pub(crate) task_support: TaskSupport,
    /// What policies know of it beside its name.
    pub(crate) thing: ThingKind,
    /// The digest of `raw`, once somebody wants it.
    definition: OnceLock<String>,
    /// The same in short, with the name on the aggregate.
    print: OnceLock<u64>,
    /// Counts its calls; resources and templates of a server share one.
    pub(crate) series: Arc<CallSeries>,
    /// In a toolset's list: what is decided for its callers.
    pub(crate) fixed: Option<Arc<Fixed>>,
    /// In a toolset's list: `exposed` is a name that the operator gave it.
    pub(super) renamed: bool,
}

impl Item {
    /// Whether it is a template that may have made a URI.
    pub(crate) fn makes(&self, uri: &str) -> bool {
        template::any_makes(std::iter::once(self.key.as_str()), uri)
    }

    /// What it is searched by.
    pub(crate) fn known_as(&self) -> &str {
        if self.renamed { &self.exposed } else { &self.key }
    }

    /// Differs where another one is read under this name. Not for what somebody may want to forge.
    pub(super) fn print(&self) -> u64 {
        *self.print.get_or_init(|| {
            let mut hasher = DefaultHasher::new();
            (self.raw.as_bytes(), &self.exposed).hash(&mut hasher);
            hasher.finish()
        })
    }

    /// The same, for another list.
    pub(super) fn again(&self) -> Self {
        Self {
            raw: self.raw.clone(),
            key: self.key.clone(),
            exposed: self.exposed.clone(),
            mirror: self.mirror.clone(),
            output_schema: self.output_schema.clone(),
            definition: OnceLock::new(),
            print: OnceLock::new(),
            series: self.series.clone(),
            fixed: self.fixed.clone(),
            ..*self
        }
    }

    /// Whether it is a tool that names this view.
    pub(crate) fn shows(&self, uri: &str) -> bool {
        apps::views_of(&self.raw).any(|view| view == uri)
    }
}

/// One item of one list.
#[derive(Clone)]
pub(crate) struct Listed {
    pub(super) listing: Arc<Listing>,
    pub(super) index: usize,
}

impl Listed {
    pub(super) fn item(&self) -> &Item {
        &self.listing.items[self.index]
    }

    /// The server's own name or URI for it.
    pub(crate) fn name(&self) -> &str {
        &self.item().key
    }

    /// The digest of how the server defines it, byte for byte.
    pub(crate) fn definition(&self) -> &str {
        let item = self.item();
        item.definition
            .get_or_init(|| format!("sha256:{}", hex(digest(&SHA256, item.raw.as_bytes()).as_ref())))
    }

    /// What it is pinned by; `None` for what is the gateway's own.
    pub(crate) fn pin(&self) -> Option<Pin> {
        self.listing.pins.at(self.index)
    }

    /// Whether it is a tool of which the server says that it changes nothing.
    pub(crate) fn only_reads(&self) -> bool {
        matches!(self.item().thing, ThingKind::Tool(hints) if hints.read_only)
    }
}

/// `annotations` of a tool, with the protocol's defaults for what is not said.
fn hints(raw: &Raw) -> Annotations {
    let said = raw.find("annotations");
    let hint = |key: &str, default| {
        said.as_ref().and_then(|said| said.find(key)).and_then(|hint| hint.bool()).unwrap_or(default)
    };
    let default = Annotations::default();
    Annotations {
        read_only: hint("readOnlyHint", default.read_only),
        destructive: hint("destructiveHint", default.destructive),
        idempotent: hint("idempotentHint", default.idempotent),
        open_world: hint("openWorldHint", default.open_world),
    }
}

/// How long a list may be kept, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Freshness {
    /// When the server gave it.
    pub(crate) fetched: Instant,
    /// When it has to be asked for again.
    pub(crate) expires: Instant,
    /// Until when clients may keep it; in the past when the server said nothing.
    pub(crate) promised: Instant,
    /// The server said how long.
    pub(crate) hinted: bool,
    /// `cacheScope: public`: the same for everybody.
    pub(crate) public: bool,
}

impl Freshness {
    /// Of a list of which its server does not say how long it may be kept.
    pub(crate) fn unhinted(now: Instant, kept: Duration) -> Self {
        Self { fetched: now, expires: now + kept, promised: now, hinted: false, public: false }
    }
}

/// The longest name, in bytes, that labels metrics as it is: as long as names should be (2026-07-28, tools).
const LONGEST_LABEL: usize = 128;

/// A whole list.
pub(crate) struct Listing {
    /// No other list ever has it.
    pub(crate) number: u64,
    pub(crate) kind: ListKind,
    pub(crate) server: ServerId,
    pub(crate) items: Vec<Item>,
    /// What else stood in the result: members that are not the items, the cursor, or 2026-07-28's result fields.
    pub(crate) extra: Raw,
    /// What toolsets take of it has the same.
    freshness: Arc<Mutex<Freshness>>,
    /// The server answered with an event stream.
    pub(crate) streamed: bool,
    /// What its items are known by.
    pub(crate) pins: Pins,
    /// The server has the extension for tasks: any of its tools may become one.
    pub(crate) tasks: bool,
    by_key: HashMap<String, usize>,
    by_exposed: HashMap<String, usize>,
    /// The views that its tools name: they need not be listed as resources.
    views: HashSet<String>,
    /// The words of its tools, once somebody has searched among them.
    words: OnceLock<Part>,
    /// The digests of what its tools mean, once somebody has searched by that.
    meanings: OnceLock<Vec<discovery::Key>>,
    /// In a toolset's list: where each item stands in its server's.
    origins: Option<Vec<usize>>,
    /// What toolsets take of it, for as long as they are there.
    selections: Mutex<Vec<(Weak<Toolset>, Arc<Listing>)>>,
}

/// Where a tool with a broken `x-mcp-header` came from decides what becomes of it (2026-07-28, tools).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// HTTP clients must drop the tool.
    Http,
    /// Other transports ignore the annotation; it is removed, or HTTP clients of the gateway would drop the tool.
    Stdio,
}

impl Listing {
    pub(crate) fn new(
        kind: ListKind,
        server: &ServerId,
        origin: Origin,
        raws: Vec<Raw>,
        extra: Raw,
        freshness: Freshness,
        metrics: &Metrics,
    ) -> Self {
        let keyed: Vec<(String, Raw)> =
            raws.into_iter().filter_map(|raw| Some((raw.find_string(kind.key())?, raw))).collect();
        let exposed = match kind {
            ListKind::Tools | ListKind::Prompts => {
                let names = names::expose_all(server, keyed.iter().map(|(key, _)| key.as_str()));
                names.into_iter().map(|(name, exposed)| (name.to_owned(), exposed)).collect()
            }
            ListKind::Resources | ListKind::Templates => HashMap::new(),
        };
        let mut listing = Self {
            number: 0,
            kind,
            server: server.clone(),
            items: Vec::with_capacity(keyed.len()),
            extra,
            freshness: Arc::new(Mutex::new(freshness)),
            streamed: false,
            pins: Pins::default(),
            tasks: false,
            by_key: HashMap::with_capacity(keyed.len()),
            by_exposed: HashMap::with_capacity(keyed.len()),
            views: HashSet::new(),
            words: OnceLock::new(),
            meanings: OnceLock::new(),
            origins: None,
            selections: Mutex::default(),
        };
        for (key, raw) in keyed {
            let exposed = exposed.get(&key).cloned().unwrap_or_else(|| uris::map_out(server, &key));
            listing.push(origin, key, exposed, raw, metrics);
        }
        listing
    }

    fn push(&mut self, origin: Origin, key: String, exposed: String, raw: Raw, metrics: &Metrics) {
        if self.by_key.contains_key(&key) {
            tracing::warn!(server.id = %self.server, name = key, "the server lists the same {} twice", self.kind.key());
            return;
        }
        let Some((raw, mirror)) = self.mirror(origin, &key, raw) else { return };
        let label = match self.kind {
            ListKind::Tools | ListKind::Prompts if key.len() > LONGEST_LABEL => exposed.as_str(),
            ListKind::Tools | ListKind::Prompts => key.as_str(),
            ListKind::Resources | ListKind::Templates => "",
        };
        let series = metrics.call_series(self.server.as_str(), self.kind.call().as_str(), label);
        if self.kind == ListKind::Tools {
            self.views.extend(apps::views_of(&raw));
        }
        let index = self.items.len();
        self.by_key.insert(key.clone(), index);
        self.by_exposed.insert(exposed.clone(), index);
        let task_support = match self.kind {
            ListKind::Tools => TaskSupport::of(&raw),
            _ => TaskSupport::Forbidden,
        };
        let output_schema = raw.find("outputSchema").filter(|_| self.kind == ListKind::Tools);
        let thing = self.kind.thing(&raw);
        let definition = OnceLock::new();
        self.items.push(Item {
            raw,
            key,
            exposed,
            mirror,
            output_schema,
            task_support,
            thing,
            definition,
            print: OnceLock::new(),
            series,
            fixed: None,
            renamed: false,
        });
    }

    fn mirror(&self, origin: Origin, key: &str, raw: Raw) -> Option<(Raw, Option<Mirror>)> {
        if self.kind != ListKind::Tools {
            return Some((raw, None));
        }
        let Some(schema) = raw.find("inputSchema") else { return Some((raw, None)) };
        match Mirror::from_schema(&schema) {
            Ok(mirror) => Some((raw, Some(mirror).filter(|mirror| !mirror.is_empty()))),
            Err(error) if origin == Origin::Stdio => {
                tracing::warn!(server.id = %self.server, tool.name = key, %error, "removed broken x-mcp-header annotations");
                let schema = strip_annotations(&schema);
                Some((raw.with(&[("inputSchema", Change::Set(schema.as_bytes()))]), None))
            }
            Err(error) => {
                tracing::warn!(server.id = %self.server, tool.name = key, %error, "left out a tool with broken x-mcp-header annotations");
                None
            }
        }
    }

    /// What a toolset takes of it.
    pub(super) fn selected(&self, toolset: &Arc<Toolset>, server: &Server) -> Arc<Self> {
        let mut kept = self.selections.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept.iter().find(|(of, _)| std::ptr::eq(of.as_ptr(), Arc::as_ptr(toolset)));
        if let Some((_, known)) = known {
            return known.clone();
        }
        kept.retain(|(of, _)| of.strong_count() > 0);
        let selected = Arc::new(select::select(self, toolset, server));
        kept.push((Arc::downgrade(toolset), selected.clone()));
        selected
    }

    /// A list of some of its items, each with its place here.
    pub(super) fn subset(&self, number: u64, items: Vec<(usize, Item)>) -> Self {
        let (origins, items): (Vec<_>, Vec<_>) = items.into_iter().unzip();
        let (mut by_key, mut by_exposed) = (HashMap::new(), HashMap::new());
        for (index, item) in items.iter().enumerate() {
            by_key.entry(item.key.clone()).or_insert(index);
            by_exposed.entry(item.exposed.clone()).or_insert(index);
        }
        let views = items.iter().filter(|_| self.kind == ListKind::Tools);
        Self {
            number,
            kind: self.kind,
            server: self.server.clone(),
            views: views.flat_map(|item| apps::views_of(&item.raw)).collect(),
            items,
            extra: self.extra.clone(),
            freshness: self.freshness.clone(),
            streamed: self.streamed,
            pins: self.pins.of_some(&origins),
            tasks: self.tasks,
            by_key,
            by_exposed,
            words: OnceLock::new(),
            meanings: OnceLock::new(),
            origins: Some(origins),
            selections: Mutex::default(),
        }
    }

    /// Where an item stands in its server's own list.
    pub(super) fn origin(&self, index: usize) -> usize {
        self.origins.as_ref().map_or(index, |origins| origins[index])
    }

    /// The item with the server's own name or URI.
    pub(crate) fn find(&self, key: &str) -> Option<&Item> {
        self.position(key).map(|index| &self.items[index])
    }

    /// Whether it says the same as another.
    pub(crate) fn lists_as(&self, other: &Self) -> bool {
        let all = self.items.iter().zip(&other.items);
        self.items.len() == other.items.len() && all.into_iter().all(|(one, two)| one.raw == two.raw)
    }

    /// Whether it is the same in all that callers see and that is decided by.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        (self.streamed, self.tasks) == (other.streamed, other.tasks)
            && self.extra == other.extra
            && self.pins.are(&other.pins)
            && self.lists_as(other)
    }

    /// How long it may be kept.
    pub(crate) fn freshness(&self) -> Freshness {
        *self.freshness.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It was given again, as it is.
    pub(crate) fn renew(&self, freshness: Freshness) {
        *self.freshness.lock().unwrap_or_else(PoisonError::into_inner) = freshness;
    }

    /// Where the item with the server's own name or URI stands.
    pub(crate) fn position(&self, key: &str) -> Option<usize> {
        self.by_key.get(key).copied()
    }

    /// Where the item with this name or URI on the aggregate stands.
    pub(crate) fn position_exposed(&self, exposed: &str) -> Option<usize> {
        self.by_exposed.get(exposed).copied()
    }

    /// Its items, as policies see them.
    pub(crate) fn things(&self) -> impl Iterator<Item = Thing<'_>> {
        self.items.iter().map(|item| Thing {
            server: self.server.as_str(),
            kind: item.thing,
            name: &item.key,
        })
    }

    /// Which of its items a caller is shown; `None` for all of them.
    pub(crate) fn shown(&self, pass: &Pass, caller: &Caller) -> Option<Arc<[bool]>> {
        pass.shown(caller, self.kind.action(), (self.server.as_str(), self.number), self.things())
    }

    /// Which of its tools name a view that is not there for the caller; `None` for none.
    pub(super) fn viewless(&self, pass: &Pass) -> Option<Arc<[bool]>> {
        let is_denied = |view: &str| {
            let view = Thing { server: self.server.as_str(), kind: ThingKind::Resource, name: view };
            !pass.could(Action::ResourcesRead, view)
        };
        let denied: HashSet<&str> =
            self.views.iter().map(String::as_str).filter(|view| is_denied(view)).collect();
        let names_one = |item: &Item| apps::views_of(&item.raw).any(|view| denied.contains(view.as_str()));
        (!denied.is_empty()).then(|| self.items.iter().map(names_one).collect())
    }

    /// Which of its items reach anybody; `None` for all of them. The others are held back.
    pub(crate) fn trusted(&self, oversight: &Oversight) -> Option<Arc<[bool]>> {
        let names = self.items.iter().map(|item| item.key.as_str());
        self.pins.shown(oversight, self.kind, names)
    }

    /// Which of its items are not stopped for everybody; `None` for all of them.
    pub(crate) fn unstopped(&self, oversight: &Oversight) -> Option<Arc<[bool]>> {
        oversight.unstopped(&self.server, self.kind, self.items.iter().map(|item| item.key.as_str()))
    }

    /// Whether one of its templates may have made a URI.
    pub(crate) fn makes(&self, uri: &str) -> bool {
        let templates = self.items.iter().map(|item| item.key.as_str());
        self.kind == ListKind::Templates && template::any_makes(templates, uri)
    }

    /// The words of its items, for searches.
    pub(crate) fn words(&self) -> &Part {
        self.words.get_or_init(|| discovery::words(self))
    }

    /// The digests of what its items mean, for searches.
    pub(crate) fn meanings(&self) -> &[discovery::Key] {
        self.meanings.get_or_init(|| discovery::keys(self))
    }

    /// Whether one of its tools names this view.
    pub(crate) fn has_view(&self, uri: &str) -> bool {
        self.views.contains(uri)
    }

    /// How long clients may keep it, from `now`.
    pub(crate) fn promised(&self, now: Instant) -> Duration {
        self.freshness().promised.saturating_duration_since(now)
    }
}
