//! Many servers' lists as one: merged, renamed, paged.
//!
//! A view is a snapshot over the lists that it was made of, and is made again only when one of them is another. Pages
//! are cut from the snapshot, never from the servers' own pages, so a list of any length comes through whole and in a
//! stable order (by slug, then as the server lists). Cursors are sealed; they name the snapshot and a place in it, and
//! die with it.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use portcullis_config::Discovery;
use portcullis_mcp::apps;
use portcullis_mcp::json::{Change, Raw};
use portcullis_mcp::revision::{Era, Revision};
use portcullis_mcp::translate::task::tool_with_tasks;
use portcullis_mcp::translate::{Payload, key, list_item_for};
use portcullis_mcp::uris::{self, rewrite};
use portcullis_model::ErrorKind;

use super::catalogue::{Catalogue, Found, Need, Variant};
use super::listing::{Item, ListKind, Listing};
use super::shown::Shown;
use crate::admit::Pass;
use crate::call::{Call, Endpoint, Exchange, Outcome, Refusal};
use crate::discovery;
use crate::gateway::Gateway;
use crate::moment::LastUse;
use crate::seal::{CURSOR, Purpose, Unsealable};

/// Snapshots that cursors may still point into: so many, but no more than two whose pages have more bytes than that together. Those
/// that somebody reads on in stay for longer, unless they are several times as many.
const KEPT: usize = 64;
const KEPT_BYTES: usize = 32 << 20;
const READ_ON: Duration = Duration::from_secs(30);
const READ_ON_TIMES: usize = 4;
/// Newest snapshots, one for each endpoint and kind of client: so many, and as many bytes, for clients make up what they can do.
const CURRENT: usize = 1024;
const CURRENT_BYTES: usize = 64 << 20;
/// How long one server may hold up the list of all: with nothing of it known yet, and with an older list at hand.
const PATIENCE_NEW: Duration = Duration::from_secs(8);
const PATIENCE_OLD: Duration = Duration::from_secs(1);

/// A snapshot.
pub(crate) struct View {
    id: u64,
    kind: ListKind,
    aggregate: bool,
    parts: Vec<Arc<Listing>>,
    /// What of each part is in it.
    shown: Vec<Shown>,
    /// Whether policies have a say in it: then it is nobody else's.
    guarded: bool,
    modern: OnceLock<Vec<Bytes>>,
    legacy: OnceLock<Vec<Bytes>>,
    used: LastUse,
    /// Somebody has come back with a cursor into it.
    is_read_on: AtomicBool,
}

/// The snapshots in use.
#[derive(Default)]
pub(crate) struct Views {
    next: AtomicU64,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    current: HashMap<(Endpoint, ListKind, Variant), Arc<View>>,
    recent: VecDeque<Arc<View>>,
    /// Those of which something is not shown. Callers who are shown the same share one.
    filtered: VecDeque<Arc<View>>,
}

impl Kept {
    /// Makes a snapshot the newest at its place. Those that were not asked for longest make room.
    fn put(&mut self, place: (Endpoint, ListKind, Variant), view: &Arc<View>) {
        self.current.remove(&place);
        let mut bytes: usize = self.current.values().map(|view| view.bytes()).sum();
        while self.current.len() >= CURRENT || bytes > CURRENT_BYTES {
            let longest = self.current.iter().max_by_key(|(_, view)| view.used.elapsed());
            let Some(view) = longest.map(|(place, _)| place.clone()).and_then(|it| self.current.remove(&it))
            else {
                break;
            };
            // Others may be making pages of it meanwhile.
            bytes = bytes.saturating_sub(view.bytes());
        }
        self.current.insert(place, view.clone());
    }
}

impl Views {
    /// The snapshot of exactly these lists.
    fn of(
        &self,
        endpoint: &Endpoint,
        kind: ListKind,
        variant: Variant,
        parts: Vec<Arc<Listing>>,
    ) -> Arc<View> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (endpoint.clone(), kind, variant);
        if let Some(view) = kept.current.get(&place)
            && view.is_of(&parts)
        {
            view.used.touch();
            return view.clone();
        }
        // Where users have lists of their own, they alternate.
        let aggregate = endpoint.is_merged();
        let same = |view: &&Arc<View>| (view.kind, view.aggregate) == (kind, aggregate) && view.is_of(&parts);
        if let Some(view) = kept.recent.iter().find(same).cloned() {
            view.used.touch();
            kept.put(place, &view);
            return view;
        }
        let shown = vec![Shown::default(); parts.len()];
        let view = self.make(endpoint, kind, parts, shown, false);
        kept.put(place, &view);
        kept.recent.push_back(view.clone());
        trim(&mut kept.recent);
        view
    }

    /// The snapshot of what is shown of these lists: by policies, whose it then is, and because the rest is held back.
    fn filtered(
        &self,
        endpoint: &Endpoint,
        kind: ListKind,
        parts: Vec<Arc<Listing>>,
        shown: Vec<Shown>,
        guarded: bool,
    ) -> Arc<View> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let aggregate = endpoint.is_merged();
        let same = |view: &&Arc<View>| {
            (view.kind, view.aggregate, view.guarded) == (kind, aggregate, guarded)
                && view.is_of(&parts)
                && view.shown == shown
        };
        if let Some(view) = kept.filtered.iter().find(same) {
            view.used.touch();
            return view.clone();
        }
        let view = self.make(endpoint, kind, parts, shown, guarded);
        kept.filtered.push_back(view.clone());
        trim(&mut kept.filtered);
        view
    }

    fn make(
        &self,
        endpoint: &Endpoint,
        kind: ListKind,
        parts: Vec<Arc<Listing>>,
        shown: Vec<Shown>,
        guarded: bool,
    ) -> Arc<View> {
        Arc::new(View {
            id: self.next.fetch_add(1, Ordering::Relaxed),
            kind,
            aggregate: endpoint.is_merged(),
            parts,
            shown,
            guarded,
            modern: OnceLock::new(),
            legacy: OnceLock::new(),
            used: LastUse::now(),
            is_read_on: AtomicBool::new(false),
        })
    }

    fn find(&self, id: u64) -> Option<Arc<View>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = kept.recent.iter().chain(kept.current.values()).chain(&kept.filtered);
        let view = all.find(|view| view.id == id)?;
        view.used.touch();
        view.is_read_on.store(true, Ordering::Relaxed);
        Some(view.clone())
    }
}

/// Lets those go that nobody has read in for longest. Pages are made when somebody reads them, so there may be more of them at any
/// time.
fn trim(views: &mut VecDeque<Arc<View>>) {
    let mut bytes: usize = views.iter().map(|view| view.bytes()).sum();
    while views.len() > KEPT || (bytes > KEPT_BYTES && views.len() > 2) {
        // The last one is new.
        let others = views.iter().take(views.len() - 1).enumerate();
        // Those first in which nobody reads on.
        let Some((at, view)) = others.max_by_key(|(_, view)| (!view.is_read_on(), view.used.elapsed()))
        else {
            return;
        };
        let times = if view.is_read_on() { READ_ON_TIMES } else { 1 };
        if views.len() <= KEPT * times && bytes <= KEPT_BYTES * times {
            return;
        }
        bytes = bytes.saturating_sub(views.remove(at).map_or(0, |view| view.bytes()));
    }
}

impl View {
    /// The length of its pages, as far as they were made.
    fn bytes(&self) -> usize {
        let made = [&self.modern, &self.legacy].into_iter().filter_map(OnceLock::get);
        made.flatten().map(Bytes::len).sum()
    }

    /// Whether somebody has come back with a cursor into it, lately.
    fn is_read_on(&self) -> bool {
        self.is_read_on.load(Ordering::Relaxed) && self.used.elapsed() < READ_ON
    }

    fn is_of(&self, parts: &[Arc<Listing>]) -> bool {
        self.parts.len() == parts.len() && self.parts.iter().zip(parts).all(|(a, b)| Arc::ptr_eq(a, b))
    }

    /// The pages as the clients of `era` read them: items, with commas between. How many are on each is settled once.
    fn pages(&self, era: Era, size: usize) -> &[Bytes] {
        let (cell, revision) = match era {
            Era::Modern => (&self.modern, Revision::NEWEST),
            Era::Legacy => (&self.legacy, Revision::NEWEST_LEGACY),
        };
        cell.get_or_init(|| {
            let parts = self.parts.iter().zip(&self.shown);
            let items: Vec<_> = parts
                .flat_map(|(listing, shown)| {
                    shown.among(listing).map(|(item, viewless)| (&**listing, item, viewless))
                })
                .collect();
            items.chunks(size).map(|chunk| self.render(chunk, revision)).collect()
        })
    }

    fn render(&self, items: &[(&Listing, &Item, bool)], revision: Revision) -> Bytes {
        let room = items.iter().map(|(_, item, _)| item.raw.as_bytes().len() + 16).sum();
        let mut page = Vec::with_capacity(room);
        for (listing, item, viewless) in items {
            if !page.is_empty() {
                page.push(b',');
            }
            let raw = as_read(listing, item, revision, *viewless);
            let raw = if self.aggregate { expose(listing, item, raw) } else { raw };
            page.extend_from_slice(raw.as_bytes());
        }
        page.into()
    }

    /// How long clients may keep it, and whether it is the same for everybody.
    fn promise(&self) -> (u128, bool) {
        let now = Instant::now();
        let ttl = self.parts.iter().map(|part| part.promised(now)).min().unwrap_or_default();
        (
            ttl.as_millis(),
            !self.guarded && !self.parts.is_empty() && self.parts.iter().all(|part| part.freshness().public),
        )
    }
}

/// The item as clients of the revision read it, under the server's own name; `viewless` without the view that it names.
fn as_read(listing: &Listing, item: &Item, revision: Revision, viewless: bool) -> Raw {
    let raw = list_item_for(revision, &item.raw);
    let raw = if viewless { apps::without_view(&raw) } else { raw };
    let tasks = listing.tasks && listing.kind == ListKind::Tools && revision.era() == Era::Legacy;
    if tasks { tool_with_tasks(&raw) } else { raw }
}

/// All tools on the aggregate that are there for the caller.
pub(crate) struct Tools {
    parts: Vec<Arc<Listing>>,
    shown: Vec<Shown>,
}

impl Tools {
    /// As they are known. Servers that have not been asked lately are asked meanwhile, for those who search next.
    pub(crate) async fn of(gateway: &Gateway, call: &Call) -> Result<Self, Refusal> {
        let pass = gateway.gate.pass(&call.caller);
        let (parts, _) = gather(gateway, call, ListKind::Tools, pass.as_ref(), Need::Kept).await?;
        let shown = shown(gateway, &parts, call, pass.as_ref());
        Ok(Self { parts, shown })
    }

    /// Each server's list, and which of its tools are there.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (&Listing, &Shown)> {
        self.parts.iter().zip(&self.shown).map(|(part, shown)| (&**part, shown))
    }

    /// The definition of the tool with this name, as clients of the revision read it.
    pub(crate) fn definition(&self, name: &str, revision: Revision) -> Option<Raw> {
        self.parts().find_map(|(listing, shown)| {
            let index = listing.position_exposed(name)?;
            let (item, viewless) = (&listing.items[index], shown.is_viewless(index));
            shown.shows(index).then(|| expose(listing, item, as_read(listing, item, revision, viewless)))
        })
    }
}

/// The item under its name on the aggregate.
fn expose(listing: &Listing, item: &Item, raw: Raw) -> Raw {
    let raw = match listing.kind {
        ListKind::Tools | ListKind::Prompts => {
            let name = Raw::from_text(&item.exposed);
            raw.with(&[("name", Change::Set(name.as_bytes()))])
        }
        ListKind::Resources | ListKind::Templates => raw,
    };
    let map = |uri: &str| Some(uris::map_out(&listing.server, uri)).filter(|mapped| mapped != uri);
    rewrite::list_item(&raw, &map).unwrap_or(raw)
}

/// Answers a list method.
pub(crate) async fn list(gateway: &Gateway, call: &Call, kind: ListKind) -> Result<Exchange, Refusal> {
    let era = call.caller.revision.era();
    let cursor = call.params.as_ref().and_then(|params| params.find("cursor"));
    let pass = gateway.gate.pass(&call.caller);
    if kind == ListKind::Tools
        && discovery::offered(gateway, &call.endpoint, &call.caller) == Discovery::Instead
    {
        let view = gateway.views.of(&call.endpoint, kind, Variant::of(&call.caller), Vec::new());
        let result = write(gateway, call, &view, 0, true);
        return Ok(Exchange::done(Outcome::Complete(Payload { result: result.into(), era })));
    }
    let (view, page, stale) = match cursor {
        Some(cursor) => resume(gateway, call, kind, &cursor, pass.as_ref())?,
        None => {
            let need = if call.endpoint.is_merged() { Need::Merged } else { Need::Fresh };
            let (parts, stale) = gather(gateway, call, kind, pass.as_ref(), need).await?;
            (view_of(gateway, call, kind, parts, pass.as_ref()), 0, stale)
        }
    };
    let result = write(gateway, call, &view, page, stale);
    let outcome = Outcome::Complete(Payload { result: result.into(), era });
    // On its own endpoint a server that streams its lists is seen to.
    let streamed = !view.aggregate && view.parts.iter().any(|part| part.streamed);
    Ok(if streamed { Exchange::done_on_stream(outcome) } else { Exchange::done(outcome) })
}

/// The snapshot of these lists that the caller is shown.
fn view_of(
    gateway: &Gateway,
    call: &Call,
    kind: ListKind,
    parts: Vec<Arc<Listing>>,
    pass: Option<&Pass>,
) -> Arc<View> {
    let shown = shown(gateway, &parts, call, pass);
    let guarded = pass.and_then(Pass::enforced).is_some();
    if guarded || !shown.iter().all(Shown::is_all) {
        return gateway.views.filtered(&call.endpoint, kind, parts, shown, guarded);
    }
    gateway.views.of(&call.endpoint, kind, Variant::of(&call.caller), parts)
}

/// What of each list a caller is shown.
fn shown(gateway: &Gateway, parts: &[Arc<Listing>], call: &Call, pass: Option<&Pass>) -> Vec<Shown> {
    parts.iter().map(|listing| Shown::of(gateway, listing, &call.caller, pass)).collect()
}

/// The lists of all servers behind the endpoint, of a toolset what it takes of them. On the aggregate a server that fails is
/// left out, on its own endpoint its failure is the answer.
async fn gather(
    gateway: &Gateway,
    call: &Call,
    kind: ListKind,
    pass: Option<&Pass>,
    need: fn(Duration) -> Need,
) -> Result<(Vec<Arc<Listing>>, bool), Refusal> {
    let pass = pass.and_then(Pass::enforced);
    let (mut catalogues, toolset) = {
        let servers = gateway.servers.load();
        let behind = servers.behind(&call.endpoint, pass, &call.caller)?;
        (behind, servers.toolset(&call.endpoint, pass)?.cloned())
    };
    // Who has nothing of this list in the toolset is not asked for it.
    if let Some(toolset) = &toolset {
        catalogues.retain(|catalogue| toolset.draws(kind, catalogue.server.id().as_str()));
    }
    let own = |catalogue: &Catalogue, listing: Arc<Listing>| match &toolset {
        Some(toolset) => listing.selected(toolset, &catalogue.server),
        None => listing,
    };
    let variant = Variant::of(&call.caller);
    let merged = call.endpoint.is_merged();
    let peek = |catalogue: &Arc<Catalogue>| {
        let listing = catalogue.peek(kind, variant, need(Duration::ZERO))?;
        Some(own(catalogue, listing))
    };
    if matches!(need(Duration::ZERO), Need::Kept(_)) {
        for catalogue in &catalogues {
            catalogue.renew(kind, variant);
        }
    }
    if let Some(parts) = catalogues.iter().map(peek).collect() {
        return Ok((parts, false));
    }
    let finds = catalogues.iter().map(|catalogue| find(catalogue, kind, variant, merged, need));
    let found = join_all(finds).await;
    let (mut parts, mut stale) = (Vec::with_capacity(found.len()), false);
    for (catalogue, found) in catalogues.iter().zip(found) {
        match found {
            Ok(found) => {
                stale |= found.stale;
                parts.push(own(catalogue, found.listing));
            }
            Err(refusal) if merged => {
                tracing::warn!(why = refusal.message, "a server is missing from {}", kind.method());
                stale = true;
            }
            Err(refusal) => return Err(refusal),
        }
    }
    Ok((parts, stale))
}

async fn find(
    catalogue: &Arc<Catalogue>,
    kind: ListKind,
    variant: Variant,
    aggregate: bool,
    need: fn(Duration) -> Need,
) -> Result<Found, Refusal> {
    let known = catalogue.peek(kind, variant, Need::Known).is_some();
    let patience = match (aggregate, known) {
        (false, _) => catalogue.server.settings().call_timeout,
        (true, false) => PATIENCE_NEW,
        (true, true) => PATIENCE_OLD,
    };
    catalogue.list(kind, variant, need(patience)).await
}

fn write(gateway: &Gateway, call: &Call, view: &View, page: usize, stale: bool) -> Raw {
    let pages = view.pages(call.caller.revision.era(), gateway.env.limits().list_page);
    let items = pages.get(page).map_or(&[][..], |items| items);
    let mut out = Vec::with_capacity(items.len() + 256);
    out.extend_from_slice(b"{\"");
    out.extend_from_slice(view.kind.member().as_bytes());
    out.extend_from_slice(b"\":[");
    let own = view.kind == ListKind::Tools
        && page == 0
        && discovery::offered(gateway, &call.endpoint, &call.caller) != Discovery::Off;
    if own {
        out.extend_from_slice(discovery::tools());
        if !items.is_empty() {
            out.push(b',');
        }
    }
    out.extend_from_slice(items);
    out.push(b']');
    if page + 1 < pages.len() {
        let cursor = gateway.sealer.seal_for(
            CURSOR,
            Purpose::Cursor,
            &call.caller.principal,
            &place(view, page + 1, stale, &call.endpoint),
        );
        out.extend_from_slice(format!(",\"nextCursor\":\"{cursor}\"").as_bytes());
    }
    let only = match view.parts.as_slice() {
        [only] if !view.aggregate => Some(only),
        _ => None,
    };
    let mut has_meta = false;
    for member in only.iter().flat_map(|listing| listing.extra.members()) {
        has_meta |= member.key_is("_meta");
        out.push(b',');
        portcullis_mcp::json::write_string(&mut out, &member.key());
        out.push(b':');
        out.extend_from_slice(member.value_bytes());
    }
    if call.caller.revision.era() == Era::Modern {
        let (ttl, public) = if stale { (0, false) } else { view.promise() };
        // What some have is not for all.
        let servers = gateway.servers.load();
        let has_others =
            |part: &Arc<Listing>| servers.find(part.server.as_str()).is_some_and(|it| it.has_others());
        let public = public && !view.parts.iter().any(has_others);
        let scope = if public { "public" } else { "private" };
        out.extend_from_slice(
            format!(",\"resultType\":\"complete\",\"ttlMs\":{ttl},\"cacheScope\":\"{scope}\"").as_bytes(),
        );
        if !has_meta {
            let name = key::SERVER_INFO;
            let info = gateway.server_info(&call.endpoint, &call.caller);
            out.extend_from_slice(format!(",\"_meta\":{{\"{name}\":{info}}}").as_bytes());
        }
    }
    out.push(b'}');
    Raw::trusted(out)
}

/// What a cursor says: snapshot, page, whether servers were missing, list, endpoint.
fn place(view: &View, page: usize, stale: bool, endpoint: &Endpoint) -> Vec<u8> {
    let endpoint = endpoint.place();
    format!("{} {page} {} {} {endpoint}", view.id, u8::from(stale), view.kind.member()).into_bytes()
}

fn resume(
    gateway: &Gateway,
    call: &Call,
    kind: ListKind,
    cursor: &Raw,
    pass: Option<&Pass>,
) -> Result<(Arc<View>, usize, bool), Refusal> {
    let refuse = |why: &str| {
        Refusal::new(
            ErrorKind::InvalidParams,
            format!("the cursor {why}; ask for the list from its beginning"),
        )
    };
    let foreign = "is not one of this gateway's";
    let cursor = cursor.string().ok_or_else(|| refuse("must be a string"))?;
    let opened = gateway.sealer.open_in_time(Purpose::Cursor, &call.caller.principal, &cursor);
    let opened = opened.map_err(|unsealable| match unsealable {
        Unsealable::Foreign => refuse(foreign),
        Unsealable::Expired => refuse("has expired"),
    })?;
    let text = String::from_utf8(opened).map_err(|_| refuse(foreign))?;
    let mut words = text.split(' ');
    let mut number = || words.next().and_then(|word| word.parse::<u64>().ok()).ok_or_else(|| refuse(foreign));
    let (id, page, stale) = (number()?, number()?, number()? == 1);
    let view = gateway.views.find(id).ok_or_else(|| refuse("has expired"))?;
    let page = usize::try_from(page).unwrap_or(usize::MAX);
    if view.kind != kind || place(&view, page, stale, &call.endpoint) != text.as_bytes() {
        return Err(refuse("belongs to another list"));
    }
    // What was shown on the first page is not what may be shown now: the list has become another one.
    let now = shown(gateway, &view.parts, call, pass);
    if view.shown != now || view.guarded != pass.and_then(Pass::enforced).is_some() {
        return Err(refuse("has expired"));
    }
    Ok((view, page, stale))
}
