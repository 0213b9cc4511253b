//! Pages that a server has sent users to, until it says that they are done with them (2025-11-25, elicitation by URL).
//!
//! A server tells of the end with an id that it chose, and says nothing of whom it asked. So each conversation keeps for
//! whom each page was; what the server tells goes to that client and to nobody else, once, and only in the conversation in
//! which it asked. What is kept is bounded, for each client and in all, and forgotten after a time. Clients of 2026-07-28
//! have no such notification: they learn how it ended when they come back, so what they were asked is told to nobody.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use portcullis_mcp::json::Raw;
use portcullis_mcp::message::{RpcError, code};
use portcullis_mcp::method::Method;

use crate::call::Question;

/// Pages of one conversation that are open at once, in all and of one client.
const MOST: usize = 256;
const MOST_EACH: usize = 32;
/// The longest id that is remembered, in bytes.
const LONGEST: usize = 512;
/// How long a user may take.
const KEPT: Duration = Duration::from_hours(1);

/// Called with the client that was sent to a page, and the id of the page.
pub(crate) type OnDone = Arc<dyn Fn(&Arc<str>, &str) + Send + Sync>;

/// The pages of one conversation.
pub(super) struct Pages {
    open: Mutex<HashMap<String, Page>>,
    done: OnDone,
}

struct Page {
    owner: Arc<str>,
    since: Instant,
}

impl Pages {
    pub(super) fn new(done: OnDone) -> Self {
        Self { open: Mutex::default(), done }
    }

    /// A client is asked something; if that is to open a page, it is remembered.
    pub(super) fn asked(&self, owner: &Arc<str>, question: &Question) {
        if question.method == Method::CreateElicitation
            && let Some(params) = &question.params
            && params.find("mode").is_some_and(|mode| mode.is_text("url"))
        {
            self.open(owner, params);
        }
    }

    /// A call has failed: the client may have to open pages first (-32042).
    pub(super) fn failed(&self, owner: &Arc<str>, error: &RpcError) {
        if error.code() != code::URL_ELICITATION_REQUIRED {
            return;
        }
        let pages = error.data().and_then(|data| data.find("elicitations"));
        for page in pages.iter().flat_map(Raw::elements).take(MOST_EACH) {
            self.open(owner, &page);
        }
    }

    fn open(&self, owner: &Arc<str>, page: &Raw) {
        let Some(id) = page.find_string("elicitationId").filter(|id| id.len() <= LONGEST) else { return };
        let mut open = self.lock();
        open.retain(|_, page| page.since.elapsed() < KEPT);
        let own = open.values().filter(|page| page.owner == *owner).count();
        let oldest = if own >= MOST_EACH {
            oldest(open.iter().filter(|(_, page)| page.owner == *owner))
        } else if open.len() >= MOST {
            oldest(open.iter())
        } else {
            None
        };
        if let Some(oldest) = oldest {
            open.remove(&oldest);
        }
        open.insert(id, Page { owner: owner.clone(), since: Instant::now() });
    }

    /// The server says that a user is done with a page.
    pub(super) fn done(&self, params: Option<&Raw>) {
        let Some(id) = params.and_then(|params| params.find_string("elicitationId")) else { return };
        let page = self.lock().remove(&id);
        if let Some(page) = page.filter(|page| page.since.elapsed() < KEPT) {
            (self.done)(&page.owner, &id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Page>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn oldest<'a>(pages: impl Iterator<Item = (&'a String, &'a Page)>) -> Option<String> {
    pages.min_by_key(|(_, page)| page.since).map(|(id, _)| id.clone())
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;

    type Told = Arc<Mutex<Vec<(String, String)>>>;

    fn pages() -> (Pages, Told) {
        let told = Told::default();
        let log = told.clone();
        let done = move |owner: &Arc<str>, id: &str| {
            log.lock().unwrap().push((owner.to_string(), id.to_owned()));
        };
        (Pages::new(Arc::new(done)), told)
    }

    fn page(id: &str) -> Raw {
        Raw::trusted(format!(r#"{{"mode":"url","url":"https://x","elicitationId":"{id}"}}"#))
    }

    fn done(pages: &Pages, id: &str) {
        pages.done(Some(&Raw::trusted(format!(r#"{{"elicitationId":"{id}"}}"#))));
    }

    #[test]
    fn who_was_sent_there_is_told_once_and_nobody_else() {
        let (pages, told) = pages();
        pages.open(&"a".into(), &page("1"));
        pages.open(&"b".into(), &page("2"));
        for id in ["2", "2", "3"] {
            done(&pages, id);
        }
        assert_eq!(*told.lock().unwrap(), [("b".to_owned(), "2".to_owned())]);
        let data = format!(r#"{{"elicitations":[{},{}]}}"#, page("8"), page("9"));
        for code in [code::URL_ELICITATION_REQUIRED, code::INTERNAL] {
            let error = RpcError::new(code, "m", Some(&Raw::trusted(data.clone())));
            pages.failed(&"c".into(), &error);
            done(&pages, "9");
        }
        assert_eq!(told.lock().unwrap().len(), 2);
    }

    #[test]
    fn forms_and_endless_ids_are_not_remembered() {
        let (pages, _) = pages();
        let ask = |params: &'static str| {
            let (params, withdrawn) = (Some(Raw::from_static(params)), CancellationToken::new());
            pages.asked(&"a".into(), &Question::new(Method::CreateElicitation, params, withdrawn, drop));
            pages.lock().len()
        };
        assert_eq!(ask(r#"{"message":"m","elicitationId":"1"}"#), 0);
        assert_eq!(ask(r#"{"mode":"url","url":"https://x","elicitationId":"1"}"#), 1);
        pages.lock().clear();
        pages.open(&"a".into(), &page(&"x".repeat(LONGEST + 1)));
        assert!(pages.lock().is_empty());
    }

    #[test]
    fn many_pages_push_out_their_owners_oldest_first() {
        let (pages, told) = pages();
        pages.open(&"quiet".into(), &page("mine"));
        for number in 0..3 * MOST_EACH {
            pages.open(&"busy".into(), &page(&format!("b{number}")));
        }
        assert_eq!(pages.lock().len(), MOST_EACH + 1);
        done(&pages, "b0");
        done(&pages, "mine");
        assert_eq!(*told.lock().unwrap(), [("quiet".to_owned(), "mine".to_owned())]);
        for number in 0..2 * MOST {
            pages.open(&number.to_string().into(), &page(&format!("n{number}")));
        }
        assert_eq!(pages.lock().len(), MOST);
    }

    #[test]
    fn a_page_is_forgotten_in_time() {
        let (pages, told) = pages();
        pages.open(&"a".into(), &page("1"));
        pages.lock().get_mut("1").unwrap().since = Instant::now().checked_sub(KEPT).unwrap();
        done(&pages, "1");
        assert!(told.lock().unwrap().is_empty());
    }
}
